"""``napari-nunext doctor``: what is there on this machine, and what is missing, a line each.

`finding` is what all of it finds, and asks other processes; `installed`, `window`, `models` and
`machine` look, each at what its name says; `examination` puts them in order; `arguments` is the
command.
"""
