"""The published sets, a module each (or a family of one layout).

A new one is a module here and a line in the register of `importers`.
"""
