"""Windows to model inputs.

All windows of a checkpoint have one size and one prompt, so the prompt is tokenised once and every
window has the same positions: a batch needs no padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.families import pin_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import ProcessorMixin

    from napari_nunext.models.checkpoints.description import CheckpointDescription

Inputs: TypeAlias = dict[str, torch.Tensor]
"""``input_ids``, ``attention_mask`` and ``mm_token_type_ids``, shape (B, T); ``pixel_values``,
shape (B * patches, values); ``image_grid_thw``, shape (B, 3)."""


class WindowProcessor:
    """Prepares windows of one checkpoint, in inference and training alike.

    Parameters
    ----------
    processor : ProcessorMixin
        The family's; pinned to the window's size from now on.
    description : CheckpointDescription

    Raises
    ------
    CheckpointError
        If the processor does not cut a window into the image tokens that the description declares.
    """

    def __init__(self, processor: ProcessorMixin, description: CheckpointDescription) -> None:
        pin_window(processor, description.window_px)
        self.processor = processor
        self.window_px = description.window_px
        self._set_prompt(description)

    def _set_prompt(self, description: CheckpointDescription) -> None:
        """Tokenise the prompt with a blank window, and append the forced latent tokens."""
        content: Any = [{"type": "image"}, {"type": "text", "text": description.instruction}]
        text = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        blank = np.zeros((self.window_px, self.window_px, 3), dtype=np.uint8)
        prompt = self.processor(text=[text], images=[blank], return_tensors="pt")
        image_tokens = int((prompt["mm_token_type_ids"] == 1).sum())
        if image_tokens != description.image_tokens:
            raise CheckpointError(
                f"A window costs {image_tokens} image tokens; the checkpoint declares "
                f"{description.image_tokens}. Export the checkpoint again."
            )
        latents = torch.tensor(description.codec.latent_ids, dtype=torch.long)
        self._input_ids = torch.cat([prompt["input_ids"][0], latents])
        self._token_types = torch.cat([prompt["mm_token_type_ids"][0], torch.zeros_like(latents)])

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """Tokens before a reply: the prompt with its image tokens, then the latent tokens."""
        return tuple(self._input_ids.tolist())

    def check(self, window: NDArray[np.uint8]) -> None:
        """Refuse a window that would be resized, whose points would shift.

        Raises
        ------
        InputError
            If its shape is not (window_px, window_px, 3), or its type not uint8.
        """
        shape = (self.window_px, self.window_px, 3)
        if window.shape != shape or window.dtype != np.uint8:
            raise InputError(f"A window is {window.dtype} {window.shape}; expected uint8 {shape}.")

    def __call__(
        self, windows: Sequence[NDArray[np.uint8]], device: torch.device | None = None
    ) -> Inputs:
        """Inputs of a batch of windows, each RGB of shape (window_px, window_px, 3).

        Raises
        ------
        InputError
            If a window has another size or type; see `check`.
        """
        for window in windows:
            self.check(window)
        images = self.processor.image_processor(list(windows), return_tensors="pt")
        batch = len(windows)
        input_ids = self._input_ids.expand(batch, -1).clone()
        inputs = {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids),
            "mm_token_type_ids": self._token_types.expand(batch, -1).clone(),
            "pixel_values": images["pixel_values"],
            "image_grid_thw": images["image_grid_thw"],
        }
        return {name: tensor.to(device) for name, tensor in inputs.items()}
