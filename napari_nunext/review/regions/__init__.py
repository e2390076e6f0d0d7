"""The regions of the open image: drawn, named, counted, found by their tissue, read and written.

May import the session and what it shows; `finding` searches in them, and asks the project itself.
"""
