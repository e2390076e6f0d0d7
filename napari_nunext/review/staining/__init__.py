"""The part of the review for a stain: measures it, moves cut-offs, marks nuclei by them.

May import the session, what it shows, and how nuclei are corrected; its values are in `stained`.
"""
