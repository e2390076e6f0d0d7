"""The paper's prompts, word for word (arXiv 2505.15687, Appendix A)."""

from __future__ import annotations

import pytest

from napari_nunext.core.answers.prompts import SYSTEM, Question, allocation_prompt
from napari_nunext.core.errors import InputError


def test_the_system_prompt_is_the_papers():
    assert SYSTEM == (
        "A conversation between User and Assistant. The user asks a question, and the assistant "
        "solves it. The assistant first thinks about the reasoning process in the mind and then "
        "provides the user with the answer. The reasoning process and answer are enclosed within "
        "<think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning "
        "process here </think> <answer> answer here </answer>."
    )


@pytest.mark.parametrize(
    ("question", "prompt"),
    [
        (Question("question", "Which cells dominate"), "Which cells dominate?"),
        (Question("question", "Which cells dominate??"), "Which cells dominate?"),
        (
            Question("question", "Which cells dominate?", ("tumour", "stromal")),
            "Which cells dominate? (A) tumour, (B) stromal",
        ),
        (
            Question("subtype", options=("normal", "adenoma")),
            "Classify this pathological image into one of these categories: (A) normal, "
            "(B) adenoma",
        ),
        (
            Question("lesions", "tumour", organ="colon"),
            "Detect tumour in pathology colon. Output bounding boxes in "
            "[[x_min, y_min, x_max, y_max],...] format.",
        ),
    ],
)
def test_each_task_has_its_template(question, prompt):
    assert question.prompt == prompt


def test_the_allocator_is_asked_about_the_task():
    asked = allocation_prompt(
        Question("question", "Which cells dominate"), current_tokens=196, most_tokens=256
    )
    assert "current input token number is 196 and a maximum limit is 256." in asked
    assert "The pathological task is: Which cells dominate?." in asked


def test_text_is_put_on_one_line_and_kept_as_it_is_otherwise():
    question = Question(
        "question", "\u05db\u05de\u05d4\n\u202b\u05ea\u05d0\u05d9\u05dd\x1b[31m <b>x</b>"
    )
    assert question.prompt == "\u05db\u05de\u05d4 \u202b\u05ea\u05d0\u05d9\u05dd [31m <b>x</b>?"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task": "question", "text": "  "}, "give a question"),
        ({"task": "question", "text": " ??"}, "give a question"),
        ({"task": "poem", "text": "x"}, "expected one of question"),
        ({"task": "subtype", "options": ("one",)}, "two categories"),
        ({"task": "lesions", "text": "tumour"}, "an organ"),
        ({"task": "question", "text": "x" * 100_000}, "100000 characters"),
        ({"task": "question", "text": "x", "options": ("a",) * 27}, "27 options"),
        ({"task": "question", "text": "x", "options": ("a", " ")}, "option is empty"),
        ({"task": "question", "text": "\ud800"}, "halves of characters"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(fields, words):
    with pytest.raises(InputError, match=words):
        Question(**fields)
