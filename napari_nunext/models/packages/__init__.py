"""Detectors from elsewhere: Cellpose, StarDist, InstanSeg, and what other packages bring.

What draws whole label images becomes a detector and a segmenter by `labelling`; `cellpose`,
`stardist` and `instanseg` are three such packages; `plugins` are the entry points of others.
`offers` lists them all, without importing any.
"""
