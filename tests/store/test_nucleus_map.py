"""The map of columns is what a dictionary of objects is, whatever is done to both."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.uids import as_uids
from napari_nunext.store.state.changes import changes
from napari_nunext.store.state.nucleus_map import NucleusMap
from napari_nunext.store.state.reviewed import ReviewedNucleus, recategorised
from napari_nunext.store.state.seen import Seen, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = [str(uuid4()) for _ in range(3)]
SQUARE = Mask.from_array(np.ones((2, 3), dtype=bool))
WHOLE = Box(0, 0, 40, 40)


class Walk:
    """A map, and beside it the dictionary that it stands for, in the same order."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.map = NucleusMap()
        self.plain: dict[UUID, ReviewedNucleus] = {}
        self.gone: dict[UUID, ReviewedNucleus] = {}

    def step(self) -> None:
        acts: dict[Callable[[], None], float] = {
            self.predict: 0.15,
            self.place: 0.2,
            self.touch: 0.25,
            self.delete: 0.15,
            self.bring_back: 0.05,
            self.rename: 0.08,
            self.outline: 0.06,
            self.let_go: 0.06,
        }
        list(acts)[self.rng.choice(len(acts), p=list(acts.values()))]()

    def category(self) -> str:
        return str(self.rng.choice(["A", "B", "C"]))

    def nucleus(self) -> Nucleus:
        x, y = self.rng.integers(0, 40, 2).tolist()
        sure = float(self.rng.random()) if self.rng.random() < 0.7 else None
        mask = SQUARE.moved(x, y) if self.rng.random() < 0.3 else None
        return Nucleus(uuid4(), float(x), float(y), self.category(), sure, mask)

    def some(self) -> list[UUID]:
        return [uid for uid in self.plain if self.rng.random() < 0.1]

    def predict(self) -> None:
        run, names = str(self.rng.choice(RUNS)), {"A": self.category()}
        said = [self.nucleus() for _ in range(self.rng.integers(1, 8))]
        rows = np.flatnonzero(self.rng.random(len(said)) < 0.8)
        now = self.map.edited()
        now.settle()
        now.grow(Predictions.of(said), rows, run, names)
        self.map = now.finished()
        for n in (said[row] for row in rows):
            n = recategorised(n, names.get(n.category, n.category))
            self.plain[n.uid] = ReviewedNucleus(n, run, predicted_xy=(n.x_px, n.y_px))

    def place(self) -> None:
        was_there = list(self.gone) if self.rng.random() < 0.3 else []
        n = replace(self.nucleus(), confidence=None)
        if was_there:
            n = replace(n, uid=was_there[0])
            del self.gone[n.uid]
        now = self.map.edited()
        now.place(placed := ReviewedNucleus(n, touched=True, annotator="jd"))
        self.map, self.plain[n.uid] = now.finished(), placed

    def touch(self) -> None:
        now = self.map.edited()
        for uid in self.some():
            old = self.plain[uid]
            nucleus = replace(old.nucleus, x_px=float(self.rng.integers(40)))
            status = "rejected" if self.rng.random() < 0.3 else old.status
            new = replace(old, nucleus=nucleus, touched=True, status=status, annotator="xy")
            now.put(uid, new)
            self.plain[uid] = new
        self.map = now.finished()

    def delete(self) -> None:
        now = self.map.edited()
        for uid in self.some():
            now.put(uid, None)
            self.gone[uid] = self.plain.pop(uid)
        self.map = now.finished()

    def bring_back(self) -> None:
        """Undo: in the place where it stood."""
        before, plain = self.map, dict(self.plain)
        self.delete()
        now = self.map.edited()
        for uid in plain.keys() - self.plain.keys():
            if uid not in before.added:  # what was placed last goes to the end
                now.put(uid, plain[uid])
                del self.gone[uid]
        kept = self.plain.keys() | (plain.keys() - self.gone.keys())
        self.map = now.finished()
        self.plain = {uid: n for uid, n in plain.items() if uid in kept}

    def rename(self) -> None:
        name, to = self.category(), self.category()
        now = self.map.edited()
        now.rename(name, to)
        self.map = now.finished()
        for uid, n in self.plain.items():
            if n.nucleus.category == name:
                self.plain[uid] = replace(n, nucleus=recategorised(n.nucleus, to))

    def outline(self) -> None:
        """As a run does: what it outlined stays so."""
        bare = {uid for uid, n in self.plain.items() if not n.touched and n.nucleus.mask is None}
        uids = [uid for uid in self.some() if uid in bare]
        now = self.map.edited()
        now.outline(dict.fromkeys(uids, SQUARE))
        self.map = now.finished()
        for uid in uids:
            n = self.plain[uid]
            self.plain[uid] = replace(n, nucleus=replace(n.nucleus, mask=SQUARE))

    def let_go(self) -> None:
        uids = self.some()
        now = self.map.edited()
        now.hide(as_uids(uids))
        self.map = now.finished()
        self.plain = {u: n for u, n in self.plain.items() if n.touched or u not in uids}


def box(rng: np.random.Generator) -> Box:
    x0, y0 = rng.integers(0, 30, 2).tolist()
    return Box(x0, y0, x0 + int(rng.integers(1, 20)), y0 + int(rng.integers(1, 20)))


@pytest.mark.parametrize("seed", range(10))
def test_any_walk_of_edits_is_that_of_a_dictionary(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk = Walk(rng)
    kept: list[tuple[NucleusMap, dict[UUID, ReviewedNucleus]]] = []
    for _ in range(120):
        walk.step()
        now, plain = walk.map, walk.plain
        assert list(now.items()) == list(plain.items())
        assert list(now.values()) == list(plain.values())
        assert list(now) == list(plain)
        assert len(now) == len(plain)
        assert {n.uid for n in now.touched()} == {n.uid for n in plain.values() if n.touched}
        region = box(rng)
        inside = region.contains(
            np.array([(n.nucleus.x_px, n.nucleus.y_px) for n in plain.values()]).reshape(-1, 2)
        )
        assert now.within(region) == [n for n, ok in zip(plain.values(), inside, strict=True) if ok]
        x, y, reach = *rng.uniform(0, 40, 2).tolist(), float(rng.integers(1, 12))
        far = {u: np.hypot(n.nucleus.x_px - x, n.nucleus.y_px - y) for u, n in plain.items()}
        near = [n.uid for n in now.near(x, y, reach)]
        assert set(near) == {u for u in plain if far[u] <= reach}
        assert near == sorted(near, key=far.__getitem__)
        assert {n.uid for n in now.covering(x, y)} == {
            u for u, n in plain.items() if n.nucleus.mask and n.nucleus.mask.covers(x, y)
        }
        asked = [*walk.plain, *walk.gone, uuid4()]
        assert [uid in now for uid in asked] == [uid in plain for uid in asked]
        assert [now.get(uid) for uid in asked] == [plain.get(uid) for uid in asked]
        assert now.hold(as_uids(asked)).tolist() == [uid in plain for uid in asked]
        kept.append((now, dict(plain)))
    for earlier, plain in kept:
        assert dict(earlier) == plain, "what was is as it was"


@pytest.mark.parametrize("seed", range(5))
def test_what_changed_is_what_two_dictionaries_differ_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk, tally = Walk(rng), Tally()
    region = Box(5, 5, 30, 25)
    kept: list[NucleusMap] = [walk.map]
    for _ in range(60):
        walk.step()
        before, now = kept[int(rng.integers(len(kept)))], walk.map
        gone, come = changes(before, now)

        def seen(nuclei) -> Counter:
            return Counter((n.nucleus, n.status == "rejected") for n in nuclei)

        assert seen(gone) == seen(before.values()) - seen(now.values())
        assert seen(come) == seen(now.values()) - seen(before.values())
        assert tally.seen_in(region, now) == Seen.of(now.values(), region)
        kept.append(now)


def test_a_rename_makes_no_nucleus_anew() -> None:
    said = Predictions.of(Nucleus(uuid4(), 1.0, i, "A", 0.5) for i in range(5))
    draft = NucleusMap().edited()
    draft.grow(said, np.arange(5), RUNS[0], {})
    before = draft.finished()
    draft.rename("A", "B")
    after = draft.finished()
    assert {n.nucleus.category for n in after.values()} == {"B"}
    assert {n.nucleus.category for n in before.values()} == {"A"}
    assert after.ground.said is before.ground.said
    assert not after.changed
    assert not after.added


def test_what_nobody_touched_is_made_once_for_those_who_ask_by_name() -> None:
    said = Predictions.of([Nucleus(uuid4(), 1.0, 2.0, "A", 0.5)])
    draft = NucleusMap().edited()
    draft.grow(said, np.arange(1), RUNS[0], {})
    nuclei = draft.finished()
    assert nuclei[said[0].uid] is nuclei[said[0].uid]
    with pytest.raises(KeyError):
        nuclei[uuid4()]


def test_each_mask_has_a_number_of_its_own_and_keeps_it() -> None:
    uids = [uuid4() for _ in range(200)]
    said = [Nucleus(uid, 1.0, 2.0, "A", 0.5, SQUARE) for uid in uids]
    moved = [replace(n, mask=SQUARE.moved(1, 0)) for n in said]

    def keys(nuclei: list[Nucleus]) -> list[int]:
        draft = NucleusMap().edited()
        draft.grow(Predictions.of(nuclei), np.arange(len(nuclei)), RUNS[0], {})
        return draft.finished().ground.mask_keys.tolist()

    assert len({*keys(said), *keys(moved)}) == 400
    assert max(keys(said)) < 0
    assert keys(said[::-1]) == keys(said)[::-1]
    assert keys([replace(n, mask=None) for n in said]) == [0] * 200
