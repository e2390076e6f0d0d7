"""New checkpoints from nothing, offline.

They have a byte-level tokenizer, which can encode any text, and random weights: each is a complete
model that has learned nothing yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import torch
from transformers import AutoModelForImageTextToText

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.new_tokens import (
    Choices,
    add_tokens,
    as_categories,
    padded,
    write_new,
)
from napari_nunext.models.checkpoints.pretrained_trunk import load_pretrained
from napari_nunext.models.families import ModelSize, check_window, get_family, submodule
from napari_nunext.models.families.qwen_vl import (
    CHAT_TEMPLATE,
    END_TOKEN,
    PAD_TOKEN,
    SPECIAL_TOKENS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.core.nuclei import Category
    from napari_nunext.models.checkpoints.description import CheckpointDescription


@dataclass(frozen=True, slots=True)
class Preset:
    """A size to build, and the window that suits it."""

    size: ModelSize
    window_px: int
    family: str = "qwen2_5_vl"


PRESETS = {
    "nano": Preset(
        ModelSize(
            patch_px=4,
            merge=2,
            vision_width=64,
            vision_layers=2,
            vision_heads=2,
            width=96,
            layers=3,
            heads=3,
            kv_heads=1,
        ),
        window_px=64,
    ),
    "tiny": Preset(
        ModelSize(
            patch_px=4,
            merge=2,
            vision_width=128,
            vision_layers=4,
            vision_heads=4,
            width=192,
            layers=4,
            heads=6,
            kv_heads=2,
        ),
        window_px=96,
    ),
    "small": Preset(
        ModelSize(
            patch_px=8,
            merge=1,
            vision_width=192,
            vision_layers=4,
            vision_heads=6,
            width=192,
            layers=4,
            heads=6,
            kv_heads=2,
        ),
        window_px=64,
        family="conv_qwen",
    ),
}
"""``"nano"``: 0.5 M weights, for tests and the demo. ``"tiny"``: 2.4 M, seen to learn, slowly.
``"small"``: the bundled detector, whose convolutions learn sooner."""


def build_checkpoint(
    folder: Path,
    *,
    family: str | None = None,
    size: str | ModelSize = "nano",
    window_px: int | None = None,
    mpp: float = 0.5,
    bins: int | None = None,
    latents: int = 0,
    categories: Sequence[str | Category] = (),
    seed: int = 0,
    pretrained_trunk: bool = False,
    **choices: Unpack[Choices],
) -> CheckpointDescription:
    """Build a checkpoint with random weights, or on a trunk that has seen photographs.

    Parameters
    ----------
    folder : Path
        Where to; must not exist or be empty.
    family : str, optional
        ``"qwen2_5_vl"``, ``"qwen3_vl"`` or ``"conv_qwen"``; the preset's when None.
    size : str or ModelSize
        Key of `PRESETS`, or depths and widths.
    window_px : int, optional
        Side of the window; the preset's, or 64.
    mpp : float
        Micrometres per pixel of the window.
    bins : int, optional
        Coordinate tokens; one for each pixel when None.
    latents : int
        Tokens for the chain of visual thought.
    categories : sequence of str or Category
        Names get the default colours.
    seed : int
        The same seed gives the same weights.
    pretrained_trunk : bool
        Begin the vision tower with EfficientNet-Lite0's published weights; ``"conv_qwen"`` alone.
    **choices
        See `Choices`.

    Raises
    ------
    CheckpointError
        If the window is not a whole number of image tokens, a parameter makes no model, or the
        family takes no trunk, or its weights are not installed.
    InputError
        If `folder` exists and is not empty.
    """
    preset = _preset(size)
    window = window_px or preset.window_px
    family = family or preset.family
    adapter = get_family(family)
    image_tokens = check_window(window, preset.size.patch_px * preset.size.merge)
    tokenizer = new_tokenizer()
    kinds = as_categories(categories)
    codec = add_tokens(tokenizer, bins or window, window, latents, kinds)
    adapter.register()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config = adapter.config(
        preset.size, window_px=window, vocab_size=padded(len(tokenizer)), ids=ids
    )
    if pretrained_trunk:
        _take_trunk(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    processor = adapter.new_processor(
        tokenizer,
        patch_px=preset.size.patch_px,
        merge=preset.size.merge,
        chat_template=CHAT_TEMPLATE,
    )
    provenance = {
        "recipe": "build",
        "size": size if isinstance(size, str) else "custom",
        "seed": seed,
    }
    if pretrained_trunk:
        trunk: Any = submodule(model, adapter.vision_path).stem
        images = processor.image_processor
        provenance["trunk"] = load_pretrained(
            trunk, image_mean=images.image_mean, image_std=images.image_std
        )
    about = adapter.name, codec, kinds, image_tokens
    return write_new(folder, model, processor, about, mpp, choices, provenance)


def _take_trunk(config: Any) -> None:
    vision = config.vision_config
    if not hasattr(vision, "trunk"):
        raise CheckpointError(
            f"{config.model_type} has a vision tower of its own and takes no pretrained trunk; "
            "expected the family conv_qwen, for example --preset small."
        )
    vision.trunk = True


def new_tokenizer() -> Any:
    """Byte-level tokenizer with Qwen's special tokens and merges for the project's own words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = [NUCLEUS_INSTRUCTION, "user assistant system"]
    bpe.train_from_iterator(words * 8, trainer)
    model = json.loads(bpe.to_str())["model"]
    merges: Any = [
        tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]
    ]
    return Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=merges,
        unk_token=PAD_TOKEN,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t != PAD_TOKEN],
    )


def _preset(size: str | ModelSize) -> Preset:
    if isinstance(size, ModelSize):
        return Preset(size, window_px=64)
    if size not in PRESETS:
        raise CheckpointError(
            f"There is no size {size!r}; expected one of {', '.join(PRESETS)}, or a ModelSize."
        )
    return PRESETS[size]
