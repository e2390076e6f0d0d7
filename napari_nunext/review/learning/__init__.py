"""Learning from the review: training as a process, its figures before and after, the new model."""
