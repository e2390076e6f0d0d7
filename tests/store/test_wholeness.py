from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from napari_nunext.core.errors import ProjectLockedError, StoreError
from napari_nunext.store import Project, events
from tests.store.conftest import IMAGE, entry


def flag(project: Project) -> None:
    project.append([events.flag_field(IMAGE)])


def copied_alone(path, tmp_path):
    """The one file, without what lies beside it."""
    copy = tmp_path / "elsewhere" / path.name
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(path, copy)
    return copy


def beside(path):
    return {p.name.removeprefix(path.name) for p in path.parent.iterdir() if p.is_file()}


@pytest.mark.parametrize("rest", [Project.checkpoint, Project.close], ids=["pause", "close"])
def test_the_one_file_is_whole_after_a_pause_and_after_closing(project, path, tmp_path, rest):
    for _ in range(3):
        flag(project)
    rest(project)
    with Project.open(copied_alone(path, tmp_path), annotator="xy") as copy:
        assert copy.verify() == 3
        assert not copy.lost_log


def test_closing_leaves_nothing_beside_the_file_but_the_lock(project, path):
    flag(project)
    project.close()
    assert beside(path) <= {"", ".lock"}


def test_a_project_that_was_only_opened_is_whole_at_once(project, path, tmp_path):
    project.close()
    with (
        Project.open(path, annotator="jd"),
        Project.open(copied_alone(path, tmp_path), annotator="xy") as copy,
    ):
        assert not copy.lost_log


@pytest.mark.parametrize("mode", ["rw", "r"])
def test_a_copy_without_its_log_says_so_once_something_was_in_it(project, path, tmp_path, mode):
    flag(project)
    project.checkpoint()
    flag(project)
    copy = copied_alone(path, tmp_path)
    with Project.open(copy, annotator="xy", mode=mode) as opened:
        assert opened.lost_log
        assert opened.verify() == 1
    with Project.open(path, annotator="xy", mode="r") as beside_its_log:
        assert not beside_its_log.lost_log


def test_a_copy_with_its_log_lost_nothing(project, path, tmp_path):
    project.checkpoint()
    flag(project)
    copy = copied_alone(path, tmp_path)
    shutil.copy(path.with_name(path.name + "-wal"), copy.with_name(copy.name + "-wal"))
    with Project.open(copy, annotator="xy") as opened:
        assert not opened.lost_log
        assert opened.verify() == 1


def test_an_empty_shell_of_a_project_is_known_as_one(tmp_path):
    """What versions without checkpoints left as the one file: a header, and no table."""
    path = tmp_path / "shell.nunext"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with Project.open(path, annotator="jd") as project:
        assert project.lost_log
        assert project.images() == ()


CHILD = """
import os, sys
from napari_nunext.store import Project, events
project = Project.open(sys.argv[1], annotator="child")
project.append([events.flag_field(sys.argv[2])])
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills the POSIX way")
def test_a_killed_process_loses_nothing_and_nothing_is_said_to_be_lost(project, path):
    project.close()
    subprocess.run([sys.executable, "-c", CHILD, str(path), IMAGE], check=False)
    with Project.open(path, annotator="jd") as again:
        assert again.verify() == 1
        assert not again.lost_log


def test_a_reader_in_the_way_costs_no_error_and_the_next_pause_makes_it_whole(
    project, path, tmp_path
):
    flag(project)
    with Project.open(path, annotator="xy", mode="r") as reader:
        with reader.database.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM event").fetchone()
            flag(project)
            assert not project.checkpoint()
            flag(project)
        assert project.checkpoint()
    with Project.open(copied_alone(path, tmp_path), annotator="xy") as copy:
        assert copy.verify() == 3
        assert not copy.lost_log


def test_a_backup_of_an_open_project_is_one_whole_file(project, path, tmp_path):
    flag(project)
    target = tmp_path / "backup.nunext"
    with Project.open(path, annotator="xy", mode="r") as reader:
        reader.backup(target)
    assert not list(tmp_path.glob("backup.nunext-*"))
    flag(project)
    with Project.open(target, annotator="xy") as copy:
        assert copy.verify() == 1
        assert copy.uid == project.uid
        assert copy.images() == (entry(),)
        assert not copy.lost_log
    before = target.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        project.backup(target)
    with pytest.raises(StoreError, match="does not exist"):
        project.backup(tmp_path / "none" / "b.nunext")
    assert target.read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_a_project_open_in_this_application_is_not_said_to_be_elsewhere(project, path):
    with pytest.raises(ProjectLockedError, match="in another window of this application"):
        Project.open(path, annotator="jd")


def test_a_journal_that_lost_its_end_says_so(project, path):
    flag(project)
    project.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM event")
    with (
        Project.open(path, annotator="jd") as again,
        pytest.raises(StoreError, match="ends at event 0, but 1 were written"),
    ):
        again.verify()
