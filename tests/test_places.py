from __future__ import annotations

import pytest

from napari_nunext import places
from napari_nunext.core.errors import StoreError


def test_one_variable_moves_everything_that_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    assert places.user_folder() == tmp_path
    assert places.models_folder() == tmp_path / "models"
    assert places.log_folder() == tmp_path / "logs"


def test_without_it_the_systems_folders_are_used(monkeypatch):
    monkeypatch.delenv(places.HOME_VARIABLE, raising=False)
    assert "napari-nunext" in str(places.models_folder())
    assert "napari-nunext" in str(places.log_folder())


def test_a_project_that_is_not_there_is_refused_in_one_place(tmp_path, repo_root):
    (tmp_path / "there.nunext").touch()
    places.check_is_there(tmp_path / "there.nunext")
    with pytest.raises(StoreError, match=r"There is no project .*no\.nunext\. Check the name, or"):
        places.check_is_there(tmp_path / "no.nunext", ", or create one")
    texts = (
        (path.name, path.read_text("utf-8")) for path in (repo_root / "napari_nunext").rglob("*.py")
    )
    assert [name for name, text in texts if "There is no project {" in text] == ["places.py"]
