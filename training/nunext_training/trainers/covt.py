"""Chain of visual thought: latent tokens that let a frozen SAM see where the nuclei are.

NuNext, Eq. 9 and 10. The last hidden states of the L latent tokens, projected, are the sparse
prompts of SAM's mask decoder; the mask that it answers is compared with the window's nucleus
foreground, and ``L_SFT = L_NTP + alpha L_CoVT`` is minimised. SAM is frozen: gradient reaches the
latent tokens, the language model, the projection, and, where the recipe trains it, the vision
tower by way of the language model.

Ours: a projection of two layers, no other prompt, the single mask of SAM's unambiguous token, the
foreground that the recipe names, and windows at the scale that SAM was made for. The projection
serves training alone; it is kept in the checkpoint's folder ``covt``, where readers of weights do
not look, so that another run can go on with it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.checkpoints.description import read_segmenter_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_weights
from napari_nunext.models.families import unwrapped
from napari_nunext.models.sam.segmenter import sam_pixels
from napari_nunext.models.sam.trunk_sam import AnySam
from nunext_training.data.segmenter_view import SegmenterView
from nunext_training.method.mask_losses import thought_loss
from nunext_training.trainers.heads import TrainingHead
from nunext_training.trainers.last_output import LastOutput
from nunext_training.trainers.next_point import NextPointTrainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from nunext_training.data.windows import Example

_HEAD_NAME = "covt_head"
_PIXELS, _FOREGROUND = "covt_pixels", "covt_foreground"


class FrozenSam:
    """SAM as a judge: prompts in, mask out, and no weight of it learns.

    Parameters
    ----------
    folder : Path
        A segmenter's checkpoint of family ``"sam"``.
    device : torch.device
    window_px, mpp
        Of the detector's windows, as `SegmenterView` takes them.

    Raises
    ------
    CheckpointError
        If the folder is no such checkpoint.
    InputError
        If SAM does not see a whole window; see `SegmenterView`.
    """

    def __init__(self, folder: Path, device: torch.device, *, window_px: int, mpp: float) -> None:
        description = read_segmenter_description(folder)
        if description.family != "sam":
            raise CheckpointError(
                f"{folder.name} is of family {description.family!r}; expected 'sam'."
            )
        self.sha256 = checkpoint_sha256(folder)
        self._view = SegmenterView(description.info(self.sha256), window_px, mpp)
        self.model: Any = load_weights(AnySam, folder, device=device, dtype=torch.float32)
        self.model.requires_grad_(False)
        self._images = SamImageProcessorPil.from_pretrained(folder, local_files_only=True)

    @property
    def prompt_width(self) -> int:
        """Channels of a sparse prompt."""
        return int(self.model.config.prompt_encoder_config.hidden_size)

    def pixels(self, windows: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Windows at SAM's scale, white beyond them, normalised as SAM reads them."""
        return sam_pixels(self._images, [self._view(window) for window in windows])

    def mask_logits(self, prompts: Tensor, pixels: Tensor) -> Tensor:
        """Logits of one mask for each window, shape (B, window_px, window_px), float32.

        Parameters
        ----------
        prompts : Tensor, shape (B, L, prompt_width)
        pixels : Tensor
            As `pixels` makes them.
        """
        with torch.no_grad():
            embeddings = self.model.get_image_embeddings(pixels)
            positions = self.model.get_image_wide_positional_embeddings()
        n, _, *grid = embeddings.shape
        no_mask = self.model.prompt_encoder.no_mask_embed.weight
        masks = self.model.mask_decoder(
            image_embeddings=embeddings,
            image_positional_embeddings=positions.expand(n, -1, -1, -1),
            sparse_prompt_embeddings=prompts[:, None],
            dense_prompt_embeddings=no_mask.reshape(1, -1, 1, 1).expand(n, -1, *grid),
            multimask_output=False,
        )[0]
        return self._of_window(masks[:, 0].float())[:, 0]

    def _of_window(self, masks: Tensor) -> Tensor:
        """The windows' part of SAM's masks (B, 1, h, h), resampled to the windows' own pixels."""
        side = self._view.window_px
        # A hair more than it is: torch takes the floor of the size that it leads to.
        factor = self._view.whole_px / masks.shape[-1] / self._view.scale * (1 + 1e-9)
        # What lies a pixel beyond the window counts at its edge; all else is white.
        part = min(math.ceil(side / factor) + 1, masks.shape[-1])
        logits = functional.interpolate(
            masks[..., :part, :part],
            scale_factor=factor,
            mode="bilinear",
            align_corners=False,
            recompute_scale_factor=False,
        )
        return logits[..., :side, :side]


class ThoughtHead(TrainingHead):
    """Projection from hidden states of the language model to SAM's sparse prompts."""

    file = Path("covt") / "covt_head.safetensors"

    def __init__(self, width: int, prompt_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, prompt_width)
        )

    def forward(self, states: Tensor) -> Tensor:
        """Prompts, shape (..., prompt_width), of states of shape (..., width)."""
        prompts: Tensor = self.layers(states)
        return prompts


class ThoughtCollator:
    """Adds SAM's pixels and the foreground to a batch whose examples are painted."""

    def __init__(
        self, collator: Callable[[Sequence[Example]], dict[str, Tensor]], sam: FrozenSam
    ) -> None:
        self._collator = collator
        self._sam = sam

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """As `Collator`, and ``covt_pixels`` and ``covt_foreground``."""
        inputs = self._collator(examples)
        labels = [e.labels for e in examples if e.labels is not None]
        if len(labels) == len(examples):
            inputs[_PIXELS] = self._sam.pixels([e.rgb for e in examples])
            inputs[_FOREGROUND] = torch.from_numpy(np.stack(labels) > 0)
        return inputs


class ThoughtTrainer(NextPointTrainer):
    """`NextPointTrainer` that minimises Eq. 10.

    Validation, whose windows are not painted, is by the loss of tokens alone, so that runs with and
    without visual thought are compared by one figure.

    Parameters
    ----------
    model, *given, **options
        As `NextPointTrainer`; the task encodes by a `ThoughtCollator`.
    sam : FrozenSam
        On the model's device.
    head : ThoughtHead
        Trained with the model.
    alpha : float
        Weight of L_CoVT.
    """

    figures = ("loss", "covt_loss", "grad_norm", "learning_rate")

    def __init__(
        self,
        model: Any,
        *given: Any,
        sam: FrozenSam,
        head: ThoughtHead,
        alpha: float,
        **options: Any,
    ) -> None:
        heads = {**options.pop("heads", {}), _HEAD_NAME: head}
        super().__init__(model, *given, heads=heads, **options)
        self._sam = sam
        self._head = head
        self._alpha = alpha
        self._latent_ids = torch.tensor(self._codec.latent_ids, device=self.args.device)
        self._hidden = LastOutput(unwrapped(model).base_model, "last_hidden_state")
        self._thought_losses: list[Tensor] = []

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """Eq. 10 of a painted batch, else Eq. 2 or 8."""
        rest = {k: v for k, v in inputs.items() if k not in (_PIXELS, _FOREGROUND)}
        loss, outputs = super().batch_loss(model, rest)
        hidden = self._hidden.take()
        if _FOREGROUND in inputs:
            thought = self._thought_loss(inputs, hidden)
            self._thought_losses.append(thought.detach())
            loss = loss + self._alpha * thought
        return loss, outputs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As the Trainer's, with the step's L_CoVT before its weight."""
        if "loss" in logs and self._thought_losses:
            mean = torch.stack(self._thought_losses).mean()
            logs["covt_loss"] = float(self.accelerator.gather(mean).mean())
            self._thought_losses.clear()
        super().log(logs, start_time)

    def _thought_loss(self, inputs: dict[str, Tensor], hidden: Tensor) -> Tensor:
        """L_CoVT (Eq. 9) of a batch with the last hidden states of its tokens."""
        at_latents = torch.isin(inputs["input_ids"], self._latent_ids)
        states = hidden[at_latents].view(len(hidden), len(self._latent_ids), -1).float()
        foreground = inputs[_FOREGROUND]
        logits = self._sam.mask_logits(self._head(states), inputs[_PIXELS])
        return thought_loss(logits, foreground)


def new_head(model: Any, sam: FrozenSam, parent: Path) -> ThoughtHead:
    """The projection that `parent` was trained with, or a new one where it has none."""
    embeddings: Any = unwrapped(model).get_input_embeddings()
    head = ThoughtHead(embeddings.weight.shape[1], sam.prompt_width)
    head.load_if_there(parent)
    return head.to(model.device)


def check_latents(latent_ids: Sequence[int], name: str) -> None:
    """Raise `InputError` where a checkpoint has no latent tokens to think with."""
    if not latent_ids:
        raise InputError(
            f"{name} has no latent tokens, which a chain of visual thought needs. Build it with "
            "--latents 8."
        )
