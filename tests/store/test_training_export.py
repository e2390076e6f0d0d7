from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.errors import ImageError, InputError, RecordError, StoreError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import file_sha256, pixels_sha256
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images import ImageFinder
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.store import Project, events
from napari_nunext.store.exports import folders
from napari_nunext.store.exports.regions import complete_regions
from napari_nunext.store.exports.splits import pseudonym, split_of
from napari_nunext.store.exports.training import export_training
from napari_nunext.store.imports.export_folder import Imported, import_training
from tests.store.conftest import WHOLE, entry, predicted, run_info, ticking

CROP = Box(10, 20, 70, 60)
MASK = Mask.from_array(np.ones((3, 3), dtype=bool), 19, 29)


class Lab:
    """A project with real pixels."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.rgb: dict[str, np.ndarray] = {}

    def add_image(self, seed: int = 0, **more):
        rgb = np.random.default_rng(seed).integers(0, 256, (80, 100, 3), dtype=np.uint8)
        sha256 = pixels_sha256(rgb)
        self.rgb[sha256] = rgb
        return self.project.add_image(entry(sha256, **({"name": f"Jane Doe {seed}.svs"} | more)))

    def find(self, image):
        return tile_of_rgb(self.rgb[image.sha256], image.name)

    def predict(self, sha256, nuclei, *, status="complete", region=WHOLE, **info):
        run = self.project.start_run(sha256, run_info(region, **info))
        self.project.add_predictions(run, nuclei)
        self.project.finish_run(run, status)
        self.project.append([events.use_run(sha256, run, region)])
        return run

    def export(self, out, **more):
        return export_training(self.project, out, images=self.find, **more)


@pytest.fixture
def lab(path):
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        yield Lab(project)


@pytest.fixture
def reviewed(lab):
    """One image whose run was corrected in every way, inside `CROP` and outside."""
    sha = lab.add_image(patient="Doe, Jane").sha256
    kept = replace(predicted(20.5, 30.25, "Tumour", 0.9), mask=MASK)
    nudged, far, deleted, rejected, outside = (
        predicted(x, 40, "Tumour", 0.5) for x in (20, 30, 40, 50, 90)
    )
    lab.predict(sha, [kept, nudged, far, deleted, rejected, outside], prompt="Find nuclei.")
    added = events.add(sha, 60, 50, "Stroma")
    # 3 um are 6 px here: moved by 6 px is still found, by 6.5 px is not.
    lab.project.append(
        [
            events.move(sha, nudged.uid, 20, 46),
            events.move(sha, far.uid, 30, 46.5),
            events.delete(sha, deleted.uid),
            events.reject(sha, rejected.uid),
            added,
            events.complete_region(sha, CROP),
        ]
    )
    return lab, sha, {"kept": kept, "nudged": nudged, "far": far, "added": added}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_complete_region_becomes_an_image_and_its_corrected_nuclei(reviewed, tmp_path):
    lab, sha, who = reviewed
    manifest = lab.export(tmp_path / "export")
    (record,) = lines(tmp_path / "export" / "sft.jsonl")
    (image,) = record["images"]
    with Image.open(tmp_path / "export" / image) as png:
        assert (np.asarray(png) == lab.rgb[sha][20:60, 10:70]).all()
        assert png.info == {}
    assert [(n["uid"], n["x"], n["y"], n["category"]) for n in record["nuclei"]] == [
        (str(who["kept"].uid), 10.5, 10.25, "Tumour"),
        (str(who["nudged"].uid), 10, 26, "Tumour"),
        (str(who["far"].uid), 20, 26.5, "Tumour"),
        (str(who["added"].uid), 50, 30, "Stroma"),
    ]
    assert record["nuclei"][0]["mask"] == MASK.moved(-10, -20).to_json()
    assert record["messages"][0]["content"][1]["text"] == "Find nuclei."
    assert record["messages"][1]["content"][0]["text"] == "[10, 10], [10, 26], [20, 26], [50, 30]"
    source = record["source"]
    assert source["region"] == [10, 20, 70, 60]
    assert (source["mpp"], source["mpp_source"], source["split"]) == (0.5, "file", "train")
    assert source["annotators"] == ["jd"]
    assert source["model"]["id"] == "classical"
    assert manifest.counts["nuclei"] == 4
    assert [c["name"] for c in manifest.categories] == ["Tumour", "Stroma"]


def test_every_point_of_the_model_gets_its_verdict(reviewed, tmp_path):
    lab, _, _ = reviewed
    lab.export(tmp_path / "export")
    (record,) = lines(tmp_path / "export" / "rft.jsonl")
    points = record["rollout"]["points"]
    assert [(p["x"], p["y"], p["verdict"]) for p in points] == [
        (10.5, 10.25, "tp"),
        (10, 20, "tp"),
        (20, 20, "fp"),
        (30, 20, "fp"),
        (40, 20, "fp"),
    ]
    assert record["rollout"]["missed"] == 2  # the one moved far, and the one added
    assert record["prompt"][0]["content"][1]["text"] == "Find nuclei."
    (preference,) = lines(tmp_path / "export" / "preferences.jsonl")
    assert preference["chosen"][0]["content"][0]["text"].startswith("[10, 10], [10, 26]")
    assert preference["rejected"][0]["content"][0]["text"].startswith("[10, 10], [10, 20]")


def test_nothing_in_the_export_names_the_slide_or_the_patient(reviewed, tmp_path):
    lab, _, _ = reviewed
    lab.export(tmp_path / "export")
    for path in (tmp_path / "export").rglob("*"):
        assert "Jane" not in path.name
        if path.is_file():
            assert b"Jane" not in path.read_bytes()
            assert b"/slides" not in path.read_bytes()


def test_the_hashes_are_of_every_file_and_the_strict_reader_agrees(reviewed, tmp_path):
    lab, _, _ = reviewed
    manifest = lab.export(tmp_path / "export")
    export = read_export(tmp_path / "export")
    assert export.manifest == manifest
    assert export.problems == ()
    assert len(export.sft) == len(export.rft) == len(export.preferences) == 1
    on_disk = {
        p.relative_to(tmp_path / "export").as_posix(): file_sha256(p)
        for p in (tmp_path / "export").rglob("*")
        if p.is_file()
    }
    del on_disk["manifest.json"]
    assert manifest.files == on_disk


def test_an_untouched_reply_is_no_preference(lab, tmp_path):
    sha = lab.add_image().sha256
    lab.predict(sha, [predicted(20, 30), predicted(30, 30)])
    lab.project.append([events.complete_region(sha, CROP)])
    lab.export(tmp_path / "export")
    assert lines(tmp_path / "export" / "preferences.jsonl") == []
    (record,) = lines(tmp_path / "export" / "rft.jsonl")
    assert [p["verdict"] for p in record["rollout"]["points"]] == ["tp", "tp"]
    assert record["rollout"]["missed"] == 0
    assert record["prompt"][0]["content"][1]["text"] == NUCLEUS_INSTRUCTION


@pytest.mark.parametrize(
    "more", [{"status": "cancelled"}, {"region": Box(0, 0, 40, 80)}], ids=["cancelled", "part"]
)
def test_a_run_that_did_not_see_all_of_the_region_is_not_judged(lab, tmp_path, more):
    sha = lab.add_image().sha256
    lab.predict(sha, [predicted(20, 30)], **more)
    lab.project.append([events.complete_region(sha, CROP)])
    lab.export(tmp_path / "export")
    (record,) = lines(tmp_path / "export" / "rft.jsonl")
    assert "rollout" not in record
    assert record["source"]["model"] == {}
    assert lines(tmp_path / "export" / "preferences.jsonl") == []


def test_a_second_run_is_judged_by_what_the_first_one_taught(lab, tmp_path):
    sha = lab.add_image().sha256
    good, bad = predicted(20, 30), predicted(40, 30)
    lab.predict(sha, [good, bad])
    lab.project.append([events.accept(sha, good.uid), events.delete(sha, bad.uid)])
    lab.predict(sha, [predicted(21, 30), predicted(41, 30), predicted(60, 50)], id="second")
    lab.project.append([events.complete_region(sha, CROP)])
    lab.export(tmp_path / "export")
    (record,) = lines(tmp_path / "export" / "rft.jsonl")
    assert [p["verdict"] for p in record["rollout"]["points"]] == ["tp", "fp", "tp"]
    assert record["rollout"]["missed"] == 0
    assert record["source"]["model"]["id"] == "second"


def test_a_region_is_cut_to_the_pixels_wholly_inside_it(lab, tmp_path):
    sha = lab.add_image().sha256
    lab.project.append(
        [
            events.add(sha, 10.4, 10.4, "A"),
            events.add(sha, 11.5, 10.9, "A"),
            events.add(sha, 19.5, 15, "A"),
            events.complete_region(sha, Box(10.2, 9.5, 20.7, 900)),
            events.complete_region(sha, Box(50.2, 50.2, 50.8, 60)),
        ]
    )
    lab.export(tmp_path / "export")
    (record,) = read_export(tmp_path / "export").sft
    assert record.source.region == Box(11, 10, 20, 80)
    assert record.points_xy.tolist() == [[0.5, 10.9 - 10], [8.5, 5]]


def test_a_whole_large_slide_is_no_training_picture_and_its_regions_are(lab):
    slide = lab.project.add_image(entry("ab" * 32, width_px=100_000, height_px=100_000)).sha256
    lab.project.append(
        [
            events.complete_region(slide, Box(0, 0, 100_000, 100_000)),
            events.complete_region(slide, CROP),
        ]
    )
    assert [region.crop for region in complete_regions(lab.project)] == [CROP]


def test_only_the_chosen_annotators_corrections_count(lab, path, tmp_path):
    sha = lab.add_image().sha256
    lab.project.append([events.add(sha, 20, 30, "A"), events.complete_region(sha, CROP)])
    lab.project.close()
    with Project.open(path, annotator="xy") as other:
        other.append([events.add(sha, 40, 30, "A"), events.complete_region(sha, CROP)])
        for who, places in [
            (None, [[10, 10], [30, 10]]),
            (["jd"], [[10, 10]]),
            (["xy"], [[30, 10]]),
        ]:
            export_training(other, tmp_path / "export", images=lab.find, annotators=who)
            (record,) = read_export(tmp_path / "export").sft
            assert record.points_xy.tolist() == places
        with pytest.raises(RecordError, match="No region is complete"):
            export_training(other, tmp_path / "none", images=lab.find, annotators=["zz"])


# Splits


def test_patients_are_split_and_never_torn_apart(lab, tmp_path):
    for seed in range(12):
        sha = lab.add_image(seed, patient=f"P{seed // 2}").sha256
        lab.project.append([events.complete_region(sha, CROP)])
    lab.export(tmp_path / "export", val_fraction=0.4)
    splits: dict[str, set[str]] = {}
    for record in read_export(tmp_path / "export").sft:
        splits.setdefault(record.source.patient, set()).add(record.source.split)
    assert len(splits) == 6
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "val"}


def test_a_split_depends_on_the_patient_and_the_seed_alone():
    names = [f"p{i}" for i in range(200)]
    split = split_of(names, seed=0, val_fraction=0.25)
    assert split == split_of(reversed(names), seed=0, val_fraction=0.25)
    more = split_of([*names, "new"], seed=0, val_fraction=0.25)
    assert {n: more[n] for n in names} == split
    assert split != split_of(names, seed=1, val_fraction=0.25)
    assert 30 <= sum(s == "val" for s in split.values()) <= 70


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_with_two_patients_neither_side_is_empty_and_one_patient_is_for_training(fraction):
    for seed in range(20):
        split = split_of(["a", "b"], seed=seed, val_fraction=fraction)
        assert sorted(split.values()) == ["train", "val"]
        assert split_of(["a"], seed=seed, val_fraction=fraction) == {"a": "train"}
    assert set(split_of(["a", "b"], seed=0, val_fraction=0).values()) == {"train"}


def test_a_pseudonym_tells_nothing_and_stays_through_an_import():
    project, other = UUID(int=1), UUID(int=2)
    name = pseudonym(project, entry(patient="MRN 12345"))
    assert name == pseudonym(project, entry("cd" * 32, patient="MRN 12345"))
    assert name != pseudonym(other, entry(patient="MRN 12345"))
    assert "12345" not in name
    assert pseudonym(other, entry(patient=name)) == name
    assert pseudonym(project, entry()) != pseudonym(project, entry("cd" * 32))


# The folder


def test_nothing_complete_is_said_in_a_sentence(lab, tmp_path):
    lab.add_image()
    with pytest.raises(RecordError, match="No region is complete"):
        lab.export(tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_an_earlier_export_is_replaced_and_anything_else_left_alone(reviewed, tmp_path):
    lab, sha, _ = reviewed
    out = tmp_path / "deep" / "export"
    lab.export(out)
    lab.project.append([events.add(sha, 15, 25, "Tumour")])
    lab.export(out)
    assert len(read_export(out).sft[0].nuclei) == 5
    assert [p.name for p in out.parent.iterdir()] == ["export"]
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for target in (precious, tmp_path / "file"):
        with pytest.raises(InputError):
            lab.export(target)
    assert [p.name for p in precious.iterdir()] == ["chapter.txt"]


def test_an_export_that_fails_leaves_the_earlier_one(reviewed, tmp_path, monkeypatch):
    lab, _, _ = reviewed
    out = tmp_path / "export"
    before = lab.export(out)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="disk is full"):
        lab.export(out, progress=full_disk)
    rename = folders.Path.rename

    def fail_at_the_last_step(path, target):
        if target == out and failures.pop():
            full_disk()
        return rename(path, target)

    failures = [False, True]  # the new folder cannot take its place; the old one can come back
    monkeypatch.setattr(folders.Path, "rename", fail_at_the_last_step)
    with pytest.raises(StoreError, match="disk is full"):
        lab.export(out)
    assert read_export(out).manifest == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["export"]


def gone(_):
    raise FileNotFoundError(2, "No such file or directory")


def test_an_image_that_is_not_the_reviewed_one_is_refused(reviewed, tmp_path):
    lab, sha, _ = reviewed
    right = lab.rgb[sha]
    for wrong in (right[:50], right[::-1], right.astype(float)):
        lab.rgb[sha] = wrong
        with pytest.raises(ImageError):
            lab.export(tmp_path / "export")
        assert not (tmp_path / "export").exists()
    lab.rgb[sha] = right[::-1]
    with pytest.raises(ImageError, match=r"Jane Doe 0\.svs is not the image that was reviewed"):
        lab.export(tmp_path / "export")
    with pytest.raises(RecordError, match=r"Jane Doe 0\.svs cannot be read"):
        export_training(lab.project, tmp_path / "export", images=gone)
    with pytest.raises(InputError, match="held-out share"):
        lab.export(tmp_path / "export", val_fraction=1.0)


def test_progress_counts_the_regions(reviewed, tmp_path):
    lab, sha, _ = reviewed
    lab.project.append([events.complete_region(sha, Box(80, 0, 90, 10))])
    told = []
    lab.export(tmp_path / "export", progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


# Round trip


def test_exporting_an_import_gives_the_same_nuclei_again(reviewed, tmp_path):
    lab, _, _ = reviewed
    for seed in (1, 2, 3):
        sha = lab.add_image(seed, patient=f"P{seed}").sha256
        places = np.random.default_rng(seed).uniform(0, 80, (20, 2))
        lab.project.append(
            [*(events.add(sha, x, y, "A") for x, y in places), events.complete_region(sha, CROP)]
        )
    lab.project.set_categories((Category("Stroma", (1, 2, 3)),))
    lab.export(tmp_path / "first", val_fraction=0.5)
    with Project.open(tmp_path / "second.nunext", annotator="xy") as second:
        first = read_export(tmp_path / "first")
        nuclei = sum(len(r.nuclei) for r in first.sft)
        assert import_training(second, tmp_path / "first") == Imported(4, nuclei, 0)
        assert import_training(second, tmp_path / "first") == Imported(0, 0, 4)

        export_training(second, tmp_path / "again", images=ImageFinder().find, val_fraction=0.5)
        assert second.state(second.images()[0].sha256).undo_steps("xy") == 1
    again = read_export(tmp_path / "again")
    assert again.manifest.categories == first.manifest.categories
    for one, two in zip(first.sft, again.sft, strict=True):
        assert two.nuclei == one.nuclei
        assert (two.source.patient, two.source.split) == (one.source.patient, one.source.split)
        assert two.source.mpp == one.source.mpp
        assert (tmp_path / "first" / one.images[0]).read_bytes() == (
            tmp_path / "again" / two.images[0]
        ).read_bytes()
    for one, two in zip(first.rft, again.rft, strict=True):
        assert two.solution == one.solution


def seal(out, **changes):
    """Make the manifest agree with files that were changed, so that only their content is wrong."""
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"] = {name: file_sha256(out / name) for name in manifest["files"]}
    (out / "manifest.json").write_text(json.dumps(manifest | changes))


def change_uids(out):
    records = (out / "sft.jsonl").read_text()
    (out / "sft.jsonl").write_text(records.replace('"uid": "', '"uid": "x'))
    seal(out)


def change_colours(out):
    names = ("Tumour", "Stroma")
    seal(out, categories=[{"name": name, "color": "red and blue"} for name in names])


@pytest.mark.parametrize(
    ("change", "says"),
    [(change_uids, "expected a UUID"), (change_colours, "not a name and a colour")],
)
def test_an_export_that_cannot_be_taken_back_is_refused(reviewed, tmp_path, change, says):
    lab, _, _ = reviewed
    lab.export(tmp_path / "export")
    change(tmp_path / "export")
    with (
        Project.open(tmp_path / "second.nunext", annotator="xy") as second,
        pytest.raises(RecordError, match=says),
    ):
        import_training(second, tmp_path / "export")


def test_a_broken_image_is_named_when_it_is_taken_back(reviewed, tmp_path):
    lab, _, _ = reviewed
    out = tmp_path / "export"
    lab.export(out)
    (image,) = (out / "images").iterdir()
    image.write_bytes(image.read_bytes()[:60])
    seal(out)
    with (
        Project.open(tmp_path / "second.nunext", annotator="xy") as second,
        pytest.raises(RecordError, match=f"{image.name} cannot be read"),
    ):
        import_training(second, out)
