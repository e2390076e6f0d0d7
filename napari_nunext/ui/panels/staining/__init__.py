"""The section for stains in the Review tab: densities, the cut-off, what is positive.

May import the review's words and the shared controls; the card is what the Review tab takes.
"""
