"""Requests made up from the server's own description of itself: none may break it.

``make fuzz`` asks more: NUNEXT_FUZZ_EXAMPLES says how many requests of each kind.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from napari_nunext.core.answers.answerer import AnswererAddress
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.ask_protocol import ask_event
from napari_nunext.serving.protocol import Done, Failed, Problem, detect_event
from tests.waiting import PATIENCE_S

EXAMPLES = int(os.environ.get("NUNEXT_FUZZ_EXAMPLES", "10"))
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("HEAD", "/v1/images/{sha256}"),
    ("PUT", "/v1/images/{sha256}"),
    ("POST", "/v1/detect"),
    ("POST", "/v1/cancel"),
    ("POST", "/v1/segment"),
    ("POST", "/v1/windows"),
    ("GET", "/v1/answerers"),
    ("POST", "/v1/ask"),
]
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


def described(server) -> schemathesis.BaseSchema:
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:
        return schemathesis.openapi.from_dict(http.get(f"{server.url}/openapi.json").json())


def test_every_operation_is_fuzzed(server):
    operations = {
        (each.ok().method.upper(), each.ok().path)
        for each in described(server).get_all_operations()
    }
    assert operations == set(OPERATIONS)


@pytest.mark.parametrize("mode", MODES, ids=["valid", "invalid"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_breaks_the_server(start, rgb, method, path, mode):
    away = AnswererAddress("away", "http://127.0.0.1:9/v1", "vlm")
    server = start(answerers=(away, replace(away, name="reads", reads_nuclei=True)))
    known = server.client.put_image(tile_of_rgb(rgb, "tile"))
    header = server.client._http.headers["Authorization"]
    operation = described(server)[path][method]
    valid = mode is schemathesis.GenerationMode.POSITIVE
    if not valid and method == "GET":
        pytest.skip("it takes nothing that could be invalid")

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES == 10,  # the short form asks the same each time
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case):
        # A hash made up is of no image; half of the requests are about one that is there.
        if isinstance(case.body, dict) and random.random() < 0.5:
            if "image" in case.body:
                case.body["image"] = known
            if path == "/v1/detect" and valid:
                case.body |= {"model": "classical", "segmenter": None}
            if path == "/v1/ask" and valid:
                case.body |= {"answerer": random.choice(("away", "reads"))}
        response = case.call(
            base_url=server.url, headers={"Authorization": header}, timeout=PATIENCE_S
        )
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400 and method != "HEAD":
            problem = Problem.model_validate_json(response.content)
            assert problem.message
            assert "\n" not in problem.message
        elif path == "/v1/detect":
            *_, last = filter(None, response.content.splitlines())
            event = detect_event.validate_json(last)
            assert isinstance(event, Done | Failed)
            assert not (isinstance(event, Failed) and event.code == "model_failed")
        elif path == "/v1/ask":
            *_, last = filter(None, response.content.splitlines())
            event = ask_event.validate_json(last)
            assert isinstance(event, Failed)
            assert event.code == "model_away"

    server.catalog.detectors = {"classical": server.catalog.detectors["classical"]}
    ask()
    assert server.client.health().status == "ready"
