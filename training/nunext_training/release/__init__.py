"""Checkpoints made ready for others.

Inside: `release` measures one and writes it down, `cards` is its model card, `quantise` makes it
smaller, `outside` are scripts that run in environments of their own. It may import `evaluation` and
`trainers`.
"""
