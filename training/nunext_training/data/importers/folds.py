"""Cross-validation: each part of the patients is left for the report once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.core.formats.records import Split


@dataclass(frozen=True, slots=True)
class Fold:
    """One of several equal parts of the patients; the others are to learn from."""

    number: int
    """From 1."""
    folds: int

    @classmethod
    def parse(cls, text: str) -> Fold:
        """From ``2/3``: the second of three.

        Raises
        ------
        InputError
            If it is none.
        """
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
        fold = cls(int(found[1]), int(found[2])) if found else None
        if fold is None or fold.folds < 2 or not 1 <= fold.number <= fold.folds:
            raise InputError(f"{text!r} is no fold; expected which of how many, such as 1/3.")
        return fold

    def splits(self, patients: Iterable[str]) -> dict[str, Split]:
        """Side of each patient: this fold is ``test``, the others ``train``.

        Patients are dealt out in the order of their pseudonyms, which are hashes: the parts differ
        by one patient at most, and are the same on every machine.

        Raises
        ------
        InputError
            If there are fewer patients than folds.
        """
        known = sorted(set(patients))
        if len(known) < self.folds:
            raise InputError(
                f"{self.folds} folds of {len(known)} patients cannot be made. Ask for fewer."
            )
        return {
            patient: "test" if i % self.folds == self.number - 1 else "train"
            for i, patient in enumerate(known)
        }
