from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.review.fields import harvest, patient_of, queue_items

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("TCGA-A7-A0D9-01Z-00-DX2_18001.png", "TCGA-A7-A0D9"),
        ("crop of TCGA-E2-A1B5.tif", "TCGA-E2-A1B5"),
        ("slide 7.png", None),
    ],
)
def test_the_patient_is_read_from_a_tcga_barcode(name: str, patient: str | None) -> None:
    assert patient_of(name) == patient


def test_a_later_session_sees_which_images_are_done(
    controller: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    paths = [tile_path("a.png"), tile_path("b.png"), tile_path("c.png")]
    controller.open_paths(paths)
    controller.accept_field()
    controller.flag_field()
    statuses = [item.status for item in queue_items(controller.session.project, paths)]
    assert statuses == ["done", "flagged", "waiting"]


def test_the_harvest_counts_corrections_and_only_accepted_nuclei(
    controller: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    controller.open_paths([tile_path("TCGA-A1-A0SP.png"), tile_path("TCGA-A2-A0SQ.png")])
    gone = controller.add_nucleus(10, 10)
    controller.add_nucleus(20, 20)
    controller.delete_nuclei([gone])
    controller.accept_field()
    controller.add_nucleus(5, 5)
    counted = harvest(controller.session.project)
    assert (counted.corrections, counted.fields, counted.nuclei) == (2, 1, 1)
    assert [check.passed for check in counted.checks] == [True, True, False]
    assert counted.ready
    controller.accept_field()
    assert all(check.passed for check in harvest(controller.session.project).checks)
