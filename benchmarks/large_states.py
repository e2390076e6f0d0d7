"""What a correction costs the state of a slide with 600,000 nuclei, and its columns: no window.

A project file is written that holds one run with 600,000 predictions, every other one outlined; it
is opened, folded, and edited. The cost of a gesture is the processor time of the state after it, of
its table, and of the columns that the window reads: places, categories, counts, who is unsure, and
the boxes of the outlines. Each gesture is repeated, and the median counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._harness import Claim, report
from benchmarks.large_fields import AREA_PX, CATEGORIES, MPP, made_up
from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.review.correcting.editing import neighbour_in_order, nucleus_at
from napari_nunext.review.table import NucleusTable
from napari_nunext.store import ImageEntry, Project, RunInfo, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.store import Event

NUCLEI = 600_000
GOAL_MS, OPEN_GOAL_S = 50.0, 3.0
REPEATS = 7
IMAGE = "ab" * 32
WHO = "benchmark"
NAMES = [category.name for category in CATEGORIES]


def write_project(path: Path, nuclei: int, side_px: int) -> None:
    """A project in which that many nuclei were found on one image."""
    whole = Box.of_image(side_px, side_px)
    model = ModelDescription("Benchmark", "benchmark", kind="detector", id="benchmark")
    info = RunInfo(model=model, decoding={}, mpp=MPP, codec_version=1, region=whole)
    with Project.open(path, annotator=WHO) as project:
        project.add_image(ImageEntry(IMAGE, "a.tif", "a.tif", side_px, side_px, MPP, "user"))
        run = project.start_run(IMAGE, info)
        project.add_predictions(run, made_up(nuclei, side_px, np.random.default_rng(1)))
        project.finish_run(run, "complete")
        project.append(
            project.stamp([events.set_categories(CATEGORIES), events.use_run(IMAGE, run, whole)])
        )


class Review:
    """A state and its table, as the window holds them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.state = project.state(IMAGE)
        self.table = NucleusTable.empty()
        self.look()
        self.uids = self.table.uids_at(np.random.default_rng(2).permutation(len(self.table))[:2000])

    def look(self) -> None:
        """Read what the window reads after each change."""
        self.table = self.table.after(self.state)
        table = self.table
        table.counts()
        np.flatnonzero(~(table.rejected | table.is_of(())))
        table.is_sure(0.45)
        _ = table.points_xy, table.category, table.mask_ids, table.mask_boxes_px

    def do(self, *new: Event) -> None:
        """A gesture."""
        self.state = self.state.apply(*self.project.stamp(new))
        self.look()

    def undo(self) -> None:
        """Take the last gesture back."""
        group = self.state.next_undo(WHO)
        assert group is not None
        self.do(events.undo(IMAGE, group))

    def redo(self) -> None:
        """Bring it again."""
        group = self.state.next_redo(WHO)
        assert group is not None
        self.do(events.redo(IMAGE, group))


def gestures(review: Review, whole: Box) -> dict[str, Callable[[int], object]]:
    """What is measured; each is called with the number of the round, undone and done again."""
    uids, (other, last) = review.uids, NAMES[1:]

    def many(at: int) -> None:
        chosen = uids[1000:]
        review.do(*events.grouped(events.relabel(IMAGE, u, NAMES[at % 2]) for u in chosen))

    edits = {
        "add": lambda at: review.do(events.add(IMAGE, 10.0 + at, 10.0, other)),
        "move": lambda at: review.do(events.move(IMAGE, uids[at], 20.0 + at, 5.0)),
        "relabel": lambda at: review.do(events.relabel(IMAGE, uids[100 + at], other)),
        "relabel_1000": many,
        "delete": lambda at: review.do(events.delete(IMAGE, uids[200 + at])),
        "rename": lambda at: review.do(
            events.rename_category(last if at == 0 else f"{last} {at}", f"{last} {at + 1}")
        ),
        "merge": lambda _: review.do(events.rename_category(other, NAMES[0])),
        "accept": lambda _: review.do(
            events.complete_region(IMAGE, whole, review.state.seen_in(whole))
        ),
    }
    acts: dict[str, Callable[[int], object]] = {}
    for name, act in edits.items():
        acts[name] = act
        acts[f"undo_{name}"] = lambda _: review.undo()
        acts[f"redo_{name}"] = lambda _: review.redo()
        if name == "merge":
            acts["unmerge"] = lambda _: review.undo()
    acts["click"] = lambda at: nucleus_at(review.state, 100.0 + at, 100.0, 8.0)
    acts["next_unsure"] = lambda at: neighbour_in_order(review.state, 0.45, uids[300 + at], 1)
    return acts


def cost_ms(act: Callable[[], object]) -> float:
    """Processor time, ms."""
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1000


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nuclei", type=int, default=NUCLEI)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    side_px = int(np.sqrt(options.nuclei * AREA_PX))
    size = f"{options.nuclei // 1000}k"
    with TemporaryDirectory() as name:
        path = Path(name) / "slide.nunext"
        write_project(path, options.nuclei, side_px)
        with Project.open(path, annotator=WHO) as project:
            opened_ms = [cost_ms(partial(Review, project)) for _ in range(3)]
            review = Review(project)
            whole = Box.of_image(side_px, side_px)
            seen_ms = cost_ms(lambda: review.state.seen_in(whole))
            again_ms: list[float] = []
            costs: dict[str, list[float]] = {}
            acts = gestures(review, whole)
            for turn in range(options.repeats):
                for what, act in acts.items():
                    if what == "accept":  # the window does that in the background after a new name
                        again_ms.append(cost_ms(lambda: review.state.seen_in(whole)))
                    costs.setdefault(what, []).append(cost_ms(partial(act, turn)))
    medians = {what: statistics.median(each) for what, each in costs.items()}
    for what, median in medians.items():
        print(f"  {what:18} {median:8.1f} ms  (most {max(costs[what]):8.1f})")
    print(
        f"  open {statistics.median(opened_ms):.0f} ms, what is seen is summed in {seen_ms:.0f} ms"
    )
    report(
        "large_states",
        [
            *(
                Claim(f"house.{what}_{size}_ms", median, GOAL_MS, "lower")
                for what, median in medians.items()
            ),
            Claim(
                f"house.open_{size}_s", statistics.median(opened_ms) / 1000, OPEN_GOAL_S, "lower"
            ),
        ],
        details={
            "nuclei": options.nuclei,
            "repeats": options.repeats,
            "sum_seen_ms": seen_ms,
            "sum_seen_after_new_names_ms": statistics.median(again_ms),
        },
    )


if __name__ == "__main__":
    main()
