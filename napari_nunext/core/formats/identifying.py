"""Text that looks as if it named somebody: questions and comments are written freely.

What is looked for has a form: dates, long numbers, addresses, titles, codes of cases. A name alone
has none, so a text that holds nothing of this may still name somebody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_CAPITALS = "A-Z\N{LATIN CAPITAL LETTER A WITH GRAVE}-\N{LATIN CAPITAL LETTER THORN}"
_SMALL = "a-z\N{LATIN SMALL LETTER SHARP S}-\N{LATIN SMALL LETTER Y WITH DIAERESIS}"

LOOKS: Mapping[str, re.Pattern[str]] = {
    "date": re.compile(
        r"(?<![\d.])\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d{2}(?![\d.])"
        r"|(?<!\d)(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2}(?!\d)"
        rf"|\b\d{{1,2}}\.?\s+(?:{_MONTHS})[a-z]*\.?,?\s+(?:19|20)\d{{2}}\b"
        rf"|\b(?:{_MONTHS})[a-z]*\.?\s+\d{{1,2}},?\s+(?:19|20)\d{{2}}\b",
        re.IGNORECASE,
    ),
    "long number": re.compile(r"(?<![\d.])\d(?:[ -]?\d){5,}(?![\d.])"),
    "e-mail address": re.compile(r"\S+@\S+\.\w"),
    "title with a name": re.compile(
        r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herrn?|Frau|Mme|Mlle|Sr|Sra)\b\.?\s+[^\W\d_]"
        rf"|\b(?:[Pp]atient(?:in|en|e)?|[Nn]ame)\b:?\s+"
        rf"(?:[{_CAPITALS}][{_SMALL}]|[{_CAPITALS}]{{4,}}\b)"
    ),
    "case number": re.compile(
        r"\b[A-Z]{1,4}[ -]?\d{2,4}[-/]\d{2,}\b|\b\d{2,4}[-/][A-Z]{1,3}[-/]?\d{3,}\b"
        r"|\b(?:MRN|SSN|NHS|DOB)\b[:#]?\s*\d"
    ),
}
"""What identifies people, by what it is called."""


def looks_identifying(text: str) -> tuple[str, ...]:
    """What a text seems to hold, in words of `LOOKS`; empty where nothing shows."""
    return tuple(name for name, look in LOOKS.items() if look.search(text))


def identifying_words(texts: Iterable[str]) -> str:
    """How many texts seem to name somebody and by what, a phrase that quotes none of them.

    Empty where none does.
    """
    found = [seen for text in texts if (seen := looks_identifying(text))]
    if not found:
        return ""
    kinds = dict.fromkeys(name for name in LOOKS for seen in found if name in seen)
    holds = "holds" if len(found) == 1 else "hold"
    return f"{counted(len(found), 'text')} {holds} what looks like a {_or(list(kinds))}"


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
