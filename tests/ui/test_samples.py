from __future__ import annotations

import hashlib
import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from PIL import Image

from napari_nunext import places
from napari_nunext.core.errors import ImageError
from napari_nunext.images import open_image
from napari_nunext.models.catalog import Catalog
from napari_nunext.ui import samples
from tests.review.fakes import model_info

SIDE_PX = 40


def jpeg() -> bytes:
    """A small image, as the network has it."""
    written = io.BytesIO()
    Image.new("RGB", (SIDE_PX, SIDE_PX), (200, 120, 180)).save(written, "JPEG")
    return written.getvalue()


TILE = jpeg()


@pytest.fixture
def mirror(monkeypatch, tmp_path):
    """A server on this machine that has the tile; what it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TILE)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(samples, "SKIN_URL", f"http://127.0.0.1:{server.server_port}/tile.jpg")
    monkeypatch.setattr(samples, "SKIN_SHA256", hashlib.sha256(TILE).hexdigest())
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_download_happens_once(mirror):
    path = samples.skin_path()
    assert samples.skin_path() == path
    assert mirror == ["/tile.jpg"]
    image = open_image(path)
    assert (image.width_px, image.mpp) == (SIDE_PX, pytest.approx(samples.SKIN_MPP))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_first_sample_is_real_tissue_and_the_drawn_one_the_last(mirror, monkeypatch):
    monkeypatch.setattr(samples, "SYNTHETIC_SIDE_PX", 96)
    skin, drawn = samples.skin_path(), samples.synthetic_path()
    assert samples.first_sample() == skin
    assert samples.all_samples() == [skin, samples.ihc_path(), drawn]
    assert "public domain" in samples.about_sample(skin, None)


def test_without_a_network_the_first_sample_is_drawn_and_said_to_be(monkeypatch, tmp_path):
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(samples, "SKIN_URL", "http://127.0.0.1:1/tile.jpg")
    monkeypatch.setattr(samples, "SYNTHETIC_SIDE_PX", 96)
    drawn = samples.synthetic_path()
    assert samples.all_samples() == [drawn, samples.ihc_path()]
    assert "drawn, not real" in samples.about_sample(drawn, None)
    assert open_image(drawn).mpp == pytest.approx(samples.SYNTHETIC_MPP, rel=1e-3)


def test_a_download_that_takes_too_long_is_given_up(mirror, monkeypatch):
    monkeypatch.setattr(samples, "DOWNLOAD_LIMIT_S", -1.0)
    with pytest.raises(ImageError, match="could not be downloaded"):
        samples.skin_path()


def test_immunohistochemistry_says_what_the_chosen_model_can_do_there():
    ihc = samples.ihc_path()
    assert "learnt" not in samples.about_sample(ihc, model_info())
    learnt = {"data": [{"importer": "brca-m2c"}, {"importer": "dsb2018"}]}
    words = samples.about_sample(ihc, model_info(provenance=learnt))
    assert "learnt on brca-m2c and dsb2018" in words
    (bundled,) = (e for e in Catalog().entries() if e.id == "nunext-small")
    both = model_info(categories=list(bundled.info.categories), provenance=learnt)
    words = samples.about_sample(ihc, both)
    assert words.endswith("sees that in its colours, and calls nuclei positive or negative.")
    for unnamed in ({"data": [{"importer": "folder"}]}, {"data": [{"images": 3}]}):
        assert "learnt" not in samples.about_sample(ihc, model_info(provenance=unnamed))
    assert "no categories" in samples.about_sample(ihc, model_info(categories=[]))
    assert samples.about_sample(ihc.with_name("mine.png"), model_info()) == ""


def test_a_tile_that_is_not_the_one_we_know_is_refused(mirror, monkeypatch):
    monkeypatch.setattr(samples, "SKIN_SHA256", "0" * 64)
    with pytest.raises(ImageError, match="needs no download"):
        samples.skin_path()
    assert not list((places.user_folder() / "samples").glob("skin*"))


def test_without_a_network_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(samples, "SKIN_URL", "http://127.0.0.1:1/tile.jpg")
    with pytest.raises(ImageError, match="Connect to the internet"):
        samples.skin_path()


def test_the_tile_that_comes_with_scikit_image_is_there():
    ((pixels, kwargs, kind),) = samples.ihc_sample()
    assert pixels.shape == (512, 512, 3)
    assert kind == "image"
    assert kwargs["scale"] == (samples.IHC_MPP, samples.IHC_MPP)


def test_the_drawn_tile_is_written_once_and_stays_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(samples, "SYNTHETIC_SIDE_PX", 96)
    ((pixels, kwargs, kind),) = samples.synthetic_sample()
    assert (pixels.shape, kind) == ((96, 96, 3), "image")
    assert kwargs["scale"] == (samples.SYNTHETIC_MPP, samples.SYNTHETIC_MPP)
    path = samples.synthetic_path()
    assert kwargs["metadata"][samples.SOURCE_KEY] == str(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    written = path.stat().st_mtime_ns
    assert samples.synthetic_path().stat().st_mtime_ns == written


def test_the_scale_of_a_sample_is_said_to_be_the_samples(empty_app, spin, monkeypatch, tmp_path):
    monkeypatch.setenv(places.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(samples, "SYNTHETIC_SIDE_PX", 96)
    drawn = samples.synthetic_path()
    empty_app.controller.open.paths([drawn])
    spin(lambda: empty_app.controller.images.model.open_field)
    assert "stated by the sample" in empty_app.dock.header._scale.text()
    mine = tmp_path / "mine.png"
    mine.write_bytes(drawn.read_bytes())
    assert not samples.states_scale(mine)
