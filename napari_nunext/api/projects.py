"""``nn.open_project``: what was reviewed, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_nunext.api.nuclei import Nuclei, imported
from napari_nunext.commands.export import reader_name
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.predictions import Predictions
from napari_nunext.store import Project
from napari_nunext.store.exports.files import as_marked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from napari_nunext.store import Event, ImageEntry


@dataclass(frozen=True, eq=False)
class ProjectTables:
    """A review project that is read; made by `open_project`, and a context manager.

    Tables are `pandas.DataFrame`; without pandas asking for one raises `MissingPackageError`.
    """

    project: Project

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self.project.close()

    def images(self) -> Any:
        """An image a row: ``image``, its id, path, sides in px, ``mpp``, patient."""
        return imported("pandas").DataFrame(
            [
                {
                    "image": entry.name,
                    "id": entry.sha256,
                    "path": entry.path,
                    "width_px": entry.width_px,
                    "height_px": entry.height_px,
                    "mpp": entry.mpp,
                    "patient": entry.patient,
                }
                for entry in self._entries(None)
            ],
            columns=["image", "id", "path", "width_px", "height_px", "mpp", "patient"],
        )

    def nuclei(self, image: str | None = None, *, annotators: Sequence[str] | None = None) -> Any:
        """A nucleus a row, as people left it, with the columns of the CSV that the window exports.

        Parameters
        ----------
        image : str, optional
            Name or id of an image; all of them by default.
        annotators : sequence of str, optional
            Whose corrections count; everybody's by default.

        Raises
        ------
        InputError
            If there is no such image, or several have this name.
        """
        pandas = imported("pandas")
        tables = []
        for entry in self._entries(image):
            table = self.reviewed(entry.sha256, annotators=annotators, rejected=True).to_pandas()
            marked = as_marked(self._kept(entry, annotators))
            table["status"] = [each.marks.status for each in marked]
            table["annotator"] = [each.marks.annotator for each in marked]
            table["flagged"] = [each.marks.flagged for each in marked]
            table["origin"] = [each.marks.origin for each in marked]
            table["image"] = entry.name
            tables.append(table.astype({"category": str}))
        return pandas.concat(tables, ignore_index=True) if tables else pandas.DataFrame()

    def reviewed(
        self,
        image: str | None = None,
        *,
        annotators: Sequence[str] | None = None,
        rejected: bool = False,
    ) -> Nuclei:
        """The nuclei of one image as `detect` gives them, as people left them.

        Parameters
        ----------
        image : str, optional
            Name or id; may be left out where the project has one image.
        annotators : sequence of str, optional
            Whose corrections count; everybody's by default.
        rejected : bool
            Whether those that people rejected are among them.
        """
        entries = self._entries(image)
        if len(entries) != 1:
            raise InputError(
                f"The project has {len(entries)} images; name one of "
                f"{', '.join(entry.name for entry in entries) or 'none'}."
            )
        (entry,) = entries
        marked = as_marked(self._kept(entry, annotators))
        kept = [each.nucleus for each in marked if rejected or each.marks.stands]
        return Nuclei(
            Predictions.of(kept),
            self.project.categories(),
            entry.mpp,
            Box.of_image(entry.width_px, entry.height_px),
            {"image": entry.name},
        )

    def events(self, image: str | None = None) -> Any:
        """What people did, an event a row, in the order in which it was written.

        ``payload`` is what the event says, as JSON values; events about the whole project have no
        image.
        """
        rows: list[dict[str, Any]] = []
        if image is None:
            rows += _rows(self.project.journal_of_project(), None)
        for entry in self._entries(image):
            rows += _rows(self.project.journal(entry.sha256), entry.name)
        rows.sort(key=lambda row: row["number"])
        columns = ["number", "at_utc", "annotator", "kind", "image", "uid", "payload"]
        return imported("pandas").DataFrame(rows, columns=columns)

    def answers(self, image: str | None = None) -> Any:
        """Questions and answers, an answer a row, in the order in which they were asked."""
        columns = ["at_utc", "annotator", "image", "task", "question", "options", "answerer"]
        columns += ["answered", "answer", "thought", "image_tokens"]
        rows = [
            {
                "at_utc": answer.asked_utc,
                "annotator": answer.annotator,
                "image": entry.name,
                "task": answer.asked.question.task,
                "question": answer.asked.question.text,
                "options": list(answer.asked.question.options),
                "answerer": answer.by.name,
                "answered": answer.said.answered,
                "answer": answer.said.answer,
                "thought": answer.said.think,
                "image_tokens": answer.asked.image_tokens,
            }
            for entry in self._entries(image)
            for answer in self.project.answers(entry.sha256)
        ]
        return imported("pandas").DataFrame(rows, columns=columns)

    def _entries(self, image: str | None) -> list[ImageEntry]:
        entries = [self.project.with_scale_of_all(entry) for entry in self.project.images()]
        if image is None:
            return entries
        found = [entry for entry in entries if image in (entry.sha256, entry.name)]
        if len(found) != 1:
            names = ", ".join(entry.name for entry in entries)
            several = f"{len(found)} images are called {image!r}; name one by its id."
            raise InputError(
                several if found else f"There is no image {image!r}; the project has {names}."
            )
        return found

    def _kept(self, entry: ImageEntry, annotators: Iterable[str] | None) -> list[Any]:
        chosen = None if annotators is None else set(annotators)
        return list(self.project.state(entry.sha256, chosen).nuclei.values())


def open_project(path: str | PathLike[str]) -> ProjectTables:
    """Open a review project to read it; others may work in it meanwhile.

    Raises
    ------
    StoreError
        If it is not there, or no project.
    """
    return ProjectTables(Project.open(Path(path), annotator=reader_name(), mode="r", create=False))


def _rows(events: Iterable[Event], image: str | None) -> list[dict[str, Any]]:
    return [
        {
            "number": event.seq,
            "at_utc": event.at_utc,
            "annotator": event.annotator,
            "kind": event.kind,
            "image": image,
            "uid": None if event.uid is None else str(event.uid),
            "payload": event.payload,
        }
        for event in events
    ]
