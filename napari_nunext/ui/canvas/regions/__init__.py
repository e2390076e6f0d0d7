"""Regions on napari's canvas: a layer of ours, there as long as there is something to show.

May import what the canvas shares; the next drawing of regions goes beside `regions_layer`.
"""
