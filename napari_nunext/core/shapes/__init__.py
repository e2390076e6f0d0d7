"""What a nucleus covers: masks, the polygons of files, the strokes of a hand.

Stands on `core.errors` and `core.geometry` alone. Another way to give a shape goes here, as a
function that ends in a `Mask`.
"""
