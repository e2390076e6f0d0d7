"""What looks as if it named somebody is seen, and histology is not taken for it."""

from __future__ import annotations

import pytest

from napari_nunext.core.formats.identifying import identifying_words, looks_identifying


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ("born 3.4.1951", "date"),
        ("dob 04/03/51", "date"),
        ("1951-04-03", "date"),
        ("3 April 1951 and Jan. 5, 2020", "date"),
        ("MRN 1234567", "long number"),
        ("NHS 943 476 5919", "long number"),
        ("ask ana@hospital.org", "e-mail address"),
        ("Mrs Doe's biopsy", "title with a name"),
        ("Frau Müller", "title with a name"),
        ("Patient Müller has necrosis", "title with a name"),
        ("patient: SCHMIDT", "title with a name"),
        ("name: Éva", "title with a name"),
        ("MRN 1234", "case number"),
        ("as in S19-12345", "case number"),
        ("compare 19/H/20311", "case number"),
    ],
)
def test_it_is_seen(text, look):
    assert look in looks_identifying(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How many lymphocytes are there?",
        "CK5/6 and CD20 positive, Ki-67 of 12.5 %",
        "[[100, 200, 300, 400], [1024, 2048, 4096, 4100]]",
        "Gleason 3+4, pT2 N0, 0.5 um, 1.234567 mm2, 10-15 mitoses per 10 HPF",
        "HER2 2+, ratio 1.5/2.0",
        "Missing margin; drained node",
        "The patient has grade 2; patient HER2 positive; by the name HER2 or name of it",
    ],
)
def test_histology_is_none(text):
    assert looks_identifying(text) == ()


def test_it_is_told_in_numbers_and_never_in_its_own_words():
    assert identifying_words(["fine", ""]) == ""
    one = identifying_words(["Mr Doe 3.4.1951"])
    assert one == "1 text holds what looks like a date or title with a name"
    assert identifying_words(["Mr Doe", "x", "1234567", "a@b.c"]) == (
        "3 texts hold what looks like a long number, e-mail address or title with a name"
    )
