"""How brown the nuclei of the open image are: measured, counted, and made their categories.

`densities` measures what changed, `counted` has the figures, `stainer` is the part of the review.
May import the session and what it shows.
"""
