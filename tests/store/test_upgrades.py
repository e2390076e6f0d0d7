"""Projects and exports of every earlier form open, with a copy before anything is changed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from napari_nunext.commands.export import export_project
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.identity import file_sha256
from napari_nunext.review.soundness import at_opening
from napari_nunext.store import Project
from napari_nunext.store.imports.export_folder import import_training
from napari_nunext.store.tables.migrations import STEPS
from napari_nunext.store.tables.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from pathlib import Path

PROJECTS = ["1-first", "1", "2-first", "2", "3", "4", "5"]
EXPORTS = PROJECTS[1:]
"""The first version had no exports."""


@pytest.fixture
def kept(request: pytest.FixtureRequest, repo_root: Path, tmp_path: Path) -> Path:
    """A folder with what a version left behind; the parameter is its name."""
    folder = tmp_path / "kept"
    archive = repo_root / "tests" / "fixtures" / "upgrades" / f"project-{request.param}.zip"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


def every(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kept", names, indirect=True)


def standing(project: Project) -> dict[str, Any]:
    """What `expected.json` says, as this version has it."""
    (image,) = project.images()
    state = project.state(image.sha256)
    return {
        "answers": [[a.said.answer, a.asked.question.text] for a in project.answers()],
        "nuclei": sorted(
            [str(uid), n.nucleus.x_px, n.nucleus.y_px, n.nucleus.category, n.status, n.flagged]
            for uid, n in state.nuclei.items()
        ),
        "events": project.verify(),
        "comments": [comment.text for comment in state.comments],
    }


def stored_version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT max(version) FROM migration").fetchone()[0])


def test_every_version_that_there_was_has_a_project_here() -> None:
    versions = {int(name.partition("-")[0]) for name in PROJECTS}
    assert versions == {1, *STEPS} == set(range(1, SCHEMA_VERSION + 1))


@every(PROJECTS)
def test_a_project_stands_as_its_version_said_and_was_copied_before(kept: Path) -> None:
    path = kept / "review.nunext"
    before, version = file_sha256(path), stored_version(path)
    with Project.open(path, annotator="CD", create=False) as project:
        copy = project.copy_of_before
        found = standing(project)
        notice = at_opening(project)
    assert found == json.loads((kept / "expected.json").read_text("utf-8"))
    assert stored_version(path) == SCHEMA_VERSION
    if version == SCHEMA_VERSION:
        assert copy is None
        assert notice is None
        return
    assert copy.name in notice.words  # the person is told
    assert copy == path.with_name(f"review.nunext.version-{version}")
    assert stored_version(copy) == version
    # The copy is that project: what the version before wrote, whole, in one file.
    with Project.open(copy, annotator="CD", mode="r", create=False) as project:
        assert standing(project) == found
    with closing(sqlite3.connect(copy)) as database:
        kept_rows = list(database.execute("SELECT seq, kind, payload, hash FROM event"))
    with closing(sqlite3.connect(path)) as database:
        assert list(database.execute("SELECT seq, kind, payload, hash FROM event")) == kept_rows
    assert before != file_sha256(path)


@every(["2", "4", "5"])
def test_how_far_off_nuclei_may_be_is_known_since_version_5(kept: Path) -> None:
    path = kept / "review.nunext"
    since = stored_version(path) >= 5
    with Project.open(path, annotator="CD", create=False) as project:
        (image,) = project.images()
        nuclei = [n.nucleus for n in project.state(image.sha256).nuclei.values()]
    said = {n.uid: n.position_error_um for n in nuclei if n.position_error_um is not None}
    assert len(nuclei) > 5
    assert said == {n.uid: n.confidence * 2 for n in nuclei if n.uid in said}
    assert len(said) == (5 if since else 0)  # of seven one was deleted, one moved


@every(PROJECTS)
def test_who_only_reads_leaves_the_file_alone(kept: Path) -> None:
    path = kept / "review.nunext"
    before = hashlib.sha256(path.read_bytes()).digest()
    with Project.open(path, annotator="CD", mode="r", create=False) as project:
        assert standing(project) == json.loads((kept / "expected.json").read_text("utf-8"))
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert not list(kept.glob("*.version-*"))


@every(EXPORTS)
def test_a_project_exports_the_nuclei_that_its_own_version_exported(kept: Path) -> None:
    export_project(kept / "review.nunext", kept / "again", "training")
    then, now = read_export(kept / "export"), read_export(kept / "again")
    assert [r.nuclei for r in then.sft] == [r.nuclei for r in now.sft]
    assert [r.messages for r in then.sft] == [r.messages for r in now.sft]
    assert len(now.answers) >= len(then.answers)


@every(EXPORTS)
def test_an_export_is_read_and_becomes_a_project_again(kept: Path) -> None:
    export = read_export(kept / "export")
    assert len(export.sft) == len(export.rft) == len(export.preferences) == 1
    with Project.open(kept / "new.nunext", annotator="CD") as project:
        import_training(project, kept / "export")
        nuclei = [
            uid
            for image in project.images()  # regions of answers come back as images of their own
            for uid in project.state(image.sha256).nuclei
        ]
    # Rejected nuclei come back beside those that stand.
    expected = json.loads((kept / "expected.json").read_text("utf-8"))["nuclei"]
    assert len(nuclei) == len(expected)
