"""Small sets of questions, each written in the layout that its publishers document."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

from napari_nunext.core.formats.export_folder import read_export
from nunext_training.cli import main
from tests.training.published import save_image

_PIXELS = np.random.default_rng(7)


def pixels(height=36, width=44):
    return _PIXELS.integers(0, 255, (height, width, 3), dtype=np.uint8)


def png(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def path_vqa(folder, *, columns=("image", "question", "answer")):
    """Two questions about one picture, and one about another of each of the other parts."""
    import pyarrow as pa
    from pyarrow import parquet

    asked = {
        "train": [("is there necrosis?", "yes"), ("what is present?", "a pleomorphic adenoma")],
        "validation": [("how many glands are there?", "3")],
        "test": [("does this image show fat?", "no")],
    }
    (folder / "data").mkdir(parents=True)
    for part, questions in asked.items():
        picture = {"bytes": png(pixels()), "path": None}
        rows = [(picture, question, answer) for question, answer in questions]
        table = pa.table(
            {name: list(of) for name, of in zip(columns, zip(*rows, strict=True), strict=True)}
        )
        parquet.write_table(table, folder / "data" / f"{part}-00000-of-00001-0a1b.parquet")
    return folder


def multiple_choice(number, img, answer="B) Necrosis", **more):
    options = ["A) Mitosis", "B) Necrosis", "C) A normal gland"]
    asked = {"No": number, "img": img, "question": "What is shown?", "options": options}
    return asked | {"answer": answer, "explanation": "Because it is."} | more


def pathmmu(folder):
    listed = {
        "PubMed": {
            "test": [
                multiple_choice(1, "a.jpg"),
                multiple_choice(2, "a.jpg", question="What is wrong", answer="C) A normal gland"),
            ],
            "val": [multiple_choice(3, "b.jpg", answer="A")],
            "test_tiny": [multiple_choice(4, "c.png")],
        },
        "SocialPath": {"test": [multiple_choice(1, "gone.jpg", tw_id="104")], "val": []},
    }
    for name in ("a.jpg", "b.jpg", "c.png"):
        save_image(folder / "images" / name, pixels())
    (folder / "data.json").write_text(json.dumps(listed))
    return folder


def classified(folder, patches):
    """Pictures of one colour each: classes are told by folders."""
    for path in patches:
        save_image(folder / path, pixels())
    return folder


UNITOPATHO_ROWS = {
    "train.csv": [
        ("1-A2-TVALG.ndpi_ROI__mpp0.44_reg000_crop_sk00003_(12,33,44,36).png", "TVA.LG"),
        ("1-A2-TVALG.ndpi_ROI__mpp0.44_reg000_crop_sk00004_(99,33,44,36).png", "TVA.LG"),
        ("2-B3-NORM.ndpi_ROI__mpp0.44_reg001_crop_sk00001_(1,3,44,36).png", "NORM"),
    ],
    "test.csv": [("7-HP.ndpi_ROI__mpp0.44_reg000_crop_sk00000_(5,6,44,36).png", "HP")],
}


def unitopatho(folder):
    for name, rows in UNITOPATHO_ROWS.items():
        classified(folder / "800", [f"{label}/{image}" for image, label in rows])
        lines = [f'"{image}",1,{label}' for image, label in rows]
        text = "\n".join(["image_id,top_label,top_label_name", *lines])
        (folder / "800" / name).write_text(text + "\n")
    return folder


def esca(folder):
    classified(
        folder,
        [
            "VALSET4_CHA_FULL/TUMOR/tumor.0.jpg",
            "VALSET4_CHA_FULL/SUB_GL/sub_gl.0.jpg",
            "VALSET2_WNS/SUBMUC/submuc.0.jpg",
            "VALSET3_TCGA/TUMOR/TCGA-L5-A4OE-01Z_1.jpg",
            "VALSET3_TCGA/TUMOR/TCGA-L5-A4OE-01Z_2.jpg",
        ],
    )
    (folder / "VALSET2_WNS" / "SUBMUC" / "._submuc.0.jpg").write_bytes(b"of another system")
    return folder


def labelled(shape, **boxes):
    """Labels with a filled box for each number: ``_3=(x0, y0, x1, y1)``."""
    image = np.zeros(shape, dtype=np.uint8)
    for number, (x0, y0, x1, y1) in boxes.items():
        image[y0:y1, x0:x1] = int(number.removeprefix("_"))
    return image


def crag(folder):
    """An image of two tiles, which overlap from 76 to 1024 px, and a small one without glands."""
    for part, name, labels in (
        ("train", "train_1", labelled((100, 1100), _5=(80, 10, 120, 60), _2=(1000, 30, 1090, 90))),
        ("valid", "test_1", labelled((60, 70), _1=(0, 0, 5, 60))),
    ):
        save_image(folder / "CRAG" / part / "Images" / f"{name}.png", pixels(*labels.shape))
        save_image(folder / "CRAG" / part / "Annotation" / f"{name}.png", labels)
    return folder


def digestpath(folder):
    """Two slides of one case with lesions (one of two pieces), and a slide without."""
    for slide, boxes in (
        ("18-00530A_2019-05-07 23_56_22", {"_255": (16, 8, 40, 48)}),
        ("18-00530B_2019-05-08 01_10_00", {"_255": (0, 0, 24, 16)}),
    ):
        name, mask = f"{slide}-lv1-215-186-80-64", labelled((64, 80), **boxes)
        if slide.endswith("01_10_00"):
            mask[32:64, 56:80] = 255
        save_image(folder / "tissue-train-pos-v1" / f"{name}.jpg", pixels(64, 80))
        save_image(folder / "tissue-train-pos-v1" / f"{name}_mask.jpg", mask)
    save_image(
        folder / "tissue-train-neg" / "2019-06-11 10.38.46-lv1-3-5-80-64.jpg", pixels(64, 80)
    )
    return folder


def glomeruli(folder):
    """Two tiles with boxes, one of them of two, and one without."""
    listed = {"10": [[0.0, 12.5, 20.0, 40.0]], "11": [[30, 40, 50, 60], [5, 4, 9, 8]], "12": []}
    for name in listed:
        save_image(folder / "images" / f"{name}.jpg", pixels(64, 80))
    (folder / "boxes.json").write_text(json.dumps(listed))
    return folder


QUESTION_SETS = {
    "pathvqa": path_vqa,
    "pathmmu": pathmmu,
    "unitopatho": unitopatho,
    "esca": esca,
    "crag": crag,
    "digestpath": digestpath,
    "glomeruli": glomeruli,
}
"""How to write each, by the name of its importer."""


def imported(name, folder, out, *options):
    assert main(["import", name, str(folder), "--out", str(out), *options]) == 0
    return read_export(out, strict=True)


def one_line(capsys):
    said = capsys.readouterr().err.strip().splitlines()
    assert "Traceback" not in "".join(said)
    return said[-1]
