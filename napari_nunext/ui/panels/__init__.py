"""The dock's panels: each shows what parts of the review have to show, and passes on wishes.

A panel keeps no state of its own. Another tab goes here, and into `ui.dock`.
"""
