"""Words about one picture become words about another, and boxes are replaced in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.boxes import boxes_of
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.reply import parse_reply, reply_text
from napari_nunext.core.answers.rewriting import in_pixels_of, with_boxes, without_boxes
from napari_nunext.core.geometry import Box

REGION = Box(1000, 2000, 2000, 2500)
SENT = SentPicture(REGION, width_px=280, height_px=140)
SHOWN = SentPicture(REGION, width_px=1000, height_px=500)


@pytest.mark.parametrize(
    ("convention", "said", "expected"),
    [
        ("pixels", "At [[28, 14, 140, 70]].", "At [[100, 50, 500, 250]]."),
        ("thousand", '{"bbox_2d": [100, 100, 500, 500]}', '{"bbox_2d": [100, 50, 500, 250]}'),
        ("thousand_y_first", "(100, 100, 500, 500)", "[100, 50, 500, 250]"),
        ("unit", "[0.1, 0.1, 0.5, 0.5]", "[100, 50, 500, 250]"),
        ("pixels", "none at [300, 10, 400, 20], [a, b, c, d]", None),
        ("pixels", "no box", None),
        ("pixels", "half of it: [-28, -14, 28, 14]", "half of it: [0, 0, 100, 50]"),
    ],
)
def test_boxes_are_written_anew_and_all_else_stays(convention, said, expected):
    assert in_pixels_of(SHOWN, said, SENT, convention) == (expected or said)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 998), st.integers(0, 498), st.integers(1, 999), st.integers(1, 499)
        ),
        max_size=5,
    )
)
def test_what_is_drawn_is_what_the_words_say(corners):
    boxes = [
        Box(1000 + x, 2000 + y, 1000 + min(x + w, 1000), 2000 + min(y + h, 500))
        for x, y, w, h in corners
    ]
    words = with_boxes(SHOWN, "Tumour:", boxes)
    assert [b.box for b in boxes_of(words, SHOWN).boxes] == boxes
    assert in_pixels_of(SHOWN, words, SHOWN, "pixels") == words


def test_a_box_beside_the_picture_stays_beside_it():
    part = SentPicture(Box(1500, 2000, 2000, 2500), width_px=500, height_px=500)
    said = in_pixels_of(part, "[[0, 0, 14, 14]] and [[140, 0, 154, 14]]", SENT, "pixels")
    assert said == "[[-500, 0, -450, 50]] and [[0, 0, 50, 50]]"
    assert boxes_of(said, part).left_out == {"outside": 1}
    assert in_pixels_of(part, said, part, "pixels") == said


NEW = [Box(1000, 2000, 1010, 2020)]


@pytest.mark.parametrize(
    ("said", "boxes", "expected"),
    [
        ("Here [1, 2, 3, 4], surely.", NEW, "Here [0, 0, 10, 20], surely."),
        ("[[1, 2, 3, 4], [5, 6, 7, 8]]", NEW, "[[0, 0, 10, 20]]"),
        ('x [{"b": [1, 2, 3, 4]}, {"b": [5, 6, 7, 8]}] y', NEW, "x [[0, 0, 10, 20]] y"),
        ("(see [1, 2, 3, 4] and [5, 6, 7, 8])", NEW, "[[0, 0, 10, 20]]"),
        ("A list [of [1, 2, 3, 4]", [], "A list [of []"),
        ("nothing", NEW, "nothing [[0, 0, 10, 20]]"),
        ("", [], "[]"),
    ],
)
def test_corrected_boxes_take_the_place_of_those_that_were_said(said, boxes, expected):
    assert with_boxes(SHOWN, said, boxes) == expected


texts = st.lists(
    st.sampled_from(["<think>", "</answer>", "<answer>", "</think>", "word ", "12", "\n"])
).map("".join)


@given(texts, texts)
def test_a_reply_that_is_put_together_keeps_the_grammar_whatever_is_in_it(think, answer):
    read = parse_reply(reply_text(think, answer))
    assert read.exact
    for said, was in ((read.think, think), (read.answer, answer)):
        assert said == parse_reply(reply_text(said, said)).answer
        assert "".join(said.split()) in "".join(was.split()) or "<" in was


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes. [[40, 40, 150, 140], [220, 200, 330, 300]]", "Yes."),
        ("[[1, 2, 3, 4]]", ""),
        ("In two groups: [1, 2, 3, 4] and [5, 6, 7, 8], pale.", "In two groups: and, pale."),
        ('```json\n[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]\n```', ""),
        ('Here: {"bbox_2d": [1, 2, 3, 4], "label": "a [b]"} is all', "Here:  is all"),
        ("None [see the note] of it", "None [see the note] of it"),
        ("Yes. [[40, 40, 15", "Yes."),  # while it is being written
        ('Yes. [{"bbox_2d": [40', "Yes."),
        ("A list [of words", "A list [of words"),
        ("It is closed] [1, 2, 3, 4]", "It is closed]"),
        ("", ""),
    ],
)
def test_what_is_said_besides_boxes(text, said):
    assert without_boxes(text).split() == said.split()


@given(st.text(alphabet='[]{}(), 1a"', max_size=60))
def test_taking_boxes_out_never_fails_nor_adds(text):
    assert len(without_boxes(text)) <= len(text)
