from __future__ import annotations

import shutil

import numpy as np
import pytest

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.process.vllm_address import VllmAddress
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.vllm import connection as connections
from napari_nunext.models.vllm.connection import VllmConnection
from napari_nunext.models.vllm.offer import VllmOffer, vllm_offers


@pytest.fixture
def nuclei(built, tmp_path):
    """A checkpoint under the name that the fake server serves."""
    return shutil.copytree(built, tmp_path / "nuclei")


@pytest.fixture
def connection(vllm, monkeypatch):
    monkeypatch.setattr(connections, "LOOK_AGAIN_S", 0.0)
    connection = VllmConnection("http://vllm.test", "key", transport=vllm.transport())
    yield connection
    connection.close()


def catalog(tmp_path, *engines, paths=()):
    return Catalog(paths, bundled=tmp_path / "none", engines=engines)


def test_a_checkpoint_in_vllm_is_the_default_and_is_not_offered_twice(connection, nuclei, tmp_path):
    offer = VllmOffer(connection, nuclei, "nuclei")
    there = catalog(tmp_path, offer, paths=[nuclei.parent])
    detectors = [entry.id for entry in there.entries() if entry.kind == "detector"]
    assert detectors[:2] == ["classical", "nuclei"]
    assert "nuclei-2" not in detectors
    assert there.default_detector_id == "nuclei"
    info = there.load_detector().info
    assert info.checkpoint_sha256 == checkpoint_sha256(nuclei)
    assert info.decoding["engine"] == "vllm"
    assert there.load_detector() is there.load_detector("nuclei")


def test_a_server_that_is_away_is_a_problem_that_may_pass(connection, nuclei, vllm, tmp_path):
    offer = VllmOffer(connection, nuclei, "nuclei")
    there = catalog(tmp_path, offer)
    vllm.statuses = [503] * 2
    (entry,) = (e for e in there.entries() if e.id == "nuclei")
    assert entry.passing
    assert "cannot answer now" in entry.problem
    assert entry.info is not None
    vllm.statuses = [401] * 2
    (entry,) = (e for e in there.entries() if e.id == "nuclei")
    assert not entry.passing
    assert "wants another key" in entry.problem
    vllm.statuses = []
    (entry,) = (e for e in there.entries() if e.id == "nuclei")
    assert (entry.problem, entry.passing) == (None, False)


def test_a_server_of_something_else_is_named(connection, nuclei, tmp_path):
    offer = VllmOffer(connection, nuclei, "cells")
    assert offer.problem == (
        "The vLLM server at http://vllm.test serves nuclei, sharper, not cells. "
        "Start it with --served-model-name cells."
    )
    with pytest.raises(CheckpointError, match="serves nuclei"):
        catalog(tmp_path, offer).load_detector("cells")


def test_what_is_no_vllm_is_said(nuclei):
    import httpx

    connection = VllmConnection(
        "http://web.test", transport=httpx.MockTransport(lambda _: httpx.Response(200, text="hi"))
    )
    try:
        assert "is not a vLLM server" in VllmOffer(connection, nuclei, "nuclei").problem
    finally:
        connection.close()


def test_an_adapter_is_known_by_its_own_weights(vllm, connection, nuclei, tmp_path):
    adapter = tmp_path / "lora"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"one")
    plain = VllmOffer(connection, nuclei, "nuclei").info
    info = VllmOffer(connection, nuclei, "sharper", adapter).info
    assert (info.name, info.checkpoint_sha256) == ("sharper", plain.checkpoint_sha256)
    assert info.decoding == {**plain.decoding, "adapter": checkpoint_sha256(adapter)}


def test_the_prompt_is_the_one_that_our_own_processor_makes(connection, nuclei, vllm):
    detector = VllmOffer(connection, nuclei, "nuclei").load()
    end = detector._served.description.codec.end_id
    vllm.replies[7] = [(end, 0.0)]
    vllm.prompt = detector._served.prompt_ids_of(())
    window = np.full((32, 32, 3), 7, dtype=np.uint8)
    (event,) = detector.detect([window], cancelled=lambda: False)
    assert (event.window, event.finish, event.tokens) == (0, "end", 1)


def test_an_address_travels_with_its_key_and_does_not_show_it(nuclei, tmp_path):
    address = VllmAddress("unix:/run/v.sock", nuclei, "nuclei", {"sharper": tmp_path}, "secret")
    assert VllmAddress.from_json(address.to_json()) == address
    assert "secret" not in repr(address)
    assert [offer.name for offer in vllm_offers(address)] == ["nuclei", "sharper"]
    assert vllm_offers(None) == []
