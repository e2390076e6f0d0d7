"""``nunext-train release --to-hub``: what is sent, what never is, and what comes back.

Weights go the way of LFS, which every Hub has; the stand-in does not speak Xet.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard, constants
from PIL import Image

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.description import describe
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.sam.build import build_sam
from napari_nunext.models.sam.segmenter import SamSegmenter
from napari_nunext.models.sam.trunk_sam import TrunkSamModel
from napari_nunext.places import BUNDLED_WEIGHTS
from nunext_training.cli import main
from nunext_training.release.front_matter import eval_results
from nunext_training.release.hub import CODE_FILE, pack
from tests.training.standing_in import TOKEN, standing_in

FOLDERS = [BUNDLED_WEIGHTS / name for name in ("nunext-small", "nunext-sam-small")]
REPO = "me/model"

# huggingface_hub hands an open file to httpx by a name that httpx would have otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch):
    """A stand-in that this process takes for the Hub, and a login."""
    with standing_in() as there:
        monkeypatch.setattr(constants, "ENDPOINT", there.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield there


@pytest.fixture
def released(tmp_path):
    """A copy of the bundled detector that a test may spoil."""
    return shutil.copytree(FOLDERS[0], tmp_path / "mine")


def test_a_release_goes_to_the_address_of_the_environment_and_loads_from_there(tmp_path):
    with standing_in() as hub:
        known = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        del known["HF_HUB_OFFLINE"]  # as people have it
        command = [sys.executable, "-m", "nunext_training.cli", "release"]
        command += ["--out", str(FOLDERS[0]), "--to-hub", REPO]
        done = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = hub.files()
    assert f"Sending to {hub.url}/me/model (private, if it is new): 14 files" in done.stderr
    assert done.stdout == f"{hub.url}/me/model/commit/0\n"
    assert TOKEN not in done.stdout + done.stderr
    assert [(m["name"], m["visibility"]) for m in hub.made] == [("model", "private")]
    assert hub.tokens == {f"Bearer {TOKEN}"}
    weights = FOLDERS[0] / "model.safetensors"
    assert files["model.safetensors"] == weights.read_bytes()
    held = {p.relative_to(FOLDERS[0]).as_posix() for p in FOLDERS[0].rglob("*") if p.is_file()}
    assert set(files) == held | {CODE_FILE}
    assert "second_look/layer.safetensors" in files

    # With the package, and with a reader's own yes, it loads without an import before.
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    script = (
        "import sys\n"
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        "kinds = AutoModelForImageTextToText, AutoProcessor\n"
        "for kind in kinds:\n"
        "    try:\n        kind.from_pretrained(sys.argv[1], trust_remote_code=False)\n"
        "    except (ValueError, OSError):\n        continue\n"
        "    raise SystemExit(f'{kind} ran code that nobody trusted')\n"
        "for kind in kinds:\n"
        "    read = kind.from_pretrained(sys.argv[1], trust_remote_code=True)\n"
        "    assert type(read).__module__.startswith('napari_nunext.'), type(read)\n"
    )
    known = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules")}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=known, check=True)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_was_published_is_served_here_without_its_code(tmp_path, folder):
    for name, content in pack(folder).files.items():
        whole = content if isinstance(content, bytes) else content.read_bytes()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(whole)
    (tmp_path / CODE_FILE).write_text("raise SystemExit('this ran')\n", encoding="utf-8")
    serves = NextPointDetector if folder == FOLDERS[0] else SamSegmenter
    assert serves(tmp_path).info.window_px == describe(folder).window_px


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_bundled_card_says_in_front_what_the_description_says(folder):
    card = ModelCard.load(folder / "README.md")
    description = describe(folder)
    assert card.data.eval_results == eval_results(description)
    assert len(card.data.eval_results) >= 2 * len(description.metrics)
    assert card.data.license
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag in {"image-text-to-text", "mask-generation"}
    learned = [d["importer"] for d in description.provenance["data"]]
    assert card.data.datasets == list(dict.fromkeys(learned))


def test_a_segmenter_is_sent_to_everybody_where_that_is_said_and_loads_with_trust(hub, tmp_path):
    assert main(["release", "--out", str(FOLDERS[1]), "--to-hub", REPO, "--public"]) == 0
    assert hub.made[0]["visibility"] == "public"
    files = hub.files()
    as_they_are = {path.name: path.read_bytes() for path in FOLDERS[1].iterdir()}
    assert files.keys() == as_they_are.keys() | {CODE_FILE}
    assert {name for name in as_they_are if files[name] != as_they_are[name]} == {"config.json"}
    assert json.loads(files["config.json"]).pop("auto_map").keys() == {
        "AutoConfig",
        "AutoModelForMaskGeneration",
    }
    scope: dict[str, object] = {}
    exec(files[CODE_FILE], scope)
    assert scope["TrunkSamModel"] is TrunkSamModel
    build_sam(tmp_path / "sam", window_px=64)
    plain = tmp_path / "sam"
    (plain / "README.md").write_text("---\nlicense: mit\n---\n", encoding="utf-8")
    assert CODE_FILE not in pack(plain).files


@pytest.mark.parametrize(
    "stranger", ["slide.png", "sft.jsonl", "review.nunext", "covt/notes.json", "evil.py", "x.bin"]
)
def test_a_folder_with_what_may_be_of_patients_is_not_sent(hub, released, capsys, stranger):
    (released / stranger).parent.mkdir(exist_ok=True)
    (released / stranger).write_bytes(b"x")
    assert main(["release", "--out", str(released), "--to-hub", REPO]) == 2
    assert (
        f"(first: {stranger}): it may be of patients. Nothing was sent" in capsys.readouterr().err
    )
    assert hub.made == []


@pytest.mark.parametrize("words", ["Trained on Dr. Ames's cases.", "As in S-23/10443.", "a@b.org"])
def test_words_that_seem_to_name_somebody_are_not_sent(released, words):
    card = released / "README.md"
    card.write_text(f"{card.read_text(encoding='utf-8')}\n{words}\n", encoding="utf-8")
    with pytest.raises(InputError, match="1 text holds what looks like"):
        pack(released)


def test_a_folder_without_a_licence_is_not_sent(released):
    card = released / "README.md"
    text = card.read_text(encoding="utf-8").replace("license: bsd-3-clause\n", "")
    card.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="says its licence"):
        pack(released)
    card.unlink()
    with pytest.raises(InputError, match="says its licence"):
        pack(released)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "hf auth login"), (403, "let you write"), (500, "did not take it")]
)
def test_a_hub_that_refuses_is_one_sentence(hub, released, capsys, status, words, monkeypatch):
    hub.refuses = status
    monkeypatch.setattr("time.sleep", lambda _s: None)  # between the Hub's own attempts
    assert main(["release", "--out", str(released), "--to-hub", REPO]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert hub.commits == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to-hub", "a/b/c"], "no name of a repository"),
        (["--public"], "Add --to-hub"),
        ([], "--checkpoint DIR and --data"),
        (["--to-hub", REPO, "--data", "x"], "--checkpoint DIR and --data"),
        (["--to-hub", REPO, "--data", "x", "--checkpoint", "y"], "Add --card"),
    ],
)
def test_what_does_not_go_together_is_said(released, capsys, options, words):
    assert main(["release", "--out", str(released), *options]) == 2
    assert words in capsys.readouterr().err


def test_offline_is_said(released, capsys):
    assert main(["release", "--out", str(released), "--to-hub", REPO]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err


def test_pictures_are_strangers_by_whatever_name(released):
    Image.new("RGB", (8, 8)).save(released / "figure.jpeg")
    with pytest.raises(InputError, match=r"figure\.jpeg"):
        pack(released)
