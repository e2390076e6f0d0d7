"""All that the window can be told to do, in one table.

The keys, the sheet that lists them and napari's command palette are made of it. Keys are called as
Qt calls them in files ("Ctrl+Shift+Z"), whatever the language.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_nunext.core.image.navigation import MAGNIFICATIONS

PLUGIN = "napari-nunext"
CATEGORY_KEYS = 9
BY_BUTTON = "By button"
"""Group of what has no key of its own at first."""

_SHOWN = {"Return": "Enter", "-": "\N{MINUS SIGN}"}


@dataclass(frozen=True, slots=True)
class Command:
    """Something that the window can be told to do."""

    name: str
    title: str
    """What the palette calls it, and the sheet of keys where it has no `row`."""
    keys: tuple[str, ...] = ()
    """The usual keys; the first is the one that is shown."""
    group: str = BY_BUTTON
    row: str = ""
    """The line of the sheet that it shares with its neighbours; empty for one of its own."""
    anywhere: bool = False
    """Whether its keys count with any layer active, not only with one of ours."""
    repeats: bool = False
    """Whether a key that is held down does it again."""

    @property
    def id(self) -> str:
        """What napari calls it."""
        return f"{PLUGIN}.{self.name}"


@dataclass(frozen=True, slots=True)
class Also:
    """What the key of a command does besides, in the sheet."""

    command: str
    which: int
    """Which of its keys."""
    words: str


CORRECT = "Correct"
DECIDE = "Decide"
LOOK = "Look"
WAY = "Find the way"

DRAWING = "While a polygon is drawn"
WHILE_DRAWING = (
    Also("accept", 0, "Close it, as a double click"),
    Also("delete", -1, "Take the last corner back"),
    Also("rest", 0, "Give it up"),
)
"""What is being drawn is an input too: it takes the keys that would end, undo or delete."""

COMMANDS: tuple[Command, ...] = (
    Command("add", "Add nuclei: click", ("A",), CORRECT),
    Command("select", "Select, move: click, drag", ("S",), CORRECT),
    Command("outline_by_clicks", "Outline: click in it, Shift out", ("O",), CORRECT),
    Command("outline_by_brush", "Outline: paint, Shift takes away", ("B",), CORRECT),
    Command(
        "larger_brush",
        "Larger brush",
        ("+", "="),  # the same key without Shift
        CORRECT,
        "Size of the brush",
        anywhere=True,
        repeats=True,
    ),
    Command(
        "smaller_brush",
        "Smaller brush",
        ("-",),
        CORRECT,
        "Size of the brush",
        anywhere=True,
        repeats=True,
    ),
    Command("outline_by_polygon", "Outline: draw a polygon", ("P",), CORRECT),
    Command("rest", "Back to moving the view", ("Esc",), CORRECT),
    Command("delete", "Delete the selected", ("D", "Del", "Backspace"), CORRECT),
    *(
        Command(
            f"category_{number}",
            f"Category {number} of new and selected",
            (str(number),),
            CORRECT,
            "Category of new and selected",
        )
        for number in range(1, CATEGORY_KEYS + 1)
    ),
    Command("undo", "Undo", ("Ctrl+Z",), CORRECT),
    Command("redo", "Redo", ("Ctrl+Shift+Z", "Ctrl+Y"), CORRECT),
    Command("accept", "Accept the field, go on", ("Return",), DECIDE),
    Command("flag", "Flag for a second look", ("F",), DECIDE),
    Command("comment", "Comment", ("C",), DECIDE),
    Command("previous", "Previous field", ("[",), DECIDE),
    Command("next", "Next field", ("]",), DECIDE),
    Command("jump", "Jump: all images", ("J",), DECIDE),
    Command("next_unsure", "Next unsure nucleus", ("Tab",), LOOK, anywhere=True, repeats=True),
    Command(
        "previous_unsure", "Previous unsure", ("Shift+Tab",), LOOK, anywhere=True, repeats=True
    ),
    Command("peek", "Hold to see the tissue alone", ("Space",), LOOK),
    Command("region_rectangle", "Region: drag a rectangle", ("R",), LOOK),
    Command("region_polygon", "Region: a polygon", ("Shift+R",), LOOK),
    Command("outlines", "Outlines on and off", ("M",), LOOK),
    Command("keys", "Keys", ("?",), LOOK, "This list", anywhere=True),
    Command("go_to", "Go to a place: x, y", ("Ctrl+G",), WAY),
    Command("fit", "All of the image", ("Ctrl+0",), WAY),
    *(
        Command(
            f"magnify_{times}", f"Magnify {times}x", (f"Ctrl+{number}",), WAY, "Magnify: 5x to 40x"
        )
        for number, times in enumerate(MAGNIFICATIONS, start=1)
    ),
    Command("overview", "Overview on and off", ("N",), WAY),
    Command("find", "Find nuclei"),
    Command("pause", "Pause the search"),
    Command("go_on", "Go on with the paused search"),
    Command("stop", "Stop the search"),
    Command("reopen", "Reopen the field: take back what is accepted"),
    Command("points", "Points on and off"),
    Command("review_tab", "Show the Review tab"),
    Command("ask_tab", "Show the Ask tab"),
    Command("improve_tab", "Show the Improve tab"),
    Command("ask", "Ask what is typed in the Ask tab"),
    Command("stop_asking", "Stop the answer"),
    Command("agreement", "Do readers agree?"),
    Command("train", "Train on what was accepted"),
    Command("stop_training", "Stop the training"),
    Command("open_images", "Open images"),
    Command("open_folder", "Open a folder of images"),
    Command("open_project", "Open another project"),
    Command("import_nuclei", "Import nuclei from files"),
    Command("export_training", "Export training data"),
    Command("save_picture", "Save a picture of this view"),
    Command("change_keys", "Change keys"),
    Command("check_server", "Check the model server"),
)

BY_NAME = {command.name: command for command in COMMANDS}


def shown(key: str) -> str:
    """A key as people read it, such as Ctrl Shift Z."""
    if key.endswith("+"):  # the key + itself
        return " ".join([*filter(None, key[:-1].split("+")), "+"])
    return " ".join(_SHOWN.get(part, part) for part in key.split("+"))
