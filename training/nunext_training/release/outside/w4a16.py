"""Quantise a checkpoint's language model to 4-bit weights, in llmcompressor's own environment.

llmcompressor pins other versions than training does, so this file is run by that environment's
interpreter (``nunext-train quantize --method w4a16 --python PATH``) and imports nothing of ours::

    PATH/bin/python w4a16.py --model CHECKPOINT --calibration DIR --out DIR

GPTQ over the linear layers of the language model, symmetric, a scale for each group of weights in a
row; the vision tower and the head stay as they are. ``--calibration`` holds ``*.safetensors``, each
the model's inputs of one window with its true reply.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from transformers import AutoModelForImageTextToText, AutoTokenizer

IGNORED = ("re:.*lm_head", "re:.*visual.*")
GROUP_SIZES = (128, 64, 32)


def main() -> None:
    """Quantise, and write weights and configuration."""
    parser = argparse.ArgumentParser(description="Quantise to W4A16 with llmcompressor.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForImageTextToText.from_pretrained(
        args.model, dtype="auto", local_files_only=True, use_safetensors=True
    )
    model = model.to(device)
    samples: Any = [load_file(path) for path in sorted(args.calibration.glob("*.safetensors"))]
    weights = QuantizationArgs(
        num_bits=4, type="int", symmetric=True, strategy="group", group_size=group_size(model)
    )
    recipe = GPTQModifier(
        config_groups={"group_0": QuantizationScheme(targets=["Linear"], weights=weights)},
        ignore=list(IGNORED),
    )
    oneshot(
        model=model,
        processor=AutoTokenizer.from_pretrained(args.model, local_files_only=True),  # it insists
        dataset=DataLoader(samples, batch_size=None),
        recipe=recipe,
        num_calibration_samples=len(samples),
        pipeline="basic",
    )
    model.save_pretrained(args.out, save_compressed=True)


def group_size(model: torch.nn.Module) -> int:
    """The largest of `GROUP_SIZES` that every row of the language model can be cut into."""
    widths = {
        module.in_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "visual" not in name and "lm_head" not in name
    }
    for size in GROUP_SIZES:
        if all(width % size == 0 for width in widths):
            return size
    raise SystemExit(f"Widths {sorted(widths)} are no multiples of {GROUP_SIZES[-1]}.")


if __name__ == "__main__":
    main()
