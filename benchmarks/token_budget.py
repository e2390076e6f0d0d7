"""Fewer image tokens where nuclei are sparse: what it saves in a search, and what it loses.

A *block* is 3 x 3 windows of the bundled detector, 69 um wide. *Coarsely* it is 2 x 2 windows
that hold as many tokens each, at 0.69 um a pixel. Tiles of BRCA-M2C are searched both ways, and a
rule then says block by block which of the two counts. Thresholds are of training tiles, scores of
validation tiles. What a mixture costs is what its windows and said tokens cost by a fit over all
searches; on a slide the two are timed in turns. Nothing of this is part of a search.

A tile that was searched is kept in ``build/bench/token_budget``: a run that was broken off goes on.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from benchmarks._harness import OUT_DIR, Claim, published, report
from napari_nunext.core.geometry import Box
from napari_nunext.core.image.tissue import windows_of_glass
from napari_nunext.core.scores.metrics import DetectionCase, score_detections
from napari_nunext.core.tiling import plan_grid
from napari_nunext.images import open_image
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.classical.stain import haematoxylin_od
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.whole_image.gathering import Gathering
from napari_nunext.models.whole_image.search import search, undamaged
from nunext_training.data.importers import IMPORTERS
from nunext_training.data.labelled import select_split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.image.source import WindowReader
    from napari_nunext.core.tiling import Window, WindowGrid
    from napari_nunext.models.detector import Detector

MPP = 0.5
"""Of the tiles."""
FINE, COARSE = 3, 2
"""Windows along a block."""
BLOCK_UM = 69.0
TILE_BLOCKS, SLIDE_BLOCKS = 3, 8
"""Along the square in the middle that is searched."""
EVERY = 5
"""So many training tiles, one is searched."""
OVERVIEW_UM = 2.0
DARK_OD = 0.3
"""Haematoxylin at which a pixel of the overview may be a nucleus."""
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
"""Of the training blocks, that a threshold has below it."""
LOSS_MAX = 0.005
"""F1 that the chosen threshold may lose on training tiles."""
PAIRS = 3


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search of a square found, at one scale."""

    points: list[list[float]]
    """Level-0 px, each x and y."""
    windows: list[int]
    """By block, row by row."""
    tokens: list[int]
    """That the detector said; by block."""
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile searched at both scales, with the truth of the square in its middle."""

    corner: list[float]
    truth: list[list[float]]
    dark: list[float]
    """Share of the overview's pixels with haematoxylin, by block."""
    fine: Searched
    coarse: Searched

    def counts(self, points: list[list[float]]) -> NDArray[np.intp]:
        """How many of some points each block holds."""
        return np.bincount(self.blocks_of(points), minlength=TILE_BLOCKS**2)

    def blocks_of(self, points: list[list[float]]) -> NDArray[np.intp]:
        """The block of each point."""
        xy = (np.array(points).reshape(-1, 2) - self.corner) / (BLOCK_UM / MPP)
        column, row = np.clip(np.floor(xy).astype(np.intp), 0, TILE_BLOCKS - 1).T
        return np.asarray(row * TILE_BLOCKS + column, dtype=np.intp)

    def mixed(self, sparse: NDArray[np.bool_]) -> DetectionCase:
        """The nuclei found where sparse blocks are searched coarsely, beside the true ones."""
        parts = (
            np.array(searched.points).reshape(-1, 2)[sparse[self.blocks_of(searched.points)] == way]
            for searched, way in ((self.fine, False), (self.coarse, True))
        )
        return DetectionCase(np.concatenate(list(parts)), np.array(self.truth).reshape(-1, 2), MPP)


def main() -> None:
    """Search the tiles, choose a threshold for each rule, and time the cheapest on a slide."""
    folders = published("brca_m2c", "wsi")
    if folders is None:
        return
    torch.set_num_threads(1)
    detector = Catalog().load_detector()
    train = searched_tiles(folders[0], "train", EVERY, detector)
    val = searched_tiles(folders[0], "val", 1, detector)
    window_s, token_s = costs(train + val)
    curves = {name: curve(rule, train, val, window_s, token_s) for name, rule in RULES.items()}
    chosen = {name: choose(rows) for name, rows in curves.items()}
    print(json.dumps(curves, indent=1))
    row = chosen["overview"]
    slide = on_slide(folders[1] / "CMU-1-Small-Region.svs", detector, row["at_most"])
    report(
        "token_budget",
        [
            Claim("bilateral.budget_area_a_second_ratio", row["val_ratio"], 1.3, "higher"),
            Claim("bilateral.budget_best_rule_ratio", chosen["truth"]["val_ratio"], 1.3, "higher"),
            Claim("bilateral.budget_f1_lost", row["val_lost"], LOSS_MAX, "lower"),
            Claim("bilateral.budget_slide_agreement_f1", slide["agreement_f1"], 0.95, "higher"),
            Claim("bilateral.budget_slide_ratio", slide["ratio"], 1.3, "higher"),
        ],
        details={
            "curves": curves,
            "chosen": chosen,
            "slide": slide,
            "window_s": window_s,
            "token_s": token_s,
        },
    )


def searched_tiles(
    folder: Path, part: Literal["train", "val"], every: int, detector: Detector
) -> list[Tile]:
    """Every so manieth tile of a side of the split, searched or read from an earlier run."""
    kept = OUT_DIR / "token_budget"
    kept.mkdir(parents=True, exist_ok=True)
    tiles = []
    for number, labelled in enumerate(select_split(IMPORTERS["brca-m2c"].read(folder), part)):
        if number % every:
            continue
        path = kept / f"{part}-{number}-{BLOCK_UM:g}-{COARSE}.json"
        if not path.exists():
            tile = searched_tile(labelled.open(), labelled.points_xy, detector)
            part_path = path.with_suffix(".part")
            part_path.write_text(json.dumps(asdict(tile)), encoding="utf-8")
            part_path.replace(path)
        said = json.loads(path.read_text(encoding="utf-8"))
        fine, coarse = Searched(**said.pop("fine")), Searched(**said.pop("coarse"))
        tiles.append(Tile(**said, fine=fine, coarse=coarse))
    return tiles


def searched_tile(image: WindowReader, truth: PointsXY, detector: Detector) -> Tile:
    """Search the middle of a tile at both scales."""
    square = middle(image, TILE_BLOCKS, MPP)
    fine, coarse = (
        searched(image, square, grid, detector) for grid in grids(image, square, detector, MPP)
    )
    true = truth[square.contains(truth)].tolist()
    dark = dark_shares(image, square, TILE_BLOCKS).tolist()
    return Tile([square.x0, square.y0], true, dark, fine, coarse)


def searched(image: WindowReader, square: Box, grid: WindowGrid, detector: Detector) -> Searched:
    """Search all windows of a grid over a square of a tile."""
    windows, tokens = [0] * TILE_BLOCKS**2, [0] * TILE_BLOCKS**2
    found = Gathering(square, grid, mpp=MPP)
    start_s = time.process_time()
    for said in search(image, detector, grid, cancelled=lambda: False):
        if said is None:
            continue
        window, event = undamaged(said)
        found.take(window, event)
        if not isinstance(event, WindowPoints):
            block = block_of(window, square, TILE_BLOCKS)
            windows[block] += 1
            tokens[block] += event.tokens
    points: list[list[float]] = found.result().points_xy.tolist()
    return Searched(points, windows, tokens, time.process_time() - start_s)


def middle(image: WindowReader, blocks: int, mpp: float) -> Box:
    """A square of so many blocks in the middle of an image, level-0 px."""
    side, box = blocks * BLOCK_UM / mpp, image.box
    x0, y0 = (box.x0 + box.x1 - side) / 2, (box.y0 + box.y1 - side) / 2
    return Box(x0, y0, x0 + side, y0 + side)


def grids(
    image: WindowReader, square: Box, detector: Detector, mpp: float
) -> tuple[WindowGrid, WindowGrid]:
    """Windows of the detector's own scale, and coarse ones, with the same halo in micrometres."""
    info = detector.info
    # Two pixels of level 0 more: windows start at whole ones.
    coarse_um = BLOCK_UM / COARSE + 2 * info.halo_um + 2 * mpp
    fine, coarse = (
        plan_grid(
            square,
            image.box,
            window_px=info.window_px,
            window_mpp=window_mpp,
            halo_um=info.halo_um,
            image_mpp=mpp,
        )
        for window_mpp in (info.mpp, coarse_um / info.window_px)
    )
    blocks = round(square.width * mpp / BLOCK_UM)
    if (len(fine), len(coarse)) != ((blocks * FINE) ** 2, (blocks * COARSE) ** 2):
        raise ValueError(
            f"The windows are {len(fine)} and {len(coarse)} for {blocks} x {blocks} blocks; "
            f"expected {FINE} and {COARSE} along a block. Is it another detector?"
        )
    return fine, coarse


def block_of(window: Window, square: Box, blocks: int) -> int:
    """The block in which the middle of a window's core lies."""
    size = square.width / blocks
    column = int(((window.core.x0 + window.core.x1) / 2 - square.x0) / size)
    row = int(((window.core.y0 + window.core.y1) / 2 - square.y0) / size)
    return row * blocks + column


def dark_shares(image: WindowReader, square: Box, blocks: int) -> NDArray[np.float64]:
    """Share of an overview's pixels that hold haematoxylin, by block."""
    side = round(BLOCK_UM / OVERVIEW_UM)
    od = haematoxylin_od(image.read_window(square, blocks * side))
    dark = (od > DARK_OD).reshape(blocks, side, blocks, side)
    return np.asarray(dark.mean(axis=(1, 3)).ravel(), dtype=np.float64)


def costs(tiles: Sequence[Tile]) -> tuple[float, float]:
    """CPU seconds of a window and of a said token, by least squares over all searches."""
    searches = [s for tile in tiles for s in (tile.fine, tile.coarse)]
    amounts = np.array([(sum(s.windows), sum(s.tokens)) for s in searches], dtype=np.float64)
    fit = np.linalg.lstsq(amounts, np.array([s.cpu_s for s in searches]), rcond=None)[0]
    return float(fit[0]), float(fit[1])


def true_counts(tile: Tile) -> NDArray[np.float64]:
    """Nuclei by block, as nobody knows them before: what any rule can reach at best."""
    return tile.counts(tile.truth).astype(np.float64)


def dark(tile: Tile) -> NDArray[np.float64]:
    """Haematoxylin in the overview."""
    return np.array(tile.dark)


def found_coarsely(tile: Tile) -> NDArray[np.float64]:
    """Nuclei that the coarse search finds; all of it is paid for, and dense blocks twice."""
    return tile.counts(tile.coarse.points).astype(np.float64)


RULES: dict[str, Callable[[Tile], NDArray[np.float64]]] = {
    "truth": true_counts,
    "overview": dark,
    "refined": found_coarsely,
}


def curve(
    rule: Callable[[Tile], NDArray[np.float64]],
    train: Sequence[Tile],
    val: Sequence[Tile],
    window_s: float,
    token_s: float,
) -> list[dict[str, float]]:
    """F1 lost and area a second won on both sides of the split, threshold by threshold."""
    every = np.concatenate([rule(tile) for tile in train])
    rows = []
    for share in SHARES:
        at_most = float(np.quantile(every, share))
        row = {"share": share, "at_most": at_most}
        for side, tiles in (("train", train), ("val", val)):
            sparse = [rule(tile) <= at_most for tile in tiles]
            full = [np.zeros_like(kept) for kept in sparse]
            low, high = interval(tiles, sparse, full)
            spent = (
                cost(tile, kept, window_s, token_s, twice=rule is found_coarsely)
                for tile, kept in zip(tiles, sparse, strict=True)
            )
            whole = (
                cost(tile, kept, window_s, token_s, twice=False)
                for tile, kept in zip(tiles, full, strict=True)
            )
            before = f1(tiles, full)
            row |= {
                f"{side}_share": float(np.mean(np.concatenate(sparse))),
                f"{side}_f1": f1(tiles, sparse),
                f"{side}_lost": before - f1(tiles, sparse),
                f"{side}_lost_low": low,
                f"{side}_lost_high": high,
                f"{side}_ratio": sum(whole) / sum(spent),
            }
        rows.append(row)
    return rows


def cost(
    tile: Tile, sparse: NDArray[np.bool_], window_s: float, token_s: float, *, twice: bool
) -> float:
    """CPU seconds of a mixture; `twice`: dense blocks are searched coarsely as well."""
    fine, coarse = (
        window_s * np.array(s.windows) + token_s * np.array(s.tokens)
        for s in (tile.fine, tile.coarse)
    )
    return float(np.where(sparse, coarse, fine + coarse * twice).sum())


def f1(tiles: Sequence[Tile], sparse: Sequence[NDArray[np.bool_]]) -> float:
    """Of all nuclei of the tiles."""
    cases = [tile.mixed(kept) for tile, kept in zip(tiles, sparse, strict=True)]
    return score_detections(cases).overall.f1


def interval(
    tiles: Sequence[Tile],
    sparse: Sequence[NDArray[np.bool_]],
    full: Sequence[NDArray[np.bool_]],
) -> tuple[float, float]:
    """95 % of the F1 that is lost, where tiles are drawn with replacement."""
    counts = []
    for kept in (full, sparse):
        cases = [tile.mixed(k) for tile, k in zip(tiles, kept, strict=True)]
        scores = [image.overall for image in score_detections(cases).per_image]
        counts.append(np.array([(2 * s.tp, 2 * s.tp + s.fp + s.fn) for s in scores]))
    drawn = np.random.default_rng(0).integers(0, len(tiles), (2000, len(tiles)))
    before, after = (c[drawn].sum(axis=1).T for c in counts)
    low, high = np.percentile(before[0] / before[1] - after[0] / after[1], (2.5, 97.5))
    return float(low), float(high)


def choose(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """The threshold that wins most while training tiles lose little; the smallest, if none does."""
    kept = [row for row in rows if row["train_lost"] <= LOSS_MAX]
    return max(kept, key=lambda row: row["train_ratio"], default=rows[0])


def on_slide(path: Path, detector: Detector, at_most: float) -> dict[str, float]:
    """CPU seconds of the middle of a slide, full and with a budget, in turns, without glass."""
    image = open_image(path)
    mpp = image.scale.mpp or MPP
    square = middle(image, SLIDE_BLOCKS, mpp)
    fine, coarse = grids(image, square, detector, mpp)

    def on_tissue(grid: WindowGrid) -> Sequence[Window]:
        return grid.without(windows_of_glass(image, square, grid, mpp=mpp))

    def all_windows() -> Sequence[Window]:
        return on_tissue(fine)

    def with_budget() -> Sequence[Window]:
        sparse = dark_shares(image, square, SLIDE_BLOCKS) <= at_most
        parts = ((on_tissue(fine), False), (on_tissue(coarse), True))
        return [w for g, k in parts for w in g if sparse[block_of(w, square, SLIDE_BLOCKS)] == k]

    seconds: dict[str, list[float]] = {"full": [], "budget": []}
    found: dict[str, PointsXY] = {}
    for _ in range(PAIRS):
        for name, plan in (("full", all_windows), ("budget", with_budget)):
            start_s = time.process_time()
            windows = plan()
            kept = {round(g[0].box.width): Gathering(square, g, mpp=mpp) for g in (fine, coarse)}
            for said in search(image, detector, windows, cancelled=lambda: False):
                if said is not None:
                    kept[round(said[0].box.width)].take(*undamaged(said))
            found[name] = np.concatenate([g.result().points_xy for g in kept.values()])
            seconds[name].append(time.process_time() - start_s)
            print(f"slide, {name}: {len(windows)} windows, {seconds[name][-1]:.1f} s", flush=True)
    area_mm2 = (square.width * mpp / 1000) ** 2
    tokens = detector.info.image_tokens
    agreement = score_detections([DetectionCase(found["budget"], found["full"], mpp)]).overall
    return {
        "full_nuclei": len(found["full"]),
        "budget_nuclei": len(found["budget"]),
        "agreement_f1": agreement.f1,
        "full_s": statistics.median(seconds["full"]),
        "budget_s": statistics.median(seconds["budget"]),
        "ratio": statistics.median(
            f / b for f, b in zip(seconds["full"], seconds["budget"], strict=True)
        ),
        "full_tokens_mm2": len(all_windows()) * tokens / area_mm2,
        "budget_tokens_mm2": len(with_budget()) * tokens / area_mm2,
    }


if __name__ == "__main__":
    main()
