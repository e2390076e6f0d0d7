"""What stands on the canvas for nuclei that are too many to be drawn one by one."""
