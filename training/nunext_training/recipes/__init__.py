"""Recipes: every choice of a training run, in TOML files beside `recipe`, which reads them.

Inside: `sections` and `stage_sections` hold the keys, each with its meaning and its bound
(`bounds`). A new choice is a field there. It imports `method` alone.
"""
