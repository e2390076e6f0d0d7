"""Labelled images, training windows cut from them, and the batches they make."""
