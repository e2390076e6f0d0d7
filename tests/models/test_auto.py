"""transformers' own Auto classes and pipeline read our folders after one import."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, pipeline

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models import auto
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.synthetic import synthesise

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FOLDER = auto.BUNDLED_DETECTOR


@pytest.fixture(scope="module")
def window() -> NDArray[np.uint8]:
    """Drawn tissue of the side that the bundled detector looks at, with nuclei in it."""
    return synthesise(np.random.default_rng(4), height_px=64, width_px=64, mpp=0.5).rgb


@pytest.fixture(scope="module")
def expected(window: NDArray[np.uint8]) -> tuple[NDArray[np.float64], list[str]]:
    """What our own decoder finds in it."""
    detector = NextPointDetector(FOLDER, dtype=torch.float32)
    events = detector.detect([window], cancelled=lambda: False)
    found = [event for event in events if isinstance(event, WindowPoints)]
    points_xy = np.concatenate([event.points_xy for event in found])
    assert len(points_xy) > 1
    return points_xy, [name for event in found for name in event.categories]


def test_the_pipeline_says_the_points_that_we_find(window, expected) -> None:
    pipe = pipeline("image-text-to-text", model=str(FOLDER), dtype=torch.float32)
    (said,) = pipe(
        text=auto.conversation(FOLDER, Image.fromarray(window)),
        max_new_tokens=200,
        return_full_text=False,
        skip_special_tokens=False,
    )
    reply = pipe.tokenizer(said["generated_text"], add_special_tokens=False)["input_ids"]
    points_xy, categories = auto.points_in(FOLDER, reply)
    np.testing.assert_array_equal(points_xy, expected[0])
    assert list(categories) == expected[1]


def test_the_auto_classes_say_the_points_that_we_find(window, expected) -> None:
    processor = AutoProcessor.from_pretrained(FOLDER)
    model = AutoModelForImageTextToText.from_pretrained(FOLDER, dtype=torch.float32)
    inputs = processor.apply_chat_template(
        auto.conversation(FOLDER, Image.fromarray(window)),
        continue_final_message=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    said = model.generate(**inputs, max_new_tokens=200)
    points_xy, _ = auto.points_in(FOLDER, said[0, inputs["input_ids"].shape[1] :].tolist())
    np.testing.assert_array_equal(points_xy, expected[0])


def test_a_processor_survives_saving_by_transformers_itself(tmp_path: Path) -> None:
    processor = AutoProcessor.from_pretrained(FOLDER)
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is type(processor)
    assert again.image_processor.to_dict() == processor.image_processor.to_dict()


def test_without_the_import_transformers_does_not_know_the_architecture() -> None:
    """So the import does what it says, and no other of ours is needed before it."""
    script = (
        "import sys\n"
        "from transformers import AutoConfig\n"
        "try:\n    AutoConfig.from_pretrained(sys.argv[1])\n"
        "except ValueError as error:\n    assert 'conv_qwen' in str(error), error\n"
        "else:\n    raise SystemExit('known already')\n"
        "import napari_nunext.models.auto\n"
        "assert AutoConfig.from_pretrained(sys.argv[1]).model_type == 'conv_qwen'\n"
        "assert AutoConfig.from_pretrained(sys.argv[2]).model_type == 'trunk_sam'\n"
    )
    folders = [str(FOLDER), str(FOLDER.with_name("nunext-sam-small"))]
    subprocess.run([sys.executable, "-c", script, *folders], check=True, timeout=300)


def test_a_window_that_would_be_resized_is_refused() -> None:
    with pytest.raises(InputError, match="RGB of 65 x 64 px; expected RGB of 64 x 64"):
        auto.conversation(FOLDER, Image.new("RGB", (65, 64)))
    with pytest.raises(InputError, match="RGBA"):
        auto.conversation(FOLDER, Image.new("RGBA", (64, 64)))


def test_a_folder_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        auto.conversation(tmp_path, Image.new("RGB", (64, 64)))
