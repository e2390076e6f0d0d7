from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from napari_nunext.core.scores.metrics import DetectionReport, DetectionScore
from napari_nunext.review.learning.model_names import folder_name, model_name
from napari_nunext.review.learning.training import TrainingError, TrainingStep
from tests.review.fakes import FakeServer, model_info, review_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.learn import TrainingStatus


def report(f1: float, **by_category: float) -> DetectionReport:
    """Figures of 100 nuclei, of which that share was found and the others taken for others."""

    def score(share: float) -> DetectionScore:
        return DetectionScore(
            round(100 * share), 100 - round(100 * share), 100 - round(100 * share)
        )

    scores = {name: score(share) for name, share in by_category.items()}
    return DetectionReport(score(f1), scores, 1, 3.0, "gated")


class FakeTrainer:
    """Trains in no time, and remembers what it was asked."""

    def __init__(self) -> None:
        self.stopped = False
        self.built: list[tuple[Path, tuple[str, ...]]] = []
        self.extended: list[tuple[Path, tuple[str, ...]]] = []
        self.trained: list[tuple[Path, Path]] = []
        self.recipes: list[str] = []
        self.lines = 0
        self.error: Exception | None = None
        self.names: list[str] = []
        self.tested: list[Path | str] = []
        self.figures = [report(0.6), report(0.8)]
        self.tested_on_earlier: list[Path | str] = []
        self.earlier: list[DetectionReport | Exception] = [report(0.9), report(0.9)]

    def stop(self) -> None:
        self.stopped = True

    def build(self, folder: Path, categories: Sequence[str]) -> None:
        self.built.append((folder, tuple(categories)))

    def extend(self, checkpoint: Path, folder: Path, categories: Sequence[str]) -> None:
        self.extended.append((checkpoint, tuple(categories)))
        folder.mkdir()

    def evaluate(self, subject: Path | str, export: Path | None, tell) -> DetectionReport:
        tested, figures = (
            (self.tested_on_earlier, self.earlier)
            if export is None
            else (self.tested, self.figures)
        )
        tested.append(subject)
        tell(1, 1)
        found = figures[len(tested) - 1]
        if isinstance(found, Exception):
            raise found
        return found

    def sft(self, export: Path, checkpoint: Path, out: Path, *, name, asked, tell) -> Path:
        self.names.append(name)
        self.trained.append((checkpoint, out))
        self.recipes.append(asked.recipe)
        self.lines = len((export / "sft.jsonl").read_text().splitlines())
        tell(TrainingStep(1, 2, 4.0, 1.0))
        tell(TrainingStep(1, 2, 4.0, None, "validating"))
        tell(TrainingStep(2, 2, 2.0, None))
        tell(TrainingStep(2, 2, 2.0, None, "saving the model"))
        if self.error is not None:
            raise self.error
        out.mkdir(parents=True)
        return out


@pytest.fixture
def trainer() -> FakeTrainer:
    return FakeTrainer()


@pytest.fixture
def reviewed(
    tmp_path: Path, server: FakeServer, trainer: FakeTrainer, tile_path: Callable[[str], Path]
) -> Iterator[ReviewController]:
    """A controller with one accepted field of one nucleus."""
    made = review_on(
        tmp_path,
        server,
        make_trainer=lambda: trainer,  # type: ignore[arg-type, return-value]
    )
    made.find.connect()
    made.open.paths([tile_path("t.png")])
    made.correct.add(20, 20)
    made.decide.accept()
    yield made
    made.close()


def test_what_was_reviewed_on_other_pixels_is_neither_trained_on_nor_exported(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    path = reviewed.images.model.queue.items[0].path
    field = reviewed.images.model.open_field
    Image.fromarray(field.source.read_region(field.box)[::-1].copy()).save(path)
    reviewed.learn.train()
    assert reviewed.learn.model.training.phase == "failed"
    assert path.name in reviewed.learn.model.training.words
    assert trainer.trained == []
    reviewed.export.training(tmp_path / "export")
    assert path.name in reviewed.model.notice.words
    assert not (tmp_path / "export").exists()


def test_a_model_without_a_folder_here_starts_a_small_new_one(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    phases: list[str] = []
    reviewed.learn.model.events.training.connect(lambda status: phases.append(status.phase))
    reviewed.learn.train()
    status = reviewed.learn.model.training
    assert phases[0] == "exporting"
    assert "building" in phases
    assert status.phase == "done"
    assert status.losses == (4.0, 2.0)
    assert status.checkpoint is not None
    assert status.checkpoint.parent == tmp_path / "models"
    ((base, categories),) = trainer.built
    assert categories == ()
    assert trainer.recipes == ["first"]
    assert trainer.trained[0][0] == base
    assert not base.exists(), "the working folder is cleared away"
    assert trainer.lines == 1


def test_a_model_of_ours_is_trained_further(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    (folder / "nunext.json").write_text("{}")
    reviewed.learn.train()
    assert trainer.built == []
    assert trainer.extended == []
    assert trainer.trained[0][0] == folder
    assert trainer.recipes == ["feedback"]


def test_a_model_that_lacks_the_projects_categories_gets_them_first(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    (folder / "nunext.json").write_text("{}")
    (known, *_) = (c.name for c in reviewed.find.model.models[0].categories)
    reviewed.categories.add("Mitosis")
    reviewed.categories.add("Nucleus")
    reviewed.learn.train()
    ((base, added),) = trainer.extended
    assert base == folder
    assert added == ("Mitosis",)
    assert known not in added
    assert trainer.trained[0][0] != folder
    assert trainer.recipes == ["feedback"]
    question = reviewed.learn.model.training.comparison.question
    assert question.startswith("New to it, and learned from these fields alone: Mitosis.")


def test_a_bundled_model_is_trained_further(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    bundled = tmp_path / "bundled" / "small"
    bundled.mkdir(parents=True)
    (bundled / "nunext.json").write_text("{}")
    reviewed.learn._bundled = bundled.parent
    reviewed.learn.train()
    assert trainer.trained[0][0] == bundled


def trained(controller: ReviewController, server: FakeServer) -> Path:
    """What a training makes, and its server then offers."""
    controller.learn.train()
    checkpoint = controller.learn.model.training.checkpoint
    assert checkpoint is not None
    server.fake.offered = [*server.fake.offered, model_info(id=checkpoint.name, default=False)]
    return checkpoint


def test_the_new_model_can_be_used_at_once(reviewed: ReviewController, server: FakeServer) -> None:
    checkpoint = trained(reviewed, server)
    reviewed.learn.use()
    assert reviewed.find.model.model_id == checkpoint.name


def test_a_training_that_fails_says_why_and_can_be_tried_again(
    reviewed: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.error = TrainingError("Training failed: no space left")
    reviewed.learn.train()
    assert (reviewed.learn.model.training.phase, reviewed.learn.model.training.words) == (
        "failed",
        "Training failed: no space left",
    )
    trainer.error = None
    reviewed.learn.train()
    assert reviewed.learn.model.training.phase == "done"


def test_a_stopped_training_changes_nothing(
    reviewed: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.stopped = True
    trainer.error = TrainingError("Training was stopped.")
    reviewed.learn.train()
    assert reviewed.learn.model.training.phase == "stopped"
    assert reviewed.learn.model.training.checkpoint is None


def test_time_left_is_told_while_there_are_steps_and_at_no_other_time(
    two_patients: ReviewController, trainer: FakeTrainer
) -> None:
    """It read *1 s left* from the last step on, through the saving and all tests."""
    seen: list[tuple[str, str, bool]] = []
    learn = two_patients.learn.model

    def see(status: TrainingStatus) -> None:
        seen.append((status.phase, status.words, status.seconds_left is not None))

    learn.events.training.connect(see)
    two_patients.learn.train()
    told = [each for each in seen if each[0] == "training"]
    assert told == [
        ("training", "Starting", False),
        ("training", "Step 1 of 2", True),
        ("training", "Step 1 of 2, validating", False),
        ("training", "Step 2 of 2", False),
        ("training", "Step 2 of 2, saving the model", False),
    ]
    tests = [(words, known) for phase, words, known in seen if phase == "testing"]
    assert len(tests) > 2
    assert not any(known for _, known in tests)
    assert learn.training.losses == (4.0, 2.0)


@pytest.fixture
def two_patients(
    reviewed: ReviewController, tile_path: Callable[[str], Path]
) -> Iterator[ReviewController]:
    """As `reviewed`, with an accepted field of another patient: one of the two is kept aside."""
    reviewed.open.paths([tile_path("TCGA-A7-A0D9.png")])
    reviewed.correct.add(30, 20)
    reviewed.decide.accept()
    return reviewed


def test_both_models_are_tested_on_what_was_kept_aside(
    two_patients: ReviewController, trainer: FakeTrainer
) -> None:
    said: list[str] = []
    two_patients.learn.model.events.training.connect(lambda status: said.append(status.words))
    two_patients.learn.train()
    status = two_patients.learn.model.training
    assert trainer.tested == ["small", status.checkpoint]
    assert "Testing the old model on 1 patient kept aside" in said
    assert "Testing the new model on 1 patient kept aside, field 1 of 1" in said
    assert status.lesson is not None
    assert status.lesson.words == "Learns from 1 field with 1 nucleus."
    assert status.lesson.kept_words.startswith(
        "Tested on 1 patient kept aside (1 field, 1 nucleus)"
    )
    assert "may be of one person" in status.lesson.kept_words  # t.png does not say whose it is
    (line,) = status.comparison.lines
    assert (line.before, line.after) == (report(0.6).overall, report(0.8).overall)
    assert line.nuclei == 100
    assert status.comparison.question == ""


def test_with_one_patient_nothing_is_tested_and_it_says_so(
    reviewed: ReviewController, trainer: FakeTrainer
) -> None:
    reviewed.learn.train()
    status = reviewed.learn.model.training
    assert trainer.tested == []
    assert status.comparison.lines == ()
    assert status.lesson.kept_words.startswith("One patient only")


@pytest.mark.parametrize(
    ("before", "after", "question"),
    [
        (report(0.78), report(0.71), "fewer nuclei right on the fields kept aside: F1 0.71, bef"),
        (
            report(0.7, Lymphocyte=0.6, Stromal=0.5),
            report(0.8, Lymphocyte=0.4, Stromal=0.6),
            "fewer Lymphocyte nuclei right on the fields kept aside: F1 0.40, before 0.60.",
        ),
    ],
)
def test_a_worse_model_is_put_in_place_only_after_a_question(
    two_patients: ReviewController,
    server: FakeServer,
    trainer: FakeTrainer,
    before: DetectionReport,
    after: DetectionReport,
    question: str,
) -> None:
    trainer.figures = [before, after]
    checkpoint = trained(two_patients, server)
    two_patients.learn.use()
    assert two_patients.find.model.model_id == "small"
    notice = two_patients.model.notice
    assert question in notice.words
    assert notice.action_label == "Use it"
    notice.action()
    assert two_patients.find.model.model_id == checkpoint.name


@pytest.fixture
def with_weights_here(two_patients: ReviewController, tmp_path: Path) -> ReviewController:
    """As `two_patients`, whose model has its weights here: it is trained further."""
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    (folder / "nunext.json").write_text("{}")
    return two_patients


def test_what_the_old_model_knew_is_tested_as_well(
    with_weights_here: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    said: list[str] = []
    with_weights_here.learn.model.events.training.connect(lambda status: said.append(status.words))
    trainer.earlier = [report(0.9, Lymphocyte=0.57), report(0.89, Lymphocyte=0.56)]
    with_weights_here.learn.train()
    status = with_weights_here.learn.model.training
    assert trainer.tested_on_earlier == [tmp_path / "models" / "small", status.checkpoint]
    assert "Testing the new model on tissue that the old one knew, field 1 of 1" in said
    lines = status.comparison.earlier.lines
    assert [line.name for line in lines] == ["All nuclei", "Lymphocyte"]
    assert not any(line.is_worse for line in lines), "a hundredth is forgiven"
    assert status.comparison.question == ""


def test_what_was_forgotten_is_said_before_the_model_is_put_in_place(
    with_weights_here: ReviewController, server: FakeServer, trainer: FakeTrainer
) -> None:
    trainer.figures = [report(0.18), report(0.82)]
    trainer.earlier = [
        report(0.88, Lymphocyte=0.57, Stromal=0.5),
        report(0.84, Lymphocyte=0.39, Stromal=0.5),
    ]
    checkpoint = trained(with_weights_here, server)
    with_weights_here.learn.use()
    assert with_weights_here.find.model.model_id == "small"
    notice = with_weights_here.model.notice
    assert notice.words == (
        "It forgot: it found fewer Lymphocyte nuclei right on tissue that the old one knew: F1 "
        "0.39, before 0.57 (0.18 lost). Use it all the same?"
    )
    notice.action()
    assert with_weights_here.find.model.model_id == checkpoint.name


def test_both_falls_are_said_in_one_question(
    with_weights_here: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.figures = [report(0.78), report(0.71)]
    trainer.earlier = [report(0.9), report(0.8)]
    with_weights_here.learn.train()
    question = with_weights_here.learn.model.training.comparison.question
    assert "fields kept aside: F1 0.71, before 0.78. It forgot: it found fewer nuclei" in question
    assert question.count("Use it all the same?") == 1


def test_with_one_patient_what_it_knew_is_tested_all_the_same(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    (folder / "nunext.json").write_text("{}")
    reviewed.learn.train()
    comparison = reviewed.learn.model.training.comparison
    assert (comparison.lines, trainer.tested) == ((), [])
    assert len(comparison.earlier.lines) == 1
    trainer.tested_on_earlier.clear()
    trainer.earlier = [report(0.9), TrainingError("The test failed: no memory.")]
    reviewed.learn.train()
    comparison = reviewed.learn.model.training.comparison
    assert comparison.problem.startswith("The new model could not be tested here")
    assert comparison.question == ""


def test_a_small_new_model_has_nothing_to_forget(
    two_patients: ReviewController, trainer: FakeTrainer
) -> None:
    two_patients.learn.train()
    assert trainer.tested_on_earlier == []
    assert two_patients.learn.model.training.comparison.earlier.lines == ()


@pytest.mark.parametrize("project", ["same", "another"])
def test_a_worse_model_that_is_chosen_from_the_list_is_asked_about_too(
    two_patients: ReviewController, server: FakeServer, trainer: FakeTrainer, project: str
) -> None:
    trainer.figures = [report(0.78), report(0.71)]
    two_patients.learn.train()
    worse = two_patients.learn.model.training.checkpoint.name
    server.fake.offered = [*server.fake.offered, model_info(id=worse, default=False)]
    two_patients.find.connect()
    if project == "another":
        two_patients.session.leave()  # what a model is worth is the window's knowledge
    two_patients.learn.choose("classical")
    assert two_patients.find.model.model_id == "classical"
    two_patients.learn.choose(worse)
    assert two_patients.find.model.model_id == "classical"
    assert "F1 0.71, before 0.78" in two_patients.model.notice.words
    two_patients.model.notice.action()
    assert two_patients.find.model.model_id == worse


def test_a_model_that_cannot_be_tested_is_not_lost(
    two_patients: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.figures = [TrainingError("The test failed: no model 'small' here."), report(0.8)]
    two_patients.learn.train()
    status = two_patients.learn.model.training
    assert status.phase == "done"
    assert status.comparison.problem.startswith("The old model could not be tested here")
    (line,) = status.comparison.lines
    assert (line.before, line.after) == (None, report(0.8).overall)
    trainer.tested.clear()
    trainer.figures = [TrainingError("Training was stopped.")]
    trainer.stopped = True
    two_patients.learn.train()
    status = two_patients.learn.model.training
    assert (status.phase, status.comparison.lines) == ("done", ())
    assert status.comparison.problem == "The test was stopped: there are no figures."


def test_names_tell_models_apart() -> None:
    at = datetime(2024, 11, 26, 14, 5)
    first = model_name("nunext-small", 1, at)
    assert first == "nunext-small + 1 field, 26 Nov 14:05"
    assert model_name(first, 12, at) == "nunext-small + 12 fields, 26 Nov 14:05"
    assert model_name("nunext-small", 1, at, {first}) == f"{first} (2)"
    folder = folder_name(first, 12, at)
    assert folder == "nunext-small-12-fields-20241126-140500"
    assert folder_name(first, 12, at, {folder}) == f"{folder}-2"


def test_the_new_models_name_says_what_it_learned(
    reviewed: ReviewController, trainer: FakeTrainer
) -> None:
    reviewed.learn.train()
    assert trainer.names[0].startswith("new small + 1 field, ")
    assert reviewed.learn.model.training.name == trainer.names[0]


def test_an_export_is_counted_as_it_was_written(reviewed: ReviewController, tmp_path: Path) -> None:
    reviewed.export.training(tmp_path / "export")
    assert (
        reviewed.model.notice.words == f"Exported 1 field with 1 nucleus to {tmp_path / 'export'}."
    )
