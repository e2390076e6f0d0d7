"""Files of nuclei that are no text: label images, and ROIs of ImageJ.

A module for each kind of file. It may import `core` and the readers of `napari_nunext.images`;
the next kind goes here, and `napari_nunext.images.nuclei_files` learns its suffixes.
"""
