"""What the canvas does where an image has more nuclei, or more pixels, than can be drawn at once.

`density_layer` stands for nuclei that are too many; `sheet` is the part of a slide that outlines
are painted on.
"""
