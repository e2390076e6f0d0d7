"""The dock's panels: each shows a part of the review's model and passes on what people want.

A panel keeps no state of its own. Another tab goes here, and into `ui.dock`.
"""
