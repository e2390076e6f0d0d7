"""What the window can be told to do, by key or from napari's command palette.

`table` says what there is, `acts` how it is done in a dock, `chosen` which keys people chose and
`keys_editor` where they do, `lines` what the sheet of keys says, and `palette` is where napari
calls. A further command is a line in the table, a line in the acts, and one in the manifest.
`forms` are napari's forms: `form` makes one of typed parameters, `form_states` is what it shows and
sets of a dock. This package may import what the dock may.
"""
