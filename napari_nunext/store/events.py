"""What people do: a constructor for each kind of event."""

from __future__ import annotations

from napari_nunext.store.event import GENESIS_HASH, Event, grouped
from napari_nunext.store.kinds.answers import (
    compare_answers,
    correct_answer,
    keep_options,
    rate_answer,
)
from napari_nunext.store.kinds.categories import (
    add_category,
    learn_categories,
    recolor_category,
    rename_category,
    set_categories,
)
from napari_nunext.store.kinds.history import redo, undo
from napari_nunext.store.kinds.images import (
    comment,
    complete_region,
    flag_field,
    import_file,
    reopen_region,
    use_run,
)
from napari_nunext.store.kinds.nuclei import (
    accept,
    add,
    delete,
    edit_mask,
    flag_nucleus,
    move,
    reject,
    relabel,
)
from napari_nunext.store.kinds.regions import (
    delete_region,
    describe_region,
    draw_region,
    reshape_region,
)
from napari_nunext.store.kinds.settings import (
    set_cut_offs,
    set_origin,
    set_scale,
    set_scale_of_all,
)

__all__ = [
    "GENESIS_HASH",
    "Event",
    "accept",
    "add",
    "add_category",
    "comment",
    "compare_answers",
    "complete_region",
    "correct_answer",
    "delete",
    "delete_region",
    "describe_region",
    "draw_region",
    "edit_mask",
    "flag_field",
    "flag_nucleus",
    "grouped",
    "import_file",
    "keep_options",
    "learn_categories",
    "move",
    "rate_answer",
    "recolor_category",
    "redo",
    "reject",
    "relabel",
    "rename_category",
    "reopen_region",
    "reshape_region",
    "set_categories",
    "set_cut_offs",
    "set_origin",
    "set_scale",
    "set_scale_of_all",
    "undo",
    "use_run",
]
