"""Slides: images that are read tile by tile, at several levels, since they do not fit into memory.

`reader` says what a format has to give, `slide` makes an `ImageSource` of that. `tiff`, `ome_zarr`,
`vendors` (OpenSlide) and `isyntax` are the formats; the next one is a module beside them, declared
in `declared`. `parts` knows which files are parts of a slide. All may import `napari_nunext.images`
and `core`, nothing else of ours.
"""
