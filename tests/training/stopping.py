"""Training in a process that gets a signal in the middle of a step, however fast the machine is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

SCRIPT = """
import os, sys
from torch.optim.optimizer import register_optimizer_step_pre_hook
from nunext_training.cli import main

step, sent, *arguments = sys.argv[1:]
taken = 0

def send(*_):
    global taken
    taken += 1
    if taken == int(step):
        os.kill(os.getpid(), int(sent))

register_optimizer_step_pre_hook(send)
sys.exit(main(arguments))
"""


def train_until(
    step: int, sent: signal.Signals, arguments: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    """Run ``nunext-train`` with a signal in the middle of a step; steps count from 1."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(step), str(int(sent)), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
