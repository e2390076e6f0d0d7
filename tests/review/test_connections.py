"""Connections that were made together end together."""

from __future__ import annotations

from psygnal import Signal

from napari_nunext.review.connections import Connections


class Source:
    one = Signal(int)
    other = Signal(int)


def test_every_signal_calls_until_all_are_cut() -> None:
    source, heard, stopped = Source(), [], []
    connections = Connections()
    connections.call(heard.append, source.one, source.other)
    connections.call(lambda n: heard.append(-n), source.one)
    connections.stop(lambda: stopped.append(True))
    source.one.emit(1)
    source.other.emit(2)
    assert heard == [1, -1, 2]
    connections.cut()
    source.one.emit(3)
    source.other.emit(4)
    assert heard == [1, -1, 2]
    connections.cut()
    assert stopped == [True]
    connections.call(heard.append, source.one)
    source.one.emit(5)
    assert heard[-1] == 5
