"""What Python asks for: ``import napari_nunext as nn``, then ``nn.detect(image, mpp=0.25)``.

Inside: `images` takes what callers have as an image, `models` holds models in this process,
`detecting`, `segmenting` and `asking` do what the window does with them, here or at a server,
`nuclei` is what comes of it, `staining` how brown they are, `projects` reads what was reviewed. It
may import everything below the review, and nothing of it is imported before it is asked for
(`napari_nunext.__getattr__`). A new call goes into a module of its own, and its name into
`napari_nunext.CALLS`.
"""
