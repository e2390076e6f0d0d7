"""What a server has at hand.

Inside: `shelf` knows the models and which are in memory, `describe` tells callers of them, `images`
keeps what was uploaded, within the memory that `budget` grants. It may import `health` and the
`models` of the package; `jobs` imports it.
"""
