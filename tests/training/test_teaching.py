"""From answers that were judged in the window to an answerer that answers, and to its figures."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from napari_nunext.core.answers.answerer import parse_answerer
from napari_nunext.core.answers.prompts import Question
from napari_nunext.images.formats import open_image
from napari_nunext.review.shown.ask import Way
from napari_nunext.serving.ask_protocol import Answered, AskRequest
from napari_nunext.serving.client.answerers import answerers_of
from nunext_training.cli import main
from tests.review.fakes import FakeServer, answerer_info, review_on
from tests.serving.conftest import catalog, start  # noqa: F401  fixtures
from tests.training.conftest import draw_tile
from tests.training.test_improving import TrainerInThisProcess

torch.set_num_threads(1)

PATIENTS = ("TCGA-A1-A0SK", "TCGA-A7-A0DA")
QUESTIONS = [Question("question", f"Is there {what}?", ("yes", "no")) for what in "abcde"]
SHORT = ["--max-tokens", "3"]

ADDITIONS = """
[lora]
rank = 4
alpha = 8.0

[optimiser]
steps = 2
batch_size = 2
warmup_steps = 0

[ask]
budget = 4
"""


class ShortTrainer(TrainerInThisProcess):
    """The very commands, in few steps and words."""

    def _run(self, arguments, hear):
        fewer = SHORT if "evaluate" in arguments else ["--steps", "2"]
        return super()._run([*arguments, *fewer], hear)


@pytest.fixture
def server(answerer_folder):
    """Says what the answerer of a folder says, without loading it."""
    server = FakeServer()
    server.answerers = (f"vlm={answerer_folder},may_train",)
    server.fake.answering = [answerer_info(may_train=True)]
    return server


@pytest.fixture
def judged(tmp_path, server):
    """Ten answers about two patients, accepted and corrected in the window."""
    review = review_on(tmp_path, server, make_trainer=ShortTrainer)
    review.find.connect()
    review.ask.answerers.look()
    for i, patient in enumerate(PATIENTS):
        path = tmp_path / f"{patient}.png"
        Image.fromarray(draw_tile([(20.0, 20.0 + 9 * i)])).save(path)
        review.open.paths([path])
        for j, question in enumerate(QUESTIONS):
            review.ask.ask(question, Way("vlm"))
            if j:
                review.ask.judge.rate(5)
            else:
                review.ask.judge.correct_text("no")
    yield review
    review.close()


def test_an_export_of_the_window_makes_additions_that_are_served_and_answer(
    judged,
    answerer_folder,
    tmp_path,
    start,  # noqa: F811
):
    judged.export.training(tmp_path / "export")
    (tmp_path / "mine.toml").write_text(ADDITIONS)
    told = ["--data", str(tmp_path / "export"), "--checkpoint", str(answerer_folder)]
    told += ["--out", str(tmp_path / "new"), "--recipe", str(tmp_path / "mine.toml")]
    assert main(["ask", "sft", *told, "--progress", "jsonl", "--threads", "1"]) == 0
    text = f"mine={answerer_folder},adapter={tmp_path / 'new'},may_train"
    client = start(answerers=answerers_of([text])).client
    (info,) = client.answerers()
    assert (info.id, info.model, info.may_train) == ("mine", "vlm+new", True)
    request = AskRequest(
        image=client.put_image(open_image(tmp_path / f"{PATIENTS[0]}.png")),
        mpp=0.5,
        answerer="mine",
        question="Is there a?",
        budget=4,
        max_tokens=3,
    )
    events = list(client.ask(request))
    (answered,) = (event for event in events if isinstance(event, Answered))
    assert answered.output_tokens == 3
    assert events[-1].finish == "complete"


def test_the_window_teaches_with_the_real_trainer_and_shows_its_figures(
    judged, server, answerer_folder, tmp_path
):
    judged.teach.refresh()
    judged.ask.set_budget(4)
    judged.teach.teach()
    status = judged.teach.model.status
    assert (status.phase, status.words) == ("done", "It is ready")
    assert (status.step, status.steps) == (2, 2)
    out = tmp_path / "answerers" / "vlm-2"
    about = json.loads((out / "training.json").read_text("utf-8"))
    assert about["name"] == "vlm-2"
    assert about["provenance"]["kept"] == "last"
    judged.export.training(tmp_path / "export")
    for place, shown in ((answerer_folder, "before"), (out, "after")):
        told = ["--checkpoint", str(place), "--split", "val", "--budget", "4", *SHORT]
        told += ["--data", str(tmp_path / "export"), "--out", str(tmp_path / "f.json")]
        assert main(["ask", "evaluate", *told]) == 0
        figures = json.loads((tmp_path / "f.json").read_text("utf-8"))["figures"]
        of_window = getattr(status.comparison, shown)
        assert set(of_window) == {"closed_accuracy", "map", "agrees_with_readers"}
        assert {n: each.to_json() for n, each in of_window.items()} == {
            name: figures[name] for name in of_window
        }
    judged.teach.use()
    judged.model.notice.action()  # too few to tell
    place = parse_answerer(server.answerers[-1])
    assert (place.name, place.folder, place.adapter, place.may_train) == ("vlm-2", out, None, True)
