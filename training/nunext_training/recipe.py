"""Recipes: every choice of a training run, in a TOML file.

The recipes of the package lie in its folder ``recipes`` and are known by name; any other is a path.
A key that is left out takes the default below; a key that does not exist is an error.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from napari_nunext.core.errors import InputError
from napari_nunext.core.matching import Method
from nunext_training.losses import SoftmaxOver

Supervision: TypeAlias = Literal["naive", "soft"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]
Attention: TypeAlias = Literal["auto", "eager", "sdpa", "flash_attention_2"]
Foreground: TypeAlias = Literal["masks", "discs"]
WeightsDtype: TypeAlias = Literal["float32", "float16"]
Teacher: TypeAlias = Literal["model", "truth"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """How training windows vary. Scale and stain imitate other laboratories; turns are free."""

    scale_range: tuple[float, float] = (0.8, 1.25)
    """A window sees its side times a factor of this range."""
    turn: bool = True
    """Mirrored and turned by quarters at random."""
    stain_strength: float = 0.2
    """Amounts of stain vary by factors up to ``exp(strength)``; 0 is off."""
    scanner_strength: float = 0.0
    """How far focus, lamp, colours and noise vary (`random_scanner`); 0 is off."""
    area_exponent: float = 1.0
    """Images are drawn in proportion to their area to this power. 1: all tissue equally often; 0:
    all images. In between, small images of rare tissue are seen more often than by their area."""


@dataclass(frozen=True, slots=True)
class LossOptions:
    """What is minimised."""

    supervision: Supervision = "soft"
    sigma_bins: float = 2.0
    softmax_over: SoftmaxOver = "vocabulary"


@dataclass(frozen=True, slots=True)
class CentreMapOptions:
    """A map of centres that image tokens learn to draw, for training from nothing. **Ours**."""

    weight: float = 0.0
    """Of its error, added to the loss of tokens; 0 does without."""
    sigma_px: float = 2.0
    """Of the Gaussian around a centre, px of the window."""


@dataclass(frozen=True, slots=True)
class ThoughtOptions:
    """Chain of visual thought, where training is given a SAM. All of it is ours."""

    alpha: float = 1.0
    """Weight of its loss (Eq. 10)."""
    target: Foreground = "discs"
    """The foreground that SAM is to answer: true masks, or discs around the centroids."""
    radius_um: float = 3.5
    """Of the discs: the mean nuclear radius."""


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """Low-rank adaptation in place of training all weights."""

    rank: int = 0
    """0 trains all weights."""
    alpha: float = 32.0
    """Additions are scaled by alpha / rank."""
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class SegmenterOptions:
    """A SAM fine-tuned on nuclei; the weights of the losses are PromptNucSeg's."""

    prompts: int = 16
    """Nuclei asked for in each window, one point each."""
    jitter: float = 1.0
    """How far a point is from the centroid at most, on the way to a random pixel of the nucleus."""
    clicks: int = 0
    """Further clicks at most, on the nucleus or beside it, as people correct outlines by."""
    focal_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    """Of the error of the IoU that SAM predicts for its mask."""
    mpp: float = 0.0
    """What the new checkpoint sees in a pixel of its windows, um; 0: what its parent sees."""
    weights: WeightsDtype = "float32"
    """How the checkpoint stores them; they are trained and served in float32."""


@dataclass(frozen=True, slots=True)
class AtomicOptions:
    """A head that guesses the rest of a point. All of it is ours."""

    teacher: Teacher = "model"
    """What it is to guess: what the model would say, or the truth, softened as `loss` has it."""
    tolerance_um: float = 1.5
    """A guess that lies farther from what the model says is read again."""
    f1_loss: float = 0.005
    """The checkpoint decodes with its head where that costs no more F1 in validation."""


@dataclass(frozen=True, slots=True)
class OptimiserOptions:
    """How it is minimised: AdamW, linear warm-up, cosine decay."""

    steps: int = 2000
    batch_size: int = 8
    """Windows on each device at once; times `accumulation` and devices makes a step."""
    accumulation: int = 1
    lr: float = 1e-5
    min_lr_ratio: float = 0.02
    warmup_steps: int = 100
    weight_decay: float = 0.05
    beta2: float = 0.98
    max_grad_norm: float = 1.0
    train_vision: bool = True
    gradient_checkpointing: bool = False
    precision: Precision = "auto"
    """Of the arithmetic; weights are float32 meanwhile. Auto: bfloat16 on GPUs that have it."""
    attention: Attention = "auto"
    """Auto: transformers' own choice. On a CPU, ``"eager"`` may be the faster in bfloat16."""


@dataclass(frozen=True, slots=True)
class RftOptions:
    """Reinforcement fine-tuning: how many rollouts, what they are worth, and how one learns.

    The rest of the optimiser is as in `OptimiserOptions`. All numbers but `epsilon` are ours.
    """

    steps: int = 200
    windows_per_step: int = 4
    """Groups on each device in a step."""
    rollouts: int = 8
    """G: replies to each window."""
    accumulation: int = 1
    """A step's rollouts are learned from in so many passes."""
    iterations: int = 1
    """Steps for each set of rollouts. With one, old and new policy are the same and nothing is
    clipped."""
    lr: float = 1e-5
    warmup_steps: int = 5
    validate_every: int = 50
    temperature: float = 1.0
    epsilon: float = 0.2
    """Clips the ratio of new to old policy (Eq. 11)."""
    radius_um: float = 3.0
    """Largest distance of a true positive (Eq. 14)."""
    matching: Method = "hungarian"
    """``"hungarian"`` is the paper's (Eq. 13)."""
    margin_um: float = 0.0
    """What lies nearer to a window's edge counts for nothing in F1: where windows are small, it is
    the neighbours' business. The paper counts everything."""
    filter_groups: bool = True
    """Low-variance group filtering."""
    min_std: float = 0.02
    """delta: groups whose rewards deviate less are left out."""
    shape_advantages: bool = True
    """Fine-grained advantage shaping (Eq. 18)."""
    beta: float = 0.5
    """What undeserving tokens keep of their rollout's advantage."""
    use_verdicts: bool = True
    """What people judged joins the group of its window as one more rollout."""
    task_guided: bool = False
    """Task-guided reward (Eq. 19): needs a segmenter."""
    gamma: float = 0.5
    """Weight of panoptic quality in the reward."""
    panoptic_truth: Foreground = "masks"
    """What panoptic quality is against: true masks, or discs of ``covt.radius_um``."""


@dataclass(frozen=True, slots=True)
class ValidationOptions:
    """How often training is interrupted to look and to save."""

    every_steps: int = 500
    images: int = 16
    """At most so many images of the validation split are decoded for F1; evenly spaced. 0: loss
    alone."""
    radius_um: float = 3.0


@dataclass(frozen=True, slots=True)
class AblationOptions:
    """The size of `nunext-train ablate`: what its runs take in place of the stages' own numbers."""

    seeds: int = 3
    preset: str = "nano"
    """Of the start, where none is given: built, then taught naively."""
    window_px: int = 32
    mpp: float = 0.5
    latents: int = 8
    start_steps: int = 2400
    start_lr: float = 2e-3
    sft_steps: int = 200
    sft_lr: float = 5e-4
    rft_steps: int = 100
    validations: int = 4
    """How often each run is looked at, to choose its weights. 0: the last ones are taken."""
    images: int = 0
    """At most so many of the images held out are reported, evenly spaced; 0: all."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run, but for its data and checkpoint."""

    name: str = "default"
    seed: int = 0
    windows: WindowOptions = field(default_factory=WindowOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    centre_map: CentreMapOptions = field(default_factory=CentreMapOptions)
    covt: ThoughtOptions = field(default_factory=ThoughtOptions)
    lora: LoraOptions = field(default_factory=LoraOptions)
    segmenter: SegmenterOptions = field(default_factory=SegmenterOptions)
    atomic: AtomicOptions = field(default_factory=AtomicOptions)
    optimiser: OptimiserOptions = field(default_factory=OptimiserOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    rft: RftOptions = field(default_factory=RftOptions)
    ablation: AblationOptions = field(default_factory=AblationOptions)

    def __post_init__(self) -> None:
        low, high = self.windows.scale_range
        checks = (
            (0 < low <= high, "windows.scale_range", "0 < low <= high"),
            (self.windows.stain_strength >= 0, "windows.stain_strength", "0 or more"),
            (self.windows.scanner_strength >= 0, "windows.scanner_strength", "0 or more"),
            (0 <= self.windows.area_exponent <= 1, "windows.area_exponent", "0 to 1"),
            (self.loss.supervision in get_args(Supervision), "loss.supervision", "naive or soft"),
            (self.loss.sigma_bins > 0, "loss.sigma_bins", "a positive number"),
            (
                self.loss.softmax_over in get_args(SoftmaxOver),
                "loss.softmax_over",
                "vocabulary or bins",
            ),
            (self.centre_map.weight >= 0, "centre_map.weight", "0 or more"),
            (self.centre_map.sigma_px > 0, "centre_map.sigma_px", "a positive number"),
            (self.covt.alpha >= 0, "covt.alpha", "0 or more"),
            (self.covt.target in get_args(Foreground), "covt.target", "masks or discs"),
            (self.covt.radius_um > 0, "covt.radius_um", "a positive number"),
            (self.lora.rank >= 0, "lora.rank", "0 (all weights) or more"),
            (self.lora.alpha > 0, "lora.alpha", "a positive number"),
            (0 <= self.lora.dropout < 1, "lora.dropout", "0 up to 1"),
            *_segmenter_checks(self.segmenter),
            (self.atomic.teacher in get_args(Teacher), "atomic.teacher", "model or truth"),
            (self.atomic.tolerance_um >= 0, "atomic.tolerance_um", "0 or more"),
            (self.atomic.f1_loss >= 0, "atomic.f1_loss", "0 or more"),
            (self.optimiser.steps > 0, "optimiser.steps", "1 or more"),
            (self.optimiser.batch_size > 0, "optimiser.batch_size", "1 or more"),
            (self.optimiser.accumulation > 0, "optimiser.accumulation", "1 or more"),
            (self.optimiser.lr > 0, "optimiser.lr", "a positive number"),
            (0 <= self.optimiser.min_lr_ratio <= 1, "optimiser.min_lr_ratio", "0 to 1"),
            (self.optimiser.warmup_steps >= 0, "optimiser.warmup_steps", "0 or more"),
            (
                self.optimiser.attention in get_args(Attention),
                "optimiser.attention",
                f"one of {', '.join(get_args(Attention))}",
            ),
            (
                self.optimiser.precision in get_args(Precision),
                "optimiser.precision",
                "auto, float32 or bfloat16",
            ),
            (self.validation.every_steps > 0, "validation.every_steps", "1 or more"),
            (self.validation.images >= 0, "validation.images", "0 or more"),
            (self.validation.radius_um > 0, "validation.radius_um", "a positive number"),
            *_rft_checks(self.rft),
            *_ablation_checks(self.ablation),
        )
        for holds, name, expected in checks:
            if not holds:
                section, key = name.split(".")
                got = getattr(getattr(self, section), key)
                raise InputError(f"Recipe {self.name!r}: {name} is {got!r}; expected {expected}.")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; also what two runs are compared by.

        Without `ablation`, which is a choice of runs and no part of any, and without `atomic`,
        which is one stage's alone.
        """
        data = asdict(self)
        del data["ablation"], data["atomic"]
        data["windows"]["scale_range"] = list(self.windows.scale_range)
        return data


def _segmenter_checks(segmenter: SegmenterOptions) -> tuple[tuple[bool, str, str], ...]:
    """What holds of a recipe's section ``segmenter``."""
    losses = ("focal_weight", "dice_weight", "iou_weight")
    return (
        (segmenter.prompts > 0, "segmenter.prompts", "1 or more"),
        (0 <= segmenter.jitter <= 1, "segmenter.jitter", "0 to 1"),
        (segmenter.clicks >= 0, "segmenter.clicks", "0 or more"),
        *((getattr(segmenter, key) >= 0, f"segmenter.{key}", "0 or more") for key in losses),
        (segmenter.mpp >= 0, "segmenter.mpp", "0 (the parent's) or more"),
        (
            segmenter.weights in get_args(WeightsDtype),
            "segmenter.weights",
            "float32 or float16",
        ),
    )


def _rft_checks(rft: RftOptions) -> tuple[tuple[bool, str, str], ...]:
    """What holds of a recipe's section ``rft``: condition, key, and what is expected."""
    rows = rft.windows_per_step * rft.rollouts
    return (
        (rft.steps > 0, "rft.steps", "1 or more"),
        (rft.windows_per_step > 0, "rft.windows_per_step", "1 or more"),
        (rft.rollouts > 1, "rft.rollouts", "2 or more"),
        (
            rft.accumulation > 0 and rows % rft.accumulation == 0,
            "rft.accumulation",
            "a divisor of windows_per_step times rollouts",
        ),
        (rft.iterations > 0, "rft.iterations", "1 or more"),
        (rft.lr > 0, "rft.lr", "a positive number"),
        (rft.warmup_steps >= 0, "rft.warmup_steps", "0 or more"),
        (
            rft.validate_every > 0 and rft.validate_every % max(rft.iterations, 1) == 0,
            "rft.validate_every",
            "a positive multiple of iterations",
        ),
        (rft.temperature > 0, "rft.temperature", "a positive number"),
        (0 < rft.epsilon < 1, "rft.epsilon", "between 0 and 1"),
        (rft.radius_um > 0, "rft.radius_um", "a positive number"),
        (rft.matching in get_args(Method), "rft.matching", "hungarian or gated"),
        (rft.margin_um >= 0, "rft.margin_um", "0 or more"),
        (rft.min_std >= 0, "rft.min_std", "0 or more"),
        (0 <= rft.beta <= 1, "rft.beta", "0 to 1"),
        (rft.gamma >= 0, "rft.gamma", "0 or more"),
        (rft.panoptic_truth in get_args(Foreground), "rft.panoptic_truth", "masks or discs"),
    )


def _ablation_checks(ablation: AblationOptions) -> tuple[tuple[bool, str, str], ...]:
    """What holds of a recipe's section ``ablation``."""
    counts = ("seeds", "window_px", "start_steps", "sft_steps", "rft_steps")
    return (
        *((getattr(ablation, key) > 0, f"ablation.{key}", "1 or more") for key in counts),
        (ablation.validations >= 0, "ablation.validations", "0 or more"),
        (ablation.images >= 0, "ablation.images", "0 (all) or more"),
        (ablation.latents >= 0, "ablation.latents", "0 or more"),
        (ablation.mpp > 0, "ablation.mpp", "a positive number"),
        (ablation.start_lr > 0, "ablation.start_lr", "a positive number"),
        (ablation.sft_lr > 0, "ablation.sft_lr", "a positive number"),
    )


def recipe_names() -> tuple[str, ...]:
    """Names of the package's own recipes."""
    folder = resources.files("nunext_training") / "recipes"
    return tuple(
        sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    )


def load_recipe(name_or_path: str) -> Recipe:
    """Read a recipe by its name in the package, or by its path.

    Raises
    ------
    InputError
        If there is no such recipe, or it does not hold together; names the key.
    """
    if name_or_path in recipe_names():
        text = (resources.files("nunext_training") / "recipes" / f"{name_or_path}.toml").read_text(
            encoding="utf-8"
        )
        return parse_recipe(text, name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(
            f"There is no recipe {name_or_path!r}; expected a TOML file or one of "
            f"{', '.join(recipe_names())}."
        )
    return parse_recipe(path.read_text(encoding="utf-8"), path.stem)


def parse_recipe(text: str, name: str) -> Recipe:
    """Read a recipe from TOML; `name` is for messages and provenance."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"Recipe {name!r} is not TOML: {error}.") from error
    sections = {
        "windows": WindowOptions(),
        "loss": LossOptions(),
        "centre_map": CentreMapOptions(),
        "covt": ThoughtOptions(),
        "lora": LoraOptions(),
        "segmenter": SegmenterOptions(),
        "atomic": AtomicOptions(),
        "optimiser": OptimiserOptions(),
        "validation": ValidationOptions(),
        "rft": RftOptions(),
        "ablation": AblationOptions(),
    }
    top = {key: value for key, value in data.items() if key not in sections}
    filled: dict[str, Any] = {
        key: _filled(default, data.get(key, {}), name, f"{key}.")
        for key, default in sections.items()
    }
    return replace(_filled(Recipe(name=name), top, name, ""), **filled)


def _filled(default: T, values: Any, recipe: str, prefix: str) -> T:
    """`default` with `values` in place, each of the default's own type."""
    if not isinstance(values, dict):
        raise InputError(f"Recipe {recipe!r}: {prefix[:-1]} is {values!r}; expected a table.")
    known = [f.name for f in fields(default)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(
                f"Recipe {recipe!r} has no key {prefix}{key}; expected {', '.join(known)}."
            )
        changes[key] = _as_type_of(getattr(default, key), value, recipe, prefix + key)
    return replace(default, **changes)  # type: ignore[type-var]


def _as_type_of(default: Any, value: Any, recipe: str, key: str) -> Any:
    if isinstance(default, float) and type(value) in (int, float):
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list) and len(value) == len(default):
        return tuple(_as_type_of(d, v, recipe, key) for d, v in zip(default, value, strict=True))
    if type(value) is type(default):
        return value
    raise InputError(f"Recipe {recipe!r}: {key} is {value!r}; expected a value like {default!r}.")
