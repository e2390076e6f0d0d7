"""What models run on, and how much memory the process holds."""

from __future__ import annotations

import sys
from pathlib import Path


def device_name() -> str:
    """``"cpu"``, ``"mps"``, or the name of the first GPU.

    Without torch in memory no checkpoint was loaded, and what runs until then runs on the CPU.
    Another thread may be importing it just now: then parts of it are still missing.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not hasattr(torch, "backends"):
        return "cpu"
    if torch.cuda.is_available():
        name: str = torch.cuda.get_device_name(0)
        return name
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resident_bytes() -> int | None:
    """Memory that this process holds now; its peak where only that is told; None if neither is."""
    status = Path("/proc/self/statm")
    if status.exists():
        import resource

        return int(status.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
