"""Segment Anything as a segmenter.

Inside: `segmenter` answers clicks and boxes with masks, `embeddings` remembers windows that were
looked at, `build` makes new SAM checkpoints, `convert` reads those of segment-anything and
PromptNucSeg. It may import `checkpoints` and `whole_image`. Another promptable segmenter gets a
package beside this one and a line in `catalog`.
"""
