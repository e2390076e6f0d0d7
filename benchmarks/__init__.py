"""Every figure that the project states, measured: one script a topic, run by `make bench`."""
