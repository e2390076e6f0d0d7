"""Learning from the review: training as a process, its figures before and after, the new model.

`improving` trains detectors, `teaching` answerers; `lessons` and `pupils` are what and whom it
teaches, `shown_status` how far it is, `comparing` and `questioning` the old one against the new.
"""
