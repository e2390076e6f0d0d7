"""Many images into a project: whatever happens meanwhile, each window is there once in the end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_nunext.commands.export import export_project
from napari_nunext.core.errors import (
    InputError,
    RequestRejectedError,
    ServerUnavailableError,
)
from napari_nunext.core.geometry import Box
from napari_nunext.core.stains.telling import stain_in_decoding
from napari_nunext.images import open_image
from napari_nunext.review.batch import batch as batches
from napari_nunext.review.batch import stations
from napari_nunext.review.batch.asked import ask_for
from napari_nunext.review.batch.batch import Batch
from napari_nunext.review.batch.drives import is_away
from napari_nunext.review.batch.stations import Station
from napari_nunext.review.batch.taking import BatchOptions
from napari_nunext.review.batch.tally import BatchProgress, Tally
from napari_nunext.review.writer import JournalWriter
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.protocol import Started, WindowDone
from napari_nunext.store import ImageEntry, Project, events
from tests.review.fakes import FakeClient, model_info
from tests.serving.test_damaged import Torn
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_nunext.review.batch.batch import BatchOutcome
    from napari_nunext.serving.protocol import DetectRequest

WIDTH, HEIGHT, WINDOWS = 130, 90, 6


class Machine(FakeClient):
    """A server that searches, each image with nuclei of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.offered = [model_info(window_px=64, mpp=0.5)]
        self.windows: list[tuple[str, int]] = []
        self.before: Callable[[DetectRequest, int], None] = lambda request, done: None
        """Called before every window is told, with how many were told in this answer."""
        self.torn: set[str] = set()
        """Images of which a corner cannot be read."""
        self.decoding: dict[str, Any] = {}
        self.seen_in_image: dict[str, Any] = {}
        """What is said of the stain of an image; of the blank one that is asked about, nothing."""

    def oracle(self, image: str) -> Torn:
        rng = np.random.default_rng(int(image[:8], 16))
        made = Torn(rng.uniform((0, 0), (WIDTH, HEIGHT), (60, 2)), WIDTH, HEIGHT, jitter_px=3.0)
        made.info.decoding.update(self.decoding)
        made.torn = Box(0, 0, 1, 1) if image in self.torn else None
        return made

    def detect(self, request: DetectRequest, *, patience: object = None) -> Iterator[Any]:
        self._answer()
        self.requests.append(request)
        oracle, told = self.oracle(request.image), 0
        for event in detect_events(
            oracle,
            request,
            oracle,
            run=request.run or "",
            model=self.offered[0],
            cancelled=lambda: request.run in self.cancelled,
        ):
            if isinstance(event, WindowDone):
                self.before(request, told)
                told += 1
                self.windows.append((request.image, event.window))
            if isinstance(event, Started) and request.run:
                told_stain = event.decoding | self.seen_in_image
                event = event.model_copy(update={"decoding": told_stain})
            yield event


@dataclass
class Room:
    """A project, images, and what was said of both."""

    folder: Path
    paths: list[Path]
    said: list[str] = field(default_factory=list)
    told: list[BatchProgress] = field(default_factory=list)

    @property
    def project(self) -> Path:
        return self.folder / "p.nunext"

    def batch(
        self,
        machines: Sequence[Machine],
        paths: Sequence[Path] | None = None,
        *,
        act: Callable[[Batch], object] = lambda batch: None,
        region: Box | None = None,
        tissue: bool = False,
        **options: Any,
    ) -> BatchOutcome:
        """What the command does, in this process."""
        with Project.open(self.project, annotator="ab") as project:
            writer = JournalWriter(lambda status: None)
            asked = [
                ask_for(m, m.offered[0], masks=False, tissue=tissue, region=region)
                for m in machines
            ]
            batch = Batch(
                project,
                writer,
                [Station(Serving(m), "small", f"{i}") for i, m in enumerate(machines)],
                asked[0],
                BatchOptions(**({"mpp": 0.5} | options)),
                say=self.said.append,
                tell=self.told.append,
            )
            act(batch)
            try:
                return batch.search(self.paths if paths is None else paths)
            finally:
                assert writer.close(PATIENCE_S)

    def exported(self) -> dict[str, bytes]:
        out = self.folder / "exported"
        export_project(self.project, out, "geojson")
        return {path.name: path.read_bytes() for path in sorted(out.iterdir())}

    def runs(self) -> list[Any]:
        with Project.open(self.project, annotator="ab", mode="r") as project:
            return [run for e in project.images() for run in project.predictions(e.sha256)]


@dataclass
class Serving:
    """A `ModelServer`."""

    machine: Machine

    def client(self) -> Any:
        return self.machine

    def stop(self) -> None:
        pass


@pytest.fixture(autouse=True)
def at_once(monkeypatch) -> None:
    """Nothing is waited for longer than it takes."""
    for module, name in (
        (stations, "SHORTEST_PAUSE_S"),
        (stations, "LONGEST_PAUSE_S"),
        (batches, "DISK_PAUSE_S"),
        (batches, "DRIVE_PAUSE_S"),
    ):
        monkeypatch.setattr(module, name, 0.001)


@pytest.fixture
def rooms(tmp_path: Path) -> Callable[[str], Room]:
    images = tmp_path / "images"
    images.mkdir()
    paths = []
    for number in range(4):
        path = images / f"{number}.png"
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 60 * number, np.uint8)).save(path)
        paths.append(path)

    def make(name: str) -> Room:
        (tmp_path / name).mkdir()
        return Room(tmp_path / name, list(paths))

    return make


@pytest.fixture
def room(rooms: Callable[[str], Room]) -> Room:
    return rooms("one")


@pytest.fixture
def undisturbed(rooms: Callable[[str], Room]) -> dict[str, bytes]:
    """The export of a batch that nothing happened to."""
    quiet = rooms("quiet")
    assert quiet.batch([Machine()]).failed == []
    return quiet.exported()


def test_what_was_searched_is_not_searched_again(room):
    machine = Machine()
    assert room.batch([machine]).failed == []
    assert len(set(machine.windows)) == len(machine.windows) == 4 * WINDOWS
    assert all(request.priority == "batch" for request in machine.requests if request.run)
    before = room.exported()
    again = Machine()
    assert room.batch([again]).failed == []
    assert again.windows == []
    assert room.told[-1].known == 4
    assert room.exported() == before
    assert [run.status for run in room.runs()] == ["complete"] * 4


def test_what_was_searched_under_its_stain_is_not_searched_again(room):
    machine, again = Machine(), Machine()
    among = ["Positive", "Negative"]
    machine.seen_in_image = again.seen_in_image = stain_in_decoding("H-DAB", among)
    room.batch([machine])
    assert [run.info.decoding["stain"] for run in room.runs()] == ["H-DAB"] * 4
    room.batch([again])
    assert again.windows == []
    assert room.told[-1].known == 4


def test_a_file_that_was_moved_or_is_there_twice_is_the_same_image(room):
    machine = Machine()
    room.batch([machine], room.paths[:1])
    moved = room.paths[0].rename(room.paths[0].with_name("moved.png"))
    twice = room.paths[1].with_name("twice.png")
    twice.write_bytes(room.paths[1].read_bytes())
    machine.windows.clear()
    room.batch([machine], [moved, room.paths[1], twice])
    assert len(machine.windows) == WINDOWS
    assert any("twice.png is the same image as 1.png" in line for line in room.said)
    assert (room.told[-1].known, room.told[-1].repeated, room.told[-1].searched) == (1, 1, 1)
    with Project.open(room.project, annotator="ab", mode="r") as project:
        assert [entry.name for entry in project.images()] == ["moved.png", "1.png"]


@pytest.mark.parametrize("change", ["region", "mpp", "decoding"])
def test_another_search_is_made_beside_the_first(room, change):
    machine = Machine()
    room.batch([machine], room.paths[:1])
    first = len(machine.windows)
    asked = {"region": {"region": Box(0, 0, 60, 60)}, "mpp": {"mpp": 0.45}}.get(change, {})
    machine.decoding = {"threshold": 0.3} if change == "decoding" else {}
    room.batch([machine], room.paths[:1], **asked)
    assert len(machine.windows) > first
    assert [run.status for run in room.runs()] == ["complete"] * 2
    again = len(machine.windows)
    room.batch([machine], room.paths[:1], **asked)
    assert len(machine.windows) == again


def once(act: Callable[[], object]) -> Callable[[DetectRequest, int], None]:
    """Act before the first window that is searched of an image."""
    acts = iter([act])

    def before(request: DetectRequest, told: int) -> None:
        if request.run and (first := next(acts, None)) is not None:
            first()

    return before


@pytest.mark.parametrize("count", [2, 3])
def test_how_many_servers_there_are_and_in_which_order_images_come_does_not_tell(
    rooms, undisturbed, count
):
    room = rooms("many")
    machines = [Machine() for _ in range(count)]
    start = threading.Barrier(count)
    for machine in machines:
        machine.before = once(lambda: start.wait(PATIENCE_S))
    room.batch(machines, room.paths[::-1], at_once=1)
    assert all(machine.windows for machine in machines)
    assert sum(len(machine.windows) for machine in machines) == 4 * WINDOWS
    assert room.exported() == undisturbed


def test_a_batch_that_was_stopped_goes_on_with_the_windows_that_are_left(room, undisturbed):
    machine = Machine()

    def stop(batch: Batch) -> None:
        def before(request: DetectRequest, told: int) -> None:
            if request.run and told == 3:
                batch.stop()

        machine.before = before

    assert room.batch([machine], act=stop, at_once=1).stopped
    (run,) = room.runs()
    assert run.status == "interrupted"
    with Project.open(room.project, annotator="ab", mode="r") as project:
        done = {(run.image_sha256, number) for number in project.windows_done(run.run_id)}
    assert 0 < len(done) < WINDOWS
    again = Machine()
    room.batch([again])
    assert not done & set(again.windows)
    assert len(again.windows) == 4 * WINDOWS - len(done)
    assert room.exported() == undisturbed
    with Project.open(room.project, annotator="ab", mode="r") as project:
        for entry in project.images():
            kinds = [event.kind for event in project.journal(entry.sha256)]
            assert kinds == ["use_run"]


def test_a_run_that_was_killed_before_it_counted_counts_when_it_goes_on(room, undisturbed):
    machine = Machine()

    def break_off(request: DetectRequest, told: int) -> None:
        if request.run:
            raise RequestRejectedError("No more.", 422)

    machine.before = break_off
    used = batches.use_in_project
    batches.use_in_project = lambda project, run: None
    try:
        assert len(room.batch([machine]).failed) == 4
    finally:
        batches.use_in_project = used
    room.batch([Machine()])
    assert room.exported() == undisturbed


def test_a_server_that_goes_away_is_waited_for_and_others_go_on_meanwhile(room, undisturbed):
    steady, shaky = Machine(), Machine()
    looks = 0

    def fall(request: DetectRequest, told: int) -> None:
        if request.run and told == 2 and not looks:
            shaky.down = True
            raise ServerUnavailableError("Gone.")

    def health() -> object:
        nonlocal looks
        looks += 1
        shaky.down = looks < 3
        return FakeClient.health(shaky)

    shaky.before, shaky.health = fall, health
    assert room.batch([shaky, steady], at_once=1).failed == []
    assert looks >= 3
    assert sum("does not answer" in line for line in room.said) == 1
    assert sum("is there again" in line for line in room.said) == 1
    assert room.exported() == undisturbed


def test_a_batch_ends_when_all_servers_stay_away(room):
    machine = Machine()

    def fall(request: DetectRequest, told: int) -> None:
        if request.run:
            machine.down = True
            raise ServerUnavailableError("Gone.")

    machine.before = fall
    with pytest.raises(ServerUnavailableError, match="same command goes on"):
        room.batch([machine], patience_s=0.0)


def test_an_image_at_which_a_server_breaks_each_time_is_left_out(room):
    machine, tries = Machine(), []

    def break_off(request: DetectRequest, told: int) -> None:
        if request.image == bad:
            tries.append(told)
            raise ServerUnavailableError("It broke.")

    bad = _ids(room)[1]
    machine.before = break_off
    assert room.batch([machine]).failed == [room.paths[1]]
    assert any("1.png: It broke." in line for line in room.said)
    assert len({image for image, _ in machine.windows}) == 3
    assert len(tries) == batches.TRIES
    assert room.told[-1].searched == 3


def test_a_refusal_that_passes_is_no_try(room, undisturbed):
    machine, refused = Machine(), []

    def refuse(request: DetectRequest, told: int) -> None:
        if request.run and len(refused) < 5:
            refused.append(1)
            raise RequestRejectedError("Busy.", 429, 0.0)

    machine.before = refuse
    assert room.batch([machine]).failed == []
    assert room.exported() == undisturbed


def test_windows_that_cannot_be_read_are_counted_and_tried_by_the_next_start(room, undisturbed):
    machine = Machine()
    machine.torn = set(_ids(room)[:1])
    outcome = room.batch([machine])
    assert outcome.failed == room.paths[:1]
    (words,) = (line for line in room.said if "could not be read" in line)
    assert words.startswith("0.png: ")
    lost = room.told[-1].windows_failed
    assert 0 < lost < WINDOWS
    assert len(machine.windows) == 4 * WINDOWS - lost
    healed = Machine()
    assert room.batch([healed]).failed == []
    assert len(healed.windows) == lost
    assert room.exported() == undisturbed


def _ids(room: Room) -> list[str]:
    return [open_image(path).id for path in room.paths]


def test_images_that_cannot_be_searched_are_said_and_the_others_are(room):
    broken, small = (room.paths[0].with_name(name) for name in ("broken.png", "small.png"))
    broken.write_bytes(room.paths[0].read_bytes()[:60])
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(small)
    paths = [broken, small, *room.paths]
    outcome = room.batch([Machine()], paths, region=Box(64, 64, 128, 80))
    assert outcome.failed == [broken, small]
    assert any(line.startswith("broken.png") for line in room.said)
    assert any("lies outside small.png" in line for line in room.said)
    assert room.told[-1].searched == 4


def test_an_image_without_a_scale_does_not_join_the_project(room):
    outcome = room.batch([Machine()], mpp=None)
    assert outcome.failed == room.paths
    assert "Give the micrometres per pixel" in room.said[0]
    with Project.open(room.project, annotator="ab") as project:
        assert project.images() == ()
        project.append([events.set_scale_of_all(0.5, over_files=False)])
    assert room.batch([Machine()], mpp=None).failed == []


def test_a_scale_that_looks_wrong_has_to_be_meant(room):
    one = room.paths[:1]
    assert room.batch([Machine()], one, mpp=3.0).failed == one
    assert "--yes" in room.said[0]
    assert room.batch([Machine()], one, mpp=3.0, although_doubtful=True).failed == []


def test_a_drive_that_goes_away_is_waited_for(room, undisturbed):
    folder = room.paths[0].parent
    machine, gone = Machine(), []

    def unplug(request: DetectRequest, told: int) -> None:
        if request.run and told == 2 and not gone:
            gone.append(folder.rename(folder.with_name("unplugged")))
            raise ServerUnavailableError("It cannot be read.")

    machine.before = unplug
    room.said = Plugging(lambda: gone and gone[0].exists() and gone[0].rename(folder))
    assert room.batch([machine], at_once=1).failed == []
    assert room.exported() == undisturbed


class Plugging(list):
    """What is said; the drive is plugged in again once that it is away is."""

    def __init__(self, plug_in: Callable[[], object]) -> None:
        super().__init__()
        self._plug_in = plug_in

    def append(self, line: str) -> None:
        super().append(line)
        if "is away" in line:
            self._plug_in()


def test_a_drive_that_stays_away_fails_its_images(room):
    away = room.folder / "nowhere" / "a.png"
    assert room.batch([Machine()], [away, *room.paths], patience_s=0.0).failed == [away]
    assert any("a.png stayed away" in line for line in room.said)


def test_a_file_is_away_with_its_folder_and_missing_without(tmp_path):
    (tmp_path / "mount").mkdir()
    assert is_away(tmp_path / "mount" / "a.png")
    assert is_away(tmp_path / "none" / "a.png")
    (tmp_path / "mount" / "b.png").touch()
    assert not is_away(tmp_path / "mount" / "a.png")
    assert not is_away(tmp_path / "mount" / "b.png")


def test_images_wait_until_there_is_room_for_their_pixels(room):
    machine, most = Machine(), []
    monitor = threading.Lock()
    under_way: set[str] = set()

    def watch(request: DetectRequest, told: int) -> None:
        if request.run:
            with monitor:
                under_way.add(request.image)
                most.append(len(under_way))
                if told == WINDOWS - 1:
                    under_way.discard(request.image)

    machine.before = watch
    room.batch([machine], bytes_in_flight=3 * WIDTH * HEIGHT, at_once=4)
    assert max(most) == 1


def test_servers_that_search_differently_are_told_apart():
    one, other = Machine(), Machine()
    asked = [ask_for(m, m.offered[0], masks=False, tissue=False, region=None) for m in (one, other)]
    assert not asked[0].differs_from(asked[1])
    other.decoding = {"dtype": "bfloat16"}
    assert asked[0].differs_from(
        ask_for(other, other.offered[0], masks=False, tissue=False, region=None)
    )


def test_the_tally_knows_the_pace_and_how_long_it_will_take():
    now = 0.0
    tally = Tally(3, clock=lambda: now)
    assert tally.progress.seconds_left is None
    tally.begin("a", "a.png", 4, 10)
    now = 2.0
    progress = tally.follow("a", 8)
    assert (progress.windows, progress.windows_per_s) == (4, 2.0)
    # 2 windows here, and two images like this one, of which 6 windows were left to search.
    assert progress.seconds_left == pytest.approx((2 + 2 * 6) / 2)
    tally.end("a", searched=True)
    tally.end("b", failed=True, name="b.png")
    progress = tally.end("c", known=True, name="c.png")
    assert (progress.ended, progress.seconds_left) == (3, 0.0)
    assert progress.to_json()["image"] == "c.png"


def test_a_region_outside_of_an_image_is_refused():
    machine = Machine()
    asked = ask_for(
        machine, machine.offered[0], masks=False, tissue=False, region=Box(900, 900, 950, 950)
    )
    assert isinstance(asked.started, Started)
    entry = ImageEntry("ab" * 32, "/a.png", "a.png", WIDTH, HEIGHT, 0.5, "file")
    with pytest.raises(InputError, match="lies outside"):
        asked.region_of(entry)
