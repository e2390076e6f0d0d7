"""What an answer points to, on the image: boxes, which can be corrected, and nuclei, lit up.

`evidence` owns both and keeps them in step with the answer that is shown.
"""
