"""What a model family must answer, and the geometry that all of them share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from napari_nunext.core.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin

    from napari_nunext.models.families.prompt import Prompt

HEAD_DIM_MULTIPLE = 32
"""vLLM's attention on a CPU takes no other head sizes."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Depths and widths of a model that is built from nothing.

    Raises
    ------
    CheckpointError
        If a width is not heads times a multiple of `HEAD_DIM_MULTIPLE`.
    """

    patch_px: int
    """Side of a patch, the vision tower's token."""
    merge: int
    """Patches along each side of an image token, the language model's."""
    vision_width: int
    vision_layers: int
    vision_heads: int
    width: int
    layers: int
    heads: int
    kv_heads: int

    def __post_init__(self) -> None:
        if any(v < 1 for v in asdict(self).values()):
            raise CheckpointError(f"A model size has a value below 1: {self}.")
        for width, heads in ((self.vision_width, self.vision_heads), (self.width, self.heads)):
            if width % (heads * HEAD_DIM_MULTIPLE):
                raise CheckpointError(
                    f"Width {width} with {heads} heads; expected heads of a multiple of "
                    f"{HEAD_DIM_MULTIPLE}, for example width {heads * HEAD_DIM_MULTIPLE}."
                )
        if self.heads % self.kv_heads:
            raise CheckpointError(
                f"{self.heads} heads cannot share {self.kv_heads} key-value heads evenly."
            )


class Family(Protocol):
    """Adapter of one architecture."""

    @property
    def name(self) -> str:
        """``model_type`` of its configuration."""
        ...

    @property
    def vision_path(self) -> str:
        """Dotted name of the vision tower in the model, to freeze or adapt it."""
        ...

    @property
    def layers_path(self) -> str:
        """Dotted name of the list of language layers in the model."""
        ...

    def register(self) -> None:
        """Make the Auto classes know the architecture, where it is not one of transformers'."""
        ...

    def config(
        self, size: ModelSize, *, window_px: int, vocab_size: int, ids: Mapping[str, int]
    ) -> PreTrainedConfig:
        """Configuration of a small model; `ids` maps the text of special tokens to their ids."""
        ...

    def token_px(self, config: PreTrainedConfig) -> int:
        """Side of an image token in pixels."""
        ...

    def new_processor(
        self, tokenizer: Any, *, patch_px: int, merge: int, chat_template: str
    ) -> ProcessorMixin:
        """Processor for a model of these patches, before `pin_window`."""
        ...

    def load_processor(self, folder: Path) -> ProcessorMixin:
        """Processor of the checkpoint in `folder`; needs no torchvision."""
        ...

    def save_processor(self, processor: ProcessorMixin, folder: Path) -> None:
        """Write `processor` so that `load_processor`, AutoProcessor and vLLM load it."""
        ...

    def prompt(
        self, processor: ProcessorMixin, instruction: str, window: NDArray[np.uint8]
    ) -> Prompt:
        """Prompt that shows one window, gives the instruction and leaves the reply to the model."""
        ...

    def images(
        self, processor: ProcessorMixin, windows: Sequence[NDArray[np.uint8]]
    ) -> Mapping[str, torch.Tensor]:
        """What the model sees of B windows, for `Prompt.images`: shape (B, ...) each."""
        ...

    def inputs(self, prompt: Prompt) -> dict[str, torch.Tensor]:
        """What the model takes of a prompt beside ids and mask, as it names it and lays it out."""
        ...

    def position_ids(self, model: PreTrainedModel, prompt: Prompt) -> torch.Tensor:
        """Positions of a prompt's tokens, shape (axes, B, T).

        The positions that follow are one more than the largest, and the next, on every axis.
        """
        ...


def pin_window(processor: ProcessorMixin, window_px: int) -> None:
    """Make `processor` leave square images of this side as they are, whatever their number."""
    area = window_px * window_px
    processor.image_processor.size = {"shortest_edge": area, "longest_edge": area}


def check_window(window_px: int, token_px: int) -> int:
    """Number of image tokens of a window.

    Raises
    ------
    CheckpointError
        If the window is not a whole number of tokens wide: it would be resized, and points shift.
    """
    if window_px < token_px or window_px % token_px:
        nearest = max(1, round(window_px / token_px)) * token_px
        raise CheckpointError(
            f"A window of {window_px} px is not a multiple of the image token's {token_px} px, so "
            f"the processor would resize it. Use {nearest} px, for example."
        )
    return (window_px // token_px) ** 2


def unwrapped(model: PreTrainedModel) -> PreTrainedModel:
    """The model itself where PEFT has wrapped it; adapters stay in its layers."""
    wrapper: Any = model
    base: PreTrainedModel = wrapper.get_base_model() if hasattr(model, "get_base_model") else model
    return base


def embedding_rows(model: PreTrainedModel) -> int:
    """How many tokens the model has embeddings for; at least as many as its tokenizer has."""
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.weight.shape[0])


def submodule(model: PreTrainedModel, path: str) -> torch.nn.Module:
    """Module at a dotted `path`, whether or not PEFT has wrapped the model."""
    return unwrapped(model).get_submodule(path)
