"""What an image is to all parts of the program.

`source` is what all of them are given, `part` as much of it as a picture is drawn from, `plausible`
says whether its scale can be right, `tissue` where it shows tissue.
"""
