"""The workflow for those who host the project says what pyproject.toml and the scripts say."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load(
    (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]
SYSTEMS = {"ubuntu": "POSIX :: Linux", "macos": "MacOS", "windows": "Microsoft :: Windows"}


def classified(kind: str) -> list[str]:
    """What pyproject.toml promises of a kind."""
    named = (each.removeprefix(kind) for each in PROJECT["classifiers"] if each.startswith(kind))
    return list(named)


def matrix(job: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = JOBS[job]["strategy"]["matrix"]
    return found


def cells() -> list[str]:
    """The pairs of scripts/matrix.sh."""
    text = (ROOT / "scripts" / "matrix.sh").read_text("utf-8")
    return re.findall(r'^readonly ALL="(.+)"$', text, flags=re.MULTILINE)[0].split()


def systems(job: str) -> set[str]:
    runs_on = JOBS[job]["runs-on"]
    named = matrix(job)["os"] if "matrix" in runs_on else [runs_on]
    return {SYSTEMS[each.partition("-")[0]] for each in named}


def test_the_promised_pythons_are_tested_and_the_next_one_may_fail() -> None:
    pythons = [each for each in classified("Programming Language :: Python :: ") if "." in each]
    assert matrix("tests")["python"] == matrix("windows")["python"] == pythons
    assert all(each in SpecifierSet(PROJECT["requires-python"]) for each in pythons)
    last = int(pythons[-1].partition(".")[2])
    assert matrix("next-python")["python"] == [f"3.{last + 1}"]
    assert [name for name, job in JOBS.items() if job.get("continue-on-error")] == ["next-python"]


def test_the_promised_systems_are_tested() -> None:
    promised = set(classified("Operating System :: "))
    assert systems("tests") | systems("windows") == promised == systems("next-python")


def test_the_pairs_of_napari_and_qt_are_those_of_the_matrix() -> None:
    assert matrix("cells")["cell"] == cells()
    pairs = [each.removeprefix("napari").split("-") for each in cells()]
    assert set(matrix("windows")["napari"]) == {napari for napari, _ in pairs}
    assert set(matrix("windows")["binding"]) == {binding for _, binding in pairs}
    (declared,) = (
        each for each in PROJECT["optional-dependencies"]["all"] if each.startswith("napari")
    )
    ranges = SpecifierSet(declared.removeprefix("napari"))
    assert all(f"{each}.0" in ranges for each in matrix("windows")["napari"])


@pytest.mark.parametrize(("job", "step"), STEPS)
def test_a_step_is_an_action_of_one_version_or_a_command_that_there_is(
    job: str, step: dict[str, str]
) -> None:
    if "uses" in step:
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", step["uses"])
        return
    command = step["run"]
    subprocess.run(["bash", "-n", "-c", re.sub(r"\$\{\{.*?\}\}", "x", command)], check=True)
    if command.startswith("make "):
        makefile = (ROOT / "Makefile").read_text("utf-8")
        assert re.search(rf"^{command.split()[1]}:", makefile, flags=re.MULTILINE)
        assert job not in ("windows", "next-python")
    else:
        assert command.startswith("python -m ")
    for extras in re.findall(r"\.\[([\w,-]+)\]", command):
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


def test_expressions_name_what_the_matrix_has() -> None:
    for name, job in JOBS.items():
        used = set(re.findall(r"matrix\.(\w+)", str(job)))
        assert used == set(job.get("strategy", {}).get("matrix", {})), name
