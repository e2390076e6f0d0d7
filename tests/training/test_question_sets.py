"""Each set of questions is read as its documentation says, and becomes an export for trainers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from napari_nunext.core.answers.prompts import SYSTEM
from napari_nunext.core.answers.reply import parse_reply
from napari_nunext.core.formats.export_folder import read_export
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.importers import IMPORTERS
from nunext_training.data.importers.questions import QUESTION_IMPORTERS
from nunext_training.recipes.recipe import changed, load_recipe
from nunext_training.stages.answers import AnswerJob, run_answers
from tests.training.question_sets import (
    QUESTION_SETS,
    imported,
    multiple_choice,
    one_line,
    path_vqa,
)

every_set = pytest.mark.parametrize("name", sorted(QUESTION_SETS))


def said_of(export):
    """Split, prompt and truth of each question, in order."""
    return [
        (r.source.split, r.prompt[1]["content"], r.truth)
        for r in export.answers_for_trainers["answers_rft"]
    ]


def test_every_importer_has_a_set_here_and_a_name_of_its_own():
    assert QUESTION_SETS.keys() == QUESTION_IMPORTERS.keys()
    assert not QUESTION_IMPORTERS.keys() & IMPORTERS.keys()


@every_set
def test_a_layout_is_recognised_as_its_own(name, tmp_path):
    folder = QUESTION_SETS[name](tmp_path / "set")
    assert [i.name for i in QUESTION_IMPORTERS.values() if i.recognises(folder)] == [name]


@every_set
def test_an_export_holds_and_says_the_same_to_every_trainer(name, tmp_path):
    export = imported(name, QUESTION_SETS[name](tmp_path / "set"), tmp_path / "out")
    sft, rft = (export.answers_for_trainers[f"answers_{kind}"] for kind in ("sft", "rft"))
    assert len(sft) == len(rft) == export.manifest.counts["answers_sft"] > 0
    for taught, asked in zip(sft, rft, strict=True):
        assert (taught.id, taught.prompt, taught.boxes) == (asked.id, asked.prompt, asked.boxes)
        assert taught.prompt[0]["content"] == SYSTEM
        reply = parse_reply(taught.completion[0]["content"])
        assert reply.exact
        assert (reply.think, reply.answer) == ("", asked.truth)
        assert not asked.options or asked.truth in asked.options
        assert re.fullmatch("[0-9a-f]{16}", taught.source.patient)
    importer = QUESTION_IMPORTERS[name]
    source = "user" if importer.mpp_is_said else "assumed"
    assert {(r.source.mpp, r.source.mpp_source) for r in sft} == {(importer.mpp, source)}


@every_set
def test_scale_and_side_that_a_person_gives_prevail(name, tmp_path):
    folder = QUESTION_SETS[name](tmp_path / "set")
    options = ("--mpp", "0.31", "--split", "test")
    export = imported(name, folder, tmp_path / "out", *options)
    sources = [r.source for r in export.answers_for_trainers["answers_sft"]]
    assert {(s.mpp, s.mpp_source, s.split) for s in sources} == {(0.31, "user", "test")}


@every_set
def test_another_folder_is_one_sentence(name, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["import", name, str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 2
    assert "has not the layout of" in one_line(capsys)
    assert main(["import", name, "--out", str(tmp_path / "out")]) == 2
    assert "is read from a folder" in one_line(capsys)


def test_categories_of_nuclei_cannot_be_renamed_in_questions(tmp_path, capsys):
    command = ["import", "pathvqa", str(path_vqa(tmp_path / "set")), "--out", str(tmp_path / "out")]
    assert main([*command, "--rename", "a=b"]) == 2
    assert "--rename is of categories of nuclei" in one_line(capsys)


def test_the_register_is_what_help_and_documentation_show(capsys):
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[2] / "training" / "README.md").read_text("utf-8")
    for importer in QUESTION_IMPORTERS.values():
        assert re.search(rf"^  {importer.name} +{re.escape(importer.title)}$", shown, re.MULTILINE)
        (row,) = re.findall(rf"^\| `{importer.name}` \|.*$", page, re.MULTILINE)
        for said in (importer.licence, importer.link, importer.not_carried, f"{importer.mpp:g}"):
            assert said in row


def test_pathvqa_keeps_its_split_and_each_picture_once(tmp_path, capsys):
    export = imported("pathvqa", path_vqa(tmp_path / "set"), tmp_path / "out")
    assert said_of(export) == [
        ("test", "does this image show fat?", "no"),
        ("train", "is there necrosis?", "yes"),
        ("train", "what is present?", "a pleomorphic adenoma"),
        ("val", "how many glands are there?", "3"),
    ]
    assert export.manifest.counts == {"answers_sft": 4, "answers_rft": 4, "images": 3}
    told = capsys.readouterr()
    assert "(2 train, 1 val, 1 test)" in told.out
    assert "does not say its scale; 0.5 um per pixel is assumed" in told.err


def test_pickles_of_pathvqa_are_refused_unopened(tmp_path, capsys):
    folder = tmp_path / "set" / "qas" / "train"
    folder.mkdir(parents=True)
    (folder / "train_qa.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert main(["import", "pathvqa", str(tmp_path / "set"), "--out", str(tmp_path / "out")]) == 2
    assert "train_qa.pkl is a pickle, which runs code when it is opened" in one_line(capsys)


def test_parquet_of_another_form_is_one_sentence(tmp_path, capsys):
    folder = path_vqa(tmp_path / "set", columns=("image", "question", "answers"))
    command = ["import", "pathvqa", str(folder), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "parquet has no column answer; expected image, question, answer" in one_line(capsys)
    path = next((folder / "data").glob("test-*"))
    path.write_bytes(b"PAR1")
    assert main(command) == 2
    assert f"{path.name} cannot be read" in one_line(capsys)
    assert not (tmp_path / "out").exists()


def test_damage_within_a_table_is_a_line_and_the_other_tables_are_imported(tmp_path, caplog):
    folder = path_vqa(tmp_path / "set")
    path = next((folder / "data").glob("test-*"))
    path.write_bytes(b"PAR1" + b"\xff" * 400 + path.read_bytes()[404:])
    export = imported("pathvqa", folder, tmp_path / "out")
    assert [split for split, *_ in said_of(export)] == ["train", "train", "val"]
    told = [record.getMessage() for record in caplog.records]
    assert any(f"Left out: {path.name} is damaged" in line for line in told)
    assert not any("\n" in line for line in told)


def test_pathmmu_trains_on_test_without_what_the_paper_tests(tmp_path):
    export = imported("pathmmu", QUESTION_SETS["pathmmu"](tmp_path / "set"), tmp_path / "out")
    options = "(A) Mitosis, (B) Necrosis, (C) A normal gland"
    assert said_of(export) == [
        ("train", f"What is shown? {options}", "Necrosis"),
        ("train", f"What is wrong? {options}", "A normal gland"),
        ("val", f"What is shown? {options}", "Mitosis"),
        ("test", f"What is shown? {options}", "Necrosis"),
    ]
    images = [r.images[0] for r in export.answers_for_trainers["answers_rft"]]
    assert images == [f"images/{name}.png" for name in "aabc"]


def test_records_name_the_part_of_pathmmu_and_older_ones_are_read_without(tmp_path):
    export = imported("pathmmu", QUESTION_SETS["pathmmu"](tmp_path / "set"), tmp_path / "out")
    for kind in ("answers_sft", "answers_rft"):
        for record in export.answers_for_trainers[kind]:
            assert record.subset == "PubMed"
            assert type(record).from_json(record.to_json()) == record
            before = {key: value for key, value in record.to_json().items() if key != "subset"}
            assert type(record).from_json(before).subset is None
            assert type(record).from_json(before).to_json() == before


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"answer": "D) Fat"}, r"PubMed, test, question 9 has the answer 'D\) Fat'"),
        ({"answer": ""}, "question 9 has the answer ''"),
        ({"img": "gone.jpg"}, r"question 9 has no picture: images/gone\.jpg is missing"),
        ({"img": "../data.json"}, "question 9 has no picture"),
        ({"img": "broken.jpg"}, r"broken\.jpg"),
        ({"question": " "}, "question 9: Nothing can be asked yet"),
        ({"options": 3}, "A question of PubMed, test is malformed"),
        ({"question": "A" * 9000}, "question 9: The question has 90.. characters"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_broken_question_is_named_and_the_others_are_imported(
    broken, told, tmp_path, capsys, caplog
):
    folder = QUESTION_SETS["pathmmu"](tmp_path / "set")
    (folder / "images" / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    listed = json.loads((folder / "data.json").read_text())
    listed["PubMed"]["test"].append(multiple_choice(9, "a.jpg") | broken)
    (folder / "data.json").write_text(json.dumps(listed))
    command = ["import", "pathmmu", str(folder), "--out", str(tmp_path / "out")]
    assert main([*command, "--strict"]) == 2
    assert re.search(told, one_line(capsys))
    assert not (tmp_path / "out").exists()
    assert main(command) == 0
    assert re.search(told, caplog.text)
    assert "Left out 1 of 5 entries; 4 are used" in caplog.text
    assert len(said_of(read_export(tmp_path / "out", strict=True))) == 4


@pytest.mark.parametrize("text", ["{", "[]", '{"PubMed": 3}', '{"PubMed": {"dev": [{}]}}'])
def test_a_list_that_is_none_is_one_sentence(text, tmp_path, capsys):
    folder = QUESTION_SETS["pathmmu"](tmp_path / "set")
    (folder / "data.json").write_text(text)
    assert main(["import", "pathmmu", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "data.json" in one_line(capsys)


def test_patients_on_both_sides_and_repeated_questions_are_told(tmp_path, capsys):
    folder = QUESTION_SETS["pathmmu"](tmp_path / "set")
    listed = json.loads((folder / "data.json").read_text())
    listed["PubMed"]["val"] += [
        multiple_choice(5, "a.jpg"),
        multiple_choice(6, "a.jpg", answer="A) Mitosis"),
    ]
    (folder / "data.json").write_text(json.dumps(listed))
    imported("pathmmu", folder, tmp_path / "out")
    told = capsys.readouterr().err
    assert "left out 1 question asked before of the same picture" in told
    assert "the published split has 1 patients in more than one part" in told


def test_an_answerer_learns_from_a_set_and_rewards_read_it(tmp_path, answerer_folder, recorder):
    out = tmp_path / "out"
    imported("pathvqa", path_vqa(tmp_path / "set"), out)
    recipe = changed(
        load_recipe("ask_small"),
        optimiser={"steps": 1, "batch_size": 1, "warmup_steps": 0},
        validation={"every_steps": 1},
        ask={"budget": 4},
    )
    job = AnswerJob((out,), answerer_folder, tmp_path / "new", recipe)
    assert run_answers(job, recorder) == tmp_path / "new"
    rows = read_answers([out], "grpo", budget=4, patch_px=28, strict=True)
    assert [row["truth"] for row in rows.train] == ["yes", "a pleomorphic adenoma"]


CLASSES = {
    "unitopatho": (
        "Classify this pathological image into one of these categories: (A) Normal tissue, "
        "(B) Hyperplastic polyp, (C) Tubular adenoma with high-grade dysplasia, (D) Tubular "
        "adenoma with low-grade dysplasia, (E) Tubulo-villous adenoma with high-grade dysplasia, "
        "(F) Tubulo-villous adenoma with low-grade dysplasia"
    ),
    "esca": (
        "Classify this pathological image into one of these categories: (A) Adventitia, (B) "
        "Lamina propria mucosae, (C) Muscularis mucosae, (D) Muscularis propria, (E) Regression "
        "tissue, (F) Gastric mucosa, (G) Esophageal mucosa, (H) Submucosa, (I) Submucosal glands, "
        "(J) Tumor, (K) Ulceration"
    ),
}


def test_unitopatho_asks_for_one_of_six_classes_and_keeps_slides_together(tmp_path):
    export = imported("unitopatho", QUESTION_SETS["unitopatho"](tmp_path / "set"), tmp_path / "out")
    low = "Tubulo-villous adenoma with low-grade dysplasia"
    assert said_of(export) == [
        ("train", CLASSES["unitopatho"], low),
        ("train", CLASSES["unitopatho"], low),
        ("train", CLASSES["unitopatho"], "Normal tissue"),
        ("test", CLASSES["unitopatho"], "Hyperplastic polyp"),
    ]
    a, b, c, d = (r.source.patient for r in export.answers_for_trainers["answers_sft"])
    assert a == b
    assert len({a, c, d}) == 3


def test_esca_trains_on_one_institute_and_tests_on_the_others(tmp_path):
    export = imported("esca", QUESTION_SETS["esca"](tmp_path / "set"), tmp_path / "out")
    assert said_of(export) == [
        ("train", CLASSES["esca"], "Submucosal glands"),
        ("train", CLASSES["esca"], "Tumor"),
        ("test", CLASSES["esca"], "Submucosa"),
        ("test", CLASSES["esca"], "Tumor"),
        ("test", CLASSES["esca"], "Tumor"),
    ]
    *others, first, second = (r.source.patient for r in export.answers_for_trainers["answers_sft"])
    assert first == second
    assert len({*others, first}) == 4


@pytest.mark.parametrize(
    ("name", "broken", "what", "told"),
    [
        ("unitopatho", "800/NORM/2-B3*", "damaged", "2-B3-NORM.ndpi"),
        ("unitopatho", "800/NORM/2-B3*", "missing", "2-B3-NORM.ndpi"),
        ("esca", "VALSET2_WNS/SUBMUC/submuc*", "damaged", "submuc.0.jpg"),
        ("crag", "CRAG/valid/Images/*", "damaged", "test_1.png"),
        ("crag", "CRAG/valid/Annotation/*", "damaged", "test_1.png cannot be read as a label"),
        ("crag", "CRAG/valid/Annotation/*", "missing", "valid/Annotation/test_1.png is missing"),
        ("digestpath", "tissue-train-pos-v1/18-00530A*64.jpg", "damaged", "-215-186-80-64.jpg"),
        ("digestpath", "*/18-00530A*_mask.jpg", "damaged", "215-186-80-64_mask.jpg"),
        ("digestpath", "*/18-00530A*_mask.jpg", "missing", "215-186-80-64_mask.jpg is missing"),
    ],
)
def test_a_broken_file_is_named_and_the_others_are_imported(
    name, broken, what, told, tmp_path, capsys, caplog
):
    folder = QUESTION_SETS[name](tmp_path / "set")
    whole = len(QUESTION_IMPORTERS[name].members(folder))
    (path,) = folder.glob(broken)
    if what == "missing":
        path.unlink()
    else:
        path.write_bytes(b"\x89PNG this was a picture")
    command = ["import", name, str(folder), "--out", str(tmp_path / "out")]
    assert main([*command, "--strict"]) == 2
    assert told in one_line(capsys)
    assert not (tmp_path / "out").exists()
    assert main(command) == 0
    assert told in caplog.text
    assert f"Left out 1 of {whole} entries" in caplog.text
    read_export(tmp_path / "out", strict=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image_id,label\na.png,HP\n", "800/test.csv has no column top_label_name; it has"),
        ("image_id,top_label_name\na.png,SSA\n", "800/test.csv line 2 has the class 'SSA'"),
        (None, "800/test.csv is missing"),
    ],
)
def test_a_list_of_unitopatho_that_does_not_hold_is_one_sentence(text, told, tmp_path, capsys):
    folder = QUESTION_SETS["unitopatho"](tmp_path / "set")
    (folder / "800" / "test.csv").unlink()
    if text is not None:
        (folder / "800" / "test.csv").write_text(text)
    command = ["import", "unitopatho", str(folder), "--out", str(tmp_path / "out"), "--strict"]
    assert main(command) == 2
    assert told in one_line(capsys)


def test_a_class_that_nobody_knows_is_one_sentence(tmp_path, capsys):
    folder = QUESTION_SETS["esca"](tmp_path / "set")
    (folder / "VALSET1_UKK" / "FAT").mkdir(parents=True)
    assert main(["import", "esca", str(folder), "--out", str(tmp_path / "out")]) == 2
    assert "VALSET1_UKK has the class 'FAT'; expected ADVENT" in one_line(capsys)
