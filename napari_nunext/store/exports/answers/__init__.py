"""Answers as training data.

`gathering` finds what readers judged and what of it may be learned from, `judging` adds up what
they say. `pictures` are the regions that were asked about, `replies` what answers say in the words
of such a picture; `records` and `files` are made of these, and `supply` counts them.
"""
