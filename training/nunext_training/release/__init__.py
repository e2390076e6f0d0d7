"""Checkpoints made ready for others.

Inside: `release` measures one and writes it down, `cards` is its model card, `front_matter` what
stands before the card's text, `hub` sends the folder, `quantise` makes it smaller, `outside` are
scripts that run in environments of their own. It may import `evaluation` and `trainers`.
"""
