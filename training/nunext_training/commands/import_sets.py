"""``nunext-train import``: the command line of published data sets, and of drawn tissue."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.records import SPLITS
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.process.options import mpp, positive
from nunext_training.commands.options import add_strict, renames_of, segmenter_named
from nunext_training.runs.progress import counter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nunext_training.data.importers.base import Importer
    from nunext_training.data.importers.questions.base import QuestionImporter
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.painted.sections import PaintedStain

_SHARED = "the published split has {} patients in more than one part"


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    from nunext_training.data.importers import IMPORTERS
    from nunext_training.data.importers.questions import QUESTION_IMPORTERS
    from nunext_training.data.importers.synthetic import NAME
    from nunext_training.data.painted.sections import PAINTED_STAINS

    parser = commands.add_parser("import", help="turn a published data set into an export")
    names = sorted([*IMPORTERS, *QUESTION_IMPORTERS, NAME, *PAINTED_STAINS])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _table()
    parser.add_argument("dataset", choices=names, metavar="DATASET", help="one of those below")
    parser.add_argument("path", type=Path, nargs="?", help="where the data set lies")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--mpp", type=mpp, help="um per pixel, instead of what the set says")
    sides = parser.add_mutually_exclusive_group()
    sides.add_argument(
        "--split", choices=SPLITS, help="of every image, instead of what the set says"
    )
    sides.add_argument(
        "--fold",
        metavar="K/N",
        help="the K-th of N parts of the patients is the test split, the others the train split",
    )
    parser.add_argument(
        "--rename", action="append", default=[], metavar="FROM=TO", help="rename a category"
    )
    parser.add_argument(
        "--positive-from",
        type=float,
        metavar="OD",
        help="of immunohistochemistry: nuclei without a category are positive from this optical "
        "density of DAB on, and negative below",
    )
    add_strict(parser)
    drawn = parser.add_argument_group(NAME, "drawn tissue with exact masks; takes no path")
    drawn.add_argument("--count", type=positive, default=100, help="tiles (default 100)")
    drawn.add_argument("--size-px", type=positive, default=512, help="side of a tile (default 512)")
    drawn.add_argument("--seed", type=int, default=0, help="of painted stains as well")
    painted = parser.add_argument_group(
        ", ".join(PAINTED_STAINS), "; ".join(stain.about for stain in PAINTED_STAINS.values())
    )
    painted.add_argument("--sections", type=positive, default=2, help="of each tile (default 2)")
    painted.add_argument(
        "--segmenter", metavar="NAME|DIR", help="draws nuclei that have no masks (bundled one)"
    )
    parser.set_defaults(run=_run)


def _table() -> str:
    """The data sets for ``--help``."""
    from nunext_training.data.importers import IMPORTERS
    from nunext_training.data.importers.questions import QUESTION_IMPORTERS
    from nunext_training.data.importers.synthetic import NAME
    from nunext_training.data.painted.sections import PAINTED_STAINS

    nuclei = sorted((i.name, i.title) for i in IMPORTERS.values())
    nuclei.append((NAME, "tissue that is drawn, with exact masks"))
    nuclei.extend((stain.name, stain.title) for stain in PAINTED_STAINS.values())
    questions = sorted((i.name, i.title) for i in QUESTION_IMPORTERS.values())
    width = max(len(name) for name, _ in (*nuclei, *questions))
    parts = {"data sets of nuclei": nuclei, "of questions, classes and lesions": questions}
    return "\n".join(
        f"{what}:\n" + "\n".join(f"  {name:{width}}  {title}" for name, title in rows)
        for what, rows in parts.items()
    )


def _run(args: argparse.Namespace) -> int:
    from napari_nunext.core.geometry import check_mpp
    from napari_nunext.core.nuclei import default_categories
    from nunext_training.data.importers import IMPORTERS
    from nunext_training.data.importers.by_stain import told_by_stain
    from nunext_training.data.importers.folds import Fold
    from nunext_training.data.importers.questions import QUESTION_IMPORTERS
    from nunext_training.data.importers.synthetic import NAME
    from nunext_training.data.importers.writing import write_export
    from nunext_training.data.labelled import rename_as_asked, shared_patients
    from nunext_training.data.painted.sections import PAINTED_STAINS
    from nunext_training.data.sources import tell_left_out

    if args.dataset == NAME:
        return _draw(args)
    if args.dataset in PAINTED_STAINS:
        return _paint(args, PAINTED_STAINS[args.dataset])
    if args.dataset in QUESTION_IMPORTERS:
        return _import_questions(args)
    importer = IMPORTERS[args.dataset]
    _check_layout(importer, args.path)
    left_out: list[str] = []
    read = importer.read(
        args.path,
        mpp=None if args.mpp is None else check_mpp(args.mpp, "--mpp"),
        left_out=None if args.strict else left_out,
    )
    tell_left_out(
        left_out, len(left_out), len(left_out) + len(read), what="images", allow=args.allow_loss
    )
    renames = renames_of(args.rename)
    images = rename_as_asked(read, renames)
    if args.split is not None:
        images = tuple(replace(image, split=args.split) for image in images)
    if args.fold is not None:
        sides = Fold.parse(args.fold).splits(image.patient for image in images)
        images = tuple(replace(image, split=sides[image.patient]) for image in images)
    if args.positive_from is not None:
        images = tuple(told_by_stain(image, args.positive_from) for image in images)
    used = {name for image in images for name in image.categories} | {
        n.category for image in images for n in image.rejected
    }
    known = [renames.get(c.name, c.name) for c in importer.categories]
    categories = default_categories(dict.fromkeys([*known, *sorted(used - set(known))]))
    manifest = write_export(
        images,
        args.out,
        categories=categories,
        origin=importer.name,
        public_names=importer.names_are_public,
        progress=counter("image"),
    )
    counts = ", ".join(f"{n} {what}" for what, n in manifest.counts.items())
    print(f"{args.out}: {counts}")
    print(_told_of_categories(images))
    for note in (note for image in images for note in image.notes):
        _note(note)
    shared = shared_patients(images)
    if shared:
        _note(_SHARED.format(len(shared)))
    return 0


def _check_layout(importer: Importer | QuestionImporter, path: Path | None) -> None:
    if path is None:
        raise InputError(f"{importer.title} is read from a folder. Say which, after its name.")
    if not importer.recognises(path):
        raise InputError(f"{path} has not the layout of {importer.title}. Check the path.")


def _import_questions(args: argparse.Namespace) -> int:
    """A set of questions whose answers are known, as an export."""
    from napari_nunext.core.geometry import check_mpp
    from napari_nunext.core.sentences import counted
    from nunext_training.data.importers.folds import Fold
    from nunext_training.data.importers.questions import QUESTION_IMPORTERS
    from nunext_training.data.importers.questions.writing import write_questions

    importer = QUESTION_IMPORTERS[args.dataset]
    _check_layout(importer, args.path)
    if args.rename:
        raise InputError(f"--rename is of categories of nuclei, and {importer.name} has none.")
    is_said = importer.mpp_is_said or args.mpp is not None
    mpp = importer.mpp if args.mpp is None else check_mpp(args.mpp, "--mpp")
    done = write_questions(
        importer.members(args.path),
        args.out,
        origin=importer.name,
        mpp=mpp,
        mpp_source="user" if is_said else "assumed",
        public_names=importer.names_are_public,
        split=args.split,
        fold=None if args.fold is None else Fold.parse(args.fold),
        strict=args.strict,
        allow_loss=args.allow_loss,
        progress=counter("picture"),
    )
    counts = ", ".join(f"{n} {what}" for what, n in done.manifest.counts.items())
    sides = ", ".join(f"{done.splits[side]} {side}" for side in SPLITS)
    print(f"{args.out}: {counts} ({sides})")
    if not is_said:
        _note(
            f"{importer.name} does not say its scale; {mpp:g} um per pixel is assumed (--mpp says "
            "another)"
        )
    if done.repeated:
        _note(f"left out {counted(done.repeated, 'question')} asked before of the same picture")
    if done.shared_patients:
        _note(_SHARED.format(done.shared_patients))
    return 0


def _note(sentence: str) -> None:
    print(f"nunext-train: {sentence}", file=sys.stderr)


def _told_of_categories(images: Sequence[LabelledImage]) -> str:
    """How many nuclei have which category, how many have none, and what the source said of these.

    In the order of frequency.
    """
    found = Counter(name for image in images for name in image.categories)
    without = found.pop(UNCATEGORISED, 0)
    said = Counter(kind for image in images for kind in image.unsorted)
    named = "".join(f", {n} {name}" for name, n in found.most_common())
    line = f"{found.total()} nuclei have a category{named}; {without} have none"
    if said:
        line += " (" + ", ".join(f"{n} {kind!r}" for kind, n in said.most_common()) + ")"
    return f"{line}."


def _draw(args: argparse.Namespace) -> int:
    """Synthetic tiles as an export."""
    from napari_nunext.synthetic import CATEGORIES
    from nunext_training.data.importers.synthetic import MPP, NAME, DrawnTiles
    from nunext_training.data.importers.writing import write_export

    if args.path is not None:
        raise InputError(f"{NAME} tiles are drawn, not read; leave out {args.path}.")
    if args.fold is not None:
        raise InputError(f"{NAME} tiles have no patients to deal out; leave out --fold.")
    tiles = DrawnTiles(
        args.count,
        size_px=args.size_px,
        mpp=MPP if args.mpp is None else args.mpp,
        seed=args.seed,
        split=args.split,
    )
    manifest = write_export(
        tiles, args.out, categories=CATEGORIES, origin=NAME, progress=counter("tile")
    )
    print(f"{args.out}: " + ", ".join(f"{n} {what}" for what, n in manifest.counts.items()))
    return 0


def _paint(args: argparse.Namespace, stain: PaintedStain) -> int:
    """An export's tiles in another stain, as an export."""
    from napari_nunext.core.nuclei import default_categories
    from nunext_training.data.importers.writing import write_export
    from nunext_training.data.painted.sections import PaintedSections
    from nunext_training.data.sources import read_whole

    if args.path is None:
        raise InputError(
            f"{stain.name} is painted over the H&E of an export. Say which, after its name."
        )
    if args.fold is not None or args.mpp is not None or args.rename:
        raise InputError(
            f"{stain.name} keeps scale and splits of its tiles; leave out --mpp and --fold."
        )
    (source,) = read_whole([args.path], strict=True)
    images = source.images
    if args.split is not None:
        images = tuple(image for image in images if image.split == args.split)
    without = any(image.complete_masks is None for image in images)
    sections = PaintedSections(
        images,
        stain=stain,
        sections=args.sections,
        seed=args.seed,
        segmenter=segmenter_named(args.segmenter) if without else None,
    )
    categories = stain.categories or default_categories(source.categories)
    manifest = write_export(
        sections,
        args.out,
        categories=categories,
        origin=stain.name,
        progress=counter("section"),
    )
    print(f"{args.out}: " + ", ".join(f"{n} {what}" for what, n in manifest.counts.items()))
    return 0
