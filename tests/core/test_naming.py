from __future__ import annotations

from itertools import combinations

import pytest

from napari_nunext.core.answers.points import NUCLEUS_INSTRUCTION
from napari_nunext.core.errors import InputError
from napari_nunext.core.naming import (
    can_name,
    categories_in,
    in_order,
    instruction_for,
    only_in_decoding,
    only_of,
    only_words,
)

KNOWN = ("Lymphocyte", "Tumour or epithelial", "Stromal", "Positive", "Negative")
ODD = ("Apoptotic and necrotic", "Apoptotic", "Necrotic", "HER2 positive", "Goblet cell", "a, b")


@pytest.mark.parametrize("whole", [NUCLEUS_INSTRUCTION, "Point to nucleus."])
@pytest.mark.parametrize("asked", [(), KNOWN, KNOWN[::-1]])
def test_asking_for_everything_is_the_prompt_of_today_byte_for_byte(asked, whole):
    assert instruction_for(asked, KNOWN, whole) == whole
    assert categories_in(whole, KNOWN, whole) == ()


def test_categories_are_joined_in_plain_english_in_the_order_that_they_are_known():
    said = instruction_for(["stromal", "Lymphocyte", "Positive"], KNOWN, "Point to nucleus.")
    assert said == "Point to lymphocyte, stromal nucleus and positive nucleus."


def test_a_name_of_a_cell_stands_alone_and_a_property_is_that_of_a_nucleus():
    said = [instruction_for([name], ODD, "Point to nucleus.") for name in ODD[3:5]]
    assert said == ["Point to HER2 positive nucleus.", "Point to goblet cell."]


@pytest.mark.parametrize("known", [KNOWN, ODD])
def test_every_such_prompt_is_read_back(known):
    said = set()
    for count in range(1, len(known)):
        for asked in combinations(known, count):
            prompt = instruction_for(asked, known)
            assert categories_in(prompt, known) == asked
            said.add(prompt)
    assert len(said) == 2 ** len(known) - 2


def test_a_prompt_that_is_none_of_these_is_refused():
    with pytest.raises(InputError, match="names no categories of Lymphocyte"):
        categories_in("Point to eosinophil.", KNOWN, "Point to nucleus.")
    with pytest.raises(InputError, match="names no categories"):
        categories_in("Count them.", KNOWN)


def test_an_unknown_category_and_a_prompt_without_a_place_are_refused():
    with pytest.raises(InputError, match="no category 'Eosinophil'; the model knows Lymphocyte"):
        instruction_for(["Eosinophil"], KNOWN)
    assert not can_name("Find nuclei.")
    assert not can_name(None)
    with pytest.raises(InputError, match="cannot name categories"):
        instruction_for(["Positive"], KNOWN, "Find nuclei.")


def test_names_count_once_whatever_their_case():
    assert in_order([" positive", "POSITIVE"], KNOWN) == ("Positive",)


def test_people_are_told_whether_the_model_was_asked_or_others_were_left_out():
    asked = only_in_decoding(("Positive",), asked=True)
    assert only_words(asked) == "The model was asked for Positive alone."
    assert only_of(asked) == ("Positive",)
    left_out = only_in_decoding(KNOWN[1:2], asked=False)
    assert "not learned to be asked for Tumour or epithelial alone" in only_words(left_out)
    assert only_in_decoding((), asked=True) == {}
    assert only_words({}) == ""
    assert only_of({}) == ()
