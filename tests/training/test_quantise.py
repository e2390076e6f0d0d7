from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.checkpoints.quantised import quantisation_of
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.cli import main
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.release.quantise import (
    QuantiseJob,
    check_llmcompressor,
    quantise,
    w4a16_command,
    weight_bytes,
    write_calibration,
)
from nunext_training.runs.errors import TrainingError
from nunext_training.stages.sft import SftJob, run_sft


def test_the_command_writes_a_checkpoint_that_says_its_f1_before_and_after(
    tmp_path, export, tiles, checkpoint, capsys
):
    out = tmp_path / "int8"
    code = main(
        ["quantize", "--checkpoint", str(checkpoint), "--data", str(export), "--out", str(out)]
    )
    assert code == 0
    shown = capsys.readouterr().out
    description = read_description(out)
    assert description.provenance["quantisation"] == "int8"
    assert description.provenance["quantised_from_sha256"] == checkpoint_sha256(checkpoint)
    assert description.codec == read_description(checkpoint).codec
    (figures,) = description.metrics
    val = [tile for tile in tiles if tile.split == "val"]
    for folder, key, row in (
        (checkpoint, "f1_before_quantisation", "before"),
        (out, "f1", "after"),
    ):
        f1 = evaluate_detector(
            NextPointDetector(folder), val, radius_um=3.0, method="gated", data={}
        ).report.overall.f1
        assert figures[key] == f1
        assert f"{f1:.4f}" in next(line for line in shown.splitlines() if line.startswith(row))
    assert weight_bytes(out) < 0.6 * weight_bytes(checkpoint)
    assert quantisation_of(out) is not None


def test_what_is_quantised_is_neither_quantised_again_nor_trained(
    tmp_path, export, checkpoint, recipe, recorder
):
    out = tmp_path / "int8"
    main(["quantize", "--checkpoint", str(checkpoint), "--data", str(export), "--out", str(out)])
    with pytest.raises(InputError, match="quantised already"):
        quantise(QuantiseJob(out, tmp_path / "again"), [], [], {})
    with pytest.raises(InputError, match="integers cannot be trained"):
        run_sft(SftJob((export,), out, tmp_path / "trained", recipe), recorder)


def test_what_read_the_states_of_other_weights_stays_behind(tmp_path, export, looking_twice):
    out = tmp_path / "int8"
    command = ["quantize", "--checkpoint", str(looking_twice), "--data", str(export)]
    assert main([*command, "--out", str(out)]) == 0
    loaded = load_checkpoint(out)
    assert loaded.description.atomic is loaded.description.second_look is None
    assert not (out / "atomic").exists()
    assert not (out / "second_look").exists()


def test_calibration_is_what_training_reads(tmp_path, tiles, checkpoint):
    loaded = load_checkpoint(checkpoint, dtype=torch.float32)
    write_calibration(loaded, tiles, 3, tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == 3
    for file in files:
        inputs = load_file(file)
        assert inputs.keys() == {
            *["input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw"]
        }
        prompt = list(loaded.windows.prompt_ids)
        ids = inputs["input_ids"][0].tolist()
        assert ids[: len(prompt)] == prompt
        assert loaded.description.codec.parse(ids[len(prompt) :]).failure is None
        with torch.no_grad():
            assert torch.isfinite(loaded.model(**inputs).logits).all()


def test_the_interpreter_is_asked_before_anything_is_done(tmp_path):
    with pytest.raises(InputError, match="--python"):
        check_llmcompressor(None)
    with pytest.raises(InputError, match="cannot be run"):
        check_llmcompressor(tmp_path / "no-python")
    with pytest.raises(InputError, match="has no llmcompressor"):
        check_llmcompressor(Path(sys.executable))


def test_the_script_is_called_with_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program, script, *options = w4a16_command(Path("bin/python"), Path("m"), Path("c"), Path("o"))
    assert program == "bin/python"
    assert Path(script).is_file()
    assert options == [
        *["--model", str(tmp_path / "m"), "--calibration", str(tmp_path / "c")],
        *["--out", str(tmp_path / "o")],
    ]


STAND_IN = """#!{python}
import pathlib, shutil, sys
if sys.argv[1] == "-c":
    sys.exit(0)
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
samples = list(pathlib.Path(arguments["--calibration"]).glob("*.safetensors"))
if len(samples) != 4:
    sys.exit("got %d samples" % len(samples))
shutil.copytree({made!r}, arguments["--out"])
"""


@pytest.fixture
def stand_in(tmp_path, checkpoint):
    """An interpreter that writes what llmcompressor would: one layer packed, the rest as it was."""
    made = tmp_path / "made"
    made.mkdir()
    weights = load_file(checkpoint / "model.safetensors")
    name = next(n for n in weights if n.endswith("down_proj.weight") and "layers" in n)
    rows, columns = weights[name].shape
    ints = np.random.default_rng(0).integers(0, 16, (rows, columns // 8, 8)).astype(np.uint32)
    words = sum(ints[..., i] << np.uint32(4 * i) for i in range(8)).astype(np.uint32)
    del weights[name]
    weights[f"{name}_packed"] = torch.from_numpy(words.view(np.int32))
    weights[f"{name}_scale"] = torch.full((rows, columns // 32), 0.01)
    weights[f"{name}_shape"] = torch.tensor([rows, columns])
    save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((checkpoint / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "ignore": ["visual.blocks.0.attn.qkv"],
    }
    (made / "config.json").write_text(json.dumps(config))
    python = tmp_path / "python"
    python.write_text(STAND_IN.format(python=sys.executable, made=str(made)))
    python.chmod(0o755)
    return python


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a script with a first line")
def test_what_llmcompressor_writes_becomes_a_checkpoint(tmp_path, tiles, checkpoint, stand_in):
    job = QuantiseJob(
        checkpoint, tmp_path / "w4", method="w4a16", python=stand_in, calibration_windows=4
    )
    quantise(job, tiles[2:], tiles[:2], {"split": "val"})
    assert read_description(job.out).provenance["quantisation"] == "w4a16"
    assert read_description(job.out).provenance["calibration_windows"] == 4
    stated = quantisation_of(job.out)
    assert stated["ignore"] == ["lm_head", "re:.*visual.*"]
    assert list(
        NextPointDetector(job.out).detect(
            [np.zeros((32, 32, 3), dtype=np.uint8)], cancelled=lambda: False
        )
    )
    failing = replace(job, out=tmp_path / "failed", calibration_windows=5)
    with pytest.raises(TrainingError, match="got 5 samples"):
        quantise(failing, tiles[2:], tiles[:2], {"split": "val"})
    assert not failing.out.exists()
