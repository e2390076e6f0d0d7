"""Segment Anything as a segmenter: one mask for each click or box, from a cached embedding."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.models.checkpoints.description import read_segmenter_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_weights
from napari_nunext.models.devices import choose_device
from napari_nunext.models.sam.embeddings import new_embeddings
from napari_nunext.models.sam.trunk_sam import AnySam
from napari_nunext.models.segmenter import ScoredMask
from napari_nunext.models.whole_image.one_piece import piece_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import SamModel

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.models.checkpoints.description import SegmenterDescription
    from napari_nunext.models.sam.embeddings import Embeddings
    from napari_nunext.models.segmenter import Prompt, SegmenterInfo

PROMPTS_AT_ONCE = 64
TOKENS_AT_ONCE = 2**14
"""The decoder copies a window's tokens for each prompt: where they are 64 x 64 in place of 16 x 16,
4 prompts are answered together in place of 64. More would make a CPU no faster."""

OUTLINE_LOGIT = 8.0
"""Of a pixel that surely belongs to an outline."""

PIXEL_CENTRE = 0.5
"""SAM counts from the centre of the first pixel, we from its corner."""


class SamSegmenter:
    """A `napari_nunext.models.segmenter.Segmenter` made of a SAM checkpoint.

    A mask is where the logits, resampled to the window, are positive, and of that the piece that
    the prompt points at (ours: see `piece_at`). Its score is the IoU that SAM predicts, clipped to
    [0, 1]. Of SAM's mask tokens the one for unambiguous prompts answers, as in PromptNucSeg.

    Parameters
    ----------
    folder : Path
        A segmenter's checkpoint, of family ``"sam"``.
    device : str, optional
        The first CUDA device, else the CPU, when None.
    embeddings : Embeddings, optional
        Where embeddings are kept, which several segmenters may share; by default one of its own.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be served.
    """

    def __init__(
        self, folder: Path, device: str | None = None, *, embeddings: Embeddings | None = None
    ) -> None:
        description = read_segmenter_description(folder)
        if description.family != "sam":
            raise CheckpointError(
                f"{folder.name} is of family {description.family!r}; expected 'sam'."
            )
        # Masks in half precision have ragged edges; SAM is small enough for float32.
        model: Any = load_weights(AnySam, folder, device=choose_device(device), dtype=torch.float32)
        side = model.config.vision_config.image_size
        if side != description.window_px:
            raise CheckpointError(
                f"{folder.name} declares windows of {description.window_px} px, but its SAM reads "
                f"{side} px. Convert it again with this window."
            )
        images = SamImageProcessorPil.from_pretrained(folder, local_files_only=True)
        self._set(model, images, description.info(checkpoint_sha256(folder)), embeddings)

    @classmethod
    def from_model(
        cls, model: SamModel, images: SamImageProcessorPil, description: SegmenterDescription
    ) -> SamSegmenter:
        """Segmenter over a model in memory, one in training for example: it has no content hash."""
        segmenter = cls.__new__(cls)
        segmenter._set(model, images, description.info(None), None)
        return segmenter

    def _set(
        self,
        model: SamModel,
        images: SamImageProcessorPil,
        info: SegmenterInfo,
        embeddings: Embeddings | None,
    ) -> None:
        self._model: Any = model
        self._images = images
        self._info = info
        self._embeddings = new_embeddings() if embeddings is None else embeddings
        prompts: Any = model.config.prompt_encoder_config
        tokens = prompts.image_embedding_size**2
        self._prompts_at_once = min(PROMPTS_AT_ONCE, max(1, TOKENS_AT_ONCE // tokens))

    @property
    def info(self) -> SegmenterInfo:
        """What this segmenter is."""
        return self._info

    def segment(
        self,
        window: NDArray[np.uint8],
        prompts: Sequence[Prompt],
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[ScoredMask]:
        """One mask for each prompt, in order; see `Segmenter.segment`.

        Raises
        ------
        InputError
            If the window has another size, or a prompt is empty, outside the window, or has not one
            sign for each point.
        """
        side = self._info.window_px
        if window.shape != (side, side, 3) or window.dtype != np.uint8:
            raise InputError(
                f"A window is {window.dtype} {window.shape}; expected uint8 {(side, side, 3)}."
            )
        for prompt in prompts:
            _check_prompt(prompt, side)
        if not self._info.reads_outlines:
            prompts = [replace(prompt, outline=None) for prompt in prompts]
        # Padding prompts to one length would change SAM's answer, so only equals go together.
        for _, alike in groupby(prompts, key=_shape):
            group = list(alike)
            for start in range(0, len(group), self._prompts_at_once):
                if cancelled():
                    return
                yield from self._answer(window, group[start : start + self._prompts_at_once])

    @torch.no_grad()
    def _answer(self, window: NDArray[np.uint8], prompts: Sequence[Prompt]) -> list[ScoredMask]:
        side, device = self._info.window_px, self._model.device
        embedding, inputs = self._embedding(window), _model_prompts(prompts, device)
        if prompts[0].outline is not None:
            # SAM takes one outline for each image: each prompt has the image for itself.
            told = torch.from_numpy(np.stack([_painted(p.outline, side) for p in prompts]))
            inputs = {name: value.transpose(0, 1) for name, value in inputs.items()}
            inputs["input_masks"] = outline_prompts(told.to(device), self._model.config)
            embedding = embedding.expand(len(prompts), -1, -1, -1)
        output = self._model(image_embeddings=embedding, multimask_output=False, **inputs)
        logits = in_window(output.pred_masks.flatten(0, 1).float(), (side, side))
        masks = (logits[:, 0] > 0).cpu().numpy()
        scores = output.iou_scores.flatten().float().clamp(0, 1).tolist()
        return [
            ScoredMask(piece_at(mask, prompt), score)
            for mask, prompt, score in zip(masks, prompts, scores, strict=True)
        ]

    def _embedding(self, window: NDArray[np.uint8]) -> torch.Tensor:
        """Embedding of the window, shape (1, channels, grid, grid)."""
        content = hashlib.sha256(np.ascontiguousarray(window).data).digest()
        key = (self._info.checkpoint_sha256 or "", content)
        found = self._embeddings.get(key)
        if found is None:
            pixels = sam_pixels(self._images, [window])
            found = self._model.get_image_embeddings(pixels.to(self._model.device))
            self._embeddings.put(key, found)
        return found


def sam_pixels(images: SamImageProcessorPil, windows: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Windows as SAM's vision tower reads them, a row each."""
    pixels: torch.Tensor = images(list(windows), return_tensors="pt")["pixel_values"]
    return pixels


def in_window(mask_logits: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """A SAM's logits, shape (N, P, h, w), resampled to a window's size, as masks are served."""
    return functional.interpolate(mask_logits, size, mode="bilinear", align_corners=False)


def outline_prompts(outlines: torch.Tensor, config: Any) -> torch.Tensor:
    """Outlines as a SAM reads them: logits on a grid of four for each of its patches.

    SAM is taught on logits of its own; an outline that people have seen to has none, so it is told
    the share of each cell that is covered, from ``-OUTLINE_LOGIT`` to ``OUTLINE_LOGIT`` (ours).

    Parameters
    ----------
    outlines : Tensor of bool, shape (N, window_px, window_px)
    config : SamConfig

    Returns
    -------
    Tensor, shape (N, 1, h, w)
    """
    side = 4 * config.prompt_encoder_config.image_embedding_size
    covered = functional.adaptive_avg_pool2d(outlines[:, None].float(), side)
    return (2 * covered - 1) * OUTLINE_LOGIT


def _painted(outline: Mask | None, side_px: int) -> NDArray[np.bool_]:
    painted: NDArray[np.bool_] = label_image([outline] if outline else [], side_px, side_px) > 0
    return painted


def _shape(prompt: Prompt) -> tuple[int, bool, bool]:
    return len(prompt.points_xy), prompt.box is None, prompt.outline is None


def _check_prompt(prompt: Prompt, side_px: int) -> None:
    points = np.asarray(prompt.points_xy)
    if len(points) == 0 and prompt.box is None:
        raise InputError("A mask was asked for without a point or a box; give one of them.")
    if len(points) != len(prompt.positive):
        raise InputError(
            f"A prompt has {len(points)} points but {len(prompt.positive)} signs; "
            "expected one each."
        )
    if len(points) and not ((points >= 0) & (points <= side_px)).all():
        raise InputError(
            f"A prompt has a point outside its window of {side_px} px. Cut the window around it."
        )


def _model_prompts(prompts: Sequence[Prompt], device: torch.device) -> dict[str, torch.Tensor]:
    """Prompts of one shape as SAM takes them: a batch of one image with many prompts."""
    inputs: dict[str, torch.Tensor] = {}
    if len(prompts[0].points_xy):
        points = np.stack([p.points_xy for p in prompts]) - PIXEL_CENTRE
        labels = np.array([p.positive for p in prompts], dtype=np.int64)
        inputs["input_points"] = torch.from_numpy(points).float()[None].to(device)
        inputs["input_labels"] = torch.from_numpy(labels)[None].to(device)
    boxes = [p.box.as_tuple() for p in prompts if p.box is not None]
    if boxes:
        inputs["input_boxes"] = (torch.tensor(boxes).float() - PIXEL_CENTRE)[None].to(device)
    return inputs
