"""What people do, as values, and what there is to know of each kind of event.

Kinds are declared in `store.kinds`. Events are only ever appended. `group` ties the events of one
gesture together: undo and redo are themselves events, and name the group they take back or bring
again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID, uuid4

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    Check: TypeAlias = Callable[[Any], bool]
    Colors: TypeAlias = dict[str, tuple[int, int, int]]
    """RGB, 0..255, by the category's name, in the categories' order."""

About: TypeAlias = Literal["nucleus", "image or nucleus", "region", "image", "project", "gesture"]
"""What events of a kind name: a nucleus by its uid, an image, a box of it, neither, a gesture."""
Reach: TypeAlias = Literal["its own", "everything"]
"""What an event may change: its nucleus, the marks and names of categories, or all nuclei."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """All that there is to know of a kind of event.

    A kind can be undone where it has a `fold`; without one it is a setting, which a later one
    replaces.

    Raises
    ------
    InputError
        If it has no words, or says nothing of what it does.
    """

    name: str
    """As the journal writes it, for ever."""
    about: About
    words: str
    """What a person did, in the past: *moved a nucleus*."""
    payload: Mapping[str, Check]
    """What its events carry, and whether a value is that."""
    optional: Mapping[str, Check] = field(default_factory=dict)
    """What they may carry besides: journals from before it was known lack it."""
    undoable: bool = True
    fold: Callable[[Any, Event], None] | None = None
    """What it does to a `Fold`; only what can be undone is folded."""
    categories: Callable[[Colors, dict[str, Any]], Colors] | None = None
    """What its payload does to the project's categories."""
    reach: Reach = "its own"
    """What has to be known to undo it."""
    everybodys: bool = False
    """Whether it counts whichever annotators are chosen."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or not self.words.strip():
            raise InputError(f"Event kind {self.name!r} has no name or no words; give it both.")
        if self.undoable != (self.fold is not None):
            raise InputError(
                f"Event kind {self.name!r} has undoable = {self.undoable} and fold = {self.fold}; "
                "what can be undone needs a fold, and nothing else has one."
            )

    def __call__(
        self,
        image_sha256: str | None,
        payload: Mapping[str, Any] | None = None,
        uid: UUID | None = None,
    ) -> Event:
        """An event of this kind."""
        return Event(self.name, image_sha256, dict(payload or {}), uid)

    def check(self, image_sha256: str | None, payload: dict[str, Any], uid: UUID | None) -> None:
        """Raise `InputError` unless an event of this kind may carry this."""
        expected = self.payload
        if self.optional:
            there = self.optional.keys() & payload.keys()
            expected = {**expected, **{name: self.optional[name] for name in there}}
        if payload.keys() != expected.keys():
            raise InputError(
                f"Event {self.name!r} carries {sorted(payload)}; expected {sorted(expected)}."
            )
        for name, is_valid in expected.items():
            if not is_valid(payload[name]):
                raise InputError(f"Event {self.name!r} has {name} = {payload[name]!r}.")
        about = self.about
        if about != "image or nucleus" and (uid is not None) != (about == "nucleus"):
            raise InputError(f"Event {self.name!r} has uid {uid}.")
        # A gesture is of an image, or of the project.
        if about != "gesture" and (image_sha256 is None) != (about == "project"):
            raise InputError(f"Event {self.name!r} has image {image_sha256}.")


KINDS: dict[str, EventKind] = {}
"""Every kind of event by its name."""


def declare(kind: EventKind) -> EventKind:
    """Let events of this kind be written, read, folded and told; returns `kind`.

    Raises
    ------
    InputError
        If another kind has its name.
    """
    if KINDS.setdefault(kind.name, kind) is not kind:
        raise InputError(f"Event kind {kind.name!r} is declared already; choose another name.")
    return kind


def undoable_kinds() -> frozenset[str]:
    """The names of the kinds that can be undone."""
    return frozenset(name for name, kind in KINDS.items() if kind.undoable)


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

    kind: str
    """A name of `KINDS`."""
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
        kind = KINDS.get(self.kind)
        if kind is None:
            raise InputError(f"Event kind {self.kind!r} is unknown; expected {', '.join(KINDS)}.")
        kind.check(self.image_sha256, self.payload, self.uid)

    @property
    def is_edit(self) -> bool:
        """Whether it can be undone."""
        return KINDS[self.kind].undoable

    @property
    def words(self) -> str:
        """What the person did, in the past: *moved a nucleus*."""
        return KINDS[self.kind].words

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
        return chained_hash(previous_hash, body)


def chained_hash(previous_hash: str, body: Mapping[str, Any]) -> str:
    """SHA-256, hex, over the previous event's hash and an event's fields as canonical JSON."""
    return hashlib.sha256(f"{previous_hash}\n{_canonical(body)}".encode()).hexdigest()


def _canonical(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def grouped(events: Iterable[Event], group: UUID | None = None) -> tuple[Event, ...]:
    """The same events as one gesture, so that one undo takes them all back."""
    shared = group or uuid4()
    return tuple(event.of_group(shared) for event in events)
