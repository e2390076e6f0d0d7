"""What the window can be told to do, by key or from napari's command palette.

`table` says what there is, `acts` how it is done in a dock, `lines` what the sheet of keys says,
`palette` is where napari calls. A further one is a line in the table, a line in the acts, and one
in the manifest. It may import what the dock may.
"""
