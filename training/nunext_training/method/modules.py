"""The modules of NuNext's Table 5: which of them made a checkpoint what it is.

Every module is one key of a recipe, or one option of a command:

========  =============================================  ================================
module    what                                           switch
========  =============================================  ================================
NSFT      naive supervised fine-tuning (Eq. 2)           ``nunext-train sft``
SASS      spatial-aware soft supervision (Eq. 7-8)       ``loss.supervision = "soft"``
CoVT      chain of visual thought (Eq. 9-10)             ``nunext-train sft --covt SAM``
GRPO      reinforcement fine-tuning (Eq. 11-17)          ``nunext-train rft``
LVGF      low-variance group filtering                   ``rft.filter_groups = true``
FGAS      fine-grained advantage shaping (Eq. 18)        ``rft.shape_advantages = true``
TGR       task-guided reward (Eq. 19)                    ``rft.task_guided = true``
========  =============================================  ================================

As in the table, NSFT is on wherever a checkpoint was fine-tuned with supervision; SASS and CoVT say
with what besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULES = ("NSFT", "SASS", "CoVT", "GRPO", "LVGF", "FGAS", "TGR")
"""In the order of the table's columns."""

_RFT_KEYS = {"LVGF": "filter_groups", "FGAS": "shape_advantages", "TGR": "task_guided"}


def modules_of(provenance: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """Modules that any training of a checkpoint used, from what the checkpoint says of itself.

    A checkpoint that does not list them tells those of its last training alone, by its recipe. None
    for one that was not trained by this project, and for what is no checkpoint.
    """
    if provenance is None:
        return None
    known = provenance.get("modules")
    return modules_of_run(provenance) if known is None else _in_order(set(known))


def modules_of_run(provenance: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Modules of one run: its ``recipe``, ``method``, and whether a SAM judged it."""
    recipe = provenance.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("loss"), dict):
        return None
    if provenance.get("method") == "rft":
        keys = recipe.get("rft", {})
        return _in_order({"GRPO", *(name for name, key in _RFT_KEYS.items() if keys.get(key))})
    used = {"NSFT"}
    if recipe["loss"].get("supervision") == "soft":
        used.add("SASS")
    if provenance.get("covt_sam_sha256"):
        used.add("CoVT")
    return _in_order(used)


def modules_after(parent: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """What the checkpoint of a run lists: its parent's modules and its own.

    Parameters
    ----------
    parent, run : mapping
        Provenance of the parent, and of the run.
    """
    return list(_in_order({*(modules_of(parent) or ()), *(modules_of_run(run) or ())}))


def _in_order(used: set[str]) -> tuple[str, ...]:
    return tuple(name for name in MODULES if name in used)
