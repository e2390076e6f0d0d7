from __future__ import annotations

import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.process.vllm_address import VllmAddress
from napari_nunext.serving.addresses import is_loopback
from napari_nunext.serving.settings import ServerSettings, model_folders


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"])
def test_loopback_needs_no_token_and_gets_one(host):
    assert is_loopback(host)
    first, second = ServerSettings(host=host), ServerSettings(host=host)
    assert len(first.secret) > 30
    assert first.secret != second.secret


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "gpu.example.org", ""])
def test_other_machines_are_not_let_in_without_a_token(host):
    with pytest.raises(InputError, match="--token-file"):
        ServerSettings(host=host)
    assert ServerSettings(host=host, token="x" * 32).secret == "x" * 32


def test_a_token_that_could_be_guessed_is_refused():
    with pytest.raises(InputError, match="4 characters"):
        ServerSettings(token="1234")


@pytest.mark.parametrize("change", [{"waiting_jobs": 0}, {"max_run_s": 0}, {"max_run_s": -1.0}])
def test_limits_are_positive(change):
    with pytest.raises(InputError, match="not positive"):
        ServerSettings(**change)


def test_settings_do_not_show_the_token():
    settings = ServerSettings(token="secret-secret-secret")
    assert "secret-secret" not in repr(settings)


def test_the_users_own_models_are_looked_for_first(tmp_path):
    own, further = model_folders([tmp_path])
    assert own.name == "models"
    assert further == tmp_path


def test_settings_travel_whole_from_process_to_process(tmp_path):
    address = VllmAddress("unix:/run/v.sock", tmp_path, "nuclei", {"sharper": tmp_path}, "its key")
    settings = ServerSettings(token="x" * 32, keys_file=tmp_path / "keys", vllm=address)
    again = ServerSettings.from_json(settings.to_json())
    assert again == settings
    assert "its key" not in repr(again)
    assert ServerSettings.from_json(ServerSettings().to_json()).vllm is None
