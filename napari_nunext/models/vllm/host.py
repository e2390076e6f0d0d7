"""The command ``vllm``, for as long as its parent lives; run with ``python -m``.

Runs in vLLM's environment. Its standard input is a pipe from who started it, which closes with that
process, however it ends; vLLM and the processes that it started then end as well, rather than keep
a GPU's memory for nobody.
"""

from __future__ import annotations

import os
import signal
import threading
import time

GRACE_S = 15.0
"""How long vLLM may take to end by itself."""


def main() -> None:
    """Be the command ``vllm``, whose arguments these are."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from vllm.entrypoints.cli.main import main as vllm

    vllm()


def _end_with_parent() -> None:
    """Wait for the end of standard input, and end everything that was started here.

    Whoever started this gave it a process group of its own.
    """
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
