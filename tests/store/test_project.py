from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import create_mock_engine

from napari_nunext.core.errors import InputError, ProjectLockedError, StoreError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import Project, RunFound, events
from napari_nunext.store.project import utc_now
from napari_nunext.store.tables import migrations, schema
from napari_nunext.store.tables.database import Database
from tests.store.conftest import IMAGE, WHOLE, entry, predicted, run_info, ticking

OTHER = "cd" * 32


def reopened(path, **more):
    return Project.open(path, **({"annotator": "jd"} | more))


def test_reopening_shows_the_same_state(project, path):
    run = project.start_run(IMAGE, run_info())
    mask = Mask.from_array(np.ones((2, 3), dtype=bool), 4, 5)
    a, b, c = predicted(10.123456789, 10), replace(predicted(20, 20), mask=mask), predicted(30, 30)
    a, b = replace(a, position_error_um=0.8123456789), replace(b, position_error_um=1.5)
    project.append([events.use_run(IMAGE, run, WHOLE)])
    project.add_predictions(run, [a, b])
    project.add_predictions(run, [c])
    project.add_predictions(run, [])
    project.add_found(run, RunFound(hidden=[c.uid]))
    project.add_found(run, RunFound(hidden=[c.uid]))
    project.add_found(run, RunFound(masks={a.uid: mask}))
    project.finish_run(run, "complete")
    project.append([events.move(IMAGE, b.uid, 21, 20), events.add(IMAGE, 50, 50, "Stroma")])
    before = project.state(IMAGE)
    assert len(before.nuclei) == 3
    assert before.nuclei[a.uid].nucleus == replace(a, mask=mask)
    assert before.nuclei[b.uid].nucleus.position_error_um is None  # somebody moved it
    runs, journal = project.predictions(IMAGE), project.journal(IMAGE)
    project.close()
    with reopened(path) as again:
        assert again.state(IMAGE) == before
        assert again.predictions(IMAGE) == runs
        assert again.journal(IMAGE) == journal
        assert runs[0].info == run_info()
        assert again.uid == project.uid
        assert again.verify() == 3


def test_events_are_stamped_and_numbered(project):
    (first,) = project.append([events.flag_field(IMAGE)])
    second, third = project.append(project.stamp(events.grouped([events.flag_field(IMAGE)] * 2)))
    assert [e.seq for e in (first, second, third)] == [1, 2, 3]
    assert {e.annotator for e in (first, second, third)} == {"jd"}
    assert first.at_utc < second.at_utc == third.at_utc
    assert project.journal(IMAGE) == (first, second, third)
    assert project.append([]) == ()


def test_an_image_is_known_by_its_hash_wherever_it_lies(project):
    project.set_scale(IMAGE, 0.25, "user")
    again = project.add_image(entry(path="/elsewhere/b.png", name="b.png", patient="P1"))
    assert (again.path, again.name, again.mpp, again.mpp_source, again.patient) == (
        "/elsewhere/b.png",
        "b.png",
        0.25,
        "user",
        "P1",
    )
    assert project.images() == (again,) == (project.image(IMAGE),)
    assert project.add_image(entry(patient=None)).patient == "P1"
    with pytest.raises(StoreError, match="knows it as 100 x 80"):
        project.add_image(entry(width_px=50))


def test_the_scale_is_an_event(project):
    event = project.set_scale(IMAGE, 0.25, "user")
    assert project.image(IMAGE).mpp == 0.25
    assert project.journal(IMAGE) == (event,)
    assert project.state(IMAGE).undo_steps("jd") == 0


def test_categories_keep_their_order(project):
    assert project.categories() == ()
    wanted = (Category("Tumour", (1, 2, 3)), Category("Lymphocyte", (4, 5, 6)))
    project.set_categories(wanted)
    assert project.categories() == wanted
    project.set_categories(wanted[::-1])
    assert project.categories() == wanted[::-1]
    project.set_categories(())
    assert project.categories() == ()
    with pytest.raises(InputError, match="share a name"):
        project.set_categories((wanted[0], wanted[0]))
    assert project.verify() == 3


def test_predictions_are_immutable_once_the_run_is_over(project):
    run = project.start_run(IMAGE, run_info())
    n = predicted(1, 1)
    project.add_predictions(run, [n])
    with pytest.raises(StoreError, match="1 are of nuclei it did not predict"):
        project.add_found(run, RunFound(masks={uuid4(): Mask(0, 0, 1, 1, (0, 1))}))
    project.finish_run(run, "cancelled")
    for change in (
        lambda: project.add_predictions(run, [predicted(2, 2)]),
        lambda: project.add_found(run, RunFound(hidden=[n.uid])),
        lambda: project.add_found(run, RunFound(masks={n.uid: Mask(0, 0, 1, 1, (0, 1))})),
        lambda: project.finish_run(run, "complete"),
    ):
        with pytest.raises(StoreError, match="is cancelled"):
            change()
    with pytest.raises(StoreError, match="no run"):
        project.add_predictions(str(uuid4()), [])
    with pytest.raises(InputError, match="cannot finish as 'running'"):
        project.finish_run(run, "running")


@pytest.mark.parametrize(
    "bad", [predicted(float("nan"), 1), predicted(1, 1, confidence=1.5)], ids=["place", "sureness"]
)
def test_a_batch_with_a_bad_prediction_is_refused_whole(project, bad):
    run = project.start_run(IMAGE, run_info())
    with pytest.raises(InputError, match="A prediction"):
        project.add_predictions(run, [predicted(1, 1), bad])
    assert project.predictions(IMAGE)[0].nuclei == ()


def test_an_unknown_image_is_refused(project):
    for call in (
        lambda: project.append([events.flag_field(IMAGE), events.flag_field(OTHER)]),
        lambda: project.start_run(OTHER, run_info()),
        lambda: project.image(OTHER),
        lambda: project.set_scale(OTHER, 0.5, "user"),
    ):
        with pytest.raises(StoreError, match="not in this project"):
            call()
    assert project.journal(IMAGE) == ()


# Several windows


def test_a_second_window_is_told_who_has_the_project_open(project, path):
    with pytest.raises(ProjectLockedError, match="in another window of this application"):
        reopened(path, annotator="xy")
    with reopened(path, annotator="xy", mode="r") as reader:
        project.append([events.flag_field(IMAGE)])
        assert reader.state(IMAGE).flagged
        with pytest.raises(StoreError, match="reading only"):
            reader.append([events.flag_field(IMAGE)])
    project.append([events.flag_field(IMAGE)])
    project.close()
    project.close()
    with reopened(path, annotator="xy") as other:
        assert len(other.journal(IMAGE)) == 2


def test_a_run_reads_as_running_only_while_someone_writes(project, path):
    project.start_run(IMAGE, run_info())
    with reopened(path, mode="r") as reader:
        assert reader.predictions(IMAGE)[0].status == "running"
        project.close()
        assert reader.predictions(IMAGE)[0].status == "interrupted"
    with reopened(path) as again:
        assert again.predictions(IMAGE)[0].status == "interrupted"


def test_threads_take_turns(project):
    problems = []

    def work(name: str) -> None:
        try:
            for _ in range(10):
                project.append([events.comment(IMAGE, name)])
                project.state(IMAGE)
        except StoreError as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert project.verify() == 40


# Durability

CHILD = """
import sys
from napari_nunext.store import Project, events
project = Project.open(sys.argv[1], annotator="child")
image = sys.argv[2]
print("ready", flush=True)
while True:
    pair = events.grouped([events.add(image, 1, 2, "A"), events.add(image, 3, 4, "A")])
    print(project.append(pair)[-1].seq, flush=True)
"""


def test_after_kill_9_everything_that_was_reported_saved_is_there(project, path):
    project.start_run(IMAGE, run_info())
    project.close()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), IMAGE], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "ready\n"
    reported = [int(child.stdout.readline()) for _ in range(25)]
    child.kill()
    rest, _ = child.communicate()
    reported += [int(line) for line in rest.splitlines() if line.strip()]
    with reopened(path) as again:  # the lock died with the process
        journal = again.journal(IMAGE)
        assert len(journal) >= reported[-1]
        assert len(journal) % 2 == 0  # a gesture is there whole or not at all
        assert [e.seq for e in journal] == list(range(1, len(journal) + 1))
        assert again.verify() == len(journal)
        assert len(again.state(IMAGE).nuclei) == len(journal)
        assert again.predictions(IMAGE)[0].status == "interrupted"


def test_a_full_disk_loses_only_the_change_at_hand(path):
    with Project.open(path, annotator="jd") as project:
        project.add_image(entry())
        project.append([events.flag_field(IMAGE)])
        before = project.journal(IMAGE)
        with limited_pages(project):
            with pytest.raises(StoreError, match=r"disk of my project.nunext is full") as caught:
                project.append([events.comment(IMAGE, "x" * 500_000)])
            assert "before it is" in str(caught.value)
            assert project.journal(IMAGE) == before
        (written,) = project.append([events.comment(IMAGE, "x" * 500_000)])
        assert project.journal(IMAGE) == (*before, written)
        assert project.verify() == 2


@contextmanager
def limited_pages(project: Project):
    """Let the file grow no further: SQLite then reports what it does on a full disk."""

    def set_limit(pages: int) -> None:
        with closing(project.database.engine.raw_connection()) as connection:
            connection.driver_connection.execute(f"PRAGMA max_page_count = {pages}")

    set_limit(1)  # SQLite raises it to the present size
    yield
    set_limit(1_000_000)


@pytest.mark.skipif(sys.platform != "linux", reason="limits a file's size the POSIX way")
def test_a_disk_that_takes_no_more_bytes_is_told_in_a_sentence(project, path):
    project.close()
    script = f"""
import resource, signal, os
from napari_nunext.store import Project, events
from napari_nunext.core.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Project.open({str(path)!r}, annotator="jd") as project:
    project.append([events.flag_field({IMAGE!r})])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    try:
        project.append([events.comment({IMAGE!r}, "x" * 900_000)])
    except StoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    project.append([events.comment({IMAGE!r}, "fits")])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert "full" in done.stdout or "cannot be read or written" in done.stdout
    with reopened(path) as again:
        assert [e.kind for e in again.journal(IMAGE)] == ["flag_field", "comment"]
        assert again.verify() == 2


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE event SET payload = '{\"flagged\":false}' WHERE seq = 2",
        "UPDATE event SET annotator = 'xy' WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event WHERE seq = 3",
        "UPDATE event SET payload = 'nonsense' WHERE seq = 2",
    ],
)
def test_a_changed_journal_does_not_verify(project, path, tampering):
    for _ in range(3):
        project.append([events.flag_field(IMAGE)])
    assert project.verify() == 3
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(tampering)
    with pytest.raises(StoreError, match="journal"):
        project.verify()


# What is not a project


def foreign_database(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")


def from_the_future(path):
    Project.open(path, annotator="jd").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO migration VALUES (99, '2099-01-01', 'napari-nunext 9')")


def truncated(path):
    with Project.open(path, annotator="jd") as project:
        project.add_image(entry())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_text("hello, this is no database"), "is not a review project"),
        (lambda path: path.mkdir(), "is a folder"),
        (foreign_database, "a database, but not a review project"),
        (from_the_future, r"newer version .*schema 99"),
        (truncated, "damaged|cannot be read"),
    ],
)
@pytest.mark.parametrize("mode", ["rw", "r"])
def test_what_is_not_a_project_is_refused_untouched(path, make, says, mode):
    make(path)
    before = None if path.is_dir() else path.read_bytes()
    with pytest.raises(StoreError, match=says) as caught:
        reopened(path, mode=mode)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before is None or path.read_bytes() == before


def test_a_missing_project_is_made_only_where_that_was_asked(path):
    for more in ({"create": False}, {"mode": "r"}):
        with pytest.raises(StoreError, match="There is no project"):
            reopened(path, **more)
    with pytest.raises(StoreError, match="does not exist"):
        reopened(path.parent / "none" / "p.nunext")
    path.touch()  # what a crash at the very beginning leaves
    with reopened(path) as project:
        assert project.images() == ()
    with pytest.raises(InputError, match="no name"):
        reopened(path, annotator=" ")
    with pytest.raises(InputError, match="Mode 'w'"):
        reopened(path, mode="w")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_can_be_read(project, path):
    project.close()
    path.parent.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            reopened(path)
        with reopened(path, mode="r") as reader:
            assert len(reader.images()) == 1
    finally:
        path.parent.chmod(0o700)


def test_a_copy_is_a_project_of_its_own(project, path, tmp_path):
    project.append([events.flag_field(IMAGE)])
    project.close()
    copy = tmp_path / "Kopie (1) é #2?.nunext"
    shutil.copy(path, copy)
    with reopened(path), reopened(copy) as other:
        assert other.state(IMAGE).flagged


# Schema

NEXT = schema.SCHEMA_VERSION + 1


def database(path, steps):
    return Database(path, annotator="jd", mode="rw", create=True, clock=ticking(), steps=steps)


def test_an_older_project_is_brought_up_to_date_in_one_transaction_a_step(project, path):
    project.close()

    def add_note(connection):
        connection.exec_driver_sql("ALTER TABLE image ADD COLUMN note TEXT")

    def break_half_way(connection):
        connection.exec_driver_sql("ALTER TABLE image ADD COLUMN extra TEXT")
        raise StoreError("half way")

    with pytest.raises(StoreError, match="half way"):
        database(path, {NEXT: add_note, NEXT + 1: break_half_way})
    with closing(sqlite3.connect(path)) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(image)")}
        versions = [row[0] for row in connection.execute("SELECT version FROM migration")]
    assert "note" in columns
    assert "extra" not in columns
    assert versions == [NEXT - 1, NEXT]
    done = database(path, {NEXT: add_note, NEXT + 1: lambda connection: None})
    with done.reading() as connection:
        assert migrations.stored_version(connection) == NEXT + 1
    done.close()
    with pytest.raises(StoreError, match="newer version"):
        reopened(path)


def test_a_reader_carries_an_older_project_up_in_memory_alone(project, path):
    project.append([events.flag_field(IMAGE)])
    project.close()
    before = path.read_bytes()

    def add_note(connection):
        connection.exec_driver_sql("ALTER TABLE image ADD COLUMN note TEXT")

    reader = Database(
        path, annotator="jd", mode="r", create=False, clock=utc_now, steps={NEXT: add_note}
    )
    with reader.reading() as one, reader.reading() as other:
        for connection in (one, other):
            assert migrations.stored_version(connection) == NEXT
            assert connection.exec_driver_sql("SELECT note FROM image").all() == [(None,)]
    reader.close()
    assert path.read_bytes() == before
    assert list(path.parent.glob("*.version-*")) == []


def test_the_schema_is_also_postgresql():
    said: list[str] = []
    engine = create_mock_engine(
        "postgresql+psycopg://",
        lambda sql, *_: said.append(str(sql.compile(dialect=engine.dialect))),
    )
    schema.metadata.create_all(engine, checkfirst=False)
    assert len([s for s in said if "CREATE TABLE" in s]) == len(schema.metadata.tables)


def test_a_region_is_kept_to_the_last_bit(project):
    region = Box(0.1, 0.2, 0.1 + 0.2, 1 / 3)
    project.append([events.complete_region(IMAGE, region)])
    assert project.state(IMAGE).complete == (region,)
