"""Checkpoints whose linear layers are integers: smaller, and on a CPU faster where layers are wide.

They are kept in the layout of compressed-tensors, which vLLM reads too: ``quantization_config`` in
``config.json``, and in place of a ``weight``

- ``weight`` (int8, out x in) and ``weight_scale`` (out x 1): "int8", made here; or
- ``weight_packed`` (int32, eight weights of 4 bits in each), ``weight_scale`` (out x groups) and
  ``weight_shape``: "w4a16", made by llmcompressor.

Loading reads both without that package. int8 stays int8 on a CPU: activations are quantised row by
row as they come, so that a window's reply does not depend on what is decoded beside it, and
integers are multiplied. Everywhere else, and for w4a16 always, weights are unpacked: what is
measured is exact, and speed comes from vLLM. The head and the embeddings, which decoding reads row
by row, and everything that is no linear layer stay as they are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import nn

from napari_nunext.core.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedModel

_CONFIG_KEY = "quantization_config"
_LEVELS = 127
"""int8 from -127 to 127: symmetric."""


def quantisation_of(folder: Path) -> dict[str, Any] | None:
    """What ``config.json`` says of quantisation; None where weights are as they were trained.

    Raises
    ------
    CheckpointError
        If it is of a layout that is not read here.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    stated = config.get(_CONFIG_KEY)
    if stated is None:
        return None
    layout = stated.get("format")
    if stated.get("quant_method") != "compressed-tensors" or layout not in (
        "int-quantized",
        "pack-quantized",
    ):
        raise CheckpointError(
            f"{folder.name} is quantised as {stated.get('quant_method')} {layout}; expected "
            "compressed-tensors int-quantized or pack-quantized. Serve it with vLLM, or quantise "
            "its parent by nunext-train quantize."
        )
    return dict(stated)


def is_int8(quantisation: dict[str, Any]) -> bool:
    """Whether a `quantisation_of` is "int8", rather than "w4a16"."""
    return bool(quantisation["format"] == "int-quantized")


def load_unpacked(auto_class: Any, folder: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Model of a quantised checkpoint with its weights as floats, and what did not fit.

    As ``from_pretrained`` with ``output_loading_info``; `options` go to it.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    delattr(config, _CONFIG_KEY)
    with torch.device("meta"):
        model_class = type(auto_class.from_config(config))
    model, report = model_class.from_pretrained(
        None,
        config=config,
        state_dict=dict(unpacked_weights(folder)),
        output_loading_info=True,
        **options,
    )
    return model, report


def unpacked_weights(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and values of a quantised checkpoint's weights, as floats."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            for name in sorted(names):
                stem, _, kind = name.rpartition(".")
                scale = f"{stem}.weight_scale"
                if kind == "weight_packed":
                    shape = file.get_tensor(f"{stem}.weight_shape").tolist()
                    ints = unpack_int4(file.get_tensor(name), shape)
                    yield f"{stem}.weight", _scaled(ints, file.get_tensor(scale))
                elif kind == "weight" and scale in names:
                    yield name, _scaled(file.get_tensor(name), file.get_tensor(scale))
                elif kind not in ("weight_scale", "weight_shape"):
                    yield name, file.get_tensor(name)


def unpack_int4(packed: torch.Tensor, shape: tuple[int, int] | list[int]) -> torch.Tensor:
    """Weights of 4 bits, -8 to 7, from int32s that hold eight each, the lowest bits first.

    Parameters
    ----------
    packed : Tensor of int32, shape (out, ceil(in / 8))
        Each weight is stored plus 8.
    shape : (out, in)

    Returns
    -------
    Tensor of int8, shape (out, in)
    """
    shifts = torch.arange(0, 32, 4, dtype=torch.int32)
    nibbles = (packed[..., None] >> shifts) & 0xF
    return (nibbles.flatten(1)[:, : shape[1]] - 8).to(torch.int8)


def _scaled(ints: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """``ints`` (out, in) times a scale for each of the groups in a row (out, groups)."""
    group = ints.shape[1] // scale.shape[1]
    return ints.to(scale.dtype) * scale.repeat_interleave(group, dim=1)


# int8


def quantise_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows as int8 and a scale each, so that the largest weight of a row is 127 or -127.

    Quantising what was quantised before changes nothing.

    Parameters
    ----------
    weight : Tensor, shape (N, M)

    Returns
    -------
    Tensor of int8, shape (N, M)
    Tensor of float32, shape (N, 1)
        Positive, also for a row of zeros.
    """
    values = weight.detach().float()
    largest = values.abs().amax(dim=1, keepdim=True)
    scale = torch.where(largest > 0, largest / _LEVELS, 1.0)
    return (values / scale).round().clamp(-_LEVELS, _LEVELS).to(torch.int8), scale


class Int8Linear(nn.Module):
    """A linear layer of int8 weights and, row by row, int8 activations. For a CPU, and inference.

    Parameters
    ----------
    linear : nn.Linear
    """

    weight: torch.Tensor
    weight_scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = quantise_rows(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("weight_scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As of a linear layer, but for rounding."""
        rows, scale = quantise_rows(x.flatten(0, -2))
        product = torch._int_mm(rows, self.weight.t()).float() * scale * self.weight_scale[:, 0]
        if self.bias is not None:
            product = product + self.bias
        return product.to(x.dtype).unflatten(0, x.shape[:-1])


def quantised_linears(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Names and modules of the layers that become integers: all linear ones but the head."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }


def use_int8(model: PreTrainedModel) -> None:
    """Replace the linear layers of a model on the CPU by `Int8Linear`."""
    for name, linear in quantised_linears(model).items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, Int8Linear(linear))


def save_int8(model: PreTrainedModel, folder: Path) -> None:
    """Write weights and ``config.json`` of a model in the layout above; leaves the model alone."""
    state = dict(model.state_dict())
    for name, linear in quantised_linears(model).items():
        weight, scale = quantise_rows(linear.weight)
        state[f"{name}.weight"], state[f"{name}.weight_scale"] = weight, scale
    model.save_pretrained(folder, state_dict=state)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config[_CONFIG_KEY] = int8_config()
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def int8_config() -> dict[str, Any]:
    """``quantization_config`` of an int8 checkpoint, as compressed-tensors has it."""
    eight_bits = {"num_bits": 8, "type": "int", "symmetric": True}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": eight_bits | {"strategy": "channel", "dynamic": False},
                "input_activations": eight_bits | {"strategy": "token", "dynamic": True},
            }
        },
    }
