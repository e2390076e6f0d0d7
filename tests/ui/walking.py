"""A random walk over a window: our gestures and napari's own tools, in any order.

After each step the layers have to show the state, and every few steps a copy of the project, opened
anew, has to hold it. Steps that are no corrections must leave the nuclei as they were.
"""

from __future__ import annotations

import shutil
import traceback
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from napari.layers import Image, Layer, Points
from napari.layers import _layer_actions as tools
from napari.layers.utils._link_layers import layer_is_linked

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.answers.opinions import MOST_STARS, PREFERRED
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import points_of
from napari_nunext.review.shown.ask import Way
from napari_nunext.store import Project
from napari_nunext.store.kinds.answers import Opinion, opinions, preferences
from napari_nunext.ui.canvas.layers import WHOLE, is_placed, to_napari
from napari_nunext.ui.canvas.outlines_layer import OutlinesLayer
from napari_nunext.ui.canvas.points_layer import MODES
from napari_nunext.ui.widgets import asking
from tests.review.fakes import done, points, square, started, window_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.store import FieldState, ReviewedNucleus
    from napari_nunext.ui.canvas.canvas import Canvas
    from tests.review.fakes import FakeServer
    from tests.ui.watching import Watch

REOPEN_EVERY = 25
MOST_FOREIGN = 5
"""Layers that are not ours, beyond which they are all deleted."""
FOUND = 12
"""Nuclei that a search finds."""
NAPARIS_OWN = (
    # It draws a new layer before anybody can say how large its pixels are; what holds at rest is
    # looked at.
    "said by napari Inconsistent units across layers",
    # A stack has no length along its first axis, and lies on its side.
    "said by napari Displayed dimensions have mismatched dimensionality",
)
"""How napari's words begin that are no fault of ours: about layers of others."""
OUR_CODE = str(Path(__file__).parents[2] / "napari_nunext")


class NobodyThere:
    """Stands for `QFileDialog`: every question for a file or folder is left unanswered."""

    @staticmethod
    def getOpenFileNames(*_: object) -> tuple[list[str], str]:
        return [], ""

    @staticmethod
    def getOpenFileName(*_: object) -> tuple[str, str]:
        return "", ""

    @staticmethod
    def getSaveFileName(*_: object) -> tuple[str, str]:
        return "", ""

    @staticmethod
    def getExistingDirectory(*_: object) -> str:
        return ""


@dataclass
class Walker:
    """Walks at random over one window, and counts where what is shown is not what is so.

    Parameters
    ----------
    viewer : napari.Viewer or its model
    settle : callable
        Lets the window come to rest.
    rng : Generator
    """

    viewer: Any
    controller: ReviewController
    canvas: Canvas
    server: FakeServer
    settle: Callable[[], None]
    rng: np.random.Generator
    watch: Watch
    """What is only printed."""
    divergences: list[str] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)

    def walk(self, steps: int) -> None:
        """Take steps; what went wrong is in `divergences`."""
        self.server.fake.outline = lambda clicks: square(clicks[0].x, clicks[0].y, 10)
        with patch.object(asking, "QFileDialog", NobodyThere):  # a dialog would wait for ever
            for i in range(steps):
                self.step()
                if i % REOPEN_EVERY == REOPEN_EVERY - 1 or i == steps - 1:
                    self._note("reopened", self._reopened())

    def step(self) -> None:
        """Take one step of any kind and look."""
        kinds = OUR_GESTURES if self.rng.random() < 0.5 else NAPARI_TOOLS
        edits = self.rng.choice(len(kinds))
        act = kinds[int(edits)]
        name = act.__name__.lstrip("_")
        self.taken[name] += 1
        before = self._nuclei()
        try:
            act(self)
            self.settle()
        except Exception as error:  # noqa: BLE001  a step may break napari, not us
            if _is_ours(error):
                self.divergences.append(f"{name}: {error!r}")
            self.settle()
        self._note(name, self._seen())
        self._note(name, (w for w in self.watch.taken() if not w.startswith(NAPARIS_OWN)))
        if act not in CORRECTIONS and act not in OUR_GESTURES and self._nuclei() != before:
            self.divergences.append(f"{name}: changed the nuclei")
        self._tidy()

    def _note(self, name: str, problems: Iterable[str]) -> None:
        self.divergences += [f"{name}: {problem}" for problem in problems]

    def _tidy(self) -> None:
        foreign = [layer for layer in self.viewer.layers if layer not in self.canvas.layers()]
        if len(foreign) > MOST_FOREIGN:
            for layer in foreign:
                self.viewer.layers.remove(layer)
            self.settle()

    # What has to be so

    def _nuclei(self) -> dict[str, Any]:
        """What people and models said of the nuclei; outlines come when they are wanted."""
        return {
            sha: {uid: replace(n.nucleus, mask=None) for uid, n in state.nuclei.items()}
            for sha, state in self._states().items()
        }

    def _states(self) -> dict[str, FieldState]:
        session = self.controller.session
        known = {entry.sha256 for entry in session.project.images()}
        opened = {
            loaded.field.entry.sha256
            for item in self.controller.images.model.queue.items
            if (loaded := session.known_field(item.path)) is not None
        }
        return {sha: session.state_of(sha) for sha in known & opened}

    def _standing(self) -> list[ReviewedNucleus]:
        """Those that are to be seen; of hidden categories the layer has no rows."""
        state, held = self.controller.model.state, self.controller.view.model.held
        assert state is not None
        hidden = self.controller.view.model.hidden_categories
        if held.too_many:
            return []
        box = held.within
        nuclei = state.nuclei.values() if box is None else state.nuclei.within(box)
        return [n for n in nuclei if n.status != "rejected" and n.nucleus.category not in hidden]

    def _seen(self) -> Iterator[str]:
        """Where the layers are not what the review says."""
        canvas, layers = self.canvas, list(self.viewer.layers)
        view = self.controller.view.model
        ours = canvas.layers()
        shown = self.controller.images.model.open_field
        if not all(layer in layers for layer in ours):
            yield "a layer is missing"
            return
        if self.viewer.layers.extent.units is None:
            yield "layers disagree in their units"
        at = [layers.index(layer) for layer in ours]
        if at != sorted(at):
            yield "the order is another"
        patches = {id(made.layer): made.patch() for made in canvas.density.drawings()}
        for layer in ours:
            if not is_placed(layer, shown.entry.mpp, patches.get(id(layer), WHOLE)):
                yield f"{layer.name} lies elsewhere"
            if layer_is_linked(layer):
                yield f"{layer.name} is linked"
            if str(layer.mode) == "transform":
                yield f"{layer.name} can be moved"
        image, outlines, nuclei = canvas.image, canvas.outlines.layer, canvas.nuclei.layer
        names = {shown.entry.name: image, "Outlines": outlines, "Nuclei": nuclei}
        for name, layer in names.items():
            if not layer.name.startswith(name):
                yield f"{name} is called {layer.name}"
        if image.data is not shown.source.read_region(shown.box):
            yield "the image is another"
        if nuclei.visible != view.points or outlines.visible != view.outlines:
            yield "the eye and the tick differ"
        if view.points and str(nuclei.mode) != MODES[view.tool] and nuclei.editable:
            yield f"the tool is {view.tool}, the mode {nuclei.mode}"
        yield from self._nuclei_seen(nuclei)
        yield from self._outlines_seen()
        yield from self._answers_seen()

    def _outlines_seen(self) -> Iterator[str]:
        """What is painted, an outline that is being drawn included."""
        model = self.controller.model
        view, field_ = self.controller.view.model, self.controller.images.model.open_field
        fresh = OutlinesLayer(model, view, field_).layer.data
        if not np.array_equal(fresh > 0, self.canvas.outlines.layer.data > 0):
            yield "outlines are not those of the nuclei"

    def _answers_seen(self) -> Iterator[str]:
        """Answers about the open image, as they are listed, shown and compared."""
        ask, state = self.controller.ask, self.controller.model.state
        shown, sha256 = ask.model, self.controller.images.model.open_field.entry.sha256
        about = [a for a in ask.book.every if a.image_sha256 == sha256]
        pair = [] if shown.pair is None else [shown.pair.left, shown.pair.right]
        hidden = {each.id for each in pair if each.hides_name}
        listed = [a for a in reversed(about) if a.answer_id not in hidden]
        if [each.answer for each in shown.answers] != listed:
            yield "other answers are listed than there are"
        chosen = [] if shown.selected is None else [shown.selected]
        for each in (*shown.answers, *pair, *chosen):
            said = opinions(state).get(each.id, {}).get(self.annotator, Opinion())
            if each.answer not in about or each.mine != said:
                yield "an answer is not shown as it was judged"
        if shown.pair is not None:
            ids = shown.pair.left.id, shown.pair.right.id
            vote = preferences(state).get(tuple(sorted(ids)), {}).get(self.annotator)
            if (vote is None) != (shown.pair.preferred is None):
                yield "a vote is not shown"
        wanted = () if shown.selected is None else shown.selected.boxes
        if shown.boxes != wanted:
            yield "boxes are not those of the answer"

    @property
    def annotator(self) -> str:
        """Who is at work."""
        return self.controller.session.project.annotator

    def note_drawing(self, name: str) -> None:
        """Look while an outline is drawn, before the window comes to rest."""
        self.canvas.outlines.pacer.flush()
        self._note(f"{name}, drawing", self._outlines_seen())

    def _nuclei_seen(self, layer: Points) -> Iterator[str]:
        model, standing = self.controller.model, self._standing()
        if len(layer.data) != len(standing):
            yield f"{len(layer.data)} points for {len(standing)} nuclei"
            return
        if not np.array_equal(layer.data, to_napari(points_of([n.nucleus for n in standing]))):
            yield "points are not where the nuclei are"
        rgb = {c.name: np.array(c.color) / 255 for c in model.categories}
        if unlisted := {n.nucleus.category for n in standing} - rgb.keys():
            yield f"no category is listed that is called {unlisted}"
            return
        wanted = np.array([rgb[n.nucleus.category] for n in standing]).reshape(-1, 3)
        if not np.allclose(layer.face_color[:, :3], wanted, atol=1e-3):
            yield "points have other colours"
        if not layer.shown.all():
            yield "points are hidden one by one"
        chosen = {i for i, n in enumerate(standing) if n.uid in self.controller.view.model.selected}
        if not set(layer.selected_data) <= chosen:
            yield "others are selected"

    def _reopened(self) -> Iterator[str]:
        """Where a copy of the project, opened anew, holds other states."""
        project = self.controller.session.project
        with TemporaryDirectory() as folder:
            for suffix in ("", "-wal"):
                source = project.path.with_name(project.path.name + suffix)
                if source.exists():
                    shutil.copy(source, Path(folder, "copy.nunext" + suffix))
            with Project.open(Path(folder, "copy.nunext"), annotator="walker") as copy:
                copy.verify()
                for sha256, state in self._states().items():
                    if copy.state(sha256) != state:
                        yield f"the copy holds another state of {sha256[:8]}"
                if copy.answers() != self.controller.ask.book.every:
                    yield "the copy holds other answers"

    # For the steps

    def any_of(self, what: list[Any]) -> Any:
        """One of these."""
        return what[int(self.rng.integers(len(what)))]

    def some_ours(self) -> list[Layer]:
        """Some of our layers."""
        ours = self.canvas.layers()
        return [layer for layer in ours if self.rng.random() < 0.4] or [self.any_of(ours)]

    def choose_layers(self, chosen: list[Layer]) -> None:
        """Select layers in napari's list."""
        there = [layer for layer in chosen if layer in self.viewer.layers]
        self.viewer.layers.selection = set(there)
        if there:
            self.viewer.layers.selection.active = there[0]
            self.viewer.layers.selection = set(there)

    def place(self) -> tuple[float, float]:
        """A place on the image: x, y."""
        field_ = self.controller.images.model.open_field
        x, y = self.rng.uniform(2, 0.98 * min(field_.box.width, field_.box.height), 2)
        return float(x), float(y)

    def near_a_nucleus(self) -> tuple[float, float]:
        """A place on or beside a nucleus, often the selected one; anywhere where there is none."""
        view, standing = self.controller.view.model, self._standing()
        chosen = [n for n in standing if n.uid == view.only_selected]
        if not standing or self.rng.random() < 0.1:
            return self.place()
        if not chosen or self.rng.random() < 0.3:
            chosen = [self.any_of(standing)]
            self.controller.view.select([chosen[0].uid])
        nucleus = chosen[0].nucleus
        x, y = np.add((nucleus.x_px, nucleus.y_px), self.rng.normal(0, 3, 2))
        return float(x), float(y)

    @property
    def points(self) -> Points:
        """The layer of the nuclei."""
        return self.canvas.nuclei.layer

    def rows(self, most: int = 4) -> set[int]:
        """Some rows of the nuclei's layer that can be seen."""
        shown = np.flatnonzero(self.points.shown).tolist()
        return {self.any_of(shown) for _ in range(most)} if shown else set()


def _is_ours(error: BaseException) -> bool:
    """Whether an error passed through our code, or is a mistake of the walk."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.filename.startswith(OUR_CODE) for frame in frames):
            return True
        if frames and frames[-1].filename == __file__:
            return True
        error = error.__cause__ or error.__context__
    return False


# Our gestures


def _add(w: Walker) -> None:
    w.controller.view.choose_tool("add")
    x, y = w.place()
    mpp = w.controller.images.model.open_field.entry.mpp
    here = [0.0] * (w.viewer.dims.ndim - 2) + [(y - 0.5) * mpp, (x - 0.5) * mpp]
    before, is_far = w._nuclei(), w.controller.view.model.held.too_many
    w.points.add(w.points.world_to_data(here))
    state = w.controller.model.state
    if is_far:
        if w._nuclei() != before:
            w.divergences.append("add: added where single nuclei are not seen")
        return
    added = list(state.nuclei.values())[-1].nucleus
    if not np.allclose((added.x_px, added.y_px), (x, y), atol=1e-6):
        w.divergences.append(f"add: clicked at {x, y}, stored at {added.x_px, added.y_px}")


def _move(w: Walker) -> None:
    rows, layer = w.rows(), w.points
    if not rows:
        return
    w.controller.view.choose_tool("select")
    layer.selected_data = rows
    index = tuple(layer.selected_data)
    layer.events.data(value=layer.data, action="changing", data_indices=index, vertex_indices=((),))
    start = layer.data[list(index)].mean(axis=0)
    layer._set_drag_start(layer.selected_data, start)
    layer._move(layer.selected_data, start + w.rng.normal(0, 6, 2))
    layer._drag_start = None


def _delete(w: Walker) -> None:
    w.points.selected_data = w.rows(2)
    w.points.remove_selected()


def _relabel(w: Walker) -> None:
    w.points.selected_data = w.rows()
    w.controller.categories.choose(w.any_of(list(w.controller.model.categories)).name)


def _undo(w: Walker) -> None:
    w.controller.history.undo()


def _redo(w: Walker) -> None:
    w.controller.history.redo()


def _accept(w: Walker) -> None:
    w.controller.decide.accept()
    notice = w.controller.model.notice
    if notice is not None and notice.action is not None and w.rng.random() < 0.5:
        w.settle()
        notice.action()


def _step_on(w: Walker) -> None:
    w.any_of([w.controller.images.next, w.controller.images.previous])()


def _find(w: Walker) -> None:
    places = [w.place() for _ in range(FOUND)]
    w.server.fake.script = [
        started(),
        points(*places[: FOUND // 2]),
        points(*places[FOUND // 2 :], first=FOUND // 2, confidence=0.2),
        done(FOUND),
    ]
    w.controller.find.search()


def _find_half(w: Walker) -> None:
    w.server.fake.script = [
        started(windows=2, plan="plan"),
        points(*(w.place() for _ in range(FOUND))),
        window_done(1, 2),
        points(w.place(), first=FOUND, window=1),
        done(FOUND, "cancelled"),
    ]
    w.controller.find.search()


def _go_on(w: Walker) -> None:
    w.server.fake.script = [
        started(windows=2, plan="plan", resumed=True),
        points(*(w.place() for _ in range(FOUND)), first=10 * FOUND, window=1),
        window_done(2, 2),
        done(FOUND),
    ]
    if w.controller.find.model.paused_search is not None:
        w.controller.find.go_on()


def _hide_category(w: Walker) -> None:
    category = w.any_of(list(w.controller.model.categories))
    w.controller.categories.show(category.name, bool(w.rng.integers(2)))


def _outline(w: Walker) -> None:
    w.controller.outline.click(*w.place(), inside=True)


def _brush(w: Walker) -> None:
    """Paint or erase somewhere near a nucleus, mostly the one that is selected."""
    w.controller.hand.take("brush")
    w.controller.hand.resize_brush(int(w.rng.integers(-1, 2)))
    x, y = w.near_a_nucleus()
    w.controller.hand.press(x, y, erases=bool(w.rng.integers(3) == 0))
    for _ in range(int(w.rng.integers(4))):
        x, y = x + w.rng.normal(0, 4), y + w.rng.normal(0, 4)
        w.controller.hand.move(float(x), float(y))
        w.note_drawing("brush")
    if w.rng.random() < 0.9:
        w.controller.hand.lift(clicked=bool(w.rng.integers(4) == 0))


def _polygon(w: Walker) -> None:
    """Put corners; close the polygon, give it up, or leave it to whatever comes next."""
    hand = w.controller.hand
    hand.take("polygon")
    x, y = w.near_a_nucleus()
    for angle in np.sort(w.rng.uniform(0, 2 * np.pi, int(w.rng.integers(1, 7)))):
        radius = w.rng.uniform(2, 12)
        hand.put_corner(float(x + radius * np.cos(angle)), float(y + radius * np.sin(angle)))
        hand.hover(*w.place())
        w.note_drawing("polygon")
    w.any_of([hand.finish, hand.finish, hand.take_back, hand.give_up])()


def _scale(w: Walker) -> None:
    w.controller.scale.set(w.any_of([0.25, 0.5]))


def _tool(w: Walker) -> None:
    w.controller.view.choose_tool(w.any_of(list(MODES)))


def _ticks(w: Walker) -> None:
    w.controller.view.show_points(bool(w.rng.integers(2)))
    w.controller.view.show_outlines(bool(w.rng.integers(2)))


def _categories(w: Walker) -> None:
    editor, names = w.controller.categories, [c.name for c in w.controller.model.categories]
    name, other = w.any_of(names), w.any_of(names)
    color = tuple(int(v) for v in w.rng.integers(0, 256, 3))
    w.any_of(
        [
            lambda: w.controller.categories.add(w.any_of(["Mitosis", "Apoptosis"])),
            lambda: editor.rename(name, name + w.any_of(["", " cell"])),
            lambda: editor.recolor(name, color),
            lambda: editor.merge(name, other),
        ]
    )()


def _sure_above(w: Walker) -> None:
    w.controller.view.set_sure_above(float(w.rng.random()))


def _flag(w: Walker) -> None:
    w.controller.correct.flag()


def _region(w: Walker) -> None:
    w.canvas.draw_region()
    x, y = w.place()
    w.canvas.region.layer.add_rectangles(
        np.array([[y, x], [y, x + 40], [y + 30, x + 40], [y + 30, x]])
    )


def _ask(w: Walker) -> None:
    """Ask Counts, a model, or two; sometimes stop, or go to another image meanwhile."""
    ask, question = w.controller.ask, Question("question", "How many nuclei are there?")
    ask.answerers.look_once()
    ask.choose_where(w.any_of(["view", "field", "region"]))
    if ask.region() is None:
        ask.choose_where("field")
    meanwhile = w.any_of([lambda: None, w.server.fake.stop_asking])
    w.server.fake.says = ["<answer>[[1, 2, 20, 30], [4, 4, 9, 9]]", meanwhile, "</answer>"]
    w.any_of(
        [
            lambda: ask.ask(question, Way()),
            lambda: ask.ask(question, Way("vlm")),
            lambda: ask.ask_two(question, Way(), Way("vlm", 64)),
        ]
    )()
    w.any_of([lambda: None, ask.stop, w.controller.images.next])()


def _select_answer(w: Walker) -> None:
    ask = w.controller.ask
    pair = [] if ask.model.pair is None else [ask.model.pair.left, ask.model.pair.right]
    w.any_of(
        [
            *(lambda s=s: ask.book.select(s.id) for s in (*ask.model.answers, *pair)),
            lambda: ask.book.select(""),
            lambda: ask.book.look_at_box(0),
            lambda: ask.book.look_at_nucleus(0),
            ask.book.select_nuclei,
        ]
    )()


def _judge(w: Walker) -> None:
    """Rate, correct, or take back what was said of the selected answer, or of any."""
    ask = w.controller.ask
    if ask.model.selected is None and ask.model.answers:
        ask.book.select(w.any_of(list(ask.model.answers)).id)
    judge, boxes = ask.judge, list(ask.model.boxes)
    x, y = w.place()
    w.any_of(
        [
            lambda: judge.rate(int(w.rng.integers(1, 6))),
            lambda: judge.tag(w.any_of(list(MOST_STARS))),
            lambda: judge.comment(w.any_of(["", "where?"])),
            lambda: judge.correct_text(w.any_of(["7", "none", "there: [0, 0, 9, 9]"])),
            judge.as_said,
            lambda: judge.correct_boxes([*boxes, AnswerBox(Box(x, y, x + 9, y + 7))]),
            lambda: judge.correct_boxes(boxes[1:]),
            lambda: judge.correct_boxes(None),
            judge.take_back,
        ]
    )()


def _compare(w: Walker) -> None:
    ask = w.controller.ask
    listed = ask.model.answers
    w.any_of(
        [
            lambda: ask.compare.judge(w.any_of(list(PREFERRED))),
            lambda: ask.compare.judge(w.any_of(list(PREFERRED))),
            lambda: ask.compare.side_by_side(listed[0].id, listed[-1].id) if listed else None,
            ask.compare.close,
        ]
    )()


# napari's own tools


def _delete_layers(w: Walker) -> None:
    w.choose_layers(w.some_ours())
    w.viewer.layers.remove_selected()


def _clear_layers(w: Walker) -> None:
    w.viewer.layers.clear()


def _rename_layer(w: Walker) -> None:
    w.any_of(w.canvas.layers()).name = w.any_of(["Nuclei", "mine", "Outlines", ""])


def _reorder_layers(w: Walker) -> None:
    if w.rng.random() < 0.2:
        w.viewer.layers.reverse()
    else:
        w.viewer.layers.move(*(int(i) for i in w.rng.integers(0, len(w.viewer.layers), 2)))


def _duplicate_layers(w: Walker) -> None:
    w.choose_layers(w.some_ours())
    tools._duplicate_layer(w.viewer.layers)


def _edit_a_copy(w: Walker) -> None:
    ours = w.canvas.layers()
    copies = [la for la in w.viewer.layers if isinstance(la, Points) and la not in ours]
    if copies:
        copy = w.any_of(copies)
        copy.add([10.0] * copy.ndim)
        copy.selected_data = {0}
        copy.remove_selected()
        copy.translate = [5.0] * copy.ndim


def _transform_layer(w: Walker) -> None:
    layer = w.any_of(w.canvas.layers())
    layer.mode = "transform"
    angle = float(w.rng.uniform(5, 80))
    change = w.any_of(
        [
            ("affine", [[1, 0.1, 14.4], [0, 1, -3], [0, 0, 1]]),
            ("translate", (3, 4)),
            ("scale", (2, 1)),
            ("rotate", angle),
            ("shear", [0.4]),
        ]
    )
    setattr(layer, *change)


def _merge_layers(w: Walker) -> None:
    images = [layer for layer in w.viewer.layers if isinstance(layer, Image)]
    w.choose_layers([w.canvas.image, *images])
    tools._merge_stack(w.viewer.layers, rgb=bool(w.rng.integers(2)))


def _convert_layers(w: Walker) -> None:
    w.choose_layers([w.any_of([w.canvas.image, w.canvas.outlines.layer])])
    tools._convert(w.viewer.layers, w.any_of(["labels", "image"]))


def _split_image(w: Walker) -> None:
    w.choose_layers([w.canvas.image])
    tools._split_rgb(w.viewer.layers)


def _project_stack(w: Walker) -> None:
    w.choose_layers([w.viewer.add_image(np.zeros((4, 20, 20)))])
    tools._project(w.viewer.layers, 0, "max")


def _eyes(w: Walker) -> None:
    w.choose_layers(w.some_ours())
    w.any_of(
        [
            tools._hide_selected,
            tools._show_selected,
            tools._hide_unselected,
            tools._show_unselected,
            tools._toggle_visibility,
        ]
    )(w.viewer.layers)


def _change_mode(w: Walker) -> None:
    layer = w.any_of(w.canvas.layers())
    layer.mode = w.any_of(list(type(layer)._modeclass))


def _select_all(w: Walker) -> None:
    w.points.selected_data = set(range(len(w.points.data)))


def _paste_points(w: Walker) -> None:
    w.points.selected_data = w.rows()
    w.points._copy_data()
    w.points._paste_data()


def _link_layers(w: Walker) -> None:
    w.choose_layers(list(w.viewer.layers))
    tools._link_selected_layers(w.viewer.layers)


def _look_of_points(w: Walker) -> None:
    w.points.selected_data = w.rows()
    name, value = w.any_of(
        [
            ("current_face_color", "red"),
            ("current_border_color", "yellow"),
            ("current_size", 30),
            ("current_symbol", "star"),
            ("face_color", "blue"),
        ]
    )
    setattr(w.points, name, value)


def _opacity(w: Walker) -> None:
    w.any_of([w.points, w.canvas.outlines.layer]).opacity = float(w.rng.uniform(0.2, 1))


def _paint_outlines(w: Walker) -> None:
    w.canvas.outlines.layer.paint((20, 20), 3)


def _other_pixels(w: Walker) -> None:
    w.canvas.image.data = np.zeros((30, 30, 3), np.uint8)


def _new_layers(w: Walker) -> None:
    make = w.any_of(
        [
            lambda: w.viewer.add_points(np.full((1, 2), 5.0)),
            lambda: w.viewer.add_labels(np.zeros((4, 20, 20), int)),
            lambda: w.viewer.add_image(np.zeros((30, 40))),
            lambda: w.viewer.add_shapes(),
        ]
    )
    make()


def _turn_axes(w: Walker) -> None:
    w.viewer.dims.ndisplay = int(w.any_of([2, 2, 3]))
    w.viewer.dims.roll()
    w.settle()
    w.viewer.dims.ndisplay = 2
    w.viewer.dims.order = tuple(range(w.viewer.dims.ndim))


def _points_at_once(w: Walker) -> None:
    data = w.points.data.copy()
    if len(data):
        data[int(w.rng.integers(len(data)))] = w.rng.uniform(2, 150, 2)
        w.points.data = data


def _other_points(w: Walker) -> None:
    if len(w.points.data):  # into an empty layer they would be added
        w.points.data = w.rng.uniform(2, 150, (len(w.points.data) + 3, 2))


OUR_GESTURES: list[Callable[[Walker], None]] = [
    _accept,
    _add,
    _add,
    _ask,
    _ask,
    _brush,
    _brush,
    _categories,
    _compare,
    _delete,
    _find,
    _find_half,
    _flag,
    _go_on,
    _hide_category,
    _judge,
    _judge,
    _move,
    _outline,
    _polygon,
    _redo,
    _region,
    _relabel,
    _scale,
    _select_answer,
    _step_on,
    _sure_above,
    _ticks,
    _tool,
    _undo,
]
NAPARI_TOOLS: list[Callable[[Walker], None]] = [
    _change_mode,
    _clear_layers,
    _convert_layers,
    _delete_layers,
    _duplicate_layers,
    _edit_a_copy,
    _eyes,
    _link_layers,
    _look_of_points,
    _merge_layers,
    _new_layers,
    _opacity,
    _other_pixels,
    _other_points,
    _paint_outlines,
    _paste_points,
    _points_at_once,
    _project_stack,
    _rename_layer,
    _reorder_layers,
    _select_all,
    _split_image,
    _transform_layer,
    _turn_axes,
]
CORRECTIONS = (_points_at_once,)
"""Of napari's tools, those that correct nuclei."""
