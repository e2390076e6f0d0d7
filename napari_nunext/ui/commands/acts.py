"""How each command is done in a dock, and why it cannot be done now."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.image.navigation import MAGNIFICATIONS
from napari_nunext.review.model import Notice
from napari_nunext.ui.commands.table import CATEGORY_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.shown.regions import RegionTool
    from napari_nunext.ui.dock import NunextDock

NO_IMAGE = "No image is open. Open one first."
NO_SEARCH = "No search is running."


def _can() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Act:
    """What a command does."""

    do: Callable[[], object]
    why_not: Callable[[], str] = _can
    """Why it cannot be done now, in a sentence; empty where it can."""


class Acts:
    """All commands, in one dock.

    Parameters
    ----------
    dock : NunextDock
        It need not be finished yet; it is asked when something is done.
    """

    def __init__(self, dock: NunextDock) -> None:
        self._dock = dock
        self._controller = dock.controller
        self._canvas = dock.canvas
        self._is_peeking = False
        self.by_name: dict[str, Act] = {
            **self._correcting(),
            **self._deciding(),
            **self._looking(),
            **self._searching(),
            **self._asking_and_training(),
            **self._files(),
        }

    def do(self, name: str) -> None:
        """Do it, if it can be done."""
        self.by_name[name].do()

    def tell(self, name: str) -> None:
        """Do it, or say why it cannot be done."""
        act = self.by_name[name]
        if words := act.why_not():
            self._controller.session.notify(Notice(words, "warning"))
        else:
            act.do()

    def end_peek(self) -> None:
        """Show what is over the tissue again, if it was hidden."""
        if self._is_peeking:
            self._is_peeking = False
            self._canvas.hide_overlays(False)

    # What there is

    def _correcting(self) -> dict[str, Act]:
        c, hand, field = self._controller, self._controller.hand, self._no_field
        return {
            "add": Act(lambda: c.view.toggle_tool("add"), field),
            "select": Act(lambda: c.view.toggle_tool("select"), field),
            "outline_by_clicks": Act(lambda: hand.toggle("click"), field),
            "outline_by_brush": Act(lambda: hand.toggle("brush"), field),
            "larger_brush": Act(lambda: hand.resize_brush(1), field),
            "smaller_brush": Act(lambda: hand.resize_brush(-1), field),
            "outline_by_polygon": Act(lambda: hand.toggle("polygon"), field),
            "rest": Act(self._rest, field),
            "delete": Act(self._delete, self._nothing_selected),
            **{
                f"category_{number}": Act(
                    partial(self._choose_category, number), partial(self._no_category, number)
                )
                for number in range(1, CATEGORY_KEYS + 1)
            },
            "undo": Act(self._undo, self._nothing_to_undo),
            "redo": Act(
                c.history.redo, lambda: "" if c.model.can_redo else "There is nothing to redo."
            ),
        }

    def _deciding(self) -> dict[str, Act]:
        c, dock, field = self._controller, self._dock, self._no_field
        return {
            "accept": Act(self._accept, field),
            "reopen": Act(c.decide.reopen, self._nothing_accepted),
            "flag": Act(c.correct.flag, field),
            "comment": Act(lambda: self._in_review(dock.review.ask_comment), field),
            "previous": Act(c.images.previous, partial(self._no_neighbour, -1)),
            "next": Act(c.images.next, partial(self._no_neighbour, 1)),
            "jump": Act(dock.header.list_images, self._no_images),
        }

    def _looking(self) -> dict[str, Act]:
        view, dock, field = self._controller.view, self._dock, self._no_field
        return {
            "next_unsure": Act(view.next_unsure, field),
            "previous_unsure": Act(lambda: view.next_unsure(-1), field),
            "peek": Act(self._peek, field),
            "region_rectangle": Act(partial(self._mark, "rectangle"), field),
            "region_polygon": Act(partial(self._mark, "polygon"), field),
            "outlines": Act(lambda: view.show_outlines(not view.model.outlines), field),
            "points": Act(lambda: view.show_points(not view.model.points), field),
            "keys": Act(dock.show_shortcuts),
            "change_keys": Act(dock.change_keys),
            "go_to": Act(dock.navigator.ask_place, field),
            "fit": Act(self._canvas.fit, field),
            **{
                f"magnify_{times}": Act(partial(dock.navigator.choose_step, number), field)
                for number, times in enumerate(MAGNIFICATIONS)
            },
            "overview": Act(dock.navigator.toggle, field),
            "review_tab": Act(partial(dock.show_tab, 0), field),
            "ask_tab": Act(partial(dock.show_tab, 1), field),
            "improve_tab": Act(partial(dock.show_tab, 2), field),
        }

    def _searching(self) -> dict[str, Act]:
        finder = self._dock.review.finder
        return {
            "find": Act(lambda: self._in_review(finder.search), finder.why_not_search),
            "pause": Act(lambda: finder.running_part().pause(), self._no_search),
            "go_on": Act(lambda: finder.running_part().go_on(), self._nothing_paused),
            "stop": Act(
                lambda: finder.running_part().stop(),
                lambda: self._no_search() and self._nothing_paused() and NO_SEARCH,
            ),
            "check_server": Act(self._dock.show_checkup),
        }

    def _asking_and_training(self) -> dict[str, Act]:
        c, dock, ask = self._controller, self._dock, self._dock.ask

        def improve() -> None:
            dock.show_tab(2)
            c.learn.train()

        def agree() -> None:
            dock.show_tab(1)
            c.ask.look_at_agreement()

        return {
            "ask": Act(self._ask, self._no_field),
            "stop_asking": Act(
                c.ask.stop, lambda: "" if c.ask.model.status.busy else "Nobody is being asked."
            ),
            "agreement": Act(
                agree,
                lambda: self._no_field() or ("" if ask.rates else "Ratings are switched off."),
            ),
            "train": Act(improve, lambda: self._no_field() or dock.improve.why_not_train()),
            "stop_training": Act(
                c.learn.stop,
                lambda: "" if c.learn.model.training.busy else "No training is under way.",
            ),
        }

    def _files(self) -> dict[str, Act]:
        choose = self._dock.choose
        return {
            "open_images": Act(choose.files),
            "open_folder": Act(choose.folder),
            "open_project": Act(choose.project),
            "import_nuclei": Act(choose.nuclei, self._no_field),
            "export_training": Act(choose.export, self._no_field),
            "save_picture": Act(choose.picture, self._no_field),
        }

    # Why not

    def _no_field(self) -> str:
        return "" if self._controller.images.model.open_field is not None else NO_IMAGE

    def _no_images(self) -> str:
        return "" if self._controller.images.model.queue.items else NO_IMAGE

    def _no_neighbour(self, step: int) -> str:
        queue = self._controller.images.model.queue
        if not queue.items:
            return NO_IMAGE
        which = "first" if step < 0 else "last"
        return f"This is the {which} image." if queue.neighbour(step) is None else ""

    def _no_category(self, number: int) -> str:
        count = len(self._controller.model.categories)
        if missing := self._no_field():
            return missing
        return "" if number <= count else f"There is no category {number}; there are {count}."

    def _nothing_selected(self) -> str:
        taken = self._canvas.has_boxes_in_hand or self._canvas.regions.has_hand
        if taken or self._controller.hand.is_drawing or self._controller.view.model.selected:
            return ""
        return self._no_field() or "Nothing is selected. Select nuclei first."

    def _nothing_to_undo(self) -> str:
        is_drawing = self._controller.hand.is_drawing
        return (
            "" if is_drawing or self._controller.model.undo_steps else "There is nothing to undo."
        )

    def _nothing_accepted(self) -> str:
        if missing := self._no_field():
            return missing
        can = self._controller.decide.decision().can_reopen
        return "" if can else "Nothing in this field is accepted."

    def _no_search(self) -> str:
        busy = self._controller.find.model.run.busy or self._controller.find_all.model.status.busy
        return "" if busy else NO_SEARCH

    def _nothing_paused(self) -> str:
        every = self._controller.find_all.model.status.phase == "paused"
        one = self._controller.find.model.paused_search is not None
        is_paused = not self._no_search() or not (every or one)
        return "No search is paused." if is_paused else ""

    # An outline that is being drawn takes the keys that would end, undo or delete something else.

    def _rest(self) -> None:
        if self._canvas.has_boxes_in_hand:
            self._canvas.end_correcting_boxes()
        elif self._canvas.regions.has_hand:
            self._canvas.regions.leave()
        elif not self._controller.hand.give_up():
            self._controller.view.choose_tool("look")
            self._controller.view.select(())

    def _delete(self) -> None:
        if self._canvas.has_boxes_in_hand:
            self._canvas.delete_boxes()
        elif self._canvas.regions.has_hand:
            self._canvas.regions.delete_selected()
        elif not self._controller.hand.take_back():
            self._controller.correct.delete(self._controller.view.model.selected)

    def _undo(self) -> None:
        if not self._controller.hand.take_back():
            self._controller.history.undo()

    def _accept(self) -> None:
        if not (self._canvas.regions.finish() or self._controller.hand.finish()):
            self._controller.decide.accept()

    def _mark(self, tool: RegionTool) -> None:
        regions = self._controller.regions
        regions.choose_tool("" if regions.model.tool == tool else tool)

    def _choose_category(self, number: int) -> None:
        categories = self._controller.model.categories
        if number <= len(categories):
            self._controller.categories.choose(categories[number - 1].name)

    def _peek(self) -> None:
        self._is_peeking = True
        self._canvas.hide_overlays(True)

    def _in_review(self, act: Callable[[], object]) -> None:
        """Do what is seen on the Review tab alone."""
        if self._controller.images.model.open_field is not None:
            self._dock.show_tab(0)
        act()

    def _ask(self) -> None:
        self._dock.show_tab(1)
        if words := self._dock.ask.missing():
            self._dock.ask.form.take_keyboard()
            self._controller.session.notify(Notice(words, "warning"))
        else:
            self._dock.ask.ask()
