"""Layers that serve training alone: trained and saved with a model, and no part of a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from safetensors.torch import load_file, save_file
from torch import nn

from napari_nunext.core.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path


class TrainingHead(nn.Module):
    """A layer with a file of its own.

    It lies in a subfolder of a folder of weights, where readers of weights do not look, so that
    another run can go on with it.
    """

    file: ClassVar[Path]
    """Inside a folder of weights."""

    def save(self, folder: Path) -> None:
        """Write it into a folder of weights."""
        path = folder / self.file
        path.parent.mkdir(exist_ok=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}, path)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            If it is of another shape: made for another model.
        """
        try:
            self.load_state_dict(load_file(folder / self.file))
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.file} of {folder.name} does not fit this model. Train with what it was "
                "made for, or remove the file."
            ) from error

    def load_if_there(self, folder: Path) -> None:
        """Go on with what a folder of weights has; as it is where it has none."""
        if (folder / self.file).is_file():
            self.load(folder)
