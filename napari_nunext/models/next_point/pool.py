"""One batch for all who ask: windows come and go while replies are decoded.

A window that is finished makes room at once, and whoever waits may take its place at the next
beginning of a point. Places go to who has fewest, so that somebody with a few windows does not wait
behind somebody with a slide.

Whoever's turn it is makes the next step, for all of them; what it brings for others waits with
them. A pool is for one thread at a time.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_nunext.models.next_point.capacity import FIRST_SHARE, release_memory
from napari_nunext.models.next_point.decoder import Decoder, choosing_among, last_position
from napari_nunext.models.next_point.drafts import drafts_of
from napari_nunext.models.next_point.memory import is_out_of_memory
from napari_nunext.models.next_point.replies import (
    ReplyReader,
    confidence_radius_bins,
    expected_bins,
    spread_bins2,
    spread_radius_bins,
    sureness,
)
from napari_nunext.models.next_point.second_look import second_look_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.detector import Caller, WindowEvent
    from napari_nunext.models.next_point.decoder import DecodeStep

logger = logging.getLogger(__name__)


class Member:
    """Somebody's windows in a pool, and what was heard of them."""

    def __init__(
        self, windows: Sequence[NDArray[np.uint8]], caller: Caller, checkpoint: LoadedCheckpoint
    ) -> None:
        self.caller = caller
        self.error: BaseException | None = None
        """What ended it, where something went wrong."""
        self.gone = False
        self._windows = windows
        self._checkpoint = checkpoint
        self._begun = 0
        self._again: deque[ReplyReader] = deque()
        self._ended = 0
        self._inbox: deque[WindowEvent] = deque()

    @property
    def waiting(self) -> bool:
        """Whether some of its windows have no place."""
        return not self.gone and (bool(self._again) or self._begun < len(self._windows))

    @property
    def finished(self) -> bool:
        """Whether nothing is to come any more."""
        return self.error is not None or self._ended == len(self._windows)

    def begin(self) -> tuple[ReplyReader, NDArray[np.uint8]] | None:
        """The next window, read now; None if that fails, and the member with it."""
        try:
            if self._again:
                reader = self._again.popleft()
            else:
                described = self._checkpoint.description
                reader = ReplyReader(self._begun, described)
                self._begun += 1
            pixels = self._windows[reader.window]
            self._checkpoint.windows.check(pixels)
        except Exception as error:  # noqa: BLE001 - its owner gets it, not who makes the step
            self.fail(error)
            return None
        return reader, pixels

    def begin_again(self, reader: ReplyReader) -> None:
        """A window lost its place, and wants one once more."""
        self._again.append(reader)

    def hear(self, events: Iterator[WindowEvent], *, ended: bool) -> None:
        """Keep what was found in a window, until the caller takes it."""
        self._inbox.extend(events)
        self._ended += ended
        self.caller.has_news = bool(self._inbox) or self.finished

    def fail(self, error: BaseException) -> None:
        """Nothing more is to come but this."""
        self.error, self.gone = error, True
        self.caller.has_news = True

    def news(self) -> Iterator[WindowEvent]:
        """Take what was heard. An event counts as taken when the next is asked for."""
        while self._inbox:
            yield self._inbox[0]
            self._inbox.popleft()
        self.caller.has_news = self.finished
        if self.error is not None:
            raise self.error


@dataclass(frozen=True, eq=False, slots=True)
class _Row:
    """A window that has a place."""

    member: Member
    reader: ReplyReader
    known: tuple[int, ...]
    """What it said before it lost an earlier place: it is to say the same again, unheard."""


class Pool:
    """The windows under way of one checkpoint.

    Parameters
    ----------
    checkpoint : LoadedCheckpoint
    most_windows : int
        Under way at once. When memory does not hold them, half of those that it did not hold go
        on, the others wait, and that is the most from then on; replies that had begun are taken up
        where they were, token by token.
    most_read : int
        Windows whose prompts are read together.
    between_bins : bool
        Place points by `expected_bins` rather than in the middle of bins.
    """

    def __init__(
        self,
        checkpoint: LoadedCheckpoint,
        *,
        most_windows: int,
        most_read: int,
        between_bins: bool = False,
    ) -> None:
        self._checkpoint = checkpoint
        self._between_bins = between_bins
        self._most_windows = most_windows
        self._most_read = most_read
        description = checkpoint.description
        self._end_id = description.codec.end_id
        self._last = last_position(description.codec, description.max_points)
        self._radius_bins = confidence_radius_bins(description.codec, description.mpp)
        self._spread_radius_bins = spread_radius_bins(description.codec, description.mpp)
        self._tells_positions = description.position_calibration is not None
        self._second_look = second_look_of(checkpoint)
        self._members: list[Member] = []
        self._numbers = itertools.count()
        self._clear()

    def __len__(self) -> int:
        """Windows under way."""
        return len(self._rows)

    @property
    def most_windows(self) -> int:
        """How many windows may be under way."""
        return self._most_windows

    def join(self, windows: Sequence[NDArray[np.uint8]], caller: Caller) -> Member:
        """Let somebody's windows take part."""
        member = Member(windows, caller, self._checkpoint)
        self._members.append(member)
        return member

    def leave(self, member: Member) -> None:
        """Forget a member; its windows leave before the next step."""
        member.gone = True
        member.caller.has_news = False
        self._members.remove(member)
        if not self._members:
            self._clear()

    def step(self) -> None:
        """Bring all windows one token further, after new ones took the places that are free."""
        try:
            self._drop_gone()
            if self._decoder.at_a_point:
                self._admit()
            if self._rows:
                self._decode()
        except Exception as error:  # noqa: BLE001 - all who take part get it, each in their turn
            if not is_out_of_memory(error) or len(self._rows) < 2:
                self._fail(error)
                return
        else:
            return
        # Beyond the handler, for the error holds on to what did not fit.
        self._halve()

    def _clear(self) -> None:
        checkpoint = self._checkpoint
        self._rows: dict[int, _Row] = {}
        """By number; those that came first stand first."""
        self._decoder = Decoder(
            checkpoint.model,
            checkpoint.description.codec,
            drafts=drafts_of(checkpoint),
        )

    def _drop_gone(self) -> None:
        gone = {number for number, row in self._rows.items() if row.member.gone}
        if gone:
            for number in gone:
                del self._rows[number]
            stay = [number not in gone for number in self._decoder.rows.tolist()]
            self._decoder.keep(torch.tensor(stay))

    def _admit(self) -> None:
        """Read the prompts of those whose turn it is, as far as there is room."""
        began = time.perf_counter()
        at_once = self._most_read if self._rows else max(1, self._most_read // FIRST_SHARE)
        room = min(self._most_windows - len(self._rows), at_once)
        begun = [(member, member.begin()) for member in self._next_in_line(room)]
        arriving: dict[int, _Row] = {}
        prompts: dict[tuple[str, ...], dict[int, NDArray[np.uint8]]] = {}
        """Windows by what they are asked for: those of one prompt are read together."""
        for member, window in begun:
            if window is not None and not member.gone:  # one lost window ends the others
                reader, image = window
                number = next(self._numbers)
                arriving[number] = _Row(member, reader, reader.tokens)
                prompts.setdefault(member.caller.asked, {})[number] = image
        if not arriving:
            return
        self._rows |= arriving
        for asked, pixels in prompts.items():
            prompt = self._checkpoint.windows(
                list(pixels.values()), self._checkpoint.device, [asked] * len(pixels)
            )
            self._decoder.admit(prompt, list(pixels))
        _share(time.perf_counter() - began, arriving.values())

    def _next_in_line(self, room: int) -> Iterator[Member]:
        """Whose windows come next: of the flow, and in it of the caller, with the fewest."""
        of_flow = Counter(row.member.caller.flow for row in self._rows.values())
        of_member = Counter(row.member for row in self._rows.values())
        for _ in range(room):
            waiting = [member for member in self._members if member.waiting]
            if not waiting:
                return
            member = min(waiting, key=lambda m: (of_flow[m.caller.flow], of_member[m]))
            of_flow[member.caller.flow] += 1
            of_member[member] += 1
            yield member

    def _decode(self) -> None:
        """Take every reply one token further."""
        began = time.perf_counter()
        step = self._decoder.choose()
        among = [self._rows[row].member.caller.among for row in step.rows.tolist()]
        step = choosing_among(step, self._checkpoint.description.codec, among)
        present = list(self._rows.values())
        said = self._tell(step)
        self._decoder.advance(*said)
        _share(time.perf_counter() - began, present)

    def _tell(self, step: DecodeStep) -> tuple[torch.Tensor, torch.Tensor]:
        """Tell the members what their windows say. Returns the tokens, and who goes on."""
        tokens = step.token_ids.tolist()
        going = [True] * len(tokens)
        sure, expected, spread = self._read_scores(step)
        categories = self._look_again(step)
        for place, (number, position) in enumerate(
            zip(step.rows.tolist(), step.positions.tolist(), strict=True)
        ):
            row = self._rows[number]
            if position < len(row.known):
                tokens[place] = row.known[position]
                continue
            token, is_last = tokens[place], position == self._last
            ended = is_last or token == self._end_id
            if ended:
                going[place] = False
                del self._rows[number]
            events = row.reader.take(
                position,
                token,
                sure[place],
                is_last=is_last,
                expected_bin=expected[place],
                spread_bins2=spread[place],
                # Asked for some alone, the model names no other; the look was fitted to all.
                reported=None if row.member.caller.asked else categories[place],
            )
            row.member.hear(events, ended=ended)
        return torch.tensor(tokens), torch.tensor(going)

    def _read_scores(
        self, step: DecodeStep
    ) -> tuple[list[float], Sequence[float | None], Sequence[float | None]]:
        """How sure each token is; where asked for, the bin to be expected, and how widely."""
        codec, position = self._checkpoint.description.codec, int(step.positions[0])
        device, probabilities = step.scores.device, step.probabilities
        allowed, tokens = step.allowed_ids.to(device), step.token_ids.to(device)
        radius = self._radius_bins
        sure = sureness(probabilities, allowed, tokens, codec, position, radius).tolist()
        expected: Sequence[float | None] = [None] * len(sure)
        spread: Sequence[float | None] = expected
        if codec.phase_at(position) == "after":
            return sure, expected, spread
        said = probabilities, allowed, tokens, codec
        if self._between_bins:
            expected = expected_bins(*said, radius).tolist()
        if self._tells_positions:
            spread = spread_bins2(*said, self._spread_radius_bins).tolist()
        return sure, expected, spread

    def _look_again(self, step: DecodeStep) -> Sequence[int | None]:
        """Tokens of categories to report rather than those that are written, where asked for."""
        codec = self._checkpoint.description.codec
        if self._second_look is None or codec.phase_at(int(step.positions[0])) != "after":
            return [None] * len(step.rows)
        return self._second_look(step).tolist()

    def _halve(self) -> None:
        """Give all places up, and go on with half as many."""
        rows = list(self._rows.values())
        self._most_windows = len(rows) // 2
        logger.warning("out of memory; going on with %d windows at once", self._most_windows)
        for row in rows:
            if not row.member.gone:
                row.member.begin_again(row.reader)
        self._clear()
        release_memory(self._checkpoint.device)

    def _fail(self, error: BaseException) -> None:
        """Nobody gets any further."""
        for member in self._members:
            member.fail(error)
        self._clear()


def _share(seconds: float, rows: Collection[_Row]) -> None:
    """Put a step down to those whose windows it was made for."""
    for row in rows:
        row.member.caller.spent_s += seconds / len(rows)
