from __future__ import annotations

import dataclasses
import os
import stat
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText, AutoTokenizer

from napari_nunext.core.codec import coordinate_token, latent_token
from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.nuclei import OKABE_ITO, Category
from napari_nunext.models.checkpoints.build import (
    PRESETS,
    build_checkpoint,
    new_tokenizer,
)
from napari_nunext.models.checkpoints.description import CheckpointDescription, read_description
from napari_nunext.models.checkpoints.extend import extend_checkpoint
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256, token_ids
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.families import get_family
from napari_nunext.models.families.qwen_vl import CHAT_TEMPLATE, SPECIAL_TOKENS
from tests.sizes import SMALL

if TYPE_CHECKING:
    from pathlib import Path

FAMILIES = ("qwen2_5_vl", "qwen3_vl")

SIZE = replace(SMALL, vision_layers=2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("preset", "least", "most"), [("nano", 4e5, 6e5), ("tiny", 2e6, 3e6)])
def test_a_preset_has_its_size_and_reads_back_as_described(
    tmp_path: Path, family: str, preset: str, least: float, most: float
) -> None:
    description = build_checkpoint(tmp_path / "c", family=family, size=preset, latents=2)
    assert least < (description.parameters or 0) < most
    assert description.window_px == description.codec.bins == PRESETS[preset].window_px
    loaded = load_checkpoint(tmp_path / "c", device="cpu")
    assert loaded.description == description == read_description(tmp_path / "c")
    assert sum(p.numel() for p in loaded.model.parameters()) == description.parameters
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training


def test_the_auto_classes_load_the_folder_as_it_is(built: Path) -> None:
    model = AutoModelForImageTextToText.from_pretrained(built, local_files_only=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(built, local_files_only=True)
    codec = read_description(built).codec
    assert model.generation_config.eos_token_id == [codec.end_id]
    assert model.get_input_embeddings().weight.shape[0] % 64 == 0
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    texts = list(token_ids(codec))
    assert tokenizer.convert_tokens_to_ids(texts) == list(token_ids(codec).values())
    reply = codec.encode(np.array([[3.0, 4.0], [20.0, 30.0]]))
    text = tokenizer.decode(reply, skip_special_tokens=True)
    assert text == "<|coord_3|><|coord_4|>,<|coord_20|><|coord_30|>"
    assert tuple(tokenizer.encode(text, add_special_tokens=False)) == reply[:-1]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return new_tokenizer()


@given(text=st.text())
@settings(max_examples=40)
def test_the_tokenizer_encodes_any_text(tokenizer: Any, text: str) -> None:
    composed = unicodedata.normalize("NFC", text)  # as Qwen's tokenizers do
    assert tokenizer.decode(tokenizer.encode(text)) == composed


def test_the_same_seed_gives_the_same_checkpoint_and_another_seed_another(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_checkpoint(tmp_path / name, size=SIZE, window_px=32, seed=seed, name="same")
    assert torch.equal(torch.get_rng_state(), state)
    a, b, c = (checkpoint_sha256(tmp_path / n) for n in "abc")
    assert a == b != c


def test_categories_keep_their_colours_or_get_default_ones(tmp_path: Path) -> None:
    mine = Category("Tumour", (9, 8, 7))
    description = build_checkpoint(
        tmp_path / "c", size=SIZE, window_px=32, categories=["Lymphocyte", mine]
    )
    assert description.categories == (Category("Lymphocyte", OKABE_ITO[0]), mine)
    assert description.codec.category_names == ("Lymphocyte", "Tumour")


def test_what_makes_no_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    with pytest.raises(CheckpointError, match=r"30 px is not a multiple .* 8 px.* Use 32 px"):
        build_checkpoint(folder, size=SIZE, window_px=30)
    with pytest.raises(CheckpointError, match="no size 'huge'; expected one of nano, tiny"):
        build_checkpoint(folder, size="huge")
    with pytest.raises(CheckpointError, match="repeat a name"):
        build_checkpoint(folder, categories=["a", "a"])
    with pytest.raises(CheckpointError, match="family 'gpt' is not known"):
        build_checkpoint(folder, family="gpt")
    with pytest.raises(CheckpointError, match="multiple of 32"):
        dataclasses.replace(SIZE, width=48)
    with pytest.raises(CheckpointError, match="evenly"):
        dataclasses.replace(SIZE, width=96, heads=3, kv_heads=2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        build_checkpoint(tmp_path / "c", size=SIZE, window_px=32)
    assert [p.name for p in tmp_path.rglob("*")] == ["c", "mine.txt"]


def build_base(folder: Path, family: str, *, tied: bool, spare_rows: int) -> None:
    """A pretrained model, as it were: no NuNext tokens, and rows that no token uses."""
    adapter, tokenizer = get_family(family), new_tokenizer()
    ids = {t: tokenizer.convert_tokens_to_ids(t) for t in SPECIAL_TOKENS}
    config = adapter.config(SIZE, window_px=32, vocab_size=len(tokenizer) + spare_rows, ids=ids)
    config.tie_word_embeddings = tied
    torch.manual_seed(3)
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    processor = adapter.new_processor(
        tokenizer, patch_px=4, merge=2, chat_template=CHAT_TEMPLATE + "{# the base's own #}"
    )
    adapter.save_processor(processor, folder)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("spare_rows", [0, 300])
def test_extending_a_base_adds_tokens_and_keeps_what_it_knows(
    tmp_path: Path, family: str, tied: bool, spare_rows: int
) -> None:
    base, folder = tmp_path / "base", tmp_path / "extended"
    build_base(base, family, tied=tied, spare_rows=spare_rows)
    before = checkpoint_sha256(base)
    description = extend_checkpoint(
        base, folder, window_px=64, mpp=0.25, bins=40, latents=2, categories=["a", "b"]
    )
    assert checkpoint_sha256(base) == before == description.provenance["parent_sha256"]
    loaded = load_checkpoint(folder, device="cpu")
    assert loaded.description == description
    assert loaded.windows.processor.chat_template.endswith("{# the base's own #}")
    old: Any = AutoModelForImageTextToText.from_pretrained(base, local_files_only=True)
    new: Any = loaded.model
    start = description.codec.coordinate_start_id
    for was, now in (
        (old.get_input_embeddings(), new.get_input_embeddings()),
        (old.lm_head, new.lm_head),
    ):
        assert now.weight.shape[0] % 64 == 0
        assert now.weight.shape[0] >= was.weight.shape[0]
        assert torch.equal(now.weight[:start], was.weight[:start])
        added = now.weight[start : start + 44]
        scatter = was.weight[:start].std(0)
        assert ((added - was.weight[:start].mean(0)).abs() < scatter).all()
        assert len(torch.unique(added, dim=0)) == 44
    shared = new.lm_head.weight.data_ptr() == new.get_input_embeddings().weight.data_ptr()
    assert shared == tied


def test_extending_keeps_the_ids_of_latents_and_categories_after_the_bins(tmp_path: Path) -> None:
    build_base(tmp_path / "base", "qwen2_5_vl", tied=True, spare_rows=0)
    codec = extend_checkpoint(
        tmp_path / "base",
        tmp_path / "c",
        window_px=32,
        mpp=0.5,
        bins=16,
        latents=2,
        categories=["a"],
    ).codec
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "c", local_files_only=True)
    assert tokenizer.convert_ids_to_tokens(codec.coordinate_start_id + 15) == coordinate_token(15)
    assert tokenizer.convert_ids_to_tokens(codec.latent_ids[1]) == latent_token(1)
    assert codec.category_ids == (codec.coordinate_start_id + 18,)


def test_extending_refuses_what_is_extended_already_or_pickled(built: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="NuNext checkpoint already"):
        extend_checkpoint(built, tmp_path / "c", window_px=32, mpp=0.5)
    build_base(tmp_path / "base", "qwen2_5_vl", tied=True, spare_rows=0)
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickled"):
        extend_checkpoint(tmp_path / "base", tmp_path / "c", window_px=32, mpp=0.5)
    assert not (tmp_path / "c").exists()


def test_the_halo_is_an_eighth_of_the_window_and_at_most_10_um(tmp_path: Path) -> None:
    def halo(name: str, **options: Any) -> float:
        made: CheckpointDescription = build_checkpoint(tmp_path / name, size=SIZE, **options)
        return made.halo_um

    assert halo("a", window_px=32, mpp=0.5) == 2.0
    assert halo("b", window_px=64, mpp=4.0) == 10.0
    assert halo("c", window_px=32, mpp=0.5, halo_um=0.0) == 0.0


@pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
def test_a_checkpoint_can_be_read_by_whom_the_umask_lets(built: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in built.rglob("*") if p.is_file()}
    assert set(modes.values()) == {0o666 & ~mask}, modes
