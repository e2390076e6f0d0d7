"""Small sets of questions, each written in the layout that its publishers document."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

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


QUESTION_SETS = {"pathvqa": path_vqa, "pathmmu": pathmmu}
"""How to write each, by the name of its importer."""
