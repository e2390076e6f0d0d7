"""New checkpoints: small ones from nothing, and NuNext tokens for a pretrained Qwen-VL.

Both work offline. A checkpoint built from nothing has a byte-level tokenizer, which can encode any
text, and random weights: it is a complete model that has learned nothing yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel

from napari_nunext.core.answers import NUCLEUS_INSTRUCTION
from napari_nunext.core.codec import (
    SEPARATOR_TEXT,
    Codec,
    category_token,
    coordinate_token,
    latent_token,
)
from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.nuclei import Category, default_categories
from napari_nunext.models.checkpoint import (
    FILE_NAME,
    CheckpointDescription,
    check_weight_files,
    checkpoint_sha256,
    default_max_points,
)
from napari_nunext.models.families import (
    ModelSize,
    check_window,
    embedding_rows,
    get_family,
    pin_window,
)
from napari_nunext.models.families.qwen_vl import (
    CHAT_TEMPLATE,
    END_TOKEN,
    PAD_TOKEN,
    SPECIAL_TOKENS,
)
from napari_nunext.models.loading import load_weights, save_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROW_MULTIPLE = 64
"""Embedding rows are padded to this, as GPUs like them."""

LARGEST_HALO_UM = 10.0


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
    halo_um: float | None = None,
    latents: int = 0,
    categories: Sequence[str | Category] = (),
    max_points: int | None = None,
    instruction: str = NUCLEUS_INSTRUCTION,
    name: str | None = None,
    seed: int = 0,
) -> CheckpointDescription:
    """Build a checkpoint with random weights.

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
    halo_um : float, optional
        An eighth of the window, at most `LARGEST_HALO_UM`, when None.
    latents : int
        Tokens for the chain of visual thought.
    categories : sequence of str or Category
        Names get the default colours.
    max_points : int, optional
        `default_max_points` when None.
    instruction, name : str
        Prompt and name for people; the folder's name when None.
    seed : int
        The same seed gives the same weights.

    Raises
    ------
    CheckpointError
        If the window is not a whole number of image tokens, or a parameter makes no model.
    InputError
        If `folder` exists and is not empty.
    """
    preset = _preset(size)
    window = window_px or preset.window_px
    family = family or preset.family
    adapter = get_family(family)
    image_tokens = check_window(window, preset.size.patch_px * preset.size.merge)
    tokenizer = new_tokenizer()
    kinds = _as_categories(categories)
    codec = _add_tokens(tokenizer, bins or window, window, latents, kinds)
    adapter.register()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    config = adapter.config(
        preset.size, window_px=window, vocab_size=_padded(len(tokenizer)), ids=ids
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    processor = adapter.new_processor(
        tokenizer,
        patch_px=preset.size.patch_px,
        merge=preset.size.merge,
        chat_template=CHAT_TEMPLATE,
    )
    description = CheckpointDescription(
        name=name or folder.name,
        family=family,
        codec=codec,
        mpp=mpp,
        halo_um=_halo(halo_um, window * mpp),
        image_tokens=image_tokens,
        max_points=max_points or default_max_points(window, mpp),
        instruction=instruction,
        categories=kinds,
        parameters=_count(model),
        provenance={
            "recipe": "build",
            "size": size if isinstance(size, str) else "custom",
            "seed": seed,
        },
    )
    return _save(folder, model, processor, description)


def extend_checkpoint(
    base_folder: Path,
    folder: Path,
    *,
    window_px: int,
    mpp: float,
    bins: int = 1000,
    halo_um: float | None = None,
    latents: int = 0,
    categories: Sequence[str | Category] = (),
    max_points: int | None = None,
    instruction: str = NUCLEUS_INSTRUCTION,
    name: str | None = None,
    seed: int = 0,
) -> CheckpointDescription:
    """Give a pretrained Qwen-VL the tokens of NuNext; `base_folder` stays as it is.

    The new embeddings are the mean of the old ones plus noise of a tenth of their standard
    deviation, so that no new token is likelier than another at first and none equals another. Tied
    embeddings stay tied; an output layer of its own gets new rows the same way. Rows that the base
    has beyond its tokenizer are used first, and no row is taken away.

    Parameters are those of `build_checkpoint`.

    Raises
    ------
    CheckpointError
        If the base is incomplete, pickled, of an unknown family, or has NuNext tokens already.
    InputError
        If `folder` exists and is not empty.
    """
    if (base_folder / FILE_NAME).is_file():
        raise CheckpointError(
            f"{base_folder.name} is a NuNext checkpoint already. Train it as it is, or start from "
            "the base model."
        )
    check_weight_files(base_folder)
    config = json.loads((base_folder / "config.json").read_text(encoding="utf-8"))
    adapter = get_family(str(config.get("model_type")))
    processor = adapter.load_processor(base_folder)
    model = load_weights(
        AutoModelForImageTextToText, base_folder, device=torch.device("cpu"), dtype="auto"
    )
    image_tokens = check_window(window_px, adapter.token_px(model.config))
    tokenizer, kinds = processor.tokenizer, _as_categories(categories)
    old_tokens = len(tokenizer)
    codec = _add_tokens(tokenizer, bins, window_px, latents, kinds)
    _grow_embeddings(model, old_tokens, len(tokenizer), seed)
    description = CheckpointDescription(
        name=name or folder.name,
        family=adapter.name,
        codec=codec,
        mpp=mpp,
        halo_um=_halo(halo_um, window_px * mpp),
        image_tokens=image_tokens,
        max_points=max_points or default_max_points(window_px, mpp),
        instruction=instruction,
        categories=kinds,
        parameters=_count(model),
        provenance={
            "recipe": "extend",
            "base": base_folder.name,
            "parent_sha256": checkpoint_sha256(base_folder),
            "seed": seed,
        },
    )
    return _save(folder, model, processor, description)


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


def _add_tokens(
    tokenizer: Any, bins: int, window_px: int, latents: int, categories: tuple[Category, ...]
) -> Codec:
    """Add the codec's tokens and say where they went.

    They are not special tokens: decoders would drop those from the text.
    """
    texts = [coordinate_token(i) for i in range(bins)]
    texts += [latent_token(i) for i in range(latents)]
    texts += [category_token(i) for i in range(len(categories))]
    known = set(texts) & set(tokenizer.get_vocab())
    if known:
        raise CheckpointError(
            f"The tokenizer has {len(known)} NuNext tokens already. Start from the base model."
        )
    start = len(tokenizer)
    tokenizer.add_tokens(texts, special_tokens=False)
    ids = tokenizer.convert_tokens_to_ids(texts)
    if ids != list(range(start, start + len(texts))):
        raise CheckpointError(
            "The tokenizer did not give consecutive ids to the new tokens. Update tokenizers."
        )
    codec = Codec(
        bins=bins,
        window_px=window_px,
        coordinate_start_id=start,
        separator_id=tokenizer.convert_tokens_to_ids(SEPARATOR_TEXT),
        end_id=tokenizer.eos_token_id,
        latent_ids=tuple(ids[bins : bins + latents]),
        category_ids=tuple(ids[bins + latents :]),
        category_names=tuple(c.name for c in categories),
    )
    pair = coordinate_token(0) + SEPARATOR_TEXT + coordinate_token(1)
    if tokenizer.encode(pair, add_special_tokens=False) != [start, codec.separator_id, start + 1]:
        raise CheckpointError(
            "The tokenizer splits or joins coordinate tokens; expected one id each. "
            "This base model cannot be used."
        )
    return codec


@torch.no_grad()
def _grow_embeddings(model: PreTrainedModel, old_tokens: int, tokens: int, seed: int) -> None:
    rows = _padded(max(embedding_rows(model), tokens))
    model.resize_token_embeddings(rows, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    layers: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    for weight in {id(layer.weight): layer.weight for layer in layers}.values():
        old = weight[:old_tokens].float()
        noise = torch.randn((tokens - old_tokens, weight.shape[1]), generator=generator)
        weight[old_tokens:tokens] = (old.mean(0) + 0.1 * old.std(0) * noise).to(weight.dtype)


def _save(
    folder: Path, model: PreTrainedModel, processor: Any, description: CheckpointDescription
) -> CheckpointDescription:
    pin_window(processor, description.window_px)
    model.generation_config.eos_token_id = [description.codec.end_id]
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    save_checkpoint(folder, model, processor, description)
    return description


def _preset(size: str | ModelSize) -> Preset:
    if isinstance(size, ModelSize):
        return Preset(size, window_px=64)
    if size not in PRESETS:
        raise CheckpointError(
            f"There is no size {size!r}; expected one of {', '.join(PRESETS)}, or a ModelSize."
        )
    return PRESETS[size]


def _as_categories(categories: Sequence[str | Category]) -> tuple[Category, ...]:
    names = [c if isinstance(c, str) else c.name for c in categories]
    if len(set(names)) != len(names):
        raise CheckpointError(f"The categories {names} repeat a name; expected each once.")
    colored = default_categories(names)
    return tuple(
        given if isinstance(given, Category) else made
        for given, made in zip(categories, colored, strict=True)
    )


def _halo(halo_um: float | None, window_um: float) -> float:
    return min(LARGEST_HALO_UM, window_um / 8) if halo_um is None else halo_um


def _padded(rows: int) -> int:
    return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE


def _count(model: PreTrainedModel) -> int:
    return sum(p.numel() for p in model.parameters())
