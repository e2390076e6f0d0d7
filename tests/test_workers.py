"""The screens that tests are run on."""

from __future__ import annotations

import ctypes
import ctypes.util

import pytest

from tests.workers import opened_screen, shares_a_screen


@pytest.mark.skipif(shares_a_screen(), reason="windows open on the user's own display here")
def test_a_screen_takes_whoever_comes_right_after_the_last_window_closed():
    """Without ``-noreset`` one visitor in 25 is refused, and with it whatever test that was."""
    x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
    x11.XOpenDisplay.restype = ctypes.c_void_p
    screen, number = opened_screen()
    try:
        for _ in range(500):
            display = x11.XOpenDisplay(f":{number}".encode())
            assert display
            x11.XCloseDisplay(ctypes.c_void_p(display))
    finally:
        screen.communicate()
