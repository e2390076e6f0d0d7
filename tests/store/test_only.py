"""Runs that were for some categories alone: what of the others stays, and what an export says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.naming import only_in_decoding
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.predictions import Predictions
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.review.fields import harvest
from napari_nunext.store import FieldState, Run, events
from napari_nunext.store.exports.training import export_training
from nunext_training.data.labelled import rename_as_asked
from nunext_training.data.sources import read_source
from nunext_training.data.training_data import read_training_data
from tests.store.conftest import IMAGE, WHOLE, entry, predicted, run_info

NOW = datetime(2024, 1, 1, tzinfo=UTC)
KNOWN = ("Lymphocyte", "Stromal", "Positive")
MODEL = ModelDescription(
    *("Small", "conv_qwen"),
    kind="detector",
    id="small",
    window_px=64,
    categories=default_categories(KNOWN),
    prompt="Point to nucleus.",
    named_prompts=KNOWN[:1],
)


def info(only=(), region=WHOLE):
    asked = bool(only) and set(only) <= set(MODEL.named_prompts)
    decoding = {"strategy": "greedy"} | only_in_decoding(only, asked=asked)
    return replace(run_info(region), model=MODEL, decoding=decoding)


def a_run(*nuclei, only=()):
    said = Predictions.of(nuclei)
    return Run(str(uuid4()), IMAGE, info(only), "complete", "jd", NOW, said)


def folded(*runs, edits=(), between=()):
    said = [events.use_run(IMAGE, run.run_id, WHOLE) for run in runs]
    journal = [*said[:1], *between, *said[1:], *edits]
    return FieldState.fold(list(runs), tuple(e.stamped("jd", NOW) for e in journal))


def shown(state):
    return sorted((n.nucleus.x_px, n.nucleus.category) for n in state.nuclei.values())


def test_a_search_for_some_categories_replaces_these_alone():
    first = a_run(predicted(10, 10, "Lymphocyte"), predicted(50, 10, "Stromal"))
    second = a_run(predicted(30, 10, "Lymphocyte"), only=("Lymphocyte",))
    assert shown(folded(first, second)) == [(30, "Lymphocyte"), (50, "Stromal")]
    everything = a_run(predicted(30, 10, "Lymphocyte"))
    assert shown(folded(first, everything)) == [(30, "Lymphocyte")]


def test_a_nucleus_of_another_category_is_not_found_a_second_time():
    first = a_run(predicted(10, 10, "Stromal"))
    second = a_run(predicted(11, 10, "Lymphocyte"), only=("Lymphocyte",))
    assert shown(folded(first, second)) == [(10, "Stromal")]


def test_what_is_streamed_is_what_is_folded_again():
    first = a_run(predicted(10, 10, "Stromal"), predicted(60, 10, "Lymphocyte"))
    empty = a_run(only=("Lymphocyte",))
    news = [predicted(11, 10, "Lymphocyte"), predicted(30, 10, "Lymphocyte")]
    streamed = folded(first, empty).with_predictions(empty.run_id, news)
    whole = replace(empty, nuclei=Predictions.of(news))
    assert shown(streamed) == shown(folded(first, whole)) == [(10, "Stromal"), (30, "Lymphocyte")]


def test_a_renamed_category_is_still_the_one_that_is_searched_for():
    first = a_run(predicted(10, 10, "Lymphocyte"), predicted(50, 10, "Stromal"))
    second = a_run(predicted(30, 10, "Lymphocyte"), only=("Lymphocyte",))
    renamed = [events.rename_category("Lymphocyte", "TIL")]
    assert shown(folded(first, second, between=renamed)) == [(30, "TIL"), (50, "Stromal")]


@pytest.mark.parametrize("undone", [False, True])
def test_what_was_searched_for_is_called_as_it_is_now(undone):
    state = folded(a_run(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",)))
    named = events.rename_category("Lymphocyte", "TIL").stamped("jd", NOW)
    state = state.apply(named)
    if undone:
        state = state.apply(events.undo(IMAGE, named.group).stamped("jd", NOW))
    (base,) = state.bases
    assert base.only == {"Lymphocyte" if undone else "TIL"}
    assert base.called("Lymphocyte") == ("Lymphocyte" if undone else "TIL")


MERGES = [("Lymphocyte", "Stromal"), ("Stromal", "Lymphocyte")]
"""What was searched for into what was not, and the other way round."""


@pytest.mark.parametrize(("name", "into"), MERGES)
def test_what_was_merged_with_what_nobody_searched_for_was_not_searched_for(name, into):
    run = a_run(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte", "Positive"))
    (base,) = folded(run, edits=[events.rename_category(name, into)]).bases
    assert base.only == {"Positive"}
    alone = a_run(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    (base,) = folded(alone, edits=[events.rename_category(name, into)]).bases
    assert base.only == frozenset(), "which is not everything"


@pytest.mark.parametrize(("name", "into"), MERGES)
def test_what_was_searched_for_altogether_still_is_when_it_is_merged(name, into):
    run = a_run(only=("Lymphocyte", "Stromal"))
    (base,) = folded(run, edits=[events.rename_category(name, into)]).bases
    assert base.only == {into}


@pytest.mark.parametrize(("name", "into"), MERGES)
def test_a_search_after_a_merge_replaces_nothing_that_it_was_not_asked_for(name, into):
    first = a_run(predicted(10, 10, "Stromal"), predicted(50, 10, "Positive"))
    second = a_run(predicted(30, 10, "Lymphocyte"), only=("Lymphocyte",))
    state = folded(first, second, between=[events.rename_category(name, into)])
    assert shown(state) == [(10, into), (30, into), (50, "Positive")]


class Lab:
    """A project with an image of real pixels."""

    def __init__(self, project, tmp_path):
        self.rgb = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
        self.sha, self.project, self.out = pixels_sha256(self.rgb), project, tmp_path / "export"
        project.add_image(entry(self.sha))

    def search(self, *nuclei, only=(), region=WHOLE):
        run = self.project.start_run(self.sha, info(only, region))
        self.project.add_predictions(run, nuclei)
        self.project.finish_run(run, "complete")
        self.project.append([events.use_run(self.sha, run, region)])

    def add(self, x, y, category):
        placed = events.add(self.sha, x, y, category)
        self.project.append([placed])
        return placed.uid

    def export(self):
        self.project.append([events.complete_region(self.sha, WHOLE)])
        export_training(self.project, self.out, images=lambda _: tile_of_rgb(self.rgb, "a"))
        return read_export(self.out, strict=True)


@pytest.fixture
def lab(project, tmp_path):
    return Lab(project, tmp_path)


def test_an_export_of_a_search_for_lymphocytes_holds_these_and_the_prompt_that_asks_for_them(lab):
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    lab.project.append(
        [events.add(lab.sha, 60, 50, "Stromal"), events.add(lab.sha, 30, 30, "Lymphocyte")]
    )
    (record,) = lab.export().sft
    assert record.source.asked == ("Lymphocyte",)
    assert record.messages[0]["content"][1]["text"] == "Point to lymphocyte."
    assert [n.category for n in record.nuclei] == ["Lymphocyte", "Lymphocyte"]


def test_a_category_that_was_renamed_after_the_search_is_exported_as_it_is_called(lab):
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    lab.project.append([events.rename_category("Lymphocyte", "Plasma cell")])
    lab.project.append([events.add(lab.sha, 60, 50, "Stromal")])
    export = lab.export()
    (record,) = export.sft
    assert record.source.asked == ("Plasma cell",)
    assert record.messages[0]["content"][1]["text"] == "Point to plasma cell."
    assert [n.category for n in record.nuclei] == ["Plasma cell"]
    assert [p.verdict for p in export.rft[0].rollout.points] == ["tp"]


@pytest.mark.parametrize(("name", "into"), MERGES)
def test_a_region_is_not_complete_in_what_was_merged_with_what_nobody_searched_for(lab, name, into):
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    lab.project.append([events.rename_category(name, into)])
    with pytest.raises(InputError, match="No region is complete"):
        lab.export()
    assert harvest(lab.project).fields == 0


def test_what_else_was_searched_for_is_exported_after_such_a_merge(lab):
    both = ("Lymphocyte", "Positive")
    lab.search(predicted(10, 10, "Lymphocyte"), predicted(40, 10, "Positive"), only=both)
    lab.project.append([events.rename_category("Lymphocyte", "Stromal")])
    (record,) = lab.export().rft
    assert record.source.asked == ("Positive",)
    assert [n.category for n in record.solution] == ["Positive"]


@pytest.mark.parametrize("only", [(), ("Lymphocyte",)])
def test_rollouts_call_categories_as_the_truth_beside_them_does(lab, only):
    gone = predicted(30, 10, "Lymphocyte")
    lab.search(predicted(10, 10, "Lymphocyte"), gone, only=only)
    lab.project.append([events.delete(lab.sha, gone.uid)])
    lab.project.append([events.rename_category("Lymphocyte", "TIL")])
    (record,) = lab.export().rft
    assert [n.category for n in record.solution] == ["TIL"]
    assert [(p.category, p.verdict) for p in record.rollout.points] == [
        ("TIL", "tp"),
        ("TIL", "fp"),
    ]


def test_the_name_of_a_category_that_was_renamed_is_free_for_another(lab):
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    for name, to in (("Lymphocyte", "TIL"), ("Stromal", "Lymphocyte")):
        lab.project.append([events.rename_category(name, to)])
    lab.search(predicted(40, 10, "Lymphocyte"), only=("Lymphocyte",))  # and does not come back
    (record,) = lab.export().rft
    assert record.source.asked == ("TIL",)
    assert [n.category for n in record.solution] == ["TIL"]
    assert [p.category for p in record.rollout.points] == ["TIL"]


def test_corrections_of_what_was_not_searched_for_are_none_of_the_region(lab):
    kept, relabelled, gone = (predicted(x, 10, "Lymphocyte") for x in (10, 30, 50))
    other, other_gone, found = (predicted(x, 40, "Stromal") for x in (10, 30, 50))
    lab.search(other, other_gone, found, region=Box(0, 30, 100, 80))
    lab.search(kept, relabelled, gone, only=("Lymphocyte",))
    lab.project.append(
        [
            events.add(lab.sha, 60, 60, "Stromal"),
            events.move(lab.sha, other.uid, 12, 41),
            events.delete(lab.sha, other_gone.uid),
            events.reject(lab.sha, lab.add(80, 60, "Stromal")),
            events.relabel(lab.sha, relabelled.uid, "Stromal"),  # is no longer in the list
            events.relabel(lab.sha, found.uid, "Lymphocyte"),  # is in it now
            events.reject(lab.sha, gone.uid),
        ]
    )
    counts = lab.export().manifest.counts
    assert (counts["nuclei"], counts["corrections"]) == (2, 3)
    told = harvest(lab.project)
    assert (told.nuclei, told.corrections) == (2, 3)


def test_what_was_searched_for_is_judged_and_others_were_not_missed(lab):
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    lab.project.append([events.add(lab.sha, 60, 50, "Stromal")])
    (record,) = lab.export().rft
    assert [p.verdict for p in record.rollout.points] == ["tp"]
    assert record.rollout.missed == 0


def test_where_everything_was_searched_before_the_truth_is_everything(lab):
    lab.search(predicted(10, 10, "Stromal"))
    lab.search(predicted(40, 10, "Lymphocyte"), only=("Lymphocyte",))
    export = lab.export()
    assert export.sft[0].source.asked == ()
    assert [n.category for n in export.sft[0].nuclei] == ["Stromal", "Lymphocyte"]
    assert export.rft[0].rollout is None  # the last run is no answer to the prompt of the record


def test_training_asks_such_an_image_for_these_and_measures_nothing_on_it(lab):
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    lab.export()
    (image,) = read_source(lab.out).images
    assert image.asked == ("Lymphocyte",)
    data = read_training_data([lab.out], KNOWN, renames={"Lymphocyte": "Stromal"}, strict=True)
    assert [i.asked for i in data.train] == [("Stromal",)]
    assert data.val == ()


@pytest.mark.parametrize(("name", "into"), MERGES)
def test_training_takes_no_image_for_complete_in_what_it_renames_into_one_with_others(
    lab, name, into, caplog
):
    lab.project.append([events.learn_categories(MODEL.categories)])
    lab.search(predicted(10, 10, "Lymphocyte"), only=("Lymphocyte",))
    lab.export()
    (image,) = read_source(lab.out).images
    assert image.unasked == ("Stromal", "Positive")
    whole = replace(image, asked=(), unasked=(), categories=("Stromal",))
    assert rename_as_asked([image, whole], {name: into})[0].categories == (into,)
    assert "1 of 2 images left out" in caplog.text
    (kept,) = rename_as_asked([image], {"Lymphocyte": "TIL"})
    assert kept.asked == ("TIL",)
    with pytest.raises(InputError, match="nobody knows where there is none of it"):
        read_training_data([lab.out], KNOWN, renames={"Lymphocyte": "Positive"}, strict=True)
