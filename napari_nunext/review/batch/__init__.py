"""A batch: the search of the window for many images, without one, that goes on after anything.

`batch` hands images to model servers, `taking` makes each known to the project, `asked` says what
is asked of it and whether a run has done that, `line` whose turn it is, `stations` has the servers
and waits for them, `drives` tells files that are away from those that are not there, `tally` says
how far it is. It may import `finding` and what that stands on.
"""
