"""The Improve tab: figures before and after, and models that can be told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import Qt

from napari_nunext.core.scores.metrics import DetectionReport, DetectionScore
from napari_nunext.review.outcome import Comparison, Lesson
from napari_nunext.review.shown.learn import Harvest, TrainingStatus
from napari_nunext.ui.dock import IMPROVE, WIDTH_PX
from napari_nunext.ui.widgets.figures_table import NO_FIGURE, FiguresTable
from napari_nunext.ui.widgets.model_chooser import ModelChooser, elision

if TYPE_CHECKING:
    from napari_nunext.ui.app import App

BEFORE = DetectionReport(
    DetectionScore(70, 10, 30),
    {"Lymphocyte": DetectionScore(5, 5, 5), "Tumour or epithelial": DetectionScore(60, 5, 30)},
    3,
    3.0,
    "gated",
    other=DetectionReport(
        DetectionScore(60, 20, 40),
        {"Lymphocyte": DetectionScore(4, 6, 6), "Tumour or epithelial": DetectionScore(50, 15, 40)},
        3,
        3.0,
        "hungarian",
    ),
)
AFTER = DetectionReport(
    DetectionScore(80, 20, 20), {"Lymphocyte": DetectionScore(4, 4, 6)}, 3, 3.0, "gated"
)
DONE = TrainingStatus(
    "done",
    words="The new model is ready",
    checkpoint=Path("models/new"),
    name="nunext-small + 9 fields, 26 Nov 14:05",
    lesson=Lesson(9, 903, kept_fields=3, kept_nuclei=100, kept_patients=2),
    comparison=Comparison(BEFORE, AFTER),
)


@pytest.mark.usefixtures("qapp")
def test_the_table_has_each_figure_and_the_nuclei_behind_it() -> None:
    table = FiguresTable()
    for _ in range(2):  # drawn anew, not twice
        table.show_figures(Comparison(replace(BEFORE, other=None), AFTER))
    assert table.words() == [
        ["F1 (gated, 3 \N{MICRO SIGN}m)", "Nuclei", "Before", "New"],
        ["All nuclei", "100", "0.78", "0.80"],
        ["precision / recall", "0.88 / 0.70", "0.80 / 0.80"],
        ["Lymphocyte", "10", "0.50", "0.44"],
        ["precision / recall", "0.50 / 0.50", "0.50 / 0.40"],
        ["Tumour or epithelial", "90", "0.77", NO_FIGURE],
        ["precision / recall", "0.92 / 0.67", ""],
    ]
    table.deleteLater()


@pytest.mark.usefixtures("qapp")
def test_the_table_says_how_points_were_matched_and_gives_f1_by_the_other_way_too() -> None:
    table = FiguresTable()
    table.show_figures(Comparison(BEFORE, BEFORE))
    words = table.words()
    assert words[0][0] == "F1 (gated, 3 \N{MICRO SIGN}m)"
    assert words[1] == ["All nuclei", "100", "0.78", "0.78"]
    assert words[3] == ["F1 (by Eq. 13)", "0.67", "0.67"]
    assert [row[0] for row in words].count("F1 (by Eq. 13)") == 3
    table.deleteLater()


def test_the_tab_says_before_and_after_and_on_what(app: App) -> None:
    app.dock.show_tab(IMPROVE)
    app.controller.learn.model.training = DONE
    panel = app.dock.improve
    card = panel.outcome
    assert card._table.isVisible()
    assert card._name.text() == DONE.name
    assert panel._learned.text() == "Learns from 9 fields with 903 nuclei."
    assert card._kept.text() == "Tested on 2 patients kept aside (3 fields, 100 nuclei)."
    assert not card._problem.isVisible()
    assert panel.minimumSizeHint().width() <= WIDTH_PX
    app.controller.learn.model.training = replace(
        DONE, comparison=Comparison(problem="The test was stopped.")
    )
    assert not card._table.isVisible()
    assert not card._kept.isVisible()
    assert card._problem.text() == "The test was stopped."
    app.controller.learn.model.training = replace(
        DONE, lesson=Lesson(9, 903), comparison=Comparison()
    )
    assert not card._table.isVisible()
    assert card._kept.text().startswith("One patient only")
    app.controller.learn.model.training = TrainingStatus()
    assert not card.isVisible()
    assert not panel._learned.isVisible()


@pytest.mark.usefixtures("qapp")
def test_a_model_chooser_leaves_out_what_names_have_in_common() -> None:
    chooser = ModelChooser()
    names = [
        "nunext-small",
        "nunext-small + 9 fields, 26 Nov 14:05",
        "nunext-small + 9 fields, 26 Nov 15:10",
    ]
    chooser.addItems([*names, "A detector of another package with a long name"])
    shown = []
    for i in range(1, chooser.count()):
        chooser.setCurrentIndex(i)
        shown.append(chooser.shown_name(120))
    assert shown[0].endswith("Nov 14:05")
    assert shown[1].endswith("Nov 15:10")
    assert shown[2].startswith("A detector")
    assert len(set(shown)) == 3
    assert elision("nunext-small", ["nunext-small", "classical"]) == Qt.TextElideMode.ElideRight
    chooser.deleteLater()


def test_judged_answers_can_be_exported_where_no_field_is_accepted(app: App) -> None:
    panel = app.dock.improve
    app.controller.learn.model.harvest = Harvest()
    assert not panel._export.isEnabled()
    app.controller.learn.model.harvest = Harvest(answers=2, restricted_answers=1)
    assert panel._export.isEnabled()
    assert panel._answers.text() == (
        "Also 2 judged answers, which an export holds. 1 judged answer may not be learned from: "
        "the model's terms forbid it."
    )
    assert not panel._train.isEnabled()
