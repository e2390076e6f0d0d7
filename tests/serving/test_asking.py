"""Questions at a server: the stream, what an answer is kept with, and everything a job has."""

from __future__ import annotations

import json
import threading

import httpx
import numpy as np
import pytest

from napari_nunext.core.answers.answerer import LONGEST_ANSWER, USUAL_ANSWER, AnswererAddress
from napari_nunext.core.answers.points import MOST_NUCLEI
from napari_nunext.core.answers.prompts import SYSTEM
from napari_nunext.core.errors import InputError, RequestRejectedError
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.ask_protocol import Answered, AskDone, AskRequest, AskStarted, AskText
from napari_nunext.serving.client.answerers import answerers_of
from napari_nunext.serving.protocol import DetectRequest, Done, Failed
from napari_nunext.serving.settings import ServerSettings
from tests.answering import EXACT, MODEL, chat_server, deltas
from tests.waiting import PATIENCE_S, wait_for

KEY = "a-key-that-nobody-may-see"


@pytest.fixture
def fake():
    with chat_server() as fake:
        yield fake


@pytest.fixture
def serve(start, fake):
    """A server with the fake as its answerer."""

    def serve(**fields):
        limits = fields.pop("settings", {})
        return start(
            answerers=(AnswererAddress("vlm", fake.url, MODEL, key=KEY, **fields),), **limits
        )

    return serve


@pytest.fixture
def image(rgb):
    return tile_of_rgb(rgb, "tile")  # 128 x 96 px


class Question:
    """A question under way in a thread."""

    def __init__(self, client, request):
        self.heard = []
        self.thread = threading.Thread(target=lambda: self.heard.extend(client.ask(request)))
        self.thread.start()

    def events(self):
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        return self.heard


def asked(server, image, **fields):
    return AskRequest(
        **{"image": server.client.put_image(image), "mpp": 0.5, "answerer": "vlm"}
        | {"question": "Which nuclei dominate?"}
        | fields
    )


def test_an_answer_streams_and_is_read_by_the_grammar(serve, fake, image):
    server = serve()
    request = asked(server, image, options=["tumour", "lymphocyte"])
    started, *pieces, answered, done = server.client.ask(request)
    assert isinstance(started, AskStarted)
    assert started.prompt == "Which nuclei dominate? (A) tumour, (B) lymphocyte"
    assert started.system == SYSTEM
    assert all(isinstance(piece, AskText) for piece in pieces)
    assert "".join(piece.text for piece in pieces) == EXACT
    assert isinstance(answered, Answered)
    assert (answered.raw, answered.think) == (EXACT, "many small dark nuclei")
    assert (answered.answer, answered.choice, answered.failure) == ("lymphocyte", 1, None)
    assert (answered.prompt_tokens, answered.output_tokens, answered.notes) == (300, 12, [])
    assert done == AskDone(answers=1, finish="complete")


def test_the_picture_that_is_sent_is_the_one_that_is_counted(serve, fake, image):
    server = serve()
    started, *_ = server.client.ask(asked(server, image, region=[8, 16, 120, 500], budget=6))
    assert started.region == (8, 16, 120, 96)
    width_px, height_px = started.sent_px
    assert fake.picture().shape == (height_px, width_px, 3)
    assert started.image_tokens == width_px * height_px // 28**2 <= 6
    assert started.region_tokens == 4 * 3


@pytest.mark.parametrize(
    ("fields", "budget", "least", "most"),
    [({"budget": 6}, None, 2, 6), ({"budget": 6}, 12, 7, 12), ({}, None, 12, 12)],
)
def test_where_nobody_says_a_budget_it_is_the_one_that_was_taught(
    serve, image, fields, budget, least, most
):
    server = serve(**fields)
    asking = {} if budget is None else {"budget": budget}
    started, *_ = server.client.ask(asked(server, image, region=[8, 16, 120, 500], **asking))
    assert started.answerer.budget == fields.get("budget")
    assert least <= started.image_tokens <= most


@pytest.mark.parametrize(
    ("option", "asked_for", "most"),
    [(None, None, USUAL_ANSWER), (4096, None, 4096), (4096, 64, 64), (None, LONGEST_ANSWER, 8192)],
)
def test_how_long_an_answer_may_be_says_who_asks_else_who_added_the_answerer(
    serve, fake, image, option, asked_for, most
):
    server = serve(max_tokens=option)
    started, *_ = server.client.ask(asked(server, image, max_tokens=asked_for))
    assert started.max_tokens == most
    assert fake.asked[-1]["max_tokens"] == most


@pytest.mark.parametrize(("most", "words"), [(1024, "max_tokens=4096"), (8192, "Ask for less")])
def test_an_answer_that_was_cut_off_says_after_what_and_how_to_have_more(
    serve, fake, image, most, words
):
    fake.finish = "length"
    server = serve()
    *_, answered, _ = server.client.ask(asked(server, image, max_tokens=most))
    (note,) = answered.notes
    assert f"cut off after {most} tokens" in note
    assert words in note


def test_boxes_come_back_in_level_0_pixels(serve, fake, image):
    fake.deltas = deltas("<think>x</think><answer>[[500, 0, 1000, 1000], [9, 9, 9]]</answer>")
    server = serve(boxes="thousand")
    request = asked(
        server, image, task="lesions", question="tumour", organ="breast", region=[8, 16, 108, 96]
    )
    (answered,) = (each for each in server.client.ask(request) if isinstance(each, Answered))
    assert [box.box for box in answered.boxes] == [pytest.approx((58, 16, 108, 96))]


NUCLEI = [(12.0, 20.0, "Lymphocyte"), (57.9, 90.0, "Stromal; odd"), (127.0, 95.0, "beyond")]


def test_an_answerer_that_reads_nuclei_is_told_those_of_the_region(serve, fake, image):
    server = serve(reads_nuclei=True)
    assert server.client.answerers()[0].reads_nuclei
    request = asked(server, image, region=[8, 16, 120, 500], budget=12, nuclei=NUCLEI)
    started, *_, done = server.client.ask(request)
    assert started.sent_px == (112, 84)  # of 112 x 80 px
    told = "Nuclei (x y category): 4 4 Lymphocyte; 49 77 Stromal, odd;"
    assert started.prompt == f"{told}\nWhich nuclei dominate?"
    assert started.answerer.reads_nuclei
    assert fake.asked[0]["messages"][1]["content"][1]["text"] == started.prompt
    assert done.finish == "complete"


def test_without_nuclei_it_says_to_find_them_and_with_none_there_it_is_told_so(serve, fake, image):
    server = serve(reads_nuclei=True)
    with pytest.raises(RequestRejectedError, match="Find the nuclei there first") as refused:
        list(server.client.ask(asked(server, image)))
    assert refused.value.status == 422
    assert fake.asked == []
    started, *_ = server.client.ask(asked(server, image, nuclei=[]))
    assert started.prompt.startswith("Nuclei (x y category): none;")


def test_more_nuclei_than_a_prompt_can_name_are_refused_by_those_of_the_region(serve, fake, image):
    server = serve(reads_nuclei=True)
    nuclei = [(i / 10, 5.0, "a") for i in range(MOST_NUCLEI + 1)]
    with pytest.raises(RequestRejectedError, match="Ask about a smaller region") as refused:
        list(server.client.ask(asked(server, image, nuclei=nuclei)))
    assert refused.value.status == 422
    fewer = asked(server, image, nuclei=nuclei, region=[0, 0, 51.2, 96])
    assert list(server.client.ask(fewer))[-1].finish == "complete"


def test_an_answerer_that_reads_none_is_told_none(serve, fake, image):
    server = serve()
    assert not server.client.answerers()[0].reads_nuclei
    started, *_ = server.client.ask(asked(server, image, nuclei=NUCLEI))
    assert started.prompt == "Which nuclei dominate?"


@pytest.mark.parametrize(
    "nuclei", [[["x", 1, "a"]], [[1, 2]], [[1, 2, 3]], 5, '[[NaN, 2, "a"]]', '[[1e999, 2, "a"]]']
)
def test_nuclei_that_are_none_are_refused_in_words(serve, fake, image, nuclei):
    server = serve(reads_nuclei=True)
    body = json.loads(asked(server, image).model_dump_json())
    text = json.dumps(body | {"nuclei": "here"})
    content = text.replace('"here"', nuclei if isinstance(nuclei, str) else json.dumps(nuclei))
    headers = {**server.client._http.headers, "content-type": "application/json"}
    answer = httpx.post(
        f"{server.url}/v1/ask",
        content=content,
        headers=headers,
        trust_env=False,
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 422
    assert "nuclei" in answer.json()["message"]
    assert fake.asked == []


def test_samples_are_answers_of_their_own(serve, fake, image):
    server = serve()
    events = list(server.client.ask(asked(server, image, samples=3, temperature=1.0, seed=7)))
    assert [each.sample for each in events if isinstance(each, Answered)] == [0, 1, 2]
    assert [body["seed"] for body in fake.asked] == [7, 8, 9]
    assert events[-1].answers == 3


def test_a_picture_that_was_shrunk_on_the_way_is_noticed(serve, fake, image):
    fake.usage = {"prompt_tokens": 9, "completion_tokens": 2}
    *_, answered, _ = (server := serve()).client.ask(asked(server, image))
    assert "read 9 tokens, fewer than the 15" in answered.notes[0]


def test_half_an_answer_is_kept_and_said(serve, fake, image):
    fake.breaks, fake.deltas = True, deltas("<think>many")
    *_, answered, done = (server := serve()).client.ask(asked(server, image))
    assert (answered.think, answered.failure, answered.finish) == ("many", "cut off", "broken")
    assert "broke off" in answered.notes[0]
    assert done.finish == "complete"


@pytest.mark.parametrize(("status", "code"), [(401, "cannot_run"), (429, "model_away")])
def test_a_refusal_is_the_last_event_and_never_holds_the_key(serve, fake, image, status, code):
    fake.status = status
    *_, last = (server := serve()).client.ask(asked(server, image))
    assert isinstance(last, Failed)
    assert last.code == code
    assert KEY not in last.message


def test_stopping_keeps_what_came(serve, fake, image):
    fake.go_on.clear()
    server = serve()
    question = Question(server.client, asked(server, image, run="mine"))
    wait_for(lambda: any(isinstance(each, AskText) for each in question.heard))
    assert server.client.cancel("mine")
    *_, answered, done = question.events()
    assert (answered.raw, answered.finish) == (EXACT[:9], "cancelled")
    assert done == AskDone(answers=1, finish="cancelled")
    assert fake.hung_up.wait(PATIENCE_S)


def test_hanging_up_stops_it(serve, fake, image):
    fake.go_on.clear()
    server = serve()
    stream = server.client.ask(asked(server, image))
    while not isinstance(next(stream), AskText):
        pass
    stream.close()
    assert fake.hung_up.wait(PATIENCE_S)
    wait_for(lambda: not server.process._service.busy)


def test_a_question_that_waits_holds_up_no_model(serve, fake, image):
    fake.go_on.clear()
    server = serve()
    question = Question(server.client, asked(server, image))
    wait_for(lambda: any(isinstance(each, AskText) for each in question.heard))
    request = DetectRequest(image=server.client.put_image(image), mpp=0.5, model="classical")
    *_, found = server.client.detect(request)
    assert isinstance(found, Done)
    assert question.thread.is_alive()
    fake.go_on.set()
    assert question.events()[-1].finish == "complete"


def test_questions_wait_together(serve, fake, image):
    fake.go_on.clear()
    server = serve()
    questions = [Question(server.client, asked(server, image)) for _ in range(3)]
    wait_for(lambda: len(fake.asked) == 3)
    fake.go_on.set()
    assert all(each.events()[-1].finish == "complete" for each in questions)


def test_beyond_the_limit_questions_are_refused(serve, fake, image):
    fake.go_on.clear()
    server = serve(settings={"asks_at_once": 1, "waiting_jobs": 1})
    first = Question(server.client, asked(server, image))
    wait_for(lambda: len(fake.asked) == 1)
    # Of one caller one more may wait.
    second = Question(server.client, asked(server, image))
    wait_for(lambda: server.process._service._desk.apart.waiting == 1)
    with pytest.raises(RequestRejectedError) as refused:
        list(server.client.ask(asked(server, image)))
    assert refused.value.status == 429
    fake.go_on.set()
    assert first.events()[-1].finish == second.events()[-1].finish == "complete"


def test_an_answer_that_takes_too_long_is_stopped_and_kept(serve, fake, image):
    fake.go_on.clear()
    server = serve(settings={"max_ask_s": 0.2})
    *before, last = server.client.ask(asked(server, image))
    assert not any(isinstance(each, AskDone | Failed) for each in before)
    assert (last.event, last.code) == ("failed", "time_limit")


def test_a_server_that_ends_stops_its_questions(serve, fake, image):
    fake.go_on.clear()
    server = serve()
    question = Question(server.client, asked(server, image))
    wait_for(lambda: any(isinstance(each, AskText) for each in question.heard))
    server.process.stop()
    assert question.events()[-1].finish == "cancelled"


def test_figures_count_questions(serve, fake, image):
    server = serve()
    list(server.client.ask(asked(server, image)))
    headers = server.client._http.headers
    text = httpx.get(
        f"{server.url}/metrics", headers=headers, trust_env=False, timeout=PATIENCE_S
    ).text
    assert 'nunext_jobs_total{kind="ask",outcome="complete"} 1.0' in text
    assert 'nunext_tokens_total{kind="output"} 12.0' in text


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"answerer": "other"}, 404, "Choose one of: vlm"),
        ({"region": [500, 500, 600, 600]}, 422, "holds no pixel"),
        ({"question": " "}, 422, "give a question"),
        ({"task": "subtype", "options": ["one"]}, 422, "two categories"),
        ({"task": "lesions", "question": "tumour"}, 422, "an organ"),
    ],
)
def test_what_cannot_be_asked_is_refused(serve, image, fields, status, words):
    server = serve()
    with pytest.raises(RequestRejectedError, match=words) as refused:
        list(server.client.ask(asked(server, image, **fields)))
    assert refused.value.status == status


def test_without_a_key_nothing_is_asked_or_told(serve, fake, image):
    server = serve()
    body = asked(server, image).model_dump_json()
    for answer in (
        httpx.post(f"{server.url}/v1/ask", content=body, trust_env=False, timeout=PATIENCE_S),
        httpx.get(f"{server.url}/v1/answerers", trust_env=False, timeout=PATIENCE_S),
    ):
        assert answer.status_code == 401
    assert fake.asked == []


def test_answerers_are_listed_apart_from_models_and_never_with_their_key(serve, fake):
    server = serve(may_train=True, boxes="thousand")
    (info,) = server.client.answerers()
    assert (info.id, info.model, info.host, info.local) == ("vlm", MODEL, "127.0.0.1", True)
    assert (info.may_train, info.boxes, info.problem) == (True, "thousand", None)
    assert KEY not in info.model_dump_json()
    assert {model.kind for model in server.client.models()} == {"detector", "segmenter"}


def test_an_answerer_that_is_away_says_so(start):
    server = start(answerers=(AnswererAddress("vlm", "http://127.0.0.1:9/v1", MODEL),))
    assert "does not answer" in server.client.answerers()[0].problem


def test_a_server_without_answerers_says_how_to_have_one(server, image):
    assert server.client.answerers() == []
    with pytest.raises(RequestRejectedError, match="--answerer"):
        list(server.client.ask(asked(server, image)))


def test_the_command_line_gives_each_answerer_its_own_key(monkeypatch):
    monkeypatch.setenv("NAPARI_NUNEXT_KEY_FAR", KEY)
    near, far = answerers_of(["near=http://127.0.0.1:1/v1#m", "far=https://h/v1#m,may_train"])
    assert (near.key, far.key) == (None, KEY)
    with pytest.raises(InputError, match="one name"):
        answerers_of(["a=http://h/v1#m", "a=http://h/v1#n"])


def test_the_command_line_finds_folders_wherever_the_server_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vlm").mkdir()
    (place,) = answerers_of(["near=vlm,adapter=vlm"])
    assert (place.folder, place.adapter) == (tmp_path / "vlm", tmp_path / "vlm")
    with pytest.raises(InputError, match=r"no folder 127\.0.* for an answerer.*http://"):
        answerers_of(["far=127.0.0.1:1/v1#m"])


def test_settings_bring_answerers_to_another_process_and_show_no_key():
    settings = ServerSettings(answerers=(AnswererAddress("a", "http://h/v1", "m", key=KEY),))
    assert ServerSettings.from_json(settings.to_json()).answerers == settings.answerers
    assert KEY not in repr(settings)


def test_boxes_of_a_region_lie_in_the_region(serve, fake, image, rng):
    boxes = rng.uniform(-100, 300, (40, 4)).round(1).tolist()
    fake.deltas = deltas(f"<think></think><answer>{boxes}</answer>")
    server = serve()
    (answered,) = (
        each
        for each in server.client.ask(asked(server, image, region=[10, 10, 90, 70]))
        if isinstance(each, Answered)
    )
    corners = np.array([box.box for box in answered.boxes]).reshape(-1, 2, 2)
    assert (corners >= (10, 10)).all()
    assert (corners <= (90, 70)).all()
    assert len(answered.boxes) + sum(answered.boxes_left_out.values()) == 40
