"""What an export is asked: in Python, on the command line, in napari's form.

What exports is imported when it does.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - read by `parameters`, as all types here are
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from napari_nunext.core.process.parameters import add_parameters, given_to

if TYPE_CHECKING:
    import argparse

    from napari_nunext.commands.export import Written


def formats(*_: object) -> tuple[str, ...]:
    """What can be written; looked up for an export alone, because that takes its time."""
    from napari_nunext.commands.export import SNAPSHOT, TRAINING
    from napari_nunext.store.exports.formats import export_formats

    return (TRAINING, *(each.name for each in export_formats()), SNAPSHOT)


def format_words(name: str | None) -> str:
    """What a person calls a format."""
    from napari_nunext.commands.export import SNAPSHOT, TRAINING
    from napari_nunext.store.exports.formats import export_format

    ours = {TRAINING: "Training data", SNAPSHOT: "Picture with its nuclei (PNG)"}
    return ours[name] if name in ours else export_format(str(name)).words


def export(
    project: Annotated[Path, {"label": "Project", "mode": "r", "filter": "*.nunext"}],
    *,
    out: Annotated[Path, {"label": "Into this folder", "mode": "d"}],
    format: Annotated[
        str, {"label": "What", "choices": formats, "words": format_words}
    ] = "training",
    flavour: Annotated[
        Literal["trl", "ms-swift", "llama-factory"] | None,
        {
            "label": "Also for a trainer",
            "words": {
                None: "none",
                "trl": "TRL",
                "ms-swift": "ms-swift",
                "llama-factory": "LLaMA-Factory",
            },
        },
    ] = None,
    answers: Annotated[
        Literal["checked", "all", "none"],
        {
            "label": "Judged answers",
            "words": {
                "checked": "if naming nobody",
                "all": "all",
                "none": "none",
            },
        },
    ] = "checked",
    even_if_broken: Annotated[bool, {"label": "Even if the project is damaged"}] = False,
    images: Annotated[
        Sequence[Path],
        {
            "label": "Moved images",
            "widget_type": "ListEdit",
            "options": {"mode": "d"},
        },
    ] = (),
) -> Written:
    """Export a review project, which may be open in a window meanwhile.

    Parameters
    ----------
    project : Path
        The project's file.
    out : Path
        Output folder.
    format : str
        What to write: training data of what is complete (default), or all nuclei.
    flavour : {"trl", "ms-swift", "llama-factory"}, optional
        With training data: also as this trainer reads it, with absolute image paths.
    answers : {"checked", "all", "none"}
        With training data: judged answers to questions go along unless their words look as if they
        named somebody (default), in any case, or not at all.
    even_if_broken : bool
        Export what there is of a project that was changed or lost its end.
    images : sequence of Path
        Where the images lie, if they were moved; may be given again.

    Returns
    -------
    Written
        What was written, in words, and what was left out.

    Raises
    ------
    NunextError
        As `commands.export.export_project`.
    """
    from napari_nunext.commands.export import export_project

    return export_project(
        Path(project),
        Path(out),
        format,
        image_folders=[Path(each) for each in images],
        even_if_broken=even_if_broken,
        flavour=flavour,
        answers=answers,
    )


def add_export(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``export``."""
    add_parameters(parser, export)


def export_command(args: argparse.Namespace) -> Written:
    """Export, and return what was written; raises as `export`."""
    return export(**given_to(export, args))
