"""Judged answers leave as training data, in pixels of the picture beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.answers.boxes import boxes_of
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.opinions import Rating
from napari_nunext.core.answers.prompts import SYSTEM, Question
from napari_nunext.core.answers.reply import parse_reply
from napari_nunext.core.errors import FreeTextError, RecordError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import file_sha256
from napari_nunext.store import Project, events
from napari_nunext.store.exports.answers import pictures
from tests.store.answering import CROP, LESIONS, QUESTION, REGION, AskingLab
from tests.store.conftest import ticking

YES = "<think>It is pale.</think><answer>(A) yes</answer>"
NO = "<think>It is not.</think><answer>no</answer>"


@pytest.fixture
def lab(path):
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        yield AskingLab(project)


def rows(folder, name):
    text = (folder / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def said(messages):
    (message,) = messages
    assert message["role"] == "assistant"
    return parse_reply(message["content"])


def test_a_project_of_answers_alone_exports(lab, tmp_path):
    sha = lab.add_image(patient="Doe, Jane")
    answer_id = lab.ask(sha, YES)
    lab.rate(sha, answer_id, 4)
    manifest = lab.export(tmp_path / "e")
    assert manifest.counts == {
        "images": 0,
        "nuclei": 0,
        "corrections": 0,
        "sft": 0,
        "rft": 0,
        "preferences": 0,
        "answers": 1,
        "answers_sft": 1,
        "answers_rft": 1,
        "answers_preferences": 0,
        "answers_kto": 1,
        "answers_restricted": 0,
        "answers_disputed": 0,
    }
    (sft,) = rows(tmp_path / "e", "answers_sft")
    assert sft["prompt"] == [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Is there necrosis? (A) yes, (B) no"},
    ]
    assert sft["completion"] == [{"role": "assistant", "content": YES}]
    assert (sft["id"], sft["task"], sft["corrected"]) == (answer_id, "question", False)
    assert (sft["budget"], sft["sent_px"], sft["answerers"]) == (256, [28, 28], ["qwen"])
    assert sft["source"]["region"] == [10, 20, 70, 60]
    assert (sft["source"]["mpp"], sft["source"]["annotators"]) == (0.5, ["jd"])
    (image,) = sft["images"]
    with Image.open(tmp_path / "e" / image) as png:
        assert (np.asarray(png) == lab.tiles[sha].read_region(CROP)).all()
        assert png.info == {}
    (rft,) = rows(tmp_path / "e", "answers_rft")
    assert (rft["truth"], rft["rating"]) == ("yes", 0.75)
    (kto,) = rows(tmp_path / "e", "answers_kto")
    assert kto["label"] is True
    export = read_export(tmp_path / "e")
    assert export.manifest == manifest
    assert {len(found) for found in export.answers_for_trainers.values()} == {0, 1}
    for path in (tmp_path / "e").rglob("*.json*"):
        text = path.read_text()
        assert not {word for word in ("Jane", "10.0.0.7", "/slides") if word in text}


@pytest.mark.parametrize(
    ("convention", "text"),
    [
        ("pixels", "[[7, 14, 14, 21]]"),
        ("thousand_y_first", '[{"box_2d": [500, 250, 750, 500], "label": "tumour"}]'),
    ],
)
def test_boxes_are_pixels_of_the_picture_in_numbers_and_in_words(lab, tmp_path, convention, text):
    sha = lab.add_image()
    raw = f"<think>t</think><answer>{text}</answer>"
    answer_id = lab.ask(sha, raw, LESIONS, boxes=convention)
    lab.rate(sha, answer_id, 5)
    lab.export(tmp_path / "e")
    (sft,) = rows(tmp_path / "e", "answers_sft")
    ((x0, y0, x1, y1),) = (box["box"] for box in sft["boxes"])
    # The region begins half a pixel within the picture, and is 59.5 x 40 px.
    assert (x0, y0, x1, y1) == pytest.approx((0.5 + 59.5 / 4, 20, 0.5 + 59.5 / 2, 30))
    shown = SentPicture(Box.of_image(60, 40), 60, 40)
    (read,) = boxes_of(said(sft["completion"]).answer, shown).boxes
    assert read.box.as_tuple() == (15, 20, 31, 30)
    assert read.label == ("tumour" if convention != "pixels" else "")


def test_a_corrected_answer_is_right_and_better_than_what_was_said(lab, tmp_path):
    sha = lab.add_image()
    answer_id = lab.ask(sha, YES)
    lab.rate(sha, answer_id, 2, "wrong finding")
    lab.correct(sha, answer_id, "no")
    lab.export(tmp_path / "e")
    (sft,) = rows(tmp_path / "e", "answers_sft")
    assert sft["corrected"]
    assert said(sft["completion"]) == parse_reply("<think></think><answer>no</answer>")
    (rft,) = rows(tmp_path / "e", "answers_rft")
    assert (rft["truth"], rft["rating"], rft["tags"]) == ("no", 0.25, ["wrong finding"])
    assert rft["said"] == [{"role": "assistant", "content": YES}]
    (pair,) = rows(tmp_path / "e", "answers_preferences")
    assert (pair["reason"], pair["blind"]) == ("corrected", False)
    # Neither thinks: what is better is the answer.
    assert [(said(pair[s]).think, said(pair[s]).answer) for s in ("chosen", "rejected")] == [
        ("", "no"),
        ("", "(A) yes"),
    ]
    (kto,) = rows(tmp_path / "e", "answers_kto")
    assert (kto["label"], said(kto["completion"]).answer) == (False, "(A) yes")


def test_corrected_boxes_are_in_the_words_too(lab, tmp_path):
    sha = lab.add_image()
    raw = "<think>two</think><answer>[[0, 0, 14, 14], [14, 14, 28, 28]]</answer>"
    answer_id = lab.ask(sha, raw, LESIONS, region=CROP)
    lab.correct(
        sha, answer_id, boxes=[Box(20, 30, 40.5, 50), Box(0, 0, 12, 22), Box(80, 70, 90, 75)]
    )
    lab.export(tmp_path / "e")
    (sft,) = rows(tmp_path / "e", "answers_sft")
    # Cut to the picture; one lies outside of it.
    assert [box["box"] for box in sft["boxes"]] == [[10, 10, 30.5, 30], [0, 0, 2, 2]]
    assert said(sft["completion"]).answer == "[[10, 10, 31, 30], [0, 0, 2, 2]]"
    (pair,) = rows(tmp_path / "e", "answers_preferences")
    assert said(pair["rejected"]).answer == "[[0, 0, 30, 20], [30, 20, 60, 40]]"
    read_export(tmp_path / "e")


def test_compared_answers_are_a_pair_and_two_bad_ones_are_two_negatives(lab, tmp_path):
    sha = lab.add_image()
    a, b, c, d = (
        lab.ask(sha, raw, name=n) for raw, n in ((YES, "x"), (NO, "y"), (YES, "z"), (NO, "y"))
    )
    lab.prefer(sha, a, b, "right")
    lab.prefer(sha, a, c, "tie")
    lab.prefer(sha, c, d, "both_bad", blind=False)
    lab.prefer(sha, a, d, "skipped")
    lab.export(tmp_path / "e")
    (pair,) = rows(tmp_path / "e", "answers_preferences")
    assert (pair["reason"], pair["blind"], pair["answerers"]) == ("compared", True, ["y", "x"])
    assert [said(pair[s]).answer for s in ("chosen", "rejected")] == ["no", "(A) yes"]
    kto = rows(tmp_path / "e", "answers_kto")
    assert [(row["id"], row["label"]) for row in kto] == [(c, False), (d, False)]
    assert all(row["source"]["annotators"] == ["jd"] for row in kto)
    assert rows(tmp_path / "e", "answers_sft") == rows(tmp_path / "e", "answers_rft") == []
    assert len(rows(tmp_path / "e", "answers")) == 4


def test_what_was_read_of_nuclei_stands_beside_the_question_in_pixels_of_its_picture(lab, tmp_path):
    sha = lab.add_image()
    nuclei = [(12.5, 20.0, "Lymphocyte"), (69.5, 59.5, "Stromal")]
    reads, none, other = (
        lab.ask(sha, YES, nuclei=nuclei),
        lab.ask(sha, YES, nuclei=[]),
        lab.ask(sha, NO),
    )
    for answer_id in (reads, none, other):
        lab.rate(sha, answer_id, 5)
    lab.prefer(sha, reads, other, "left")
    lab.export(tmp_path / "e")
    for name in ("answers_sft", "answers_rft", "answers_kto"):
        found = {row["id"]: row for row in rows(tmp_path / "e", name)}
        assert found[reads]["nuclei"] == [[2.5, 0, "Lymphocyte"], [59.5, 39.5, "Stromal"]]
        assert found[none]["nuclei"] == []
        assert "nuclei" not in found[other]
        asked = {row["prompt"][1]["content"] for row in found.values()}
        assert asked == {"Is there necrosis? (A) yes, (B) no"}
    (pair,) = rows(tmp_path / "e", "answers_preferences")
    assert pair["nuclei"] == [[2.5, 0, "Lymphocyte"], [59.5, 39.5, "Stromal"]]
    assert read_export(tmp_path / "e").answers_for_trainers["answers_sft"][0].nuclei is not None


def test_answers_that_were_told_other_nuclei_are_no_pair(lab, tmp_path):
    sha = lab.add_image()
    nuclei = [(12.5, 20.0, "Lymphocyte"), (60.0, 50.0, "Stromal")]
    first, other, same = (
        lab.ask(sha, raw, nuclei=told)
        for raw, told in ((YES, nuclei), (NO, nuclei[:1]), (NO, nuclei[::-1]))
    )
    lab.prefer(sha, first, other, "left")
    lab.prefer(sha, first, same, "left")
    lab.export(tmp_path / "e")
    (pair,) = rows(tmp_path / "e", "answers_preferences")
    assert pair["id"] == f"{first}-{same}"


def test_a_pair_is_of_one_question_and_of_two_answers(lab, tmp_path):
    sha = lab.add_image()
    a, same = lab.ask(sha, YES), lab.ask(sha, YES)
    elsewhere = lab.ask(sha, NO, region=Box(0, 0, 30, 30))
    lab.prefer(sha, a, same, "left")
    lab.prefer(sha, a, elsewhere, "left")
    lab.export(tmp_path / "e")
    assert rows(tmp_path / "e", "answers_preferences") == []


def test_readers_who_contradict_each_other_teach_nothing_but_their_rating(lab, tmp_path):
    sha = lab.add_image()
    answer_id, other = lab.ask(sha, YES), lab.ask(sha, NO)
    lab.rate(sha, answer_id, 5)
    lab.correct(sha, answer_id, "no", reader="mk")
    lab.prefer(sha, answer_id, other, "left")
    lab.prefer(sha, answer_id, other, "right", reader="mk")
    manifest = lab.export(tmp_path / "e")
    assert manifest.counts["answers_disputed"] == 2
    (rft,) = rows(tmp_path / "e", "answers_rft")
    assert (rft["truth"], rft["rating"], rft["source"]["annotators"]) == (None, 1, ["jd", "mk"])
    assert rows(tmp_path / "e", "answers_sft") == rows(tmp_path / "e", "answers_preferences") == []
    lab.export(tmp_path / "e", annotators={"mk"})
    (sft,) = rows(tmp_path / "e", "answers_sft")
    assert (sft["corrected"], sft["source"]["annotators"]) == (True, ["mk"])


def test_answers_that_may_not_be_learned_from_are_left_out_and_counted(lab, tmp_path):
    sha = lab.add_image()
    free, bound, unjudged = lab.ask(sha, YES), lab.ask(sha, NO, may_train=False), lab.ask(sha, NO)
    lab.rate(sha, bound, 5)
    lab.correct(sha, bound, "perhaps")
    with pytest.raises(RecordError, match="1 answer was judged whose models may not"):
        lab.export(tmp_path / "e")
    lab.prefer(sha, free, bound, "left")
    lab.rate(sha, free, 5)
    manifest = lab.export(tmp_path / "e")
    assert manifest.counts["answers_restricted"] == 1
    everything = "".join(p.read_text() for p in (tmp_path / "e").glob("*.json*"))
    assert bound not in everything
    assert unjudged not in everything
    assert "perhaps" not in everything


def test_an_answerer_that_cannot_answer_teaches_only_by_its_correction(lab, tmp_path):
    sha = lab.add_image()
    answer_id = lab.ask(sha, "I know no necrosis.", sent_px=None, answered=False)
    lab.rate(sha, answer_id, 5)
    manifest = lab.export(tmp_path / "e")
    assert manifest.counts["answers"] == 1
    assert not any(manifest.counts[f"answers_{k}"] for k in ("sft", "rft", "preferences", "kto"))
    lab.correct(sha, answer_id, "yes")
    manifest = lab.export(tmp_path / "e")
    assert (manifest.counts["answers_sft"], manifest.counts["answers_preferences"]) == (1, 0)
    (rft,) = rows(tmp_path / "e", "answers_rft")
    assert (rft["truth"], rft["said"], rft["rating"]) == ("yes", [], None)


def test_the_counting_rule_speaks_of_the_slide_and_its_records_of_their_picture(lab, tmp_path):
    sha = lab.add_image()
    answer_id = lab.ask(sha, "[[20, 30, 40, 50]]", LESIONS, sent_px=None, region=CROP)
    lab.rate(sha, answer_id, 5)
    lab.export(tmp_path / "e")
    (sft,) = rows(tmp_path / "e", "answers_sft")
    assert said(sft["completion"]).answer == "[[10, 10, 30, 30]]"
    assert sft["prompt"][1]["content"] == LESIONS.prompt
    (whole,) = rows(tmp_path / "e", "answers")
    assert whole["said"]["answer"] == "[[10, 10, 30, 30]]"
    assert whole["asked"]["region"] == [0, 0, 60, 40]


@pytest.mark.parametrize("sent_px", [(28, 28), None])
def test_a_huge_region_is_drawn_as_it_was_sent(lab, tmp_path, monkeypatch, sent_px):
    monkeypatch.setattr(pictures, "MOST_PX", 1000)
    monkeypatch.setattr(pictures, "MOST_TOKENS", 1)
    sha = lab.add_image()
    box = "[[7, 14, 14, 21]]" if sent_px else "[[25, 40, 40, 50]]"
    answer_id = lab.ask(sha, f"<think>t</think><answer>{box}</answer>", LESIONS, sent_px=sent_px)
    lab.rate(sha, answer_id, 5)
    lab.export(tmp_path / "e")
    (sft,) = rows(tmp_path / "e", "answers_sft")
    (image,) = sft["images"]
    with Image.open(tmp_path / "e" / image) as png:
        assert png.size == (28, 28)
    assert sft["source"]["region"] == list(REGION.as_tuple())
    assert sft["source"]["mpp"] == pytest.approx(0.5 * np.sqrt(59.5 * 40) / 28)
    if sent_px:
        assert said(sft["completion"]).answer == box
    read_export(tmp_path / "e")


def test_nuclei_and_answers_about_the_same_pixels_share_an_image_and_a_side(lab, tmp_path):
    shas = [lab.add_image(seed, patient="one") for seed in range(2)]
    shas += [lab.add_image(seed, patient=f"p{seed}") for seed in range(2, 6)]
    for sha in shas[1:]:
        lab.rate(sha, lab.ask(sha, YES), 5)
        lab.rate(sha, lab.ask(sha, NO, region=CROP), 5)
    for sha in shas[:3]:
        lab.project.append([events.add(sha, 30, 40, "Nucleus"), events.complete_region(sha, CROP)])
    lab.export(tmp_path / "e", val_fraction=0.5)
    sft, answers = rows(tmp_path / "e", "sft"), rows(tmp_path / "e", "answers_sft")
    assert len(sft) == 3
    assert len(answers) == 10
    assert len(list((tmp_path / "e" / "images").iterdir())) == 6
    sides = {}
    for row in (*sft, *answers):
        sides.setdefault(row["source"]["patient"], set()).add(row["source"]["split"])
    assert len(sides) == 5
    assert all(len(of) == 1 for of in sides.values())
    assert {side for of in sides.values() for side in of} == {"train", "val"}
    read_export(tmp_path / "e")


def test_without_an_answer_the_folder_is_as_it_always_was(lab, tmp_path):
    sha = lab.add_image()
    lab.project.append([events.complete_region(sha, CROP)])
    lab.ask(sha, YES)  # nobody judged it
    manifest = lab.export(tmp_path / "e")
    assert not any(name.startswith("answers") for name in (*manifest.files, *manifest.counts))
    assert "answers" not in manifest.filters
    lab.rate(sha, "00000000-0000-0000-0000-000000000001", 5)
    manifest = lab.export(tmp_path / "e", answers="none")
    assert not any(name.startswith("answers") for name in (*manifest.files, *manifest.counts))


@pytest.mark.parametrize("where", ["question", "comment", "correction", "answer"])
def test_words_that_look_as_if_they_named_somebody_are_asked_about(lab, tmp_path, where):
    sha = lab.add_image()
    name = "Mrs Doe 3.4.1951"
    question = Question("question", f"Is {name} well") if where == "question" else QUESTION
    answer_id = lab.ask(sha, name if where == "answer" else YES, question)
    if where == "comment":
        lab.project.append([events.rate_answer(sha, answer_id, Rating(5, (), name))])
    else:
        lab.correct(sha, answer_id, name if where == "correction" else "no")
    with pytest.raises(
        FreeTextError, match=r"1 text holds what looks like a date or title"
    ) as refusal:
        lab.export(tmp_path / "e")
    assert "Doe" not in str(refusal.value)
    assert not (tmp_path / "e").exists()
    assert lab.export(tmp_path / "e", answers="all").filters["answers"] == "all"


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("answers", {"votes": [{"reader": "a"}]}, "misses 'left_id'"),
        ("answers_sft", {"boxes": [{"box": [0, 0, 61, 5], "label": ""}]}, "reaches beyond"),
        ("answers_rft", {"rating": 2}, "0 to 1"),
        ("answers_rft", {"rating": None, "truth": None}, "neither"),
        ("answers_rft", {"tags": ["bad"]}, "unknown"),
        ("answers_preferences", {"reason": "x"}, "compared or corrected"),
        ("answers_kto", {"label": 1}, "true or false"),
        ("answers_kto", {"images": ["images/x.png"]}, "missing"),
        ("answers_kto", {"completion": "text"}, "line 1"),
    ],
)
def test_damaged_records_are_named_by_file_and_line(lab, tmp_path, name, damage, words):
    sha = lab.add_image()
    answer_id = lab.ask(sha, YES)
    lab.rate(sha, answer_id, 2)
    lab.correct(sha, answer_id, "no")
    lab.export(tmp_path / "e")
    path = tmp_path / "e" / f"{name}.jsonl"
    (row,) = rows(tmp_path / "e", name)
    path.write_text(json.dumps(row | damage) + "\n")
    manifest = tmp_path / "e" / "manifest.json"
    data = json.loads(manifest.read_text())
    data["files"][path.name] = file_sha256(path)
    manifest.write_text(json.dumps(data))
    with pytest.raises(RecordError, match=rf"{path.name} line 1"):
        read_export(tmp_path / "e")
    found = read_export(tmp_path / "e", strict=False)
    assert words in found.problems[0]
    assert found.left_out == {path.name: 1}
