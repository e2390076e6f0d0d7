from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.nuclei import Category
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.extend import add_categories
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.next_point.detector import NextPointDetector
from tests.models.conftest import SIZE, WINDOW_PX

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    folder = tmp_path / "parent"
    kinds = (Category("Lymphocyte", (1, 2, 3)), "Tumour")
    build_checkpoint(folder, size=SIZE, window_px=WINDOW_PX, latents=2, categories=kinds)
    return folder


def test_added_categories_come_last_and_begin_as_the_mean_of_those_there(
    parent: Path, tmp_path: Path
) -> None:
    before = checkpoint_sha256(parent)
    description = add_categories(parent, tmp_path / "more", ["TUMOUR", "Stroma", "Plasma cell"])
    assert checkpoint_sha256(parent) == before == description.provenance["parent_sha256"]
    names = ("Lymphocyte", "Tumour", "Stroma", "Plasma cell")
    assert description.codec.category_names == names
    assert tuple(c.name for c in description.categories) == names
    assert description.categories[0].color == (1, 2, 3)
    assert len({c.color for c in description.categories}) == 4
    old, new = load_checkpoint(parent, device="cpu"), load_checkpoint(tmp_path / "more")
    assert new.description == description
    assert description.codec.category_ids[:2] == old.description.codec.category_ids
    was: Any = old.model.get_input_embeddings()
    now: Any = new.model.get_input_embeddings()
    known = len(old.windows.processor.tokenizer)
    assert torch.equal(now.weight[:known], was.weight[:known])
    middle = was.weight[list(old.description.codec.category_ids)].mean(0)
    added = now.weight[list(description.codec.category_ids[2:])]
    assert ((added - middle).abs() < was.weight[:known].std(0)).all()
    assert not torch.equal(added[0], added[1])


def test_a_checkpoint_without_categories_learns_to_put_them_in_the_commas_place(
    built: Path, tmp_path: Path, windows: list[NDArray[Any]]
) -> None:
    description = add_categories(built, tmp_path / "kinds", ["Lymphocyte", "Tumour"])
    loaded = load_checkpoint(tmp_path / "kinds", device="cpu")
    embeddings: Any = loaded.model.get_input_embeddings()
    comma = embeddings.weight[description.codec.separator_id]
    first = embeddings.weight[description.codec.category_ids[0]]
    assert (first - comma).norm() < comma.norm()
    events = list(NextPointDetector(tmp_path / "kinds").detect(windows, cancelled=lambda: False))
    assert events


def test_nothing_new_is_said_plainly(parent: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="knows Lymphocyte, Tumour already"):
        add_categories(parent, tmp_path / "same", ["lymphocyte"])
    assert not (tmp_path / "same").exists()
