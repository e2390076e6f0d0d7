"""Questions that are derived from annotated nuclei: right by construction, and asked by nobody.

`window` is a part of a tile and what is known of it. `points` and `pixels` hold the rules that make
a question of one: a kind is a function there and a line in its `MAKERS`. `evidence` is what an
answerer is told of the nuclei, `splits` deals out patients, and `deriving` makes pictures with
questions of tiles, for `nunext_training.data.importers.questions.writing`.
"""
