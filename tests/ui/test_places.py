from __future__ import annotations

from napari_nunext.ui.places import PROJECT_FILE, default_project_path


def test_a_project_that_lies_alone_beside_images_is_theirs(tmp_path):
    image = tmp_path / "a.png"
    assert default_project_path([image]) == tmp_path / PROJECT_FILE
    (tmp_path / "study.nunext").touch()
    assert default_project_path([image]) == tmp_path / "study.nunext"
    (tmp_path / PROJECT_FILE).touch()
    assert default_project_path([image]) == tmp_path / PROJECT_FILE
