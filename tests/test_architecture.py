"""The import contracts of pyproject.toml, and what importing and loading may cost and risk."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from typing import TYPE_CHECKING, Any

import grimp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from pathlib import Path

UNSAFE_LOADERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
OTHER_NAMES = {"instanseg": ["instanseg-torch"]}
"""Distributions that may not be installed here, by the name under which they are imported."""
PICKLE_ERRORS = {"pickle", "pickle.PickleError", "pickle.UnpicklingError"}


def test_import_contracts_hold(repo_root: Path) -> None:
    # A process of its own: the linter configures logging, and so silences the tests that follow.
    check = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=repo_root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_core_imports_only_numpy_scipy_and_the_standard_library() -> None:
    graph = grimp.build_graph("napari_nunext", include_external_packages=True, cache_dir=None)
    core = {"napari_nunext.core", *graph.find_descendants("napari_nunext.core")}
    imported = {
        name.partition(".")[0]
        for module in core
        for name in graph.find_modules_directly_imported_by(module)
    }
    assert "numpy" in imported
    assert imported - sys.stdlib_module_names <= {"napari_nunext", "numpy", "scipy"}


ELSEWHERE = {
    "napari_nunext.images.slides.isyntax": {"isyntax"},
    "napari_nunext.models.answerers.loaded": {"peft"},
    "napari_nunext.models.vllm.host": {"vllm"},
    "napari_nunext.models.vllm.plugin": {"vllm"},
    "nunext_training.release.outside.w4a16": {"compressed_tensors", "llmcompressor"},
    "nunext_training.trainers.verl_adapter": {"verl"},
}
"""What programs of other environments call, with what they have there, and what a person installs
where an adapter asks for it."""


def declared(project: dict[str, Any], *extras: str) -> set[str]:
    """Distributions that the project requires, with those of some extras."""
    lines = project["dependencies"] + [
        line for extra in extras for line in project["optional-dependencies"][extra]
    ]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_imported_package_is_declared_where_it_is_used(repo_root: Path) -> None:
    project = tomllib.loads((repo_root / "pyproject.toml").read_text("utf-8"))["project"]
    others = ("cellpose", "instanseg", "stardist")
    app = declared(project, "postgres", "ray", "segment-anything", "slides", *others)
    window = app | declared(project, "all")
    training = declared(project, "training", "segment-anything")
    distributions = packages_distributions()
    graph = grimp.build_graph(
        "napari_nunext", "nunext_training", include_external_packages=True, cache_dir=None
    )
    undeclared = set()
    for module in graph.modules:
        if module.startswith(("napari_nunext.ui", "napari_nunext.demo", "napari_nunext.cli")):
            allowed = window
        else:
            allowed = training if module.startswith("nunext_training") else app
        for imported in graph.find_modules_directly_imported_by(module):
            name = imported.partition(".")[0]
            if name in sys.stdlib_module_names | {"napari_nunext", "nunext_training"}:
                continue
            if name in ELSEWHERE.get(module, ()):
                continue
            holders = distributions.get(name, OTHER_NAMES.get(name, [name]))
            if not {canonicalize_name(holder) for holder in holders} & allowed:
                undeclared.add(f"{module} imports {name}")
    assert undeclared == set()


def modules_loaded_by(statement: str) -> set[str]:
    """Top-level names in ``sys.modules`` of a fresh interpreter after ``statement``."""
    code = f"import sys\n{statement}\nprint(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_beyond_the_standard_library() -> None:
    extra = modules_loaded_by("import napari_nunext") - modules_loaded_by("")
    assert extra - sys.stdlib_module_names == {"napari_nunext"}


@pytest.mark.parametrize(
    "module",
    [
        "napari_nunext.cli",
        "napari_nunext.core",
        "napari_nunext.images",
        "napari_nunext.models",
        "napari_nunext.review",
        "napari_nunext.serving.client.client",
        "napari_nunext.store",
        "napari_nunext.ui.dock",
        "nunext_training.cli",
    ],
)
def test_starting_up_loads_neither_torch_nor_transformers(module: str) -> None:
    loaded = modules_loaded_by(f"import {module}")
    assert module.partition(".")[0] in loaded
    assert not loaded & {"torch", "transformers"}


def has_keyword(call: ast.Call, name: str, value: bool) -> bool:
    return any(
        keyword.arg == name
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is value
        for keyword in call.keywords
    )


def imported_names(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Full names that a statement imports; with ``as`` in them where they get another name."""
    prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    return [prefix + ast.unparse(alias) for alias in node.names]


def unsafe_names(node: ast.AST) -> list[str]:
    """What in one node of a module could run code that a file brings.

    Of pickle, only its errors may be used: torch raises them where it refuses a file.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = imported_names(node)
    elif isinstance(node, ast.Attribute):
        names = [ast.unparse(node)]
    elif isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        unsafe = has_keyword(node, "allow_pickle", True) or (
            name == "torch.load" and not has_keyword(node, "weights_only", True)
        )
        return [name] if unsafe else []
    else:
        return []
    return [
        name
        for name in names
        if name.partition(".")[0].partition(" ")[0] in UNSAFE_LOADERS and name not in PICKLE_ERRORS
    ]


def unsafe_loads(source: str) -> list[str]:
    """What in a module's source could run code that a file brings, each with its line."""
    return [
        f"{name}, line {node.lineno}"
        for node in ast.walk(ast.parse(source))
        for name in unsafe_names(node)
    ]


def test_unsafe_loads_are_recognised() -> None:
    assert unsafe_loads("import pickle\npickle.load(file)") == ["pickle.load, line 2"]
    assert unsafe_loads("import pickle as p") == ["pickle as p, line 1"]
    assert unsafe_loads("from pickle import loads") == ["pickle.loads, line 1"]
    assert unsafe_loads("import pickle\ntry: f()\nexcept pickle.UnpicklingError: pass") == []
    assert unsafe_loads("from joblib import load") == ["joblib.load, line 1"]
    assert unsafe_loads("\ntorch.load(path)") == ["torch.load, line 2"]
    assert unsafe_loads("np.load(path, allow_pickle=True)") == ["np.load, line 1"]
    assert unsafe_loads("torch.load(path, weights_only=True); np.load(path)") == []


def test_nothing_loads_pickles(repo_root: Path) -> None:
    sources = [
        path
        for package in ("napari_nunext", "training/nunext_training")
        for path in (repo_root / package).rglob("*.py")
    ]
    assert sources
    found = {
        str(path.relative_to(repo_root)): unsafe
        for path in sources
        if (unsafe := unsafe_loads(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_all_but_labels_and_uploads_take_any_source(repo_root: Path) -> None:
    asking_for_tiles = {
        str(path.relative_to(repo_root / "napari_nunext"))
        for path in (repo_root / "napari_nunext").rglob("*.py")
        if "images" not in path.relative_to(repo_root / "napari_nunext").parts[:1]
        if re.search(r"\b(open_tile|Tile)\b", path.read_text(encoding="utf-8"))
    }
    assert asking_for_tiles == {
        "commands/importing.py",  # labels are turned as their tile is
        "review/opening/taking.py",
        "serving/models/images.py",
        "serving/rows.py",
    }


TIED_BY_TYPES = [
    ("napari_nunext.store.exports.by_region.stain", "napari_nunext.store.exports.files"),
    ("napari_nunext.ui.commands.acts", "napari_nunext.ui.dock"),
]
"""Modules that name each other, one of them for its types alone; no further pair is to come."""


def test_no_module_needs_one_that_needs_it() -> None:
    graph = grimp.build_graph(
        "napari_nunext", "nunext_training", exclude_type_checking_imports=True, cache_dir=None
    )
    needs = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert list(TopologicalSorter(needs).static_order())  # raises where there is a circle


def test_no_two_modules_name_each_other() -> None:
    graph = grimp.build_graph("napari_nunext", "nunext_training", cache_dir=None)
    named = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    pairs = {
        (one, other) for one in named for other in named[one] if one in named[other] and one < other
    }
    assert sorted(pairs) == TIED_BY_TYPES
