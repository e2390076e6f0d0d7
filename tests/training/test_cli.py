from __future__ import annotations

import json
import signal

import pytest

from napari_nunext.models.checkpoints.description import read_description
from nunext_training.cli import main
from tests.training.stopping import train_until

QUICK = ["--steps", "2", "--batch-size", "2", "--validate-every", "2", "--warmup-steps", "0"]
QUICK += ["--untested"]


def run(*arguments):
    return main([str(a) for a in arguments])


def sft(export, checkpoint, out, *options):
    return run(
        *("sft", "--data", export, "--checkpoint", checkpoint, "--out", out),
        *QUICK,
        *options,
    )


def error_line(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("nunext-train: ")
    assert "Traceback" not in err
    return err


def test_progress_for_the_app_is_one_json_object_a_line(
    tmp_path, train_only_export, checkpoint, capsys
):
    out = tmp_path / "out"
    assert sft(train_only_export, checkpoint, out, "--progress", "jsonl") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == ["start", "step", "step", "doing", "done"]
    assert events[1].keys() == {"event", "step", "steps", "loss", "eta_s"}
    assert events[-1]["checkpoint"] == str(out)
    assert {"loss_first", "loss_last"} <= events[-1].keys()


def test_options_of_the_command_line_prevail_over_the_recipe(
    tmp_path, train_only_export, checkpoint
):
    options = ("--supervision", "naive", "--lr", "0.002", "--seed", "7", "--recipe", "tiny")
    sft(train_only_export, checkpoint, tmp_path / "out", *options)
    recipe = read_description(tmp_path / "out").provenance["recipe"]
    assert recipe["name"] == "tiny"
    assert recipe["loss"]["supervision"] == "naive"
    assert recipe["optimiser"]["lr"] == 0.002
    assert recipe["optimiser"]["steps"] == 2
    assert recipe["seed"] == 7


def test_a_person_sees_a_bar_and_the_losses(tmp_path, train_only_export, checkpoint, capsys):
    sft(train_only_export, checkpoint, tmp_path / "out")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err
    assert "Loss " in captured.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "nonesuch"], "There is no recipe"),
        (["--rename", "Pale"], "is not FROM=TO"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    tmp_path, train_only_export, checkpoint, capsys, options, message
):
    assert sft(train_only_export, checkpoint, tmp_path / "out", *options) == 2
    assert message in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_value_that_no_recipe_takes_is_refused_before_any_work(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        sft(tmp_path, tmp_path, tmp_path / "out", "--lr", "0")
    assert stop.value.code == 2
    assert "argument --lr: '0' is no number of more than 0" in error_line(capsys)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path, train_only_export, capsys):
    (tmp_path / "empty").mkdir()
    assert sft(train_only_export, tmp_path / "empty", tmp_path / "out") == 2
    assert "nunext.json" in error_line(capsys)


def test_a_changed_export_is_refused_and_may_be_skipped(
    tmp_path, train_only_export, checkpoint, capsys
):
    image = sorted((train_only_export / "images").iterdir())[0]
    image.write_bytes(image.read_bytes() + b"x")
    assert sft(train_only_export, checkpoint, tmp_path / "out", "--strict") == 2
    assert image.name in error_line(capsys)
    assert sft(train_only_export, checkpoint, tmp_path / "out") == 0


def test_training_that_was_interrupted_goes_on(tmp_path, train_only_export, checkpoint, capsys):
    out = tmp_path / "out"
    command = ["sft", "--recipe", "first", "--progress", "jsonl"]
    command += ["--data", str(train_only_export), "--checkpoint", str(checkpoint)]
    command += ["--out", str(out), "--steps", "6", "--batch-size", "2", "--threads", "1"]
    command += ["--warmup-steps", "1", "--validate-every", "1000", "--resume"]
    stopped = train_until(4, signal.SIGINT, command)
    assert stopped.returncode == 130
    assert "go on with --resume" in stopped.stderr
    assert not out.exists()
    steps = [e["step"] for e in map(json.loads, stopped.stdout.splitlines()) if "step" in e]
    assert steps[-1] == 4  # it was finished
    assert main(command) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {"event": "start", "step": steps[-1], "steps": 6}
    assert events[-1]["event"] == "done"


def test_the_classical_detector_and_a_report_file(tmp_path, export, capsys):
    report = tmp_path / "reports" / "classical.json"
    options = ("--radius-um", "2", "--matching", "hungarian", "--out", report)
    assert run("evaluate", "--model", "classical", "--data", export, *options) == 0
    captured = capsys.readouterr()
    assert "hungarian matching within 2 um" in captured.out
    data = json.loads(report.read_text())
    assert data["data"]["split"] == "val"
    assert data["overall"]["f1"] > 0.9  # dark discs on pink


def test_a_checkpoint_is_evaluated(export, checkpoint, capsys):
    arguments = ("--checkpoint", checkpoint, "--data", export, "--split", "all")
    assert run("evaluate", *arguments) == 0
    assert "3 images; gated matching within 3 um" in capsys.readouterr().out


def test_predictions_of_another_tool_are_evaluated(tmp_path, export, tiles, capsys):
    record = json.loads((export / "sft.jsonl").read_text().splitlines()[2])
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / f"{record['source']['image_sha256']}.geojson").write_text(
        json.dumps(
            {
                "features": [
                    {"geometry": {"type": "Point", "coordinates": [n["x"], n["y"]]}}
                    for n in record["nuclei"]
                ]
            }
        )
    )
    assert run("evaluate", "--predictions", folder, "--data", export) == 0
    assert "1.0000" in capsys.readouterr().out


def test_bad_input_to_evaluate_is_one_line(tmp_path, export, capsys):
    assert run("evaluate", "--model", "classical", "--data", tmp_path / "none") == 2
    assert "neither an export" in error_line(capsys)
    assert run("evaluate", "--predictions", tmp_path, "--data", tmp_path / "none") == 2
    assert "neither an export" in error_line(capsys)
    options = ("--data", export, "--split", "test")
    assert run("evaluate", "--model", "classical", *options) == 2
    assert "no images in its test split" in error_line(capsys)


def test_a_small_checkpoint_is_built_without_downloads(tmp_path, capsys):
    out = tmp_path / "start"
    categories = "Tumour, Stroma"
    assert run("build", "--preset", "nano", "--categories", categories, "--out", out) == 0
    assert read_description(out).codec.category_names == ("Tumour", "Stroma")
    assert "parameters" in capsys.readouterr().out
    assert run("build", "--out", out) == 2
    assert "exists" in error_line(capsys)


def test_importing_what_is_no_data_set_is_one_line(tmp_path, capsys):
    assert run("import", "brca-m2c", tmp_path, "--out", tmp_path / "out") == 2
    assert "BRCA-M2C" in error_line(capsys)
