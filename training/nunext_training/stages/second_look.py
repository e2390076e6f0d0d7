"""A second look at categories: a layer that is fitted to a detector in seconds.

    nunext-train extend --second-look --data export --checkpoint trained --out trained-twice

The checkpoint's model is frozen, and its files are copied as they are. Its nuclei in the images of
the training split are found as a search finds them; those that lie at true ones teach the layer.
What it is for is told in `napari_nunext.models.checkpoints.second_look`.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import (
    finish_checkpoint,
    load_checkpoint,
    new_folder,
)
from napari_nunext.models.checkpoints.second_look import LOOK_FILE, LookLayer, SecondLook
from napari_nunext.models.next_point.decoder import Decoder, choosing_among, last_position
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.replies import (
    ReplyReader,
    confidence_radius_bins,
    sureness,
)
from napari_nunext.models.whole_image.gathering import Gathering
from napari_nunext.models.whole_image.search import asked_about, plan_image
from nunext_training.data.labelled import known_whole, select_split
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.method.second_look import fit_second_look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.tiling import Window
    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.detector import WindowEvent
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.sources import DataSource

logger = logging.getLogger(__name__)

_TOGETHER = 64
"""Windows decoded together."""


@dataclass(frozen=True, eq=False, slots=True)
class Examples:
    """Nuclei that were found where true ones lie."""

    seen: NDArray[np.float32]
    """Shape (N, 2 * width), as `DecodeStep.seen`."""
    scores: NDArray[np.float32]
    """Shape (N, C): logits of the categories."""
    truth: NDArray[np.int64]
    """Shape (N,): the true category of each, as a place among the C."""


def add_second_look(
    checkpoint: Path,
    folder: Path,
    sources: Sequence[DataSource],
    categories: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CheckpointDescription:
    """Fit a second look to a detector, and write the detector with it.

    Parameters
    ----------
    checkpoint : Path
        A second look that it has is replaced.
    folder : Path
        Where to; must not exist or be empty.
    sources : sequence of DataSource
        Their training splits teach; their validation splits are measured on.
    categories : sequence of str
        Among which the look chooses; those that both the data and the checkpoint know by default.
    progress : callable
        Told images looked at and their number.

    Returns
    -------
    CheckpointDescription
        Its provenance has the mean category F1 on the validation splits, before and after, where
        there are any.

    Raises
    ------
    InputError
        If there are fewer than two categories, or too few nuclei of one, or `folder` is not empty.
    CheckpointError
        If the checkpoint cannot be loaded.
    """
    loaded = load_checkpoint(checkpoint, to_decode=True)
    loaded = replace(
        loaded, description=replace(loaded.description, second_look=None), look_layer=None
    )
    images = [image for source in sources for image in source.images]
    chosen = _chosen(loaded.description, images, categories)
    teaching = [image for image in select_split(images, "train") if {*image.categories} & {*chosen}]
    parts = []
    for done, image in enumerate(teaching, start=1):
        parts.append(_examples(loaded, image, chosen))
        progress(done, len(teaching))
    examples = _joined(parts)
    layer = LookLayer(*fit_second_look(examples.seen, examples.scores, examples.truth))
    with new_folder(folder, parent=checkpoint) as part:
        hidden = shutil.ignore_patterns(".*", LOOK_FILE.parent.name)
        shutil.copytree(checkpoint, part, dirs_exist_ok=True, ignore=hidden)
        look = SecondLook(chosen, layer.save(part), len(examples.truth))
        twice = replace(
            loaded, description=replace(loaded.description, second_look=look), look_layer=layer
        )
        measured = _measured(
            loaded,
            twice,
            [i for i in known_whole(select_split(images, "val")) if {*i.categories} & {*chosen}],
        )
        description = replace(
            twice.description,
            name=folder.name,
            metrics=(),  # those of categories are others now
            provenance=loaded.description.provenance
            | {
                "second_look": {
                    "parent_sha256": checkpoint_sha256(checkpoint),
                    "data": [source.origin for source in sources],
                    "images": len(teaching),
                    "measured": measured,
                }
            },
        )
        finish_checkpoint(part, description)
    return description


def inherited_look(
    parent: Path, child: LoadedCheckpoint, images: Sequence[LabelledImage]
) -> SecondLook | None:
    """The second look of a parent, where it serves the detector that was trained from it.

    The layer was fitted to the parent's states. A child that has learned little has nearly those;
    one that has learned other tissue may know better than the layer.

    Parameters
    ----------
    parent : Path
        Its layer is `LOOK_FILE` there.
    child : LoadedCheckpoint
        Without a second look.
    images : sequence of LabelledImage
        Held out: there the mean F1 of categories must not be lower with the look. Where none has
        its categories nobody knows, and the look stays: the parent's tissue is better off with it.
    """
    look = read_description(parent).second_look
    if look is None:
        return None
    embeddings: Any = child.model.get_input_embeddings()
    twice = replace(
        child,
        description=replace(child.description, second_look=look),
        look_layer=LookLayer.read(parent, look, embeddings.weight.shape[1]),
    )
    measured = _measured(
        child, twice, [image for image in images if {*image.categories} & {*look.categories}]
    )
    if measured is None:
        return look
    after, before = measured["mean_category_f1"], measured["mean_category_f1_first_look"]
    if after is None or before is None or after >= before:
        return look
    logger.warning(
        "The second look at categories was fitted to %s, and serves what was trained from it no "
        "longer (mean category F1 %.3f, without it %.3f): it is left behind.",
        *(parent.name, after, before),
    )
    return None


def _chosen(
    description: CheckpointDescription,
    images: Sequence[LabelledImage],
    categories: Sequence[str],
) -> tuple[str, ...]:
    """The categories to choose among, in the checkpoint's order."""
    known = description.codec.category_names
    if unknown := [name for name in categories if name not in known]:
        raise InputError(
            f"{description.name} does not know {unknown[0]!r}; it knows {', '.join(known)}. Name "
            "some of those."
        )
    said = {name for image in images for name in image.categories}
    wanted = {*categories} or said
    chosen = tuple(name for name in known if name in wanted)
    if len(chosen) < 2:
        raise InputError(
            f"The data and {description.name} share {len(chosen)} categories ({', '.join(known)} "
            "are the checkpoint's); expected two or more to look at a second time. Rename those of "
            "the data, or give other data."
        )
    return chosen


def _examples(loaded: LoadedCheckpoint, image: LabelledImage, chosen: tuple[str, ...]) -> Examples:
    """What a search of the image finds at its true nuclei, of the categories in question."""
    opened, mpp = image.open(), image.mpp
    detector = NextPointDetector.from_loaded(loaded)
    grid = plan_image(opened, detector.info, mpp=mpp)
    found = Gathering(opened.box, grid, mpp=mpp)
    among, _ = asked_about(opened, detector.info, mpp=mpp)
    codec = loaded.description.codec
    ids = np.array(codec.category_ids)[[codec.category_names.index(name) for name in chosen]]
    seen, scores = [], []
    every = list(grid)
    for start in range(0, len(every), _TOGETHER):
        windows = every[start : start + _TOGETHER]
        pixels = [opened.read_window(window.box, window.side_px) for window in windows]
        for window, event, state, score in _said(loaded, windows, pixels, ids, among):
            before = len(found)
            found.take(window, event)
            if len(found) > before:
                seen.append(state)
                scores.append(score)
    found.settle()
    names = [*chosen]
    standing = [i for i in found.standing() if found[i].category in names]
    here = np.array([(found[i].x, found[i].y) for i in standing]).reshape(-1, 2)
    matching = match_points(
        here, image.points_xy, radius_px=MATCH_RADIUS_UM / mpp, method=VALIDATION_MATCHING
    )
    pairs = [
        (standing[i], names.index(image.categories[j]))
        for i, j in zip(matching.pred_index.tolist(), matching.true_index.tolist(), strict=True)
        if image.categories[j] in names
    ]
    embeddings: Any = loaded.model.get_input_embeddings()
    width = 2 * embeddings.weight.shape[1]
    return Examples(
        np.array([seen[i] for i, _ in pairs], dtype=np.float32).reshape(-1, width),
        np.array([scores[i] for i, _ in pairs], dtype=np.float32).reshape(-1, len(names)),
        np.array([place for _, place in pairs], dtype=np.int64),
    )


def _said(
    loaded: LoadedCheckpoint,
    windows: Sequence[Window],
    pixels: Sequence[NDArray[np.uint8]],
    ids: NDArray[np.int64],
    among: tuple[str, ...],
) -> Iterator[tuple[Window, WindowEvent, NDArray[np.float32], NDArray[np.float32]]]:
    """What is said of some windows, with what its categories were written from."""
    description = loaded.description
    codec, most = description.codec, description.max_points
    radius = confidence_radius_bins(codec, description.mpp)
    last = last_position(codec, most)
    readers = [ReplyReader(i, description) for i in range(len(windows))]
    decoder = Decoder(loaded.model, codec)
    decoder.admit(loaded.windows(pixels, loaded.device), range(len(windows)))
    while len(decoder):
        step = decoder.choose()
        position = int(step.positions[0])
        step = choosing_among(step, codec, [among] * len(step.rows))
        tokens, allowed = step.token_ids.to(step.scores.device), step.allowed_ids
        sure = sureness(
            step.probabilities, allowed.to(step.scores.device), tokens, codec, position, radius
        ).tolist()
        seen, scores = step.seen.float().cpu().numpy(), step.scores.cpu().numpy()
        columns = np.searchsorted(allowed.numpy(), ids).clip(max=len(allowed) - 1)
        for place, row in enumerate(step.rows.tolist()):
            token = int(step.token_ids[place])
            events = readers[row].take(position, token, sure[place], is_last=position == last)
            for event in events:
                yield windows[row], event, seen[place], scores[place, columns]
        decoder.advance(step.token_ids, (step.token_ids != codec.end_id) & (position < last))


def _joined(parts: Sequence[Examples]) -> Examples:
    if not parts:
        raise InputError(
            "No image of the training split has nuclei of these categories. Give other data."
        )
    return Examples(
        np.concatenate([part.seen for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )


def _measured(
    once: LoadedCheckpoint, twice: LoadedCheckpoint, images: Sequence[LabelledImage]
) -> dict[str, Any] | None:
    """Mean category F1 of the images with the look and without; None where there are none."""
    if not images:
        return None

    def mean_f1(checkpoint: LoadedCheckpoint) -> float | None:
        evaluation = evaluate_detector(
            NextPointDetector.from_loaded(checkpoint),
            images,
            radius_um=MATCH_RADIUS_UM,
            method=VALIDATION_MATCHING,
            data={},
        )
        return evaluation.report.mean_category_f1

    return {
        "mean_category_f1": mean_f1(twice),
        "mean_category_f1_first_look": mean_f1(once),
        "images_decoded": len(images),
        "radius_um": MATCH_RADIUS_UM,
        "matching": VALIDATION_MATCHING,
    }
