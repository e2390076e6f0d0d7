"""What a model writes, a token at a time, and its text as far as it can be read."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from transformers.generation import BaseStreamer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_HALF = "\ufffd"
"""What stands for bytes that are no character, or not yet."""


def one_by_one(generate: Callable[[BaseStreamer], object]) -> Generator[int, None, None]:
    """Tokens, each made when it is asked for.

    ``generate`` of transformers goes on until it is done. Here it goes on in a thread, and only
    while somebody waits for the next token: so others can be served between two tokens, and
    whoever closes this has stopped it.

    Parameters
    ----------
    generate : callable
        Given a streamer, generates one reply with it. What it raises is raised here.
    """
    hand = _Hand()
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(generate(hand))
        except BaseException as error:  # noqa: BLE001 - raised below, where it is waited for
            done.set_exception(error)
        hand.made.put(None)

    # A daemon: a model that hangs must not keep the process.
    thread = threading.Thread(target=run, name="reply", daemon=True)
    thread.start()
    try:
        while (token := hand.made.get()) is not None:
            yield token
            hand.wanted.release()
        done.result()
    finally:
        hand.enough = True
        hand.wanted.release()
        thread.join()


class _Hand(BaseStreamer):
    """Hands over each token, and waits until another is wanted."""

    def __init__(self) -> None:
        self.made: SimpleQueue[int | None] = SimpleQueue()
        self.wanted = threading.Semaphore(0)
        self.enough = False
        self._prompt_came = False

    def put(self, value: Any) -> None:
        """Take a token; the prompt, which comes first, is known."""
        if not self._prompt_came:
            self._prompt_came = True
            return
        self.made.put(int(value))
        self.wanted.acquire()
        if self.enough:
            raise _EnoughError

    def end(self) -> None:
        """The thread says so itself, whichever way it ends."""


class _EnoughError(Exception):
    """Nobody wants more."""


class Words:
    """The text of tokens as they come; half a character waits for the rest.

    Parameters
    ----------
    decode : callable
        Text of some tokens.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        # What a token reads as depends on those before it: these give the last ones their places.
        self._before = self._told = 0

    def take(self, token: int) -> str:
        """What can be read now that could not be before; may be empty."""
        self._ids.append(token)
        text = self.rest()
        if text.endswith(_HALF):
            return ""
        self._before, self._told = self._told, len(self._ids)
        return text

    def rest(self) -> str:
        """What has not been told yet, as far as it can be read."""
        told = self._decode(self._ids[self._before : self._told])
        return self._decode(self._ids[self._before :])[len(told) :]
