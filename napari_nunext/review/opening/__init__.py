"""Which project and which image: opening, finding moved images, the scale, changing projects.

Stands on the session and the project. Nothing here searches or edits.
"""
