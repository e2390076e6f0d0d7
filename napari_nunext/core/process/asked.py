"""What a search, a question and a training are asked: their parameters, once.

The command lines and napari's forms are made of these by `core.process.parameters`; what Python
calls takes the same names, defaults and meanings, which `tests/ui/test_forms.py` holds. What
belongs to one of them alone, such as the folder that a command writes into, stands there.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - read by `parameters`, as all types here are
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.options import above_zero, mpp, positive
from napari_nunext.core.process.parameters import parameters_of

Mpp: TypeAlias = Annotated[float | None, {"read": mpp, "unit": "um/px"}]
Corners: TypeAlias = tuple[float, float, float, float]
Region: TypeAlias = Annotated[Corners | None, {"parts": ("X0", "Y0", "X1", "Y1"), "unit": "px"}]
Tokens: TypeAlias = Annotated[int | None, {"read": positive, "unit": "tokens"}]

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

    model: str | None = None
    mpp: Mpp = None
    masks: bool = False
    tissue: bool = False
    pen: bool = False
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

    question: str = ""
    options: Annotated[Sequence[str], {"at_once": True}] = ()
    task: Literal["question", "subtype", "lesions"] = "question"
    organ: str = ""
    region: Region = None
    answerer: str = "counts"
    budget: Tokens = None
    allocate: bool = False
    max_tokens: Tokens = None
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

    recipe: str = "feedback"
    steps: Annotated[int | None, {"read": positive, "key": "optimiser.steps"}] = None
    lr: Annotated[float | None, {"read": above_zero, "key": "optimiser.lr"}] = None
    batch_size: Annotated[
        int | None, {"read": positive, "key": "optimiser.batch_size", "unit": "windows"}
    ] = None
    warmup_steps: Annotated[int | None, {"key": "optimiser.warmup_steps"}] = None
    validate_every: Annotated[
        int | None, {"read": positive, "key": "validation.every_steps", "unit": "steps"}
    ] = None
    seed: Annotated[int | None, {"key": "seed"}] = None
    supervision: Annotated[Literal["naive", "soft"] | None, {"key": "loss.supervision"}] = None
    sigma_bins: Annotated[
        float | None, {"read": above_zero, "key": "loss.sigma_bins", "unit": "bins"}
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
