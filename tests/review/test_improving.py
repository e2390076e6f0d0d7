from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image

from napari_nunext.review.training import TrainingError, TrainingStep
from tests.review.fakes import FakeServer, model_info, review_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


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

    def stop(self) -> None:
        self.stopped = True

    def build(self, folder: Path, categories: Sequence[str]) -> None:
        self.built.append((folder, tuple(categories)))

    def extend(self, checkpoint: Path, folder: Path, categories: Sequence[str]) -> None:
        self.extended.append((checkpoint, tuple(categories)))
        folder.mkdir()

    def sft(self, export: Path, checkpoint: Path, out: Path, *, recipe, steps, tell) -> Path:
        self.trained.append((checkpoint, out))
        self.recipes.append(recipe)
        self.lines = len((export / "sft.jsonl").read_text().splitlines())
        for step in (1, 2):
            tell(TrainingStep(step, 2, 4.0 / step, 2.0 - step))
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
    made.finder.connect()
    made.open_paths([tile_path("t.png")])
    made.add_nucleus(20, 20)
    made.accept_field()
    yield made
    made.close()


def test_what_was_reviewed_on_other_pixels_is_neither_trained_on_nor_exported(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    path = reviewed.model.queue.items[0].path
    Image.fromarray(reviewed.model.open_field.rgb[::-1].copy()).save(path)
    reviewed.improver.train()
    assert reviewed.model.training.phase == "failed"
    assert path.name in reviewed.model.training.words
    assert trainer.trained == []
    reviewed.export_training(tmp_path / "export")
    assert path.name in reviewed.model.notice.words
    assert not (tmp_path / "export").exists()


def test_a_model_without_a_folder_here_starts_a_small_new_one(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    phases: list[str] = []
    reviewed.model.events.training.connect(lambda status: phases.append(status.phase))
    reviewed.improver.train()
    status = reviewed.model.training
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
    reviewed.improver.train()
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
    (known, *_) = (c.name for c in reviewed.model.models[0].categories)
    reviewed.add_category("Mitosis")
    reviewed.add_category("Nucleus")
    reviewed.improver.train()
    ((base, added),) = trainer.extended
    assert base == folder
    assert added == ("Mitosis",)
    assert known not in added
    assert trainer.trained[0][0] != folder
    assert trainer.recipes == ["feedback"]


def test_a_bundled_model_is_trained_further(
    reviewed: ReviewController, trainer: FakeTrainer, tmp_path: Path
) -> None:
    bundled = tmp_path / "bundled" / "small"
    bundled.mkdir(parents=True)
    (bundled / "nunext.json").write_text("{}")
    reviewed.improver._bundled = bundled.parent
    reviewed.improver.train()
    assert trainer.trained[0][0] == bundled


def test_the_new_model_can_be_used_at_once(reviewed: ReviewController, server: FakeServer) -> None:
    reviewed.improver.train()
    checkpoint = reviewed.model.training.checkpoint
    assert checkpoint is not None
    server.fake.offered = [*server.fake.offered, model_info(id=checkpoint.name, default=False)]
    reviewed.improver.use()
    assert reviewed.model.model_id == checkpoint.name


def test_a_training_that_fails_says_why_and_can_be_tried_again(
    reviewed: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.error = TrainingError("Training failed: no space left")
    reviewed.improver.train()
    assert (reviewed.model.training.phase, reviewed.model.training.words) == (
        "failed",
        "Training failed: no space left",
    )
    trainer.error = None
    reviewed.improver.train()
    assert reviewed.model.training.phase == "done"


def test_a_stopped_training_changes_nothing(
    reviewed: ReviewController, trainer: FakeTrainer
) -> None:
    trainer.stopped = True
    trainer.error = TrainingError("Training was stopped.")
    reviewed.improver.train()
    assert reviewed.model.training.phase == "stopped"
    assert reviewed.model.training.checkpoint is None
