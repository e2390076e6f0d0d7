"""Where a review project is kept when nobody says."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.places import PROJECT_SUFFIX, user_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

PROJECT_FILE = "nunext-review.nunext"


def default_project_path(paths: Sequence[Path]) -> Path:
    """The project for images: beside the first where that folder can be written, else the user's.

    A project that lies there alone under another name is theirs. A package's own folder, such as
    that of a sample image, is never written to.
    """
    if paths:
        folder = paths[0].resolve().parent
        installed = Path(sysconfig.get_path("purelib")).resolve()
        if not folder.is_relative_to(installed) and os.access(folder, os.W_OK):
            lying = sorted(folder.glob(f"*{PROJECT_SUFFIX}"))
            return lying[0] if len(lying) == 1 else folder / PROJECT_FILE
    return user_folder() / PROJECT_FILE
