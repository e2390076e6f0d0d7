"""The head of atomic points: from the state before a point to a guess of all of it.

What it is for is told in `napari_nunext.models.checkpoints.atomic_points`. The state before a point
is what x is said from; where exactly the nucleus lies it does not hold. So the head does what a
layer of the model would: it looks at the image tokens, as the model left them, with a question made
of the state and x. It is about as large as one layer, knows K bins and the categories rather than
the vocabulary, and needs nothing of the model but its states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.atomic_points import HEAD_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from napari_nunext.core.codec import Codec

HEAD_WIDTH = 32
"""Of an attention head; every family's width is a multiple."""

_MLP_RATIO = 2


class AtomicHead(nn.Module):
    """Guesses y from the state before x and x; and the category from these and y.

    Parameters
    ----------
    width : int
        Of the language model's states.
    bins : int
        K.
    categories : int
        How many there are; 0 where a comma follows the point, which needs no guess.
    """

    def __init__(self, width: int, bins: int, categories: int) -> None:
        super().__init__()
        self.coordinates = nn.Embedding(bins, width)
        self.image = nn.Linear(width, 2 * width)
        self.y = _Guess(2, width, bins)
        self.category = _Guess(3, width, categories) if categories else None

    def look(self, image_states: torch.Tensor) -> torch.Tensor:
        """What the guesses of a window look at, once for all of them.

        Parameters
        ----------
        image_states : Tensor, shape (n, T, width)
            The language model's last hidden states of the window's image tokens.

        Returns
        -------
        Tensor, shape (n, T, 2 * width)
        """
        seen: torch.Tensor = self.image(image_states)
        return seen

    def y_scores(self, seen: torch.Tensor, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Logits of the y bins.

        Parameters
        ----------
        seen : Tensor, shape (n, T, 2 * width)
            As `look` made it.
        state : Tensor, shape (n, P, width)
            The language model's last hidden states where it says the x of P points.
        x : Tensor of int, shape (n, P)
            Their bins.

        Returns
        -------
        Tensor, shape (n, P, K)
        """
        scores: torch.Tensor = self.y(seen, state, self.coordinates(x))
        return scores

    def category_scores(
        self, seen: torch.Tensor, state: torch.Tensor, x: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor | None:
        """Logits of the categories, shape (n, P, C), as `y_scores`; None without categories."""
        if self.category is None:
            return None
        scores: torch.Tensor = self.category(seen, state, self.coordinates(x), self.coordinates(y))
        return scores

    def forward(
        self, image_states: torch.Tensor, state: torch.Tensor, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Both guesses where y is known, as it is in training."""
        seen = self.look(image_states)
        return self.y_scores(seen, state, x), self.category_scores(seen, state, x, y)

    @classmethod
    def beginning(cls, model: PreTrainedModel, codec: Codec) -> AtomicHead:
        """A head to train, which knows of coordinates what the model knows."""
        embeddings: Any = model.get_input_embeddings()
        first = codec.coordinate_start_id
        known = embeddings.weight.detach()[first : first + codec.bins].float().cpu()
        head = cls(known.shape[1], codec.bins, len(codec.category_ids))
        with torch.no_grad():
            head.coordinates.weight.copy_(known / known.std())  # of the states' own size
        return head

    @classmethod
    def load(cls, folder: Path, model: PreTrainedModel, codec: Codec) -> AtomicHead:
        """The head in the folder of a checkpoint, where the model is and as precise.

        Raises
        ------
        CheckpointError
            As `read`.
        """
        embeddings: Any = model.get_input_embeddings()
        head = cls(embeddings.weight.shape[1], codec.bins, len(codec.category_ids))
        head.read(folder)
        return head.to(model.device, model.dtype).eval().requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Write it into the folder of its model's checkpoint."""
        path = folder / HEAD_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        save_file(tensors, path)

    def read(self, folder: Path) -> None:
        """Take the weights that `save` wrote.

        Raises
        ------
        CheckpointError
            If they cannot be read, or are those of another model's head.
        """
        try:
            self.load_state_dict(load_file(folder / HEAD_FILE))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise CheckpointError(
                f"{HEAD_FILE.as_posix()} of {folder.name} is damaged, or the head of another model "
                f"({str(error).splitlines()[0]}). Copy the checkpoint again, or train a head with "
                "nunext-train atomic."
            ) from error


class _Guess(nn.Module):
    """Logits from some vectors laid side by side, and from what they ask of the image."""

    def __init__(self, vectors: int, width: int, choices: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Linear(vectors * width, _MLP_RATIO * width),
            nn.GELU(),
            nn.Linear(_MLP_RATIO * width, width),
        )
        self.query = nn.Linear(width, width)
        self.answer = nn.Linear(width, width)
        self.choices = nn.Linear(width, choices)

    def forward(self, seen: torch.Tensor, *vectors: torch.Tensor) -> torch.Tensor:
        mixed = self.mix(torch.cat(vectors, dim=-1))
        keys, values = (_in_heads(half) for half in seen.chunk(2, dim=-1))
        looked = functional.scaled_dot_product_attention(_in_heads(self.query(mixed)), keys, values)
        scores: torch.Tensor = self.choices(mixed + self.answer(looked.transpose(1, 2).flatten(2)))
        return scores


def _in_heads(vectors: torch.Tensor) -> torch.Tensor:
    """Shape (n, P, width) to (n, heads, P, `HEAD_WIDTH`)."""
    return vectors.unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2)
