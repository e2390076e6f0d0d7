"""What went wrong in a model, in a sentence that says what to do."""

from __future__ import annotations

import errno

from napari_nunext.models.next_point.memory import is_out_of_memory
from napari_nunext.serving.protocol import Failed


def is_disk_full(error: BaseException) -> bool:
    """Whether the disk, or the user's part of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def failure(model_name: str, error: BaseException) -> Failed:
    """What a caller is told of an error that is not theirs."""
    if is_out_of_memory(error):
        return Failed(
            code="out_of_memory",
            message=f"{model_name} needs more memory than is free. Close other programs, or "
            "choose a smaller model.",
        )
    if is_disk_full(error):
        return Failed(
            code="disk_full",
            message="The disk of the model server is full. Free some space there, and try again.",
        )
    said = " ".join(str(error).split())[:200]
    reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return Failed(
        code="model_failed",
        message=f"{model_name} failed ({reason}). Try again, or choose another model.",
    )
