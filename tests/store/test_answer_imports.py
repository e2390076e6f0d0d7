"""Answers come back from an export as they were, with what each reader said of them."""

from __future__ import annotations

import json
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.answer_records import ANSWERS_FILE, FOR_TRAINERS
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import file_sha256
from napari_nunext.core.uids import as_uids
from napari_nunext.images import open_image
from napari_nunext.store import Project, events
from napari_nunext.store.answers import COUNTS, Answer, Asked, Evidence, Said
from napari_nunext.store.exports.answers import pictures
from napari_nunext.store.exports.training import export_training
from napari_nunext.store.imports.export_folder import Imported, import_training
from napari_nunext.store.kinds.answers import opinions, preferences
from tests.store.answering import CROP, LESIONS, QUESTION, REGION, AskingLab
from tests.store.conftest import ticking

YES = "<think>It is pale.</think><answer>(A) yes</answer>"
NO = "<think>It is not.</think><answer>no</answer>"
BOXES = "<think>[1, 2, 3, 4]</think><answer>[[7, 14, 14, 21], [0, 0, 5, 5]]</answer>"


@pytest.fixture
def lab(path):
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        yield AskingLab(project)


def told_by(folder):
    """All that an export says of answers, but which pixels of which image it was made of."""
    told = {}
    for name in ("answers", *FOR_TRAINERS):
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for row in rows:
            (image,) = row.pop("images")
            with Image.open(folder / image) as png:
                row["pixels"] = np.asarray(png).tobytes()
            del row["source"]["image_sha256"], row["source"]["region"]
        told[name] = rows
    return told


def taken_back(export, folder, annotator="xy"):
    """The export of a new project that took an export in."""
    with Project.open(folder / "p.nunext", annotator=annotator) as project:
        import_training(project, export)
        export_training(project, folder / "e", images=lambda e: open_image(e.path), answers="all")
    return folder / "e"


def test_an_import_is_what_was_exported_as_its_readers_said_it(lab, tmp_path):
    sha = lab.add_image(patient="Doe, Jane")
    a, b = lab.ask(sha, YES), lab.ask(sha, NO)
    drawn = lab.ask(sha, BOXES, LESIONS, boxes="thousand")
    lab.rate(sha, a, 5)
    lab.rate(sha, a, 2, "unsafe", reader="mk")
    lab.correct(sha, drawn, "[[1, 2, 3, 4]]", [Box(12, 30, 40, 50)])
    lab.prefer(sha, a, b, "left")
    lab.prefer(sha, b, a, "both_bad", blind=False, reader="mk")
    lab.project.append([events.add(sha, 30, 40, "Nucleus"), events.complete_region(sha, CROP)])
    lab.export(tmp_path / "e")
    with Project.open(tmp_path / "two.nunext", annotator="xy") as two:
        imported = import_training(two, tmp_path / "e")
        assert imported == Imported(1, 1, 0, 3)
        assert imported.words == "1 image with 1 nucleus and 3 answers"
        (entry,) = two.images()
        assert (entry.width_px, entry.height_px) == (60, 40)
        before, after = lab.project.state(sha), two.state(entry.sha256)
        assert set(opinions(after)) == {a, drawn}
        assert opinions(after)[a] == opinions(before)[a]
        assert preferences(after) == preferences(before)
        (correction,) = (o.correction for o in opinions(after)[drawn].values())
        assert correction.text == "[[1, 2, 3, 4]]"  # of the picture that was sent
        assert [box.box for box in correction.boxes] == [Box(2, 10, 30, 30)]
        found = {answer.answer_id: answer for answer in two.answers()}
        assert found.keys() == {a, b, drawn}
        assert (found[a].asked.sent_px, found[a].by.host) == ((28, 28), "")
        assert found[a].asked.region == Box(0.5, 0, 60, 40)
        assert {e.annotator for e in two.journal(entry.sha256)} == {"xy"}
        again = import_training(two, tmp_path / "e")
        assert again == Imported(0, 0, 1, 0, 3)
        assert again.words.endswith("1 image and 3 answers of it were here already and stay")
        assert two.state(entry.sha256).said == after.said
        # One undo takes back what was said of the image, and nothing of its nuclei.
        last = max(two.journal(entry.sha256), key=lambda e: e.seq)
        two.append([events.undo(entry.sha256, last.group)])
        assert not any(opinions(two.state(entry.sha256)).values())
        assert len(two.state(entry.sha256).nuclei) == 1


def test_votes_about_two_crops_come_back_whichever_was_on_the_left(lab, tmp_path):
    sha = lab.add_image()
    a, b = lab.ask(sha, YES), lab.ask(sha, NO, region=Box(0, 0, 30, 30))
    lab.prefer(sha, a, b, "both_bad")
    lab.prefer(sha, b, a, "both_bad", reader="mk")
    lab.export(tmp_path / "e")
    told = told_by(tmp_path / "e")
    assert [len(row["votes"]) for row in told["answers"]] == [1, 1]
    (tmp_path / "two").mkdir()
    assert told_by(taken_back(tmp_path / "e", tmp_path / "two")) == told


ratings = st.tuples(st.sampled_from([None, 1, 2, 4, 5]), st.sampled_from(["", "hm"]))
corrections = st.tuples(
    st.sampled_from([None, "no", "[[2, 2, 9, 9]]"]),
    st.sampled_from([None, (), (Box(12, 22, 30, 41.5),), (Box(0, 0, 12, 30), Box(30, 30, 70, 60))]),
)
asked = st.tuples(
    st.sampled_from([YES, NO, BOXES, "no tags", "[[20, 30, 40, 50]]"]),
    st.sampled_from([QUESTION, LESIONS]),
    st.sampled_from([REGION, CROP, Box(0, 0, 100, 80), Box(33.3, 10, 61.7, 77.7)]),
    st.sampled_from([None, (28, 28), (56, 28)]),
    st.sampled_from(["pixels", "thousand", "thousand_y_first", "unit"]),
    st.booleans(),
)
said_by = st.dictionaries(st.sampled_from(["jd", "mk"]), st.tuples(ratings, corrections))
votes = st.lists(
    st.tuples(
        st.sampled_from(["jd", "mk"]),
        st.sampled_from(["left", "right", "tie", "both_bad", "skipped"]),
        st.booleans(),
    ),
    max_size=2,
)


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    drawn=st.lists(st.tuples(asked, said_by), min_size=1, max_size=4),
    cast=votes,
    huge=st.booleans(),
)
def test_an_export_of_an_import_is_the_export(tmp_path_factory, monkeypatch, drawn, cast, huge):
    folder = tmp_path_factory.mktemp("trip")
    monkeypatch.setattr(pictures, "MOST_PX", 1600 if huge else 10_000)
    monkeypatch.setattr(pictures, "MOST_TOKENS", 1)
    with Project.open(folder / "one.nunext", annotator="jd") as project:
        lab = AskingLab(project)
        shas = [lab.add_image(seed, patient=f"p{seed}") for seed in range(2)]
        ids = []
        for number, ((raw, question, region, sent_px, boxes, may), said) in enumerate(drawn):
            sha = shas[number % 2]
            more = {"region": region, "sent_px": sent_px, "boxes": boxes, "may_train": may}
            ids.append(lab.ask(sha, raw, question, **more))
            for reader, ((stars, _), (text, drawn_boxes)) in said.items():
                if stars is not None:
                    lab.rate(sha, ids[-1], stars, reader=reader)
                lab.correct(sha, ids[-1], text, drawn_boxes, reader=reader)
        for reader, what, blind in cast:
            if len(ids) > 2:
                lab.prefer(shas[0], ids[0], ids[2], what, blind=blind, reader=reader)
        try:
            lab.export(folder / "e")
        except RecordError:
            return  # nobody judged what may be learned from
    if not (folder / "e" / ANSWERS_FILE).exists():
        return
    (folder / "two").mkdir()
    (folder / "three").mkdir()
    first = told_by(folder / "e")
    second = told_by(taken_back(folder / "e", folder / "two"))
    third = told_by(taken_back(folder / "two" / "e", folder / "three"))
    assert second == third
    assert second == first


@pytest.mark.parametrize(
    "damage",
    [
        {"asked": {}},
        {"by": {"name": "x", "boxes": "feet"}},
        {"said": {"answer": 1}},
        {"evidence": [{"uid": "one", "x": 1, "y": 2}]},
        {
            "evidence": [
                {"uid": str(UUID(int=1)), "x": 1, "y": 2, "category": "a"},
                {"uid": str(UUID(int=2)), "x": 1, "y": 2},
            ]
        },
        {"evidence": [{"uid": str(UUID(int=1)), "x": float("nan"), "y": 2}]},
        {"id": "one"},
    ],
    ids=str,
)
def test_what_is_no_answer_is_named_by_its_line_and_nothing_is_taken(lab, tmp_path, damage):
    sha = lab.add_image()
    lab.rate(sha, lab.ask(sha, YES), 5)
    lab.export(tmp_path / "e")
    path = tmp_path / "e" / ANSWERS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | damage) + "\n")
    manifest = tmp_path / "e" / "manifest.json"
    data = json.loads(manifest.read_text())
    data["files"][ANSWERS_FILE] = file_sha256(path)
    manifest.write_text(json.dumps(data))
    with Project.open(tmp_path / "two.nunext", annotator="xy") as two:
        with pytest.raises(RecordError, match=rf"{ANSWERS_FILE} line 1 is no answer"):
            import_training(two, tmp_path / "e")
        assert two.answers() == two.images() == ()


def test_evidence_comes_back_in_pixels_of_its_picture(lab, tmp_path):
    sha = lab.add_image()
    evidence = Evidence(uids=as_uids([UUID(int=7)]), places_xy=np.array([[20.5, 31.25]]))
    answer = Answer(
        answer_id=str(UUID(int=9)),
        image_sha256=sha,
        asked=Asked(question=QUESTION, region=CROP, mpp=0.5),
        by=COUNTS,
        said=Said(answer="yes"),
        evidence=evidence,
    )
    lab.project.add_answer(answer)
    lab.rate(sha, answer.answer_id, 5)
    lab.export(tmp_path / "e")
    with Project.open(tmp_path / "two.nunext", annotator="xy") as two:
        import_training(two, tmp_path / "e")
        (found,) = two.answers()
    assert found.evidence == Evidence(uids=evidence.uids, places_xy=np.array([[10.5, 11.25]]))


NUCLEI = [(12.5, 20.0, "Lymphocyte"), (69.5, 59.5, "Stromal; odd")]


def test_what_an_answerer_read_of_nuclei_comes_back_with_categories(lab, tmp_path):
    sha = lab.add_image()
    lab.rate(sha, lab.ask(sha, YES, nuclei=NUCLEI), 5)
    lab.rate(sha, lab.ask(sha, YES, nuclei=[]), 5)
    lab.export(tmp_path / "e")
    rows = [json.loads(line) for line in (tmp_path / "e" / ANSWERS_FILE).read_text().splitlines()]
    assert [(e["x"], e["y"], e["category"]) for e in rows[0]["evidence"]] == [
        (2.5, 0, "Lymphocyte"),
        (59.5, 39.5, "Stromal; odd"),
    ]
    assert rows[1]["evidence"] == []
    with Project.open(tmp_path / "two.nunext", annotator="xy") as two:
        import_training(two, tmp_path / "e")
        first, second = two.answers()
    (was, _) = lab.project.answers()
    assert first.by.reads_nuclei
    assert first.evidence == Evidence(
        uids=was.evidence.uids,
        places_xy=was.evidence.places_xy - (CROP.x0, CROP.y0),
        categories=("Lymphocyte", "Stromal; odd"),
    )
    assert first.asked.prompt == was.asked.prompt  # of the picture that was sent
    assert second.by.reads_nuclei
    assert len(second.evidence) == 0
    (tmp_path / "two").mkdir()
    assert told_by(taken_back(tmp_path / "e", tmp_path / "two")) == told_by(tmp_path / "e")
