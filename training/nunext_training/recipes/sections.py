"""The sections of a recipe that every stage reads: windows, losses, the optimiser, validation."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from napari_nunext.core.process.precision import Precision
from nunext_training.method.choices import Foreground, SoftmaxOver, Supervision
from nunext_training.recipes.bounds import (
    CHECKED,
    Count,
    CountOrNone,
    Flag,
    NotNegative,
    Number,
    Positive,
    Share,
)

Attention: TypeAlias = Literal["auto", "eager", "sdpa", "flash_attention_2"]
ReportTo: TypeAlias = Literal["nothing", "tensorboard", "wandb", "mlflow"]


def _rising(scale_range: tuple[float, float]) -> tuple[float, float]:
    low, high = scale_range
    if not 0 < low <= high:
        raise ValueError
    return scale_range


Range: TypeAlias = Annotated[
    tuple[Number, Number],
    AfterValidator(_rising),
    Field(json_schema_extra={"expected": "[low, high], 0 < low <= high"}),
]


@dataclass(frozen=True, slots=True, config=CHECKED)
class WindowOptions:
    """How training windows vary. Scale and stain imitate other laboratories; turns are free."""

    scale_range: Range = (0.8, 1.25)
    """A window sees its side times a factor of this range."""
    turn: Flag = True
    """Mirrored and turned by quarters at random."""
    stain_strength: NotNegative = 0.2
    """Amounts of stain vary by factors up to ``exp(strength)``; 0 is off."""
    scanner_strength: NotNegative = 0.0
    """How far focus, lamp, colours and noise vary (`random_scanner`); 0 is off."""
    area_exponent: Share = 1.0
    """Images are drawn in proportion to their area to this power. 1: all tissue equally often; 0:
    all images. In between, small images of rare tissue are seen more often than by their area."""
    named_category_share: Share = 0.0
    """Of the windows of `sft` and `rft` that are asked for some categories alone, such as "Point to
    lymphocyte."; where a data set tells no categories apart, none is."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class LossOptions:
    """What is minimised."""

    supervision: Supervision = "soft"
    """``soft`` is spatial-aware (Eq. 7-8), ``naive`` the next-token loss (Eq. 2)."""
    sigma_bins: Positive = 2.0
    """Of the Gaussian around the true bin (Eq. 7)."""
    softmax_over: SoftmaxOver = "vocabulary"
    """What probabilities are taken over; ``bins`` are the coordinate tokens alone. The paper leaves
    it open."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class CentreMapOptions:
    """A map of centres that image tokens learn to draw, for training from nothing. **Ours**."""

    weight: NotNegative = 0.0
    """Of its error, added to the loss of tokens; 0 does without."""
    sigma_px: Positive = 2.0
    """Of the Gaussian around a centre, px of the window."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class ThoughtOptions:
    """Chain of visual thought, where training is given a SAM. All of it is ours."""

    alpha: NotNegative = 1.0
    """Weight of its loss (Eq. 10)."""
    target: Foreground = "discs"
    """The foreground that SAM is to answer: true masks, or discs around the centroids."""
    radius_um: Positive = 3.5
    """Of the discs: the mean nuclear radius."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class LoraOptions:
    """Low-rank adaptation in place of training all weights."""

    rank: CountOrNone = 0
    """0 trains all weights."""
    alpha: Positive = 32.0
    """Additions are scaled by alpha / rank."""
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of a layer's inputs that its addition does not see, at random."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class KeepingOptions:
    """How `sft` keeps what the parent knew. All of it is ours."""

    replay: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of the windows that are of earlier tissue: of ``--replay``, or drawn. 0: none."""
    tiles: Count = 24
    """Drawn tiles that they are cut from, where ``--replay`` names nothing."""
    truth: Flag = True
    """Whether the nuclei of such windows are learned from; otherwise they are for `kl` alone."""
    kl: Annotated[
        Number, Field(ge=0, json_schema_extra={"expected": "0 or more; 0 where replay is 0"})
    ] = 0.0
    """Weight of the divergence from what the parent says in such windows; 0 does without."""
    recoloured: Annotated[
        Share, Field(json_schema_extra={"expected": "0 to 1; 0 where replay is 0"})
    ] = 0.0
    """Of such windows, those that are of the new tissue itself, in the colours of H&E."""
    seeing: Annotated[
        Number, Field(ge=0, json_schema_extra={"expected": "0 or more; 0 where kl is 0"})
    ] = 0.0
    """Weight of the distance between what the vision tower makes of a new window and what the
    parent makes of it in the colours of H&E, where it knows nuclei better in these; and of a
    replayed window as it is. 0 does without."""

    @field_validator("kl", "recoloured")
    @classmethod
    def _has_windows(cls, value: float, info: ValidationInfo) -> float:
        if value and not info.data.get("replay", 1):
            raise ValueError
        return value

    @field_validator("seeing")
    @classmethod
    def _has_parent(cls, seeing: float, info: ValidationInfo) -> float:
        if seeing and not info.data.get("kl", 1):
            raise ValueError
        return seeing


@dataclass(frozen=True, slots=True, config=CHECKED)
class OptimiserOptions:
    """How it is minimised: AdamW, linear warm-up, cosine decay."""

    steps: Count = 2000
    """Of the whole run."""
    batch_size: Count = 8
    """Windows on each device at once; times `accumulation` and devices makes a step."""
    accumulation: Count = 1
    """Batches whose gradients make one step."""
    lr: Positive = 1e-5
    """Learning rate after the warm-up."""
    min_lr_ratio: Share = 0.02
    """What is left of it at the end."""
    trunk_lr_ratio: Share = 1.0
    """Of the learning rate, for a pretrained trunk: it knows something. Of `sft`, `segmenter`."""
    warmup_steps: CountOrNone = 100
    """Steps in which it rises from nothing."""
    weight_decay: NotNegative = 0.05
    """Of AdamW."""
    beta2: Annotated[Number, Field(gt=0, lt=1)] = 0.98
    """Of AdamW."""
    max_grad_norm: Positive = 1.0
    """Gradients that are longer are cut to this."""
    train_vision: Flag = True
    """Whether the vision tower learns as well."""
    gradient_checkpointing: Flag = False
    """Half of the memory for a third more time."""
    precision: Precision = "auto"
    """Of the arithmetic; weights are float32 meanwhile. Auto: bfloat16 on GPUs that have it."""
    attention: Attention = "auto"
    """Auto: transformers' own choice. On a CPU, ``"eager"`` may be the faster in bfloat16."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class ValidationOptions:
    """How often training is interrupted to look and to save."""

    every_steps: Count = 500
    """Steps from one look to the next."""
    images: CountOrNone = 16
    """At most so many images of the validation split are decoded for F1; evenly spaced. 0: loss
    alone."""
    radius_um: Positive = 3.0
    """Largest distance of a true positive."""
