"""A detector whose checkpoint runs in vLLM."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import aclosing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_nunext.core.errors import InputError, ServerError, ServerUnavailableError
from napari_nunext.core.naming import instruction_for
from napari_nunext.models.detector import DetectsForOne
from napari_nunext.models.next_point.decoder import last_position
from napari_nunext.models.next_point.replies import ReplyReader
from napari_nunext.models.vllm.requests import Choice, check_prompt, check_reply, points_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.detector import Caller, DetectorInfo, WindowEvent
    from napari_nunext.models.vllm.connection import VllmConnection

logger = logging.getLogger(__name__)

AT_ONCE = 256
"""Windows of one call under way; vLLM itself decides how many of them it decodes together."""
LOOK_S = 0.02
"""How often it is asked whether to stop while nothing comes."""
PATIENCE_S = 600.0
"""A server that went away may need so long to start again; then the call fails."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0

_Said: TypeAlias = "Choice | BaseException | None"
"""Part of a reply; None where it begins anew; or why there will be no more."""


@dataclass(frozen=True, slots=True)
class Served:
    """A checkpoint in vLLM."""

    connection: VllmConnection
    name: str
    """Under which vLLM serves it, or an adapter of it."""
    description: CheckpointDescription
    prompt_ids_of: Callable[[tuple[str, ...]], tuple[int, ...]]
    """The prompt that asks for some categories, or for everything, as our own processor makes it,
    latent tokens at its end."""


class VllmDetector(DetectsForOne):
    """A `napari_nunext.models.detector.SharedDetector` that decodes elsewhere.

    Its points are those of `napari_nunext.models.next_point.detector.NextPointDetector`: the same
    prompt, grammar and choice, by the plugin that runs in vLLM; see
    `napari_nunext.models.vllm.grammar`.

    Parameters
    ----------
    served : Served
    info : DetectorInfo
    patience_s : float
        How long it keeps trying when the server goes away.
    """

    def __init__(
        self, served: Served, info: DetectorInfo, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._served = served
        self._info = info
        self._patience_s = patience_s

    @property
    def info(self) -> DetectorInfo:
        """What this detector is."""
        return self._info

    def detect_for(
        self,
        caller: Caller,
        windows: Sequence[NDArray[np.uint8]],
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[WindowEvent | None]:
        """Find the nuclei of each window beside other callers; see `SharedDetector.detect_for`.

        It is vLLM that decodes the windows of all together, and puts those of a batch last. What
        comes for one caller while it is another's turn is kept.

        A window whose answer breaks off is asked for again: replies are greedy, so that what was
        sent comes again, and is not heard twice.

        Raises
        ------
        InputError
            If a window has not the checkpoint's size.
        ServerUnavailableError
            If the server stays away.
        ServerError
            If it refuses, or answers what the checkpoint would not.
        """
        call = _Call(self._served, self._patience_s, caller)
        waiting = iter(range(len(windows)))
        try:
            while not cancelled():
                wait_s = LOOK_S
                if call.under_way < AT_ONCE and (index := next(waiting, None)) is not None:
                    call.begin(index, windows[index])
                    wait_s = 0
                elif not call.under_way:
                    return
                for event in call.events(wait_s):
                    yield event
                    if cancelled():  # while replies come faster than they are taken, too
                        return
                yield None
        finally:
            call.hang_up()


class _Call:
    """The windows of one call that are under way, and what comes of them."""

    def __init__(self, served: Served, patience_s: float, caller: Caller) -> None:
        self._served = served
        self._patience_s = patience_s
        self._caller = caller
        self._inbox: SimpleQueue[tuple[int, _Said]] = SimpleQueue()
        self._replies: dict[int, _Reply] = {}
        self._futures: dict[int, Future[None]] = {}

    @property
    def under_way(self) -> int:
        return len(self._futures)

    def begin(self, index: int, window: NDArray[np.uint8]) -> None:
        side = self._served.description.window_px
        if window.shape != (side, side, 3) or window.dtype != np.uint8:
            raise InputError(
                f"A window is {window.dtype} {window.shape}; expected uint8 {(side, side, 3)}."
            )
        self._replies[index] = _Reply(index, self._served)
        future = self._served.connection.submit(self._ask(index, window))
        future.add_done_callback(lambda done: self._note_failure(index, done))
        self._futures[index] = future

    def events(self, wait_s: float) -> Iterator[WindowEvent]:
        """What has come; waits for the first for so long."""
        try:
            index, said = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            while True:
                if isinstance(said, BaseException):
                    raise said
                reply = self._replies[index]
                yield from reply.take(said)
                if reply.ended:
                    del self._replies[index], self._futures[index]
                index, said = self._inbox.get_nowait()
        except Empty:
            self._caller.has_news = False
            if not self._inbox.empty():  # it came between
                self._caller.has_news = True

    def hang_up(self) -> None:
        for future in self._futures.values():
            future.cancel()

    def _hear(self, index: int, said: _Said) -> None:
        self._inbox.put((index, said))
        self._caller.has_news = True

    def _note_failure(self, index: int, done: Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._hear(index, error)

    async def _ask(self, index: int, window: NDArray[np.uint8]) -> None:
        """Ask for a window until its reply is whole; in the connection's loop."""
        served, asked = self._served, self._caller.asked
        about = served.description
        body = await asyncio.to_thread(
            points_request,
            window,
            served.description,
            model=served.name,
            max_tokens=_most_tokens(served.description),
            in_a_hurry=self._caller.lane != "batch",
            instruction=instruction_for(asked, about.codec.category_names, about.prompt),
            among=self._caller.among,
        )
        gives_up_at, pause_s = math.inf, FIRST_PAUSE_S
        while True:
            try:
                await self._stream(index, body)
                return
            except ServerUnavailableError:
                now = time.monotonic()
                gives_up_at = min(gives_up_at, now + self._patience_s)
                if now + pause_s > gives_up_at:
                    raise
            logger.debug("a vLLM server went away; a window is asked for again")
            self._hear(index, None)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _stream(self, index: int, body: dict[str, object]) -> None:
        served, connection = self._served, self._served.connection
        async with aclosing(connection.stream(body)) as chunks:
            async for chunk in chunks:
                if "prompt_token_ids" in chunk:
                    expected = served.prompt_ids_of(self._caller.asked)
                    check_prompt(chunk["prompt_token_ids"], expected, connection.url)
                for data in chunk["choices"]:
                    choice = Choice.read(data)
                    if choice.finish not in (None, "stop", "length"):
                        raise ServerUnavailableError(
                            f"The vLLM server at {connection.url} ended a reply ({choice.finish})."
                        )
                    self._hear(index, choice)


class _Reply:
    """A window's reply, part by part."""

    def __init__(self, index: int, served: Served) -> None:
        self._codec = served.description.codec
        self._url = served.connection.url
        self._last = _most_tokens(served.description) - 1
        self._reader = ReplyReader(index, served.description)
        self._said: list[int] = []
        self.ended = False

    def take(self, choice: Choice | None) -> Iterator[WindowEvent]:
        """Read a part; None begins anew."""
        if choice is None:
            self._said.clear()
            self._reader.restart()
            return
        if len(choice.log_sureness) != len(choice.token_ids):
            raise ServerError(
                f"The vLLM server at {self._url} told {len(choice.log_sureness)} figures for "
                f"{len(choice.token_ids)} tokens; expected one each. Compare its version with the "
                "one in docs/vllm.md."
            )
        reply = choice.reply(self._codec)
        sureness = [math.exp(each) for each in choice.log_sureness]
        sureness += [1.0] * (len(reply) - len(sureness))  # of an end that was not told
        spreads = [*choice.spread_bins2, *[None] * (len(reply) - len(choice.spread_bins2))]
        for token, sure, spread in zip(reply, sureness, spreads, strict=True):
            position = len(self._said)
            self._said.append(token)
            if token not in self._codec.allowed_at(position):
                check_reply(self._said, self._codec, self._url)
            is_last = position == self._last
            yield from self._reader.take(
                position, token, sure, is_last=is_last, spread_bins2=spread
            )
        self.ended = choice.finish is not None
        if self.ended and self._said[-1:] != [self._codec.end_id] and len(self._said) <= self._last:
            raise ServerError(
                f"The vLLM server at {self._url} cut a reply off after {len(self._said)} tokens; "
                f"expected up to {self._last + 1}. Give it a larger --max-model-len."
            )


def _most_tokens(description: CheckpointDescription) -> int:
    """Tokens of the longest reply."""
    return last_position(description.codec, description.max_points) + 1
