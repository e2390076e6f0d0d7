from __future__ import annotations

from napari_nunext.core.spelling import alike_words, one_spelling, unmerged_words


def test_names_that_differ_in_capitals_alone_are_one_in_the_spelling_that_is_known():
    spelling = one_spelling(["tumor", "TUMOR", "stroma", "Stroma"], ["Tumor"])
    assert spelling["tumor"] == spelling["TUMOR"] == spelling["Tumor"] == "Tumor"
    assert spelling["Stroma"] == spelling["stroma"] == "stroma"


def test_what_was_alike_is_said_and_nothing_where_nothing_was():
    spelling = one_spelling(["tumor"], ["Tumor"])
    assert alike_words(spelling, ["tumor", "Tumor", "tumor"]) == (
        "Categories whose names differ in capitals alone are one: 'tumor' counts as 'Tumor'."
    )
    assert alike_words(spelling, ["Tumor", "Stroma"]) == ""


def test_names_that_are_left_as_they_are_are_told():
    assert unmerged_words(["tumor", "Stroma", "Tumor"]) == (
        "'Tumor' and 'tumor' differ in capitals alone: training and evaluation take them for one "
        "category. Merge them in the app."
    )
    assert unmerged_words(["tumor", "Stroma"]) == ""
