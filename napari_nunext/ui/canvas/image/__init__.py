"""The image under review on the canvas: a tile whole, a slide by its levels.

`layer` owns napari's layer of it, `pyramid` is a slide as napari reads it, `blocks` what of it is
there, `shown_level` what napari is given of that. `sight` moves the camera over it,
`dropping` takes files that are let fall on it.
"""
