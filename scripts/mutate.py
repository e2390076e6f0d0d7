"""Faults on purpose in the pure functions, one at a time: which does no test notice.

Run by ``make mutate``. Of each module so many mutants are drawn by a seed; each is tried by the
tests of its module, in a copy of the tree, and killed if they fail or take too long. What was tried
is kept in build/mutate, so that a run that is broken off goes on. docs/mutation.md tells of the
survivors.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from cosmic_ray import commands
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "mutate"
TREE = OUT / "tree"
PURE = {
    "napari_nunext/core": "core",
    "training/nunext_training/method": "training",
    "training/nunext_training/trainers/centre_map.py": "training",
}
"""Where pure functions are, and the folder of their tests."""
TIMEOUT_S = 300.0
ENVIRONMENT = {
    "CI": "1",  # the tests' own numbers are the same in every run
    "PYTHONDONTWRITEBYTECODE": "1",
    # Those of Qt, napari and schemathesis take ten times as long to import as most tests to run.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}


def modules() -> dict[str, list[str]]:
    """Modules of pure functions that have tests of their own, each with the test files."""
    found = {}
    for place, area in PURE.items():
        paths = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))
        for path in paths:
            tests = sorted((ROOT / "tests" / area).rglob(f"test_{path.stem}*.py"))
            if tests:
                found[str(path.relative_to(ROOT))] = [str(t.relative_to(ROOT)) for t in tests]
    return found


def copy_tree() -> None:
    """The tracked files as they are now, for faults to be put into."""
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, TREE / name)


def session(module: str, most: int, seed: int) -> Path:
    """The file that keeps a module's mutants, drawn anew when the module has changed."""
    digest = hashlib.sha256((ROOT / module).read_bytes()).hexdigest()[:12]
    path = OUT / f"{Path(module).stem}-{digest}-{most}-{seed}.sqlite"
    if path.exists():
        return path
    with use_db(path, WorkDB.Mode.create) as everything:
        commands.init([Path(module)], everything, {})
        items = sorted(everything.work_items, key=lambda item: str(item.mutations))
        items = [item for item in items if _does_something(module, item)]
        drawn = random.Random(f"{seed}/{module}").sample(items, min(most, len(items)))
        everything.clear()
        everything.add_work_items(drawn)
    return path


def _does_something(module: str, item: WorkItem) -> bool:
    """Whether a mutant is another program: types of arguments are not looked at when it runs."""
    source = (ROOT / module).read_text(encoding="utf-8")
    (mutation,) = item.mutations
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    mutated = mutate_code(source, operator, mutation.occurrence)
    try:
        return mutated is not None and _without_types(mutated) != _without_types(source)
    except SyntaxError:
        return False


def _without_types(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def try_all(tests: list[str], path: Path, python: str, until: float) -> None:
    """Try the mutants that were not tried yet, while there is time."""
    plugins = "-p no:cacheprovider -p pytest_timeout"
    command = f"{python} -m pytest -x -q {plugins} {' '.join(tests)}"
    with use_db(path, WorkDB.Mode.open) as database:
        for item in list(database.pending_work_items):
            if time.monotonic() > until:
                return
            result = mutate_and_test(item.mutations, command, TIMEOUT_S)
            database.set_result(item.job_id, result)


def told(module: str, path: Path) -> str:
    """What came of a module, as part of a page."""
    with use_db(path, WorkDB.Mode.open) as database:
        results = [result for _, result in database.results]
        pending = len(list(database.pending_work_items))
    survivors = [r for r in results if r.test_outcome == TestOutcome.SURVIVED]
    head = f"{module}: {len(results)} tried, {len(survivors)} survived"
    head += f", {pending} not tried yet" if pending else ""
    return "\n".join([f"## {head}", "", *(f"```diff\n{r.diff}\n```" for r in survivors)])


def main() -> int:
    """Try what there is time for, and say what survived."""
    parser = argparse.ArgumentParser(prog="make mutate")
    parser.add_argument("--python", default=sys.executable, help="of the tests")
    parser.add_argument("--most", type=int, default=20, help="mutants of a module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("modules", nargs="*", help="by default all")
    args = parser.parse_args()
    tests = modules()
    chosen = [m for m in tests if not args.modules or Path(m).stem in args.modules]
    unknown = set(args.modules) - {Path(m).stem for m in tests}
    if unknown:
        raise SystemExit(f"mutate: unknown {', '.join(sorted(unknown))}")
    OUT.mkdir(parents=True, exist_ok=True)
    copy_tree()
    os.chdir(TREE)
    # It is the copy that is imported.
    os.environ |= ENVIRONMENT | {"PYTHONPATH": f"{TREE}{os.pathsep}{TREE / 'training'}"}
    until = time.monotonic() + 60 * args.minutes
    parts = []
    for module in chosen:
        path = session(module, args.most, args.seed)
        try_all(tests[module], path, args.python, until)
        parts.append(told(module, path))
        print(parts[-1].splitlines()[0].removeprefix("## "), flush=True)
        (OUT / "survivors.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"survivors: {OUT / 'survivors.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
