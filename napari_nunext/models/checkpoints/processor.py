"""Windows to prompts.

All windows of a checkpoint have one size and one prompt, so the prompt is tokenised once and every
window has the same positions: a batch needs no padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.families import pin_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import ProcessorMixin

    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.families import Family
    from napari_nunext.models.families.prompt import Prompt


class WindowProcessor:
    """Prepares windows of one checkpoint, in inference and training alike.

    Parameters
    ----------
    family : Family
    processor : ProcessorMixin
        The family's; pinned to the window's size from now on.
    description : CheckpointDescription

    Raises
    ------
    CheckpointError
        If the processor does not cut a window into the image tokens that the description declares.
    """

    def __init__(
        self, family: Family, processor: ProcessorMixin, description: CheckpointDescription
    ) -> None:
        pin_window(processor, description.window_px)
        self.processor = processor
        self.window_px = description.window_px
        self._family = family
        blank = np.zeros((self.window_px, self.window_px, 3), dtype=np.uint8)
        prompt = family.prompt(processor, description.prompt, blank)
        if len(prompt.image_places) != description.image_tokens:
            raise CheckpointError(
                f"A window costs {len(prompt.image_places)} image tokens; the checkpoint declares "
                f"{description.image_tokens}. Export the checkpoint again."
            )
        latents = torch.tensor([description.codec.latent_ids], dtype=torch.long)
        self._blank = prompt.followed_by(latents)

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """Tokens before a reply: the prompt with its image tokens, then the latent tokens."""
        return tuple(self._blank.ids[0].tolist())

    @property
    def image_places(self) -> torch.Tensor:
        """Where the image's tokens stand in every prompt, shape (image_tokens,)."""
        return self._blank.image_places

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
    ) -> Prompt:
        """Prompts of a batch of windows, each RGB of shape (window_px, window_px, 3).

        Raises
        ------
        InputError
            If a window has another size or type; see `check`.
        """
        for window in windows:
            self.check(window)
        images = self._family.images(self.processor, windows)
        return self._blank.showing(images, len(windows)).to(device)
