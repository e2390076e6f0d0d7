"""What a checkpoint has for a second look at categories: a linear layer, fitted in seconds. Ours.

A model writes the category of a point by the rows of its output layer, which all its tokens share
with what it reads. The second look reads the same state, and with it the mean state of the window's
image tokens, and says what to add to the scores of some categories. Where the model writes one of
those, the likeliest of them is reported; what it goes on with is what it wrote, so that points,
their order and their confidence stay as they are. Other categories are left alone.

The layer has a file of its own, named with its hash: readers that know nothing of it see the
checkpoint that it was fitted to. What it brings: docs/decisions/second-look.md. Torch is not
imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.identity import file_sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.codec import Codec

LOOK_FILE = Path("second_look") / "layer.safetensors"
"""Inside a checkpoint's folder; in a folder of its own, where readers of weights do not look."""

CATEGORIES = "categories"
SECOND_LOOK, FIRST_LOOK = "second look", "first look"
"""How a run's ``decoding`` says which look its categories are of, where there are two."""

_AGAIN = "Copy the checkpoint again, or fit another with nunext-train extend --second-look."


@dataclass(frozen=True, slots=True)
class SecondLook:
    """That a detector looks at some categories twice.

    Parameters
    ----------
    categories : tuple of str
        Among which it chooses: two at least, known to the codec.
    sha256 : str
        Of the layer's file.
    nuclei : int
        That the layer was fitted to.
    """

    categories: tuple[str, ...]
    sha256: str
    nuclei: int = 0

    def check(self, codec: Codec) -> None:
        """Raise `CheckpointError` unless these are categories of the codec, each once."""
        names = set(self.categories)
        enough = len(names) == len(self.categories) >= 2
        if not (enough and names <= set(codec.category_names)):
            raise CheckpointError(
                f"The second look is at {self.categories}; expected two or more of "
                f"{codec.category_names}. {_AGAIN}"
            )

    def to_json(self) -> dict[str, Any]:
        """As ``nunext.json`` holds it."""
        return {
            "categories": list(self.categories),
            "sha256": self.sha256,
            "nuclei": self.nuclei,
        }

    @classmethod
    def from_json(cls, data: Any) -> SecondLook | None:
        """Inverse of `to_json`; None for a checkpoint that says nothing of it."""
        if data is None:
            return None
        return cls(tuple(map(str, data["categories"])), str(data["sha256"]), int(data["nuclei"]))


@dataclass(frozen=True, eq=False, slots=True)
class LookLayer:
    """The layer itself, for C categories and states of `width`."""

    weight: NDArray[np.float32]
    """Shape (C, 2 * width): for the state that a category is written from, then for the mean state
    of the window's image tokens."""
    bias: NDArray[np.float32]
    """Shape (C,)."""

    def save(self, folder: Path) -> str:
        """Write it into the folder of its model's checkpoint, and return the file's hash."""
        path = folder / LOOK_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"weight": self.weight, "bias": self.bias}, path)
        return file_sha256(path)

    @classmethod
    def read(cls, folder: Path, said: SecondLook, width: int) -> LookLayer:
        """What `save` wrote.

        Raises
        ------
        CheckpointError
            If it cannot be read, or is that of another model.
        """
        check_look_file(folder, said)
        try:
            tensors = load_file(folder / LOOK_FILE)
            layer = cls(tensors["weight"], tensors["bias"])
        except (OSError, SafetensorError, KeyError) as error:
            raise CheckpointError(
                f"{LOOK_FILE.as_posix()} of {folder.name} cannot be read ({error}). {_AGAIN}"
            ) from error
        count = len(said.categories)
        shapes = layer.weight.shape, layer.bias.shape
        if shapes != ((count, 2 * width), (count,)):
            raise CheckpointError(
                f"{LOOK_FILE.as_posix()} of {folder.name} has shapes {shapes}; expected "
                f"{((count, 2 * width), (count,))}, for {count} categories and states of {width}. "
                f"{_AGAIN}"
            )
        return layer


def check_look_file(folder: Path, said: SecondLook) -> None:
    """Raise `CheckpointError` unless the file that was fitted lies in `folder`."""
    path = folder / LOOK_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{folder.name} has no {LOOK_FILE.as_posix()}, which its description names. Copy the "
            "whole folder of the checkpoint."
        )
    if (found := file_sha256(path)) != said.sha256:
        raise CheckpointError(
            f"{LOOK_FILE.as_posix()} of {folder.name} is another one than its description names "
            f"(SHA-256 {found[:12]}, expected {said.sha256[:12]}). {_AGAIN}"
        )
