"""The grammar of replies: exact ones, every way to fail, and what is read nevertheless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.reply import choice_of, folded, parse_reply

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
plain = st.text().filter(lambda text: not any(tag in text for tag in TAGS))


@given(plain, plain, st.sampled_from(["", " ", "\n\n"]))
def test_a_thought_and_an_answer_are_exact_whatever_stands_in_them(think, answer, between):
    reply = parse_reply(f"<think>{think}</think>{between}<answer>{answer}</answer>")
    assert reply.exact
    assert (reply.think, reply.answer) == (think.strip(), answer.strip())


@given(st.lists(st.sampled_from([*TAGS, "a", " ", "<", "\n"]), max_size=12).map("".join))
def test_exact_is_what_the_format_is_and_nothing_else(raw):
    reply = parse_reply(raw)  # never raises
    stripped = raw.strip()
    inner = stripped.removeprefix("<think>").removesuffix("</answer>")
    think, _, rest = inner.partition("</think>")
    well_formed = (
        stripped.startswith("<think>")
        and stripped.endswith("</answer>")
        and rest.lstrip().startswith("<answer>")
        and all(stripped.count(tag) == 1 for tag in TAGS)
        and stripped.index("</think>") < stripped.index("<answer>")
    )
    assert reply.exact == well_formed
    if well_formed:
        assert reply.think == think.strip()


@pytest.mark.parametrize(
    ("raw", "reason", "think", "answer"),
    [
        ("Lymphocytes.", "no tags", "", "Lymphocytes."),
        ("", "no tags", "", ""),
        ("<answer>A</answer>", "no thought", "", "A"),
        ("<think>many</think>", "no answer", "many", ""),
        ("<think>many</think> It is A", "no answer", "many", "It is A"),
        ("many</think><answer>A</answer>", "no opening tag", "many", "A"),
        ("<think>many <answer>A</answer>", "no closing tag", "many", "A"),
        ("<think>a</think><think>b</think><answer>A</answer>", "two thoughts", "a\nb", "A"),
        ("<think>a</think><answer>A</answer><answer>B</answer>", "two answers", "a", "B"),
        ("<answer>A</answer><think>a</think>", "thought after answer", "a", "A"),
        (
            "<think>is it <answer>A</answer>?</think><answer>B</answer>",
            "nested tags",
            "is it <answer>A</answer>?",
            "B",
        ),
        ("<think>a</think><answer>A</answer></answer>", "stray tag", "a", "A"),
        ("Well: <think>a</think><answer>A</answer>", "text outside tags", "a", "A"),
        ("<think>a</think><answer>A</answer> Thanks", "text outside tags", "a", "A"),
        ("<think>many lymphocy", "cut off", "many lymphocy", ""),
        ("<think>many</think><answer>Lympho", "cut off", "many", "Lympho"),
    ],
)
def test_every_failure_has_its_reason_and_keeps_what_was_said(raw, reason, think, answer):
    reply = parse_reply(raw)
    assert reply.failure is not None
    assert (reply.failure.reason, reply.think, reply.answer) == (reason, think, answer)
    assert 0 <= reply.failure.position <= len(raw)


def test_a_thought_that_the_server_sent_apart_counts_as_the_thought():
    reply = parse_reply("<answer>A</answer>", reasoning="many lymphocytes")
    assert reply.exact
    assert (reply.think, reply.answer) == ("many lymphocytes", "A")
    assert parse_reply("It is A", reasoning="many").answer == "It is A"


def test_models_with_marks_of_their_own_are_read_by_the_same_grammar():
    said = "<unused94>thought\nmany<unused95><answer>A</answer>"
    assert parse_reply(said, thought="gemma").exact
    assert parse_reply("many</think><answer>A</answer>", thought="opened").exact
    assert parse_reply("<think>many</think><answer>A</answer>", thought="opened").exact
    assert not parse_reply(said).exact


def test_many_tags_take_no_longer_than_their_length():
    raw = "<think>" * 40_000 + "</think>"
    reply = parse_reply(raw)
    assert reply.failure is not None
    assert reply.failure.reason == "nested tags"


@pytest.mark.parametrize(
    ("answer", "index"),
    [
        ("A", 0),
        ("(b)", 1),
        ("B.", 1),
        ("C) stromal", 2),
        ("Lymphocyte", 0),
        ("the tumour", 1),
        ("A stromal cell", 2),
        ("It is mostly tumour here", 1),
        ("lymphocyte and tumour", None),
        ("neutrophil", None),
        ("D", None),
        ("", None),
        ("\uff34\uff35\uff2d\uff2f\uff35\uff32", 1),
    ],
)
def test_an_answer_chooses_by_letter_or_by_text(answer, index):
    assert choice_of(answer, ("lymphocyte", "tumour", "stromal")) == index


def test_of_two_options_one_within_the_other_the_longer_one_is_meant():
    assert choice_of("clearly non-neoplastic", ("neoplastic", "non-neoplastic")) == 1
    assert choice_of("a neoplastic focus", ("neoplastic", "non-neoplastic")) == 0


def test_folding_leaves_what_matters():
    assert folded("The  Lymphocytes!") == folded("lymphocytes")
    assert folded("12.5 %") != folded("125 %")
