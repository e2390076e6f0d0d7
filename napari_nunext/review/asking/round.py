"""One question, put to one answerer or to two, in a background thread.

It is of the image that was open when it was put. What a model writes is told at most some twenty
times a second. Stopped, or broken off by the server, what came stays.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.core.errors import RequestRejectedError, ServerError
from napari_nunext.review.asking.counting import counted_answer
from napari_nunext.review.asking.hearing import Hearing
from napari_nunext.review.asking.telling import told_nuclei
from napari_nunext.serving.ask_protocol import AskRequest, AskText
from napari_nunext.serving.client.patience import Patience
from napari_nunext.store.answers import COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.geometry import Box
    from napari_nunext.review.shown.ask import Draft, Way
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.table import NucleusTable
    from napari_nunext.serving.client.client import Client
    from napari_nunext.store.answers import Answer, AnswerFinish, Evidence

DRAFT_S = 0.05
"""Shortest pause between two looks at what is being written."""


@dataclass(frozen=True, eq=False)
class Put:
    """A question as it is put: of what, and how."""

    field: OpenField
    table: NucleusTable
    """The nuclei of the image then."""
    categories: tuple[str, ...]
    question: Question
    region: Box
    """Level-0 px, within the image."""
    ways: tuple[Way, ...]
    """One, or two to be compared, in the order in which they are asked."""
    readers: frozenset[str] = frozenset()
    """Names of the answerers that are told the nuclei of the region."""


@dataclass(frozen=True, slots=True)
class AskNews:
    """What happened since the last news."""

    waiting: str = ""
    """A sentence, before the first word."""
    draft: Draft | None = None
    answers: int = 0
    """How many are over."""


class Round:
    """Puts a question, and tells what is written.

    Parameters
    ----------
    put : Put
    tell : callable
        Told every `AskNews`, from the background thread, in order.
    """

    def __init__(self, put: Put, *, tell: Callable[[AskNews], None]) -> None:
        self.put = put
        self._tell = tell
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._patience = Patience(self._wait, self._stopped)
        self._client: Client | None = None
        self._token = ""
        self._over: list[Answer] = []
        self._hearing: Hearing | None = None
        """Of the answer that is being written."""
        self._told = 0.0

    @property
    def stopped(self) -> bool:
        """Whether a person stopped it."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Ask no more; what came stays. Waits for the server: not for the main thread."""
        self.hang_up()
        client = self._client
        if client is not None and self._token:
            client.cancel(self._token)

    def hang_up(self) -> None:
        """The same without telling the server, at once."""
        self._stopped.set()

    def answers(self) -> tuple[Answer, ...]:
        """What has been said so far, whole or broken off, in the order asked. Ends the round."""
        together = str(uuid4()) if len(self.put.ways) > 1 else None
        with self._lock:
            over, hearing, self._hearing = list(self._over), self._hearing, None
        ends_as: AnswerFinish = "cancelled" if self.stopped else "broken"
        if hearing is not None:
            said = hearing.answer(self.put.field.entry.sha256, ends_as)
            if said is not None:
                over.append(said)
        return tuple(replace(answer, asked_together=together) for answer in over)

    def work(self, connect: Callable[[], Client]) -> None:
        """Ask until all has been said; what came is in `answers`.

        Raises
        ------
        ServerError
            If the server refuses or fails, or the answerer does.
        InputError
            If nothing of the image can be asked so.
        """
        for way in self.put.ways:
            if self.stopped:
                return
            if way.answerer == COUNTS.name:
                put = self.put
                answer = counted_answer(
                    put.field.entry, put.table, put.categories, put.question, put.region
                )
                self._take(answer)
            else:
                self._ask(way, connect)

    def _take(self, answer: Answer | None) -> None:
        with self._lock:
            self._hearing = None
            if answer is not None:
                self._over.append(answer)
            count = len(self._over)
        self._tell(AskNews(answers=count))

    def _ask(self, way: Way, connect: Callable[[], Client]) -> None:
        try:
            self._say("Waiting for the model server")
            client = self._client = connect()
            self._say("Sending the image")
            client.put_image(self.put.field.source, patience=self._patience)
            if self.stopped:
                return
            self._say("Waiting for the answer")
            hearing = self._hear(client, way)
        except RequestRejectedError:
            if self.stopped:  # while it waited for its turn
                return
            raise
        if hearing.failed:
            # What it said is kept by `answers`, with the reason.
            raise ServerError(hearing.failed)
        if not self.stopped:
            self._take(hearing.answer(self.put.field.entry.sha256, "broken"))

    def _hear(self, client: Client, way: Way) -> Hearing:
        put = self.put
        told = told_nuclei(put.table, put.region) if way.answerer in put.readers else None
        request = self._request(way, told)
        hearing = Hearing(put.question, request, told)
        if self.stopped:  # who stopped it knew of no run to cancel yet
            return hearing
        with self._lock:
            self._hearing = hearing
        for event in client.ask(request, patience=self._patience):
            if self._stopped.is_set():  # the server may not know it yet, and writes on
                break
            hearing.take(event)
            now = time.monotonic()
            if isinstance(event, AskText) and now - self._told >= DRAFT_S:
                self._told = now
                self._tell(AskNews(draft=hearing.draft(), answers=len(self._over)))
        return hearing

    def _request(self, way: Way, told: Evidence | None) -> AskRequest:
        put, self._token = self.put, str(uuid4())
        return AskRequest.of(
            put.question,
            image=put.field.entry.sha256,
            mpp=put.field.entry.mpp,
            run=self._token,
            answerer=way.answerer,
            region=put.region.as_tuple(),
            budget=way.budget,
            allocate=way.allocate,
            max_tokens=way.max_tokens,
            temperature=way.temperature,
            seed=way.seed,
            nuclei=None if told is None else told.named(),
        )

    def _say(self, waits_for: str) -> None:
        """Tell what the question waits for, until somebody says something."""
        self._wait(f"{waits_for}\N{HORIZONTAL ELLIPSIS}")

    def _wait(self, words: str) -> None:
        self._tell(AskNews(waiting=words, answers=len(self._over)))
