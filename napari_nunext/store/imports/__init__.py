"""Files taken into a project: an export come back, corrections merged, predictions from outside.

The other way is `store.exports`. Files are read by `core.formats`; here is what they mean for a
project that already holds nuclei.
"""
