"""Scores: what was predicted beside what is true.

Inside: `evaluate` scores a model or a folder of predictions, `scores` is what comes of it, with
`intervals`; `predictions` and `instances` prepare both sides, `clicking` simulates somebody who
corrects outlines, `tables` lays figures out as NuNext's Tables 1 to 5; `answering` is of
answers to questions. It may import `data` and
`method`. The metrics themselves are in `napari_nunext.core`.
"""
