"""What a search, a question and a training are asked: their parameters, once.

The command lines and napari's forms are made of these by `core.process.parameters`; what Python
calls takes the same names, defaults and meanings, which `tests/ui/test_forms.py` holds. What
belongs to one of them alone, such as the folder that a command writes into, stands there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence  # noqa: TC003 - read by `parameters`, as all types here are
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.options import above_zero, mpp, positive
from napari_nunext.core.process.parameters import parameters_of

Mpp: TypeAlias = Annotated[float | None, {"label": "Scale", "read": mpp, "unit": "um/px"}]
Corners: TypeAlias = tuple[float, float, float, float]
Region: TypeAlias = Annotated[
    Corners | None, {"label": "Rectangle", "parts": ("X0", "Y0", "X1", "Y1"), "unit": "px"}
]
Tokens: TypeAlias = Annotated[int | None, {"read": positive, "unit": "tokens"}]

AskTask: TypeAlias = Literal["question", "subtype", "lesions"]
TASKS: Mapping[AskTask, str] = {
    "question": "Question",
    "subtype": "Subtype",
    "lesions": "Find lesions",
}
"""What a person calls the kinds of questions."""

PEN_WITHOUT_TISSUE = "pen says what is no tissue: give tissue (--tissue) with it."


def check_pen(*, tissue: bool, pen: bool) -> None:
    """Refuse to leave out ink where glass is not left out.

    Raises
    ------
    InputError
    """
    if pen and not tissue:
        raise InputError(PEN_WITHOUT_TISSUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for nuclei.

    Parameters
    ----------
    model : str, optional
        Id of a model, or folder of a checkpoint; the bundled model by default.
    mpp : float, optional
        Micrometres per pixel; what the file says by default.
    masks : bool
        Draw what each nucleus covers, too.
    tissue : bool
        Leave out windows of bare glass, which saves time.
    pen : bool
        With tissue: leave out green, blue and black ink too; not for blue or green stains.
    region : tuple of float, optional
        What of the image is searched, level-0 pixels; all of it by default.

    Raises
    ------
    InputError
        If pen is given without tissue.
    """

    model: Annotated[str | None, {"label": "Model"}] = None
    mpp: Mpp = None
    masks: Annotated[bool, {"label": "Draw outlines too"}] = False
    tissue: Annotated[bool, {"label": "Leave out bare glass"}] = False
    pen: Annotated[bool, {"label": "Leave out ink of pens too"}] = False
    region: Region = None

    def __post_init__(self) -> None:
        check_pen(tissue=self.tissue, pen=self.pen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A question, and how it is put.

    Parameters
    ----------
    question : str
        In English; of a search for lesions, their category.
    options : sequence of str
        What to choose from; of a subtype, the categories.
    task : {"question", "subtype", "lesions"}
        A question, a subtype out of the options, or where lesions are.
    organ : str
        In which lesions are looked for.
    region : tuple of float, optional
        What it is about, level-0 pixels; all of the image by default.
    answerer : str
        Counts, which answers from the nuclei (default), or an answerer of a model server.
    budget : int, optional
        Most image tokens; by default as many as the answerer was taught with, or 256.
    allocate : bool
        Let the answerer choose how many image tokens it spends, up to the budget.
    max_tokens : int, optional
        Of an answer at most, its thought included; by default as the answerer's option says, or
        1024.
    mpp : float, optional
        Micrometres per pixel; what the nuclei or the file say by default.
    """

    question: Annotated[str, {"label": "Question"}] = ""
    options: Annotated[Sequence[str], {"label": "Options, one a line", "at_once": True}] = ()
    task: Annotated[AskTask, {"label": "Kind of question", "words": TASKS}] = "question"
    organ: Annotated[str, {"label": "Organ of the lesions"}] = ""
    region: Region = None
    answerer: Annotated[str, {"label": "Who answers"}] = "counts"
    budget: Annotated[Tokens, {"label": "Image tokens, at most"}] = None
    allocate: Annotated[bool, {"label": "Let the model choose, up to this many"}] = False
    max_tokens: Annotated[Tokens, {"label": "Answer tokens, at most"}] = None
    mpp: Mpp = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a training does otherwise than its recipe says.

    Parameters
    ----------
    recipe : str
        Name of a recipe of the package, or a TOML file.
    steps : int, optional
        Of the whole run.
    lr : float, optional
        Learning rate after the warm-up.
    batch_size : int, optional
        Windows on each device at once.
    warmup_steps : int, optional
        Steps in which the learning rate rises from nothing.
    validate_every : int, optional
        Steps from one look at the validation split to the next.
    seed : int, optional
        Of everything that is drawn by lot.
    supervision : {"naive", "soft"}, optional
        Soft is spatial-aware, naive the next-token loss.
    sigma_bins : float, optional
        Of the Gaussian around the true bin, with soft supervision.
    """

    recipe: Annotated[str, {"label": "Recipe"}] = "feedback"
    steps: Annotated[
        int | None, {"label": "Steps in all", "read": positive, "key": "optimiser.steps"}
    ] = None
    lr: Annotated[
        float | None, {"label": "Learning rate", "read": above_zero, "key": "optimiser.lr"}
    ] = None
    batch_size: Annotated[
        int | None,
        {"label": "Batch", "read": positive, "key": "optimiser.batch_size", "unit": "windows"},
    ] = None
    warmup_steps: Annotated[
        int | None, {"label": "Warm-up", "key": "optimiser.warmup_steps", "unit": "steps"}
    ] = None
    validate_every: Annotated[
        int | None,
        {
            "label": "Validate every",
            "read": positive,
            "key": "validation.every_steps",
            "unit": "steps",
        },
    ] = None
    seed: Annotated[int | None, {"label": "Random seed", "key": "seed"}] = None
    supervision: Annotated[
        Literal["naive", "soft"] | None,
        {
            "label": "How places count",
            "words": {
                None: "as the recipe says",
                "naive": "exactly (naive)",
                "soft": "by nearness (soft)",
            },
            "key": "loss.supervision",
        },
    ] = None
    sigma_bins: Annotated[
        float | None,
        {"label": "Nearness", "read": above_zero, "key": "loss.sigma_bins", "unit": "bins"},
    ] = None

    def changes(self) -> dict[str, Any]:
        """What is said, as changes of a recipe: values by section and key."""
        changes: dict[str, Any] = {}
        for each in parameters_of(Training):
            value = getattr(self, each.name)
            if each.key and value is not None:
                section, _, key = each.key.rpartition(".")
                into = changes.setdefault(section, {}) if section else changes
                into[key] = value
        return changes
