"""Smaller weights for a trained checkpoint, and what they cost in F1.

"int8" is made here and serves on a CPU; "w4a16" is made by llmcompressor in an environment of its
own and serves on GPUs by vLLM (see `napari_nunext.models.checkpoints.quantised` for both layouts).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from safetensors.torch import save_file

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import (
    PARTS,
    finish_checkpoint,
    load_checkpoint,
    new_folder,
)
from napari_nunext.models.checkpoints.quantised import quantisation_of, save_int8
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.data.batches import Collator
from nunext_training.data.windows import GridWindows, WindowSpec
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.release import outside
from nunext_training.runs.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.scores.matching import Method
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.evaluation.scores import Evaluation

Quantisation: TypeAlias = Literal["int8", "w4a16"]

W4A16_SCRIPT = Path(outside.__file__).with_name("w4a16.py")

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class QuantiseJob:
    """What to quantise, on what to measure it, and where to."""

    checkpoint: Path
    out: Path
    method: Quantisation = "int8"
    radius_um: float = 3.0
    matching: Method = "gated"
    python: Path | None = None
    """Interpreter of llmcompressor's environment, for w4a16."""
    calibration_windows: int = 128


@dataclass(frozen=True, slots=True)
class QuantisedResult:
    """What came out."""

    before: Evaluation
    after: Evaluation
    bytes_before: int
    bytes_after: int

    def table(self) -> str:
        """The figures for people."""
        rows = (
            ("before", self.before.report, self.bytes_before),
            ("after", self.after.report, self.bytes_after),
        )
        lines = ["        precision  recall     F1   weights"]
        for name, report, size in rows:
            s = report.overall
            lines.append(
                f"{name:6}  {s.precision:9.4f}  {s.recall:6.4f} {s.f1:6.4f} {size / 1e6:6.1f} MB"
            )
        report = self.after.report
        lines.append(
            f"{report.images} images; {report.method} matching within {report.radius_um:g} um."
        )
        before, after = self.before.report.other, self.after.report.other
        if before is not None and after is not None:
            lines.append(
                f"F1 by {after.method} matching: {before.overall.f1:.4f} before, "
                f"{after.overall.f1:.4f} after."
            )
        return "\n".join(lines)


def quantise(
    job: QuantiseJob,
    measured: Sequence[LabelledImage],
    calibration: Sequence[LabelledImage],
    data: dict[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> QuantisedResult:
    """Write the quantised checkpoint, measured before and after.

    Parameters
    ----------
    job : QuantiseJob
    measured : sequence of LabelledImage
        What F1 is measured on.
    calibration : sequence of LabelledImage
        What w4a16 sees while it rounds; int8 needs none.
    data : dict
        Names what was measured on, for the description.
    progress : callable
        Told images done and their number, before and after.

    Raises
    ------
    InputError
        If the checkpoint is quantised already, or the interpreter for w4a16 is missing or lacks
        llmcompressor.
    TrainingError
        If llmcompressor fails.
    """
    if quantisation_of(job.checkpoint) is not None:
        raise InputError(f"{job.checkpoint} is quantised already. Quantise its parent.")
    if job.method == "w4a16":
        check_llmcompressor(job.python)
    options: dict[str, Any] = {
        "radius_um": job.radius_um,
        "method": job.matching,
        "data": data,
        "progress": progress,
    }
    before = evaluate_detector(NextPointDetector(job.checkpoint), measured, **options)
    parent = load_checkpoint(job.checkpoint, device="cpu", dtype=torch.float32)
    with new_folder(job.out, parent=job.checkpoint) as folder:
        parts = (file.parent.name for file in PARTS.values())
        left = shutil.ignore_patterns(*_WEIGHTS, *parts)
        shutil.copytree(job.checkpoint, folder, dirs_exist_ok=True, ignore=left)
        if job.method == "int8":
            save_int8(parent.model, folder)
        else:
            _save_w4a16(job, parent, calibration, folder)
        finish_checkpoint(folder, parent.description)  # without what read the states of before
        after = evaluate_detector(NextPointDetector(folder), measured, **options)
        finish_checkpoint(folder, _description(job, parent, before, after, data))
    return QuantisedResult(before, after, weight_bytes(job.checkpoint), weight_bytes(job.out))


def weight_bytes(folder: Path) -> int:
    """Size of a checkpoint's weights on disk."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _description(
    job: QuantiseJob,
    parent: LoadedCheckpoint,
    before: Evaluation,
    after: Evaluation,
    data: dict[str, Any],
) -> Any:
    description = parent.description
    figures = {
        "split": data.get("split"),
        "data": [data],
        "f1": after.report.overall.f1,
        "f1_before_quantisation": before.report.overall.f1,
        "images_decoded": after.report.images,
        "radius_um": job.radius_um,
        "matching": job.matching,
    }
    return replace(
        description,
        name=job.out.name,
        metrics=(figures,),
        provenance=description.provenance
        | {
            "quantisation": job.method,
            "quantised_from_sha256": checkpoint_sha256(parent.folder),
            **({"calibration_windows": job.calibration_windows} if job.method == "w4a16" else {}),
        },
    )


# w4a16, in its own environment


def check_llmcompressor(python: Path | None) -> None:
    """Raise `InputError` unless `python` is an interpreter that has llmcompressor."""
    if python is None:
        raise InputError(
            "w4a16 is made by llmcompressor, in an environment of its own. Name its interpreter "
            "with --python (docs/scale-out.md has the recipe), or take --method int8."
        )
    try:
        found = subprocess.run(
            [
                python,
                "-c",
                "import importlib.util as u; exit(u.find_spec('llmcompressor') is None)",
            ],
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise InputError(
            f"{python} cannot be run ({error.strerror}); expected the Python interpreter of "
            "llmcompressor's environment."
        ) from error
    if found.returncode:
        raise InputError(
            f"{python} has no llmcompressor. Install it there (docs/scale-out.md has the recipe), "
            "or name another interpreter."
        )


def w4a16_command(python: Path, model: Path, calibration: Path, out: Path) -> list[str]:
    """The command line that quantises."""
    options = {"--model": model, "--calibration": calibration, "--out": out}
    return [
        str(python),
        str(W4A16_SCRIPT),
        *(part for name, path in options.items() for part in (name, str(path.absolute()))),
    ]


def _save_w4a16(
    job: QuantiseJob,
    parent: LoadedCheckpoint,
    calibration: Sequence[LabelledImage],
    folder: Path,
) -> None:
    if job.python is None:
        raise InputError("w4a16 needs --python.")
    with tempfile.TemporaryDirectory(prefix="nunext-w4a16-") as scratch:
        samples, made = Path(scratch, "calibration"), Path(scratch, "out")
        samples.mkdir()
        write_calibration(parent, calibration, job.calibration_windows, samples)
        done = subprocess.run(
            w4a16_command(job.python, job.checkpoint, samples, made),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise TrainingError(
                f"llmcompressor ended with {done.returncode} ({last}). Check its environment "
                "(docs/scale-out.md), or take --method int8."
            )
        for pattern in _WEIGHTS:
            for path in made.glob(pattern):
                shutil.copyfile(path, folder / path.name)
    _name_what_is_not_quantised(folder / "config.json")


def _name_what_is_not_quantised(config_path: Path) -> None:
    """By patterns: llmcompressor lists names of the file, others look for those in the model."""
    config = json.loads(config_path.read_text(encoding="utf-8"))
    config["quantization_config"]["ignore"] = ["lm_head", "re:.*visual.*"]
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_calibration(
    checkpoint: LoadedCheckpoint, images: Sequence[LabelledImage], count: int, folder: Path
) -> None:
    """Write the model's inputs of windows with their true replies, one safetensors file each.

    Windows are spaced evenly over those of all images, at most `count` of them.
    """
    description = checkpoint.description
    codec = description.codec
    windows = GridWindows(
        images, WindowSpec(codec.window_px, description.mpp, codec.category_names)
    )
    collate = Collator(
        codec, checkpoint.windows, checkpoint.windows.processor.tokenizer.pad_token_id
    )
    chosen = min(count, len(windows))
    for i in range(chosen):
        batch = collate([windows[i * len(windows) // chosen]])
        inputs = {name: t.contiguous() for name, t in batch.items() if name != "labels"}
        save_file(inputs, folder / f"{i:05d}.safetensors")
