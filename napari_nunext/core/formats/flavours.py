"""The training files of an export in the forms that other trainers document.

Their images are named by absolute paths, which load from whatever folder a trainer is started in:
an export that is moved needs its forms written anew. Every split has files of its own, so that
nobody trains on what was kept aside. Coordinates in words are whole pixels of the image as it is
stored; trainers that resize images do not rescale them.

``trl``
    Our own files, with absolute paths, and what an answerer was told of nuclei in the prompt.
``ms-swift``
    JSON Lines with ``messages``, ``images`` and ``<image>`` in the text. In ``sft`` the reply has a
    ``<bbox>`` for each point and the points stand in ``objects``: ms-swift scales them with the
    image and writes them as the model's family does. ``preferences`` have ``rejected_response``;
    ``rft`` has a ``solution``, which ms-swift hands to the reward.
``llama-factory``
    JSON in its sharegpt form with the roles of OpenAI, and the ``dataset_info.json`` that lists the
    files. It has no rewards of one's own: ``rft`` is prompts with their solution as the reply.

Answers to questions (`core.formats.answer_flavours`) have the same forms, and ``answers_kto`` a
``label``. Their boxes are in the words alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from napari_nunext.core.answers.points import points_text
from napari_nunext.core.formats.answer_flavours import llama_row, swift_row, trl_row
from napari_nunext.core.formats.answer_records import AnswerRecord
from napari_nunext.core.formats.records import SPLITS, PreferenceRecord, RftRecord, SftRecord
from napari_nunext.core.geometry import points_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.formats.records import Message

Record: TypeAlias = SftRecord | RftRecord | PreferenceRecord | AnswerRecord
Flavour: TypeAlias = Literal["trl", "ms-swift", "llama-factory"]
FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)

IMAGE = "<image>"
"""Where ms-swift and LLaMA-Factory put an image into a text."""
POINT = "<bbox>"
"""Where ms-swift puts a point of ``objects``."""


def flavoured(
    records: Mapping[str, Sequence[Record]], flavour: Flavour, export: Path
) -> dict[str, str]:
    """The files of a form, as text by name.

    Parameters
    ----------
    records : mapping
        Those of each training file, by its name without suffix: ``sft``, ``answers_kto``.
    flavour : {"trl", "ms-swift", "llama-factory"}
    export : Path
        The folder that the images lie in, or will.
    """
    form = _FORMS[flavour]
    files: dict[str, list[dict[str, Any]]] = {}
    for name, found in records.items():
        for record in found:
            row = form(record)
            if row is not None:
                row["images"] = [str((export / image).resolve()) for image in record.images]
                files.setdefault(f"{name}-{record.source.split}", []).append(row)
    order = [f"{name}-{split}" for name in records for split in SPLITS]
    names = [name for name in order if name in files]
    if flavour != "llama-factory":
        return {f"{name}.jsonl": "".join(map(_line, files[name])) for name in names}
    listed = {
        name if name.startswith("answers") else f"nuclei-{name}": _described(name) for name in names
    }
    return {
        **{f"{name}.json": _json(files[name]) for name in names},
        "dataset_info.json": _json(listed),
    }


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _ours(record: Record) -> dict[str, Any] | None:
    return trl_row(record) if isinstance(record, AnswerRecord) else record.to_json()


def _swift(record: Record) -> dict[str, Any] | None:
    row: dict[str, Any] = {"id": record.id}
    match record:
        case AnswerRecord():
            return swift_row(record, IMAGE)
        case SftRecord():
            points = _in_raster_order(record)
            said = _said(record.messages[:-1])
            reply = {"role": "assistant", "content": ", ".join([POINT] * len(points))}
            return row | {"messages": [*said, reply], "objects": {"ref": [], "bbox": points}}
        case RftRecord():
            return row | {"messages": _said(record.prompt), "solution": _solution(record)}
        case _:
            (rejected,) = _said(record.rejected)
            messages = _said((*record.prompt, *record.chosen))
            return row | {"messages": messages, "rejected_response": rejected["content"]}


def _llama(record: Record) -> dict[str, Any] | None:
    row: dict[str, Any] = {"id": record.id}
    match record:
        case AnswerRecord():
            return llama_row(record, IMAGE)
        case SftRecord():
            return row | {"messages": _said(record.messages)}
        case RftRecord():
            reply = {"role": "assistant", "content": _solution(record)}
            return row | {"messages": [*_said(record.prompt), reply]}
        case _:
            (chosen,), (rejected,) = _said(record.chosen), _said(record.rejected)
            return row | {
                "messages": _said(record.prompt),
                "chosen": chosen,
                "rejected": rejected,
            }


_FORMS: dict[Flavour, Callable[[Record], dict[str, Any] | None]] = {
    "trl": _ours,
    "ms-swift": _swift,
    "llama-factory": _llama,
}


def _described(name: str) -> dict[str, Any]:
    """A file's entry in ``dataset_info.json``."""
    columns = {"messages": "messages", "images": "images"}
    entry: dict[str, Any] = {"file_name": f"{name}.json", "formatting": "sharegpt"}
    if "preferences" in name:
        entry["ranking"] = True
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    if "kto" in name:
        columns["kto_tag"] = "label"
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
    }
    if name.startswith("answers"):
        tags["system_tag"] = "system"
    return entry | {"columns": columns, "tags": tags}


def _said(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as plain text, with the mark of an image where one stands."""
    return [
        {
            "role": message["role"],
            "content": "".join(
                IMAGE if part["type"] == "image" else part["text"] for part in message["content"]
            ),
        }
        for message in messages
    ]


def _solution(record: RftRecord) -> str:
    return points_text(_points(record))


def _in_raster_order(record: SftRecord) -> list[list[float]]:
    """Points from top to bottom, as the words have them: by the pixels that they lie in."""
    points = _points(record)
    pixels = np.floor(points)
    order = np.lexsort((pixels[:, 0], pixels[:, 1]))
    in_order: list[list[float]] = np.round(points[order], 2).tolist()
    return in_order


def _points(record: SftRecord | RftRecord) -> Any:
    nuclei = record.nuclei if isinstance(record, SftRecord) else record.solution
    return points_at(nuclei)
