"""Outlines: of what people place or move, where they click, and those that they draw by hand."""
