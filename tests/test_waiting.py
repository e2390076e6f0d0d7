"""No test depends on how fast the machine is, or on what else it does.

A test waits for an event with `tests.waiting`, and never looks at a clock. Timings are figures of
`benchmarks`; how much work something is, a test counts.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S, wait_for

TESTS = Path(__file__).parent
CLOCKS = {"time.monotonic", "time.perf_counter", "time.process_time", "time.time"}
LASTS = {"sleep", "qWait"}
WAITS = {"wait", "join", "acquire", "communicate"}

ASKS = {
    f"httpx.{name}" for name in ("Client", "AsyncClient", "get", "head", "post", "put", "stream")
}
"""What gives up after five seconds, unless it is told otherwise."""

LASTING = {
    "answering.py": "a stand-in speaks now and then",
    "models/vllm/conftest.py": "a stand-in computes for a while",
    "serving/conftest.py": "a stand-in looks up while it works",
    "serving/test_jobs.py": "the turn of a job has to be over",
    "serving/test_operations.py": "the turn of a job has to be over",
    "serving/test_worker.py": "the turn of a job has to be over",
    "test_benchmarks.py": "how long something takes is what is measured",
    "ui/test_outline_mouse.py": "napari looks at the mouse at intervals",
    "unsteady.py": "threads come late on purpose",
    "waiting.py": "here the waiting is done",
}
"""Where something has to last for a time at least, and why: longer does no harm."""


def of_time(source: str) -> list[str]:
    """Where a test looks at a clock, waits for a time, or gives an event little time to come."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            of_clock = node.module == "time"
        elif isinstance(node, ast.Attribute):
            whole = ast.unparse(node).removesuffix("_ns")
            of_clock = whole in CLOCKS or whole.endswith("mark.timeout")
        else:
            of_clock = isinstance(node, ast.Call) and is_short(node)
        if of_clock:
            found.append(node)
    return [ast.unparse(node) for node in found]


def is_short(call: ast.Call) -> bool:
    """Whether a call lasts for a written time, or waits for an event for less than is patient."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name in LASTS:
        return not (call.args and ast.unparse(call.args[0]) == "0")
    limits = [k.value for k in call.keywords if k.arg == "timeout"]
    if ast.unparse(call.func) in ASKS and not limits:
        return True
    limits += call.args[:1] if name in WAITS else []
    numbers = [limit.value for limit in limits if isinstance(limit, ast.Constant)]
    return any(type(n) in (int, float) and n < PATIENCE_S for n in numbers)


def test_no_test_depends_on_how_fast_the_machine_is() -> None:
    found = {
        path.relative_to(TESTS).as_posix(): them
        for path in sorted(TESTS.rglob("*.py"))
        if (them := of_time(path.read_text("utf-8")))
    }
    assert {name: them for name, them in found.items() if name not in LASTING} == {}
    assert sorted(found) == sorted(LASTING)


@pytest.mark.parametrize(
    "line",
    [
        "assert time.monotonic() - began < 10",
        "began = time.perf_counter_ns()",
        "from time import monotonic",
        "time.sleep(0.1)",
        "QTest.qWait(50)",
        "assert done.wait(5)",
        "process.communicate(timeout=20)",
        "thread.join(0.5)",
        "httpx.get(url, timeout=1.5)",
        "httpx.Client(base_url=url)",
        "pytestmark = pytest.mark.timeout(30)",
    ],
)
def test_what_depends_on_it_is_found(line: str) -> None:
    assert of_time(line)


@pytest.mark.parametrize(
    "line",
    ["done.wait(PATIENCE_S)", "await asyncio.sleep(0)", "thread.join()", "', '.join(names)"],
)
def test_waiting_for_an_event_is_not(line: str) -> None:
    assert of_time(line) == []


def test_what_is_waited_for_is_given_back_and_its_absence_told() -> None:
    rounds = iter([None, "", "here"])
    assert wait_for(lambda: next(rounds), meanwhile=lambda: None) == "here"
    with pytest.raises(AssertionError, match="still away"):
        wait_for(lambda: False, otherwise=lambda: "still away", patience_s=0.0)
