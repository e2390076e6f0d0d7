"""Finding one's way on a large image: a card over the canvas's corner.

`navigator` is the card, `overview` the small picture on it that shows where one is.
"""
