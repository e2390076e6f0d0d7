"""Answerers are taught in the window: by a stand-in for the trainer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from napari_nunext.core.answers.answerer import AnswererFolder, parse_answerer
from napari_nunext.core.answers.prompts import Question
from napari_nunext.review.learning import pupils
from napari_nunext.review.learning.pupils import next_name, pupils_of, text_of
from napari_nunext.review.learning.training import TrainingError, TrainingStep
from napari_nunext.review.shown.ask import Way
from napari_nunext.review.shown.taught import AnswerComparison, figures_of
from tests.review.fakes import FakeServer, answerer_info, review_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController

QUESTIONS = [Question("question", f"Is there {what}?", ("yes", "no")) for what in "abcde"]


def report(value: float, answers: int = 40, **more: float) -> dict[str, Any]:
    """As ``ask evaluate`` writes it."""
    figures = {"closed_accuracy": value, **more}
    return {
        "figures": {
            name: {"value": each, "interval": [each / 2, each], "answers": answers}
            for name, each in figures.items()
        }
    }


class FakeTrainer:
    """Trains in no time, and remembers what it was asked."""

    def __init__(self) -> None:
        self.stopped = False
        self.taught: list[dict[str, Any]] = []
        self.exported: list[str] = []
        self.asked: list[AnswererFolder] = []
        self.error: Exception | None = None
        self.reports: list[Any] = [report(0.5), report(0.7)]

    def stop(self) -> None:
        self.stopped = True

    def teach(self, export: Path, place: AnswererFolder, out: Path, *, tell, **asked: Any) -> None:
        self.taught.append({"place": place, "out": out, "export": export} | asked)
        self.exported = sorted(path.name for path in export.glob("*.jsonl"))
        for step in (1, 2):
            tell(TrainingStep(step, 2, 4.0 / step, 2.0 - step))
        if self.error is not None:
            raise self.error
        out.mkdir(parents=True)
        (out / "training.json").write_text("{}")

    def question(self, export: Path, place: AnswererFolder, *, budget: int, tell) -> Any:
        assert (export / "answers_rft.jsonl").is_file()
        self.asked.append(place)
        tell(1, 3)
        found = self.reports[len(self.asked) - 1]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def trainer() -> FakeTrainer:
    return FakeTrainer()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An answerer's, whose weights are small."""
    made = tmp_path / "vlm"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"0" * 100)
    return made


@pytest.fixture
def make(
    tmp_path: Path, server: FakeServer, trainer: FakeTrainer, folder: Path
) -> Iterator[Callable[[], ReviewController]]:
    """Makes a window on the project; closed with the test."""
    server.answerers = (f"vlm={folder},may_train", "far=http://far.example/v1#m")
    server.fake.answering = [answerer_info(may_train=True)]
    made: list[ReviewController] = []

    def one() -> ReviewController:
        made.append(review_on(tmp_path, server, make_trainer=lambda: trainer))
        made[-1].find.connect()
        made[-1].ask.answerers.look()
        return made[-1]

    yield one
    for each in made:
        each.close()


def judge(review: ReviewController, path: Path, questions: list[Question] = QUESTIONS) -> None:
    """Ask about an image, and accept the answers; the first one is corrected."""
    review.open.paths([path])
    for i, question in enumerate(questions):
        review.ask.ask(question, Way("vlm"))
        if i:
            review.ask.judge.rate(5)
        else:
            review.ask.judge.correct_text("no")


@pytest.fixture
def review(
    make: Callable[[], ReviewController], tile_path: Callable[[str], Path]
) -> ReviewController:
    """Five judged answers about each of two patients; one of these is kept aside."""
    made = make()
    for name in ("TCGA-A1-A0SK.png", "TCGA-A7-A0DA.png"):
        judge(made, tile_path(name))
    made.teach.refresh()
    return made


def test_it_counts_what_there_is_and_who_can_be_taught(review: ReviewController) -> None:
    model = review.teach.model
    assert (model.supply.right.learned, model.supply.right.kept) == (5, 5)
    assert (model.supply.better.total, model.supply.rated.total) == (2, 8)
    assert (model.supply.patients, model.supply.kept_patients) == (2, 1)
    assert [each.name for each in model.pupils] == ["vlm"]
    assert (model.addresses, model.pupil, model.way) == (1, "vlm", "right")
    assert model.can_teach


def test_an_answerer_is_taught_tested_and_put_in_place(
    review: ReviewController, trainer: FakeTrainer, server: FakeServer, folder: Path, tmp_path: Path
) -> None:
    phases: list[str] = []
    said: list[str] = []
    events = review.teach.model.events.status
    events.connect(lambda status: phases.append(status.phase))
    events.connect(lambda status: said.append(status.words))
    review.ask.set_budget(64)
    review.teach.teach()
    (taught,) = trainer.taught
    assert taught["place"].folder == folder
    assert taught["out"] == tmp_path / "answerers" / "vlm-2"
    assert (taught["method"], taught["recipe"], taught["budget"]) == ("sft", "ask_feedback", 64)
    assert taught["steps"] == 20
    assert "answers_sft.jsonl" in trainer.exported
    assert list(dict.fromkeys(phases)) == ["exporting", "training", "testing", "done"]
    assert "Step 2 of 2" in said
    assert "Testing the new answerer, 2 of 3" in said
    assert [each.folder for each in trainer.asked] == [folder, taught["out"]]
    assert not taught["export"].exists(), "pictures are not kept"
    status = review.teach.model.status
    assert (status.parent, status.name) == ("vlm", "vlm-2")
    assert status.kept.startswith("Tested on 1 patient kept aside, of 2")
    (line,) = status.comparison.lines
    assert (line.before.value, line.after.value, line.answers) == (0.5, 0.7, 40)
    server.fake.answering = [*server.fake.answering, answerer_info("vlm-2", may_train=True)]
    review.teach.use()
    place = parse_answerer(server.answerers[-1])
    assert (place.name, place.folder, place.may_train) == ("vlm-2", taught["out"], True)
    assert review.ask.model.answerer == "vlm-2"
    assert list((tmp_path / "answerers").iterdir()) == [taught["out"]], "the lesson is over"
    review.teach.use_old()
    assert review.ask.model.answerer == "vlm"
    review.teach.teach()
    assert trainer.taught[-1]["out"].name == "vlm-3"


@pytest.mark.parametrize(
    ("before", "after", "question"),
    [
        (
            report(0.7),
            report(0.6),
            "worse on what was kept aside: Choices right 0.60, before 0.70",
        ),
        (
            report(0.7, agrees_with_readers=0.6),
            report(0.7, agrees_with_readers=0.5),
            "Agrees with readers 0.50, before 0.60",
        ),
        (report(0.5, 5), report(0.7, 5), "Only 5 answers were kept aside, too few to tell"),
        (TrainingError("no room"), report(0.9), "It was not tested beside the old one."),
    ],
)
def test_what_is_worse_or_cannot_be_told_is_asked_about(
    review: ReviewController,
    trainer: FakeTrainer,
    server: FakeServer,
    before: Any,
    after: Any,
    question: str,
) -> None:
    trainer.reports = [before, after]
    review.teach.teach()
    assert review.teach.model.status.phase == "done"
    known = server.answerers
    review.teach.use()
    assert server.answerers == known
    notice = review.model.notice
    assert question in notice.words
    assert notice.action_label == "Use it"
    notice.action()
    assert server.answerers[-1].startswith("vlm-2=")


def test_answers_of_one_patient_teach_and_nothing_is_tested(
    make: Callable[[], ReviewController], trainer: FakeTrainer, tile_path: Callable[[str], Path]
) -> None:
    review = make()
    judge(review, tile_path("TCGA-A1-A0SK.png"))
    review.teach.refresh()
    review.teach.teach()
    status = review.teach.model.status
    assert trainer.asked == []
    assert (status.phase, status.comparison) == ("done", AnswerComparison())
    assert status.kept.startswith("All answers are of one patient")
    review.teach.use()
    assert "It was not tested" in review.model.notice.words


def rate_all(review: ReviewController, stars: int) -> None:
    """Say nothing but this of each answer about the open image."""
    for shown in review.ask.model.answers:
        review.ask.judge.take_back(shown.id)
        review.ask.judge.rate(stars, shown.id)


def test_patients_of_whom_only_bad_answers_are_known_cannot_be_tested(
    make: Callable[[], ReviewController], trainer: FakeTrainer, tile_path: Callable[[str], Path]
) -> None:
    review = make()
    paths = [tile_path(name) for name in ("TCGA-A1-A0SK.png", "TCGA-A7-A0DA.png")]
    for path in paths:
        judge(review, path)
    for path in paths:
        review.open.paths([path])
        rate_all(review, 1)
        review.teach.refresh()
        if review.teach.model.supply.right.kept == 0:
            break
        rate_all(review, 5)
    review.teach.refresh()
    assert review.teach.model.supply.rated.kept == 5
    review.teach.teach()
    assert trainer.asked == []
    assert review.teach.model.status.kept.startswith("Nobody said what is right")


def test_too_few_answers_teach_nothing(
    make: Callable[[], ReviewController], trainer: FakeTrainer, tile_path: Callable[[str], Path]
) -> None:
    review = make()
    judge(review, tile_path("TCGA-A1-A0SK.png"), QUESTIONS[:4])
    review.teach.refresh()
    assert not review.teach.model.can_teach
    review.teach.teach()
    assert trainer.taught == []


def test_a_teaching_that_is_stopped_goes_on_in_another_window(
    review: ReviewController,
    make: Callable[[], ReviewController],
    trainer: FakeTrainer,
    tmp_path: Path,
) -> None:
    trainer.error = TrainingError("Training was stopped.")
    trainer.stopped = True
    review.teach.teach()
    status = review.teach.model.status
    assert (status.phase, status.can_go_on) == ("stopped", True)
    review.close()
    again = make()
    again.open.project(tmp_path / "review.nunext")
    again.teach.refresh()
    status = again.teach.model.status
    assert (status.phase, status.can_go_on, status.name) == ("stopped", True, "vlm-2")
    trainer.error, trainer.stopped = None, False
    again.teach.go_on()
    assert again.teach.model.status.phase == "done"
    first, second = trainer.taught
    assert {**first, "tell": 0} == {**second, "tell": 0}  # the very same run
    again.close()
    last = make()  # and what came of it was not used yet
    last.open.project(tmp_path / "review.nunext")
    last.teach.refresh()
    shown = last.teach.model.status
    assert (shown.phase, shown.comparison) == ("done", again.teach.model.status.comparison)


def test_a_test_that_is_stopped_is_made_again(
    review: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.reports = [TrainingError("Training was stopped.")]
    trainer.stopped = True
    review.teach.teach()
    assert review.teach.model.status.phase == "stopped"
    trainer.stopped, trainer.reports = False, [None, report(0.5), report(0.7)]
    review.teach.go_on()
    assert review.teach.model.status.phase == "done"
    assert len(trainer.taught) == 1, "it was trained already"


def test_figures_that_are_no_numbers_end_it_for_good(
    review: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.error = TrainingError("Training failed: The loss of step 3 is nan. Its batch is saved")
    review.teach.teach()
    status = review.teach.model.status
    assert (status.phase, status.can_go_on) == ("failed", False)
    assert "no longer numbers" in status.words
    trainer.error = TrainingError("Training failed: Training needs about 9 GB in x")
    review.teach.teach()
    assert review.teach.model.status.can_go_on
    assert "9 GB" in review.teach.model.status.words


def test_words_that_seem_to_name_somebody_are_asked_about(
    review: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    review.ask.judge.comment("Patient born 12.03.1956")
    review.teach.teach()
    assert trainer.taught == []
    assert review.teach.model.status.phase == "idle"
    assert list((tmp_path / "answerers").iterdir()) == []
    notice = review.model.notice
    assert notice.action_label == "Teach all the same"
    notice.action()
    assert review.teach.model.status.phase == "done"


def test_a_folder_that_has_gone_is_said_and_nothing_is_left(
    review: ReviewController, folder: Path, trainer: FakeTrainer, tmp_path: Path
) -> None:
    folder.rename(tmp_path / "elsewhere")
    review.teach.teach()
    status = review.teach.model.status
    assert (status.phase, status.can_go_on) == ("failed", False)
    assert "There is no folder" in status.words
    review.teach.refresh()
    assert "cannot be taught" in review.teach.model.pupils[0].problem
    assert not review.teach.model.can_teach
    assert not (tmp_path / "answerers").exists()


def test_an_image_that_has_gone_leaves_nothing(
    review: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    review.images.model.queue.items[0].path.unlink()
    review.teach.teach()
    assert review.teach.model.status.phase == "failed"
    assert list((tmp_path / "answerers").iterdir()) == []


def test_a_large_answerer_takes_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pupils, "SMALL_BYTES", 10)
    texts = [f"vlm={folder},adapter={folder}"]
    ((pupil,), _) = pupils_of(texts, lambda: "cpu")
    assert "takes a GPU" in pupil.problem
    ((pupil,), _) = pupils_of(texts, lambda: "cuda")
    assert pupil.problem == ""
    place = parse_answerer(texts[0])
    assert pupils.recipe_for(place) == "ask_feedback_7b"


def test_a_lesson_that_cannot_be_read_is_passed_over(
    review: ReviewController, tmp_path: Path
) -> None:
    broken = tmp_path / "answerers" / "x.lesson" / "lesson.json"
    broken.parent.mkdir(parents=True)
    broken.write_text('{"project": 3}')
    review.teach.refresh()
    assert review.teach.model.status.phase == "idle"


def test_an_answerer_is_named_after_its_parent() -> None:
    assert next_name("patho", ()) == "patho-2"
    assert next_name("patho-2", {"patho", "patho-2", "patho-3"}) == "patho-4"
    assert next_name("patho-7", {"patho-7"}) == "patho-7-2"
    assert len(next_name("p" * 64, {"p" * 64})) == 64


def test_a_new_answerer_is_what_its_parent_was(tmp_path: Path) -> None:
    parent = AnswererFolder("p", tmp_path / "base", boxes="thousand", thought="opened", patch_px=32)
    made = parse_answerer(
        text_of(parent, "p-2", tmp_path / "p-2", additions=True, reads_nuclei=True)
    )
    assert made == replace(parent, name="p-2", adapter=tmp_path / "p-2", reads_nuclei=True)
    whole = parse_answerer(
        text_of(parent, "p-2", tmp_path / "p-2", additions=False, reads_nuclei=False)
    )
    assert whole == replace(parent, name="p-2", folder=tmp_path / "p-2")


def test_a_comparison_survives_its_file() -> None:
    made = AnswerComparison(figures_of(report(0.5)), figures_of(report(0.6, map=0.1)), "why")
    assert AnswerComparison.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert [line.name for line in made.lines] == ["Choices right", "Boxes"]
    assert made.lines[1].before is None
    assert not made.lines[1].is_worse
