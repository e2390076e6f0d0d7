from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.vllm import launch as launching
from napari_nunext.models.vllm.launch import Launch, environment, find_python, private_folder
from napari_nunext.models.vllm.names import KEY_VARIABLE


@pytest.fixture
def adapter(tmp_path):
    folder = tmp_path / "lora"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def value_of(arguments, option):
    return arguments[arguments.index(option) + 1]


def test_vllm_is_told_all_that_its_replies_need(built, tmp_path):
    launch = Launch(built, {}, ("--data-parallel-size=4",))
    arguments = launch.arguments(tmp_path / "vllm.sock")
    assert arguments[:2] == ["serve", str(built.resolve())]
    assert value_of(arguments, "--served-model-name") == launch.name == built.name
    assert value_of(arguments, "--uds") == str(tmp_path / "vllm.sock")
    assert value_of(arguments, "--logprobs-mode") == "processed_logits"
    module, name = value_of(arguments, "--logits-processors").split(":")
    source = Path(launching.__file__).parent / f"{module.rpartition('.')[2]}.py"
    assert f"class {name}(LogitsProcessor)" in source.read_text(encoding="utf-8")
    assert json.loads(value_of(arguments, "--limit-mm-per-prompt")) == {"image": 1, "video": 0}
    assert arguments[-1] == "--data-parallel-size=4"
    assert "--enable-lora" not in arguments


def test_the_longest_reply_fits_the_context(checkpoint):
    if checkpoint.family.name == "conv_qwen":
        pytest.skip("vLLM does not have this family")
    launch = Launch(checkpoint.folder, {})
    context = int(value_of(launch.arguments(Path("s")), "--max-model-len"))
    longest = len(checkpoint.windows.prompt_ids) + 3 * checkpoint.description.max_points + 1
    assert longest <= context <= longest + 300


def test_adapters_are_served_by_name(built, adapter):
    arguments = Launch(built, {"sharper": adapter}).arguments(Path("s"))
    assert value_of(arguments, "--lora-modules") == f"sharper={adapter}"
    with pytest.raises(InputError, match="checkpoint's own name"):
        Launch(built, {built.name: adapter})
    with pytest.raises(InputError, match=r"no adapter_config\.json"):
        Launch(built, {"sharper": built})
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        Launch(built, {"sharper": adapter})


def test_a_family_that_vllm_lacks_is_refused(checkpoint):
    if checkpoint.family.name == "conv_qwen":
        with pytest.raises(CheckpointError, match=r"family conv_qwen.*Serve it without --vllm"):
            Launch(checkpoint.folder, {})
    else:
        Launch(checkpoint.folder, {})


def test_the_package_is_lent_to_another_python_alone(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "somebody-elses")
    script = "import sys, napari_nunext.models.vllm.names as n; print(n.__file__)"
    script += "; sys.exit('numpy' in sys.modules)"
    with private_folder() as folder:
        variables = environment(folder)
        assert KEY_VARIABLE not in variables
        assert folder.stat().st_mode & 0o077 == 0
        # -S: without the packages of this environment.
        found = subprocess.run(
            [sys.executable, "-S", "-c", script],
            env={**variables, "PYTHONPATH": str(folder)},
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.startswith(str(folder))
    assert not folder.exists()


def test_what_was_on_the_path_stays_behind_the_package(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    with private_folder() as folder:
        assert environment(folder)["PYTHONPATH"] == f"{folder}{os.pathsep}/theirs"


def test_a_python_without_vllm_is_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="has no vLLM"):
        find_python(Path(sys.executable))
    with pytest.raises(InputError, match="cannot be run"):
        find_python(tmp_path / "python")
    with pytest.raises(InputError, match=r"pip install 'napari-nunext\[vllm\]'"):
        find_python()
    monkeypatch.setattr(launching, "find_spec", lambda name: object())
    assert find_python() == Path(sys.executable)
