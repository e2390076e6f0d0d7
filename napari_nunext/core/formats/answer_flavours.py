"""Records of answers in the forms that other trainers document; see `core.formats.flavours`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.core.formats.answer_records import (
    AnswerKtoRecord,
    AnswerPreferenceRecord,
    AnswerRftRecord,
    AnswerSftRecord,
    message,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.formats.answer_records import AnswerRecord
    from napari_nunext.core.formats.records import Message


def trl_row(record: AnswerRecord) -> dict[str, Any]:
    """Our own record as TRL's trainers read it: the nuclei stand in the prompt.

    A list of numbers and names is no column that `datasets` could read.
    """
    row = record.to_json() | {"prompt": list(record.told_prompt)}
    row.pop("nuclei", None)
    return row


def swift_row(record: AnswerRecord, mark: str) -> dict[str, Any] | None:
    """As ms-swift reads it; `mark` is where an image goes into the text."""
    row, asked = {"id": record.id}, _with_image(record.told_prompt, mark)
    match record:
        case AnswerSftRecord():
            return row | {"messages": [*asked, *record.completion]}
        case AnswerRftRecord():
            known = {"solution": record.truth or "", "rating": record.rating}
            return row | {"messages": asked, "task": record.task, **known}
        case AnswerPreferenceRecord():
            (rejected,) = record.rejected
            messages = [*asked, *record.chosen]
            return row | {"messages": messages, "rejected_response": rejected["content"]}
        case AnswerKtoRecord():
            return row | {"messages": [*asked, *record.completion], "label": record.label}
    return None


def llama_row(record: AnswerRecord, mark: str) -> dict[str, Any] | None:
    """As LLaMA-Factory reads it; None for a rating without a truth, which it has no use for."""
    row, asked = {"id": record.id}, _with_image(record.told_prompt, mark)
    match record:
        case AnswerSftRecord():
            return row | {"messages": [*asked, *record.completion]}
        case AnswerRftRecord():
            if record.truth is None:
                return None
            return row | {"messages": [*asked, message("assistant", record.truth)]}
        case AnswerPreferenceRecord():
            (chosen,), (rejected,) = record.chosen, record.rejected
            return row | {"messages": asked, "chosen": chosen, "rejected": rejected}
        case AnswerKtoRecord():
            return row | {"messages": [*asked, *record.completion], "label": record.label}
    return None


def _with_image(prompt: Sequence[Message], mark: str) -> list[Message]:
    return [message("user", f"{mark}{m['content']}") if m["role"] == "user" else m for m in prompt]
