from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_nunext.core.codec import UNKNOWN_CATEGORY
from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED
from nunext_training.data.labelled import (
    LabelledImage,
    category_indices,
    known_categories_only,
    rename_categories,
    select_split,
)


def image(name, categories, split="train"):
    points = np.full((len(categories), 2), 1.0)
    path = Path(f"{name}.png")
    return LabelledImage(name, path, 0.5, "user", points, tuple(categories), split, "p")


def test_a_checkpoint_without_categories_takes_every_image_as_it_is():
    images = (image("a", ["X"]), image("b", ["Y", "Z"]))
    kept, skipped = known_categories_only(images, (), strict=True)
    assert kept == images
    assert skipped.images == 0
    assert category_indices(images[0], ()) is None


def test_names_take_the_spelling_of_the_checkpoint():
    kept, _ = known_categories_only([image("a", ["STROMAL"])], ["Tumour", "Stromal"], strict=True)
    assert kept[0].categories == ("Stromal",)
    assert category_indices(kept[0], ["Tumour", "Stromal"]) == (1,)


def test_nuclei_without_a_category_are_kept_and_teach_none():
    images = [image("a", [UNCATEGORISED, "stromal"])]
    kept, skipped = known_categories_only(images, ["Tumour", "Stromal"], strict=True)
    assert skipped.images == 0
    assert category_indices(kept[0], ["Tumour", "Stromal"]) == (UNKNOWN_CATEGORY, 1)
    called_so, _ = known_categories_only(images, [UNCATEGORISED, "Stromal"], strict=True)
    assert category_indices(called_so[0], [UNCATEGORISED, "Stromal"]) == (0, 1)


def test_an_unknown_category_stops_training_and_is_named_with_its_count():
    images = [image("a", ["Stromal", "Mitosis"]), image("b", ["Mitosis"])]
    with pytest.raises(RecordError, match=r"'Mitosis' \(2 nuclei\), first in a; it knows Stromal"):
        known_categories_only(images, ["Stromal"], strict=True)


def test_an_image_with_an_unknown_category_is_left_out_whole():
    images = [image("a", ["Stromal", "Mitosis"]), image("b", ["Stromal"])]
    kept, skipped = known_categories_only(images, ["Stromal"], strict=False)
    assert [i.name for i in kept] == ["b"]
    assert skipped.images == 1
    assert skipped.problems == ("a: the checkpoint does not know 'Mitosis' (1 nuclei).",)


def test_categories_are_renamed_and_splits_selected():
    images = [image("a", ["X", "Y"]), image("b", ["X"], split="val")]
    renamed = rename_categories(images, {"X": "Z"})
    assert [i.categories for i in renamed] == [("Z", "Y"), ("Z",)]
    assert [i.name for i in select_split(renamed, "val")] == ["b"]
