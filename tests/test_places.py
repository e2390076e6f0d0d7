from __future__ import annotations

from napari_nunext import places


def test_one_variable_moves_everything_that_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    assert places.user_folder() == tmp_path
    assert places.models_folder() == tmp_path / "models"
    assert places.log_folder() == tmp_path / "logs"


def test_without_it_the_systems_folders_are_used(monkeypatch):
    monkeypatch.delenv(places.HOME_VARIABLE, raising=False)
    assert "napari-nunext" in str(places.models_folder())
    assert "napari-nunext" in str(places.log_folder())
