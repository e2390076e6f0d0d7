"""Published sets of questions, classes and lesions, as "Bilateral pathology reasoning" trains on.

An importer is a module here with one `QuestionImporter` value, and a line in `QUESTION_IMPORTERS`.
`base` says what it is, `writing` makes an export of it, `tiles` finds the boxes of instance masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nunext_training.data.importers.questions.crag import CRAG
from nunext_training.data.importers.questions.digestpath import DIGESTPATH
from nunext_training.data.importers.questions.esca import ESCA
from nunext_training.data.importers.questions.glomeruli import GLOMERULI
from nunext_training.data.importers.questions.path_vqa import PATH_VQA
from nunext_training.data.importers.questions.pathmmu import PATHMMU
from nunext_training.data.importers.questions.unitopatho import UNITOPATHO

if TYPE_CHECKING:
    from nunext_training.data.importers.questions.base import QuestionImporter

QUESTION_IMPORTERS: dict[str, QuestionImporter] = {
    importer.name: importer
    for importer in (PATH_VQA, PATHMMU, UNITOPATHO, ESCA, CRAG, DIGESTPATH, GLOMERULI)
}
"""By the name that the command line knows."""
