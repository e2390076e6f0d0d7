"""Windows to prompts.

All windows of a checkpoint have one size, and most are asked for everything, so a prompt is
tokenised once and every window has the same positions: a batch needs no padding. Windows that are
asked for some categories alone have prompts of their own; see `napari_nunext.core.naming`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.naming import instruction_for
from napari_nunext.models.families import pin_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import ProcessorMixin

    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.families import Family
    from napari_nunext.models.families.prompt import Prompt

Asked: TypeAlias = "Sequence[str]"
"""Categories that a window is asked for alone; none for everything."""


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
        self._description = description
        self._blanks: dict[str, Prompt] = {}
        self._blank = self._blank_of(())
        if len(self._blank.image_places) != description.image_tokens:
            raise CheckpointError(
                f"A window costs {len(self._blank.image_places)} image tokens; the checkpoint "
                f"declares {description.image_tokens}. Export the checkpoint again."
            )

    def instruction(self, asked: Asked = ()) -> str:
        """The sentence that asks for some categories, or for everything.

        Raises
        ------
        InputError
            If the checkpoint does not know one, or its prompt cannot name them.
        """
        known = self._description.codec.category_names
        return instruction_for(asked, known, self._description.prompt)

    def prompt_ids_of(self, asked: Asked = ()) -> tuple[int, ...]:
        """Tokens before a reply: the prompt with its image tokens, then the latent tokens."""
        return tuple(self._blank_of(asked).ids[0].tolist())

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """`prompt_ids_of` the prompt that asks for everything."""
        return self.prompt_ids_of()

    def _blank_of(self, asked: Asked) -> Prompt:
        instruction = self.instruction(asked)
        if instruction not in self._blanks:
            pixels = np.zeros((self.window_px, self.window_px, 3), dtype=np.uint8)
            prompt = self._family.prompt(self.processor, instruction, pixels)
            latents = torch.tensor([self._description.codec.latent_ids], dtype=torch.long)
            self._blanks[instruction] = prompt.followed_by(latents)
        return self._blanks[instruction]

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
        self,
        windows: Sequence[NDArray[np.uint8]],
        device: torch.device | None = None,
        asked: Sequence[Asked] = (),
    ) -> Prompt:
        """Prompts of a batch of windows, each RGB of shape (window_px, window_px, 3).

        Parameters
        ----------
        windows : sequence of ndarray
        device : torch.device, optional
        asked : sequence of sequence of str, optional
            The categories that each window is asked for alone, none for everything; of all
            windows everything by default. Shorter prompts are padded.

        Raises
        ------
        InputError
            If a window has another size or type, see `check`, or an unknown category is asked for.
        """
        for window in windows:
            self.check(window)
        images = self._family.images(self.processor, windows)
        blanks = [self._blank_of(each) for each in asked] or [self._blank]
        longest = max(blank.ids.shape[1] for blank in blanks)
        pad_id = self.processor.tokenizer.pad_token_id
        blanks = [blank.padded(longest, pad_id) for blank in blanks]
        prompt = blanks[0].showing(images, len(windows))
        if len(blanks) > 1:
            ids, mask = (
                torch.cat(rows) for rows in zip(*((b.ids, b.mask) for b in blanks), strict=True)
            )
            prompt = replace(prompt, ids=ids, mask=mask)
        return prompt.to(device)
