"""Runs and records of before models were described in one form."""

from __future__ import annotations

import json
import sqlite3

from napari_nunext.core.formats.records import Source
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.store import Project
from tests.store.conftest import IMAGE, run_info

SHA256 = "ab" * 32
RUN = {
    "model_id": "nunext-small",
    "model_name": "NuNext small",
    "checkpoint_sha256": SHA256,
    "prompt": "Point.",
    "decoding": {"max_points": 9},
    "mpp": 0.5,
    "window_px": 64,
    "codec_version": 1,
    "region": [0, 0, 100, 80],
    "segmenter_id": "classical",
    "segmenter_sha256": None,
    "extra": {"windows": 4, "categories": ["Tumour"]},
}
MODEL = ModelDescription(
    "NuNext small",
    "unknown",
    kind="detector",
    id="nunext-small",
    checkpoint_sha256=SHA256,
    prompt="Point.",
    window_px=64,
)
SEGMENTER = ModelDescription("classical", "unknown", kind="segmenter", id="classical")


def test_a_project_of_before_opens_with_its_runs(project, path):
    run_id = project.start_run(IMAGE, run_info())
    project.finish_run(run_id, "complete")
    project.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE run SET info = ?", (json.dumps(RUN),))
    connection.close()
    with Project.open(path, annotator="jd") as again:
        (run,) = again.predictions(IMAGE)
    assert (run.info.model, run.info.segmenter) == (MODEL, SEGMENTER)
    assert run.info.decoding == {"max_points": 9}
    assert (run.info.mpp, run.info.codec_version, run.info.region.as_tuple()) == (
        *(0.5, 1),
        (0, 0, 100, 80),
    )
    assert run.info.extra == RUN["extra"]


def test_a_record_of_before_is_read_and_written_in_the_form_of_today():
    source = {
        "image_sha256": SHA256,
        "region": [0, 0, 100, 80],
        "mpp": 0.5,
        "mpp_source": "file",
        "split": "train",
        "patient": "p",
        "annotators": [],
        "model": {key: value for key, value in RUN.items() if key != "region"},
    }
    read = Source.from_json(source)
    assert read.model == MODEL
    assert read.run == {
        "decoding": {"max_points": 9},
        "mpp": 0.5,
        "codec_version": 1,
        "segmenter": {"id": "classical", "name": "classical", "kind": "segmenter"}
        | {"family": "unknown", "checkpoint_sha256": None},
        "extra": RUN["extra"],
    }
    written = json.loads(json.dumps(read.to_json()))
    assert written["model"] == MODEL.to_json()
    assert Source.from_json(written) == read
    assert Source.from_json(source | {"model": {}}).model is None
