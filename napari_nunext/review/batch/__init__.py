"""A batch: the search of the window for many images, with or without one, that survives anything.

`batch` hands images to model servers, `taking` makes each known to the project, `asked` says what
is asked of it and whether a run has done that, `line` whose turn it is, `stations` has the servers
and waits for them, `drives` tells files that are away from those that are not there, `tally` says
how far it is. In the window, `all_images` runs a batch, `all_job` says what is left of it, and
`survey` looks at the images before the first is searched. It may import `finding` and what that
stands on.
"""
