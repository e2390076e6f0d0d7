"""What people do, as values: one constructor for each kind of event.

Events are only ever appended. `group` ties the events of one gesture together: undo and redo are
themselves events, and name the group they take back or bring again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from uuid import UUID, uuid4

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store.payloads import OPTIONAL, PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from napari_nunext.core.nuclei import Category
    from napari_nunext.store.entries import Origin

NucleusKind: TypeAlias = Literal[
    "add", "move", "delete", "relabel", "accept", "reject", "flag_nucleus", "edit_mask"
]
FieldKind: TypeAlias = Literal[
    "comment", "use_run", "complete_region", "reopen_region", "flag_field", "import_file"
]
CategoryKind: TypeAlias = Literal["add_category", "recolor_category", "rename_category"]
HistoryKind: TypeAlias = Literal["undo", "redo"]
SettingKind: TypeAlias = Literal[
    "set_scale", "set_scale_of_all", "set_origin", "set_categories", "learn_categories"
]
Kind: TypeAlias = NucleusKind | FieldKind | CategoryKind | HistoryKind | SettingKind

NUCLEUS_KINDS: frozenset[str] = frozenset(get_args(NucleusKind))
"""Events about one nucleus: they carry its uid."""
CATEGORY_KINDS: frozenset[str] = frozenset(get_args(CategoryKind))
"""What a person does to a category, in all images at once."""
EDIT_KINDS: frozenset[str] = NUCLEUS_KINDS | frozenset(get_args(FieldKind)) | CATEGORY_KINDS
"""Events that can be undone."""
HISTORY_KINDS: frozenset[str] = frozenset(get_args(HistoryKind))
"""Events that take a gesture back, or bring it again."""
PROJECT_KINDS: frozenset[str] = CATEGORY_KINDS | {
    "set_scale_of_all",
    "set_categories",
    "learn_categories",
}
"""Events about the project as a whole: they name no image, nor do their undo and redo."""

GENESIS_HASH = "0" * 64
"""What stands before the first event of a journal."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing a person did.

    Raises
    ------
    InputError
        If the kind is unknown, the payload is not the kind's, or a uid or image is missing or
        superfluous.
    """

    kind: Kind
    image_sha256: str | None
    """None for an event about the project as a whole."""
    payload: dict[str, Any]
    """JSON values. Treated as immutable."""
    uid: UUID | None = None
    """The nucleus it is about."""
    group: UUID = field(default_factory=uuid4)
    """The gesture it belongs to: what one undo takes back."""
    annotator: str | None = None
    """Who did it; None until the project stamps it."""
    at_utc: datetime | None = None
    """When, in UTC; None until the project stamps it."""
    seq: int | None = None
    """Place in the journal, from 1; None until it is durable."""

    def __post_init__(self) -> None:
        fields = PAYLOADS.get(self.kind)
        if fields is None:
            raise InputError(
                f"Event kind {self.kind!r} is unknown; expected {', '.join(PAYLOADS)}."
            )
        if optional := OPTIONAL.get(self.kind):
            there = optional.keys() & self.payload.keys()
            fields = fields | {name: optional[name] for name in there}
        if self.payload.keys() != fields.keys():
            raise InputError(
                f"Event {self.kind!r} carries {sorted(self.payload)}; expected {sorted(fields)}."
            )
        for name, is_valid in fields.items():
            if not is_valid(self.payload[name]):
                raise InputError(f"Event {self.kind!r} has {name} = {self.payload[name]!r}.")
        if self.kind != "comment" and (self.uid is not None) != (self.kind in NUCLEUS_KINDS):
            raise InputError(f"Event {self.kind!r} has uid {self.uid}.")
        is_history = self.kind in HISTORY_KINDS  # of an image, or of the project
        if not is_history and (self.image_sha256 is None) != (self.kind in PROJECT_KINDS):
            raise InputError(f"Event {self.kind!r} has image {self.image_sha256}.")

    @property
    def is_edit(self) -> bool:
        """Whether it can be undone."""
        return self.kind in EDIT_KINDS

    @property
    def region(self) -> Box:
        """The box of a `use_run`, `complete_region` or `reopen_region`."""
        return Box.from_sequence(self.payload["region"])

    @property
    def mask(self) -> Mask | None:
        """The mask of an `add` or `edit_mask`."""
        data = self.payload["mask"]
        return None if data is None else Mask.from_json(data)

    @property
    def target(self) -> UUID:
        """The group that an `undo` or `redo` names."""
        return UUID(self.payload["target"])

    def stamped(self, annotator: str, at_utc: datetime) -> Event:
        """The same event with who and when; what is stamped already stays.

        Raises
        ------
        InputError
            If it was stamped by someone else.
        """
        if self.annotator not in (None, annotator):
            raise InputError(
                f"An event of {self.annotator!r} cannot be written by {annotator!r}; "
                "open the project as its annotator."
            )
        if self.at_utc is not None and self.annotator is not None:
            return self
        return self._but(annotator=annotator, at_utc=self.at_utc or at_utc)

    def at(self, seq: int) -> Event:
        """The same event in its place in the journal."""
        return self._but(seq=seq)

    def of_group(self, group: UUID) -> Event:
        """The same event as part of a gesture."""
        return self._but(group=group)

    def _but(self, **changes: Any) -> Event:
        """The same with other fields that cannot be wrong.

        `dataclasses.replace` would check the payload again: of a thousand events that took longer
        than all else that a gesture does.
        """
        new = object.__new__(Event)
        for name in Event.__slots__:
            object.__setattr__(new, name, changes[name] if name in changes else getattr(self, name))
        return new

    def payload_json(self) -> str:
        """The payload as canonical JSON: sorted keys, no spaces."""
        return _canonical(self.payload)

    def chained_hash(self, previous_hash: str) -> str:
        """SHA-256, hex, over the previous event's hash and this event as canonical JSON."""
        body = {
            "seq": self.seq,
            "kind": self.kind,
            "image_sha256": self.image_sha256,
            "uid": None if self.uid is None else str(self.uid),
            "group": str(self.group),
            "payload": self.payload,
            "annotator": self.annotator,
            "at_utc": None if self.at_utc is None else self.at_utc.isoformat(),
        }
        return hashlib.sha256(f"{previous_hash}\n{_canonical(body)}".encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def grouped(events: Iterable[Event], group: UUID | None = None) -> tuple[Event, ...]:
    """The same events as one gesture, so that one undo takes them all back."""
    shared = group or uuid4()
    return tuple(event.of_group(shared) for event in events)


# One nucleus


def add(
    image_sha256: str,
    x_px: float,
    y_px: float,
    category: str,
    *,
    uid: UUID | None = None,
    mask: Mask | None = None,
) -> Event:
    """Place a nucleus that no prediction stands for; a new uid unless one is given."""
    payload = {
        "x_px": float(x_px),
        "y_px": float(y_px),
        "category": category,
        "mask": None if mask is None else mask.to_json(),
    }
    return Event("add", image_sha256, payload, uid or uuid4())


def move(image_sha256: str, uid: UUID, x_px: float, y_px: float) -> Event:
    """Put a nucleus where it belongs."""
    return Event("move", image_sha256, {"x_px": float(x_px), "y_px": float(y_px)}, uid)


def delete(image_sha256: str, uid: UUID) -> Event:
    """There is no nucleus here."""
    return Event("delete", image_sha256, {}, uid)


def relabel(image_sha256: str, uid: UUID, category: str) -> Event:
    """Give a nucleus another category."""
    return Event("relabel", image_sha256, {"category": category}, uid)


def accept(image_sha256: str, uid: UUID) -> Event:
    """Say that a nucleus is right as it stands."""
    return Event("accept", image_sha256, {}, uid)


def reject(image_sha256: str, uid: UUID) -> Event:
    """Say that a nucleus is wrong, but keep it in view."""
    return Event("reject", image_sha256, {}, uid)


def flag_nucleus(image_sha256: str, uid: UUID, flagged: bool = True) -> Event:
    """Mark a nucleus for a second look, or take the mark away."""
    return Event("flag_nucleus", image_sha256, {"flagged": bool(flagged)}, uid)


def edit_mask(image_sha256: str, uid: UUID, mask: Mask | None) -> Event:
    """Replace a nucleus' outline; None takes it away."""
    return Event("edit_mask", image_sha256, {"mask": None if mask is None else mask.to_json()}, uid)


# The field


def comment(image_sha256: str, text: str, uid: UUID | None = None) -> Event:
    """Say something about the field, or about one nucleus."""
    return Event("comment", image_sha256, {"text": text}, uid)


def use_run(image_sha256: str, run_id: str, region: Box) -> Event:
    """Make a run's predictions the base within a region (see `napari_nunext.store.state.state`)."""
    return Event("use_run", image_sha256, {"run_id": str(run_id), "region": _box(region)})


def complete_region(image_sha256: str, region: Box, seen: dict[str, Any] | None = None) -> Event:
    """Every nucleus of the region is marked: it may serve as ground truth.

    `seen` is `FieldState.seen_in` of the region as it was on the screen; without it the acceptance
    is believed to be of what the journal says.
    """
    payload = {"region": _box(region)} | ({} if seen is None else {"seen": seen})
    return Event("complete_region", image_sha256, payload)


def reopen_region(image_sha256: str, region: Box) -> Event:
    """Take back the completion of every region that overlaps this one."""
    return Event("reopen_region", image_sha256, {"region": _box(region)})


def flag_field(image_sha256: str, flagged: bool = True) -> Event:
    """Mark the whole image for a second look, or take the mark away."""
    return Event("flag_field", image_sha256, {"flagged": bool(flagged)})


def import_file(image_sha256: str, source: str, sha256: str) -> Event:
    """A file of nuclei was taken in: the rest of the gesture is what it says, seen by nobody.

    `source` is what wrote the file, and `sha256` the hash of its bytes; names of files are of
    patients, and stay out of the journal.
    """
    return Event("import_file", image_sha256, {"source": source, "sha256": sha256})


# History and settings


def undo(image_sha256: str | None, group: UUID) -> Event:
    """Take a gesture back; `FieldState.next_undo` names it. None for one about the project."""
    return Event("undo", image_sha256, {"target": str(group)})


def redo(image_sha256: str | None, group: UUID) -> Event:
    """Bring an undone gesture again; `FieldState.next_redo` names it. None as for `undo`."""
    return Event("redo", image_sha256, {"target": str(group)})


def set_scale(image_sha256: str, mpp: float, source: str) -> Event:
    """Set an image's micrometres per level-0 pixel."""
    return Event("set_scale", image_sha256, {"mpp": float(mpp), "source": source})


def set_scale_of_all(mpp: float, *, over_files: bool) -> Event:
    """Set the scale of all images, now and later: those whose file says its own only if told so."""
    return Event("set_scale_of_all", None, {"mpp": float(mpp), "over_files": over_files})


def set_origin(image_sha256: str, origin: Origin) -> Event:
    """Keep what the export that an image came from says of its patient, split and tissue."""
    return Event("set_origin", image_sha256, {"origin": origin.to_json()})


def set_categories(categories: Sequence[Category]) -> Event:
    """Replace the project's categories."""
    return Event("set_categories", None, {"categories": _rows(categories)})


def learn_categories(categories: Sequence[Category]) -> Event:
    """Add those that a model distinguishes and the project does not know."""
    return Event("learn_categories", None, {"categories": _rows(categories)})


def _rows(categories: Sequence[Category]) -> list[dict[str, Any]]:
    return [{"name": c.name, "color": list(c.color)} for c in categories]


# Categories


def add_category(category: Category) -> Event:
    """Tell a further kind of nucleus apart."""
    payload = {"name": category.name, "color": list(category.color)}
    return Event("add_category", None, payload)


def recolor_category(name: str, color: tuple[int, int, int]) -> Event:
    """Draw a category in another colour (RGB, 0..255)."""
    return Event("recolor_category", None, {"name": name, "color": list(color)})


def rename_category(name: str, to: str) -> Event:
    """Call a category something else in every image; where `to` is there already, merge into it."""
    return Event("rename_category", None, {"name": name, "to": to})


def _box(region: Box) -> list[float]:
    return list(region.as_tuple())
