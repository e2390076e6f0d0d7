"""The Improve tab: figures before and after, and models that can be told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_nunext.core.scores.metrics import DetectionReport, DetectionScore
from napari_nunext.review.outcome import Comparison, Lesson
from napari_nunext.review.shown.checks import Check
from napari_nunext.review.shown.learn import Harvest, TrainingStatus
from napari_nunext.review.shown.taught import AnswerComparison, AnswerFigure
from napari_nunext.review.shown.teach import Pupil, TeachingStatus
from napari_nunext.store.exports.answers.supply import AnswerSupply, Supply
from napari_nunext.ui.dock import IMPROVE, WIDTH_PX
from napari_nunext.ui.widgets.figures_table import FiguresTable
from napari_nunext.ui.widgets.model_chooser import ModelChooser, elision
from napari_nunext.ui.widgets.text_grid import NO_FIGURE

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


@pytest.mark.usefixtures("qapp")
def test_the_table_has_rows_of_what_the_old_model_knew_and_marks_what_was_forgotten() -> None:
    table = FiguresTable()
    before = replace(BEFORE, other=None)
    slightly = replace(before, overall=DetectionScore(69, 10, 31))
    table.show_figures(Comparison(before, slightly, earlier_before=before, earlier_after=slightly))
    words = [row[0] for row in table.words()]
    assert words.count("All nuclei") == 2
    assert words.index("Tissue that it knew, drawn") < len(words) - 1
    roles = [
        widget.property("role")
        for widget in table.findChildren(QLabel)
        if widget.text() == "0.77" and widget.property("role")
    ]
    assert roles == ["worse"], "a hundredth is worse on the new tissue, and forgiven on the old"
    table.show_figures(Comparison(earlier_before=before, earlier_after=AFTER))
    assert table.words()[0][0].startswith("F1 (gated")
    assert table.words()[1] == ["Tissue that it knew, drawn"]
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
    assert card._worse.text().startswith("It found fewer Lymphocyte nuclei right on the fields")
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
    forgotten = Comparison(earlier_before=BEFORE, earlier_after=AFTER)
    app.controller.learn.model.training = replace(DONE, lesson=Lesson(9, 903), comparison=forgotten)
    assert card._table.isVisible()
    assert card._worse.text() == (
        "It forgot: it found fewer Lymphocyte nuclei right on tissue that the old one knew: F1 "
        "0.44, before 0.50 (0.06 lost)."
    )
    assert card._kept.text().startswith("One patient only")
    app.controller.learn.model.training = replace(DONE, comparison=Comparison(AFTER, AFTER))
    assert not card._worse.isVisible()
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


RIGHT = AnswerSupply(
    right=Supply(9, 3), better=Supply(6, 1), rated=Supply(1, 1), patients=4, kept_patients=1
)
TAUGHT = TeachingStatus(
    "done",
    parent="vlm",
    name="vlm-2",
    words="It is ready",
    kept="Tested on 1 patient kept aside, of 4, from whom it did not learn.",
    comparison=AnswerComparison(
        {"closed_accuracy": AnswerFigure(0.5, (0.25, 0.75), 12)},
        {"closed_accuracy": AnswerFigure(0.25, None, 12), "map": AnswerFigure(0.1, None, 3)},
    ),
)


def test_who_never_asked_sees_nothing_of_teaching(app: App) -> None:
    app.dock.show_tab(IMPROVE)
    card, model = app.dock.improve.teach, app.controller.teach.model
    assert not card.isVisible()
    model.supply = RIGHT
    assert card.isVisible()
    assert card._supply.text() == (
        "12 answers are right or corrected, 7 pairs with a better one, 2 found good or bad. Of 4 "
        "patients, 1 of them kept aside to test on."
    )
    assert card._missing.text().startswith("To learn from them takes an answerer in a folder")
    assert not card._teach.isVisible()
    model.pupils, model.pupil = (Pupil("vlm", "vlm has 14.2 GB of weights."),), "vlm"
    assert card._missing.text() == "vlm has 14.2 GB of weights."
    assert not card._teach.isEnabled()
    assert app.dock.improve.minimumSizeHint().width() <= WIDTH_PX


def test_what_to_learn_from_is_a_choice_where_there_is_one(app: App) -> None:
    app.dock.show_tab(IMPROVE)
    card, teacher = app.dock.improve.teach, app.controller.teach
    teacher.model.pupils, teacher.model.pupil = (Pupil("vlm"),), "vlm"
    teacher.model.supply = RIGHT
    ways = [card._ways.itemText(i) for i in range(card._ways.count())]
    assert ways == ["12 answers, right or corrected", "7 pairs: which is better"]
    assert card._ways.currentData() == "right"
    card._ways.activated.emit(1)
    assert teacher.model.way == "better"
    assert card._teach.isEnabled()
    assert card._missing.text() == ""
    app.controller.learn.model.training = TrainingStatus("training")
    assert not card._teach.isEnabled()
    app.controller.learn.model.training = TrainingStatus()
    teacher.model.supply = replace(RIGHT, right=Supply(4, 0), better=Supply(), rated=Supply())
    assert card._missing.text().startswith("It takes 5 answers")
    teacher.model.supply = replace(RIGHT, right=Supply(1, 8), better=Supply(), rated=Supply())
    assert "patients who are kept aside" in card._missing.text()
    assert not card._teach.isEnabled()


def test_how_the_teaching_goes_and_what_came_of_it(app: App) -> None:
    app.dock.show_tab(IMPROVE)
    panel, model = app.dock.improve, app.controller.teach.model
    card = panel.teach
    app.controller.learn.model.harvest = Harvest(1, 1, 1, (Check(True, "1 accepted field"),))
    assert panel._train.isEnabled()
    model.status = TeachingStatus("training", 3, 20, 68.0, "Step 3 of 20", "vlm", "vlm-2")
    assert card._words.text() == "Step 3 of 20, 68 s left"
    assert card._stop.isVisible()
    assert not card._teach.isVisible()
    assert not panel._train.isEnabled()
    model.status = replace(TAUGHT, phase="stopped", words="Stopped.", can_go_on=True)
    assert card._go_on.isVisible()
    assert not card._table.isVisible()
    model.status = TAUGHT
    assert card._table.words() == [
        ["Kept aside", "Answers", "Before", "New"],
        ["Choices right", "12", "0.50", "0.25"],
        ["95 % interval", "0.25\N{EN DASH}0.75", NO_FIGURE],
        ["Boxes", "3", NO_FIGURE, "0.10"],
    ]
    assert card._kept.text() == TAUGHT.kept
    assert (card._use.text(), card._use.isEnabled()) == ("Use it", True)
    assert not card._back.isVisible()
    app.controller.ask.model.answerer = "vlm-2"
    assert (card._use.text(), card._use.isEnabled()) == ("In use", False)
    assert card._back.text() == "Back to vlm"
    assert card._back.isVisible()
    assert panel.minimumSizeHint().width() <= WIDTH_PX
