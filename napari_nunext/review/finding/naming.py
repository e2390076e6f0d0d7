"""What a search brings into a project besides nuclei, where no window does: its run counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.colors import in_free_colors
from napari_nunext.store import events
from napari_nunext.store.categories import fold_categories

if TYPE_CHECKING:
    from napari_nunext.store import Project, Run


def use_in_project(project: Project, run: Run) -> None:
    """Have a run count in its project, and its model's categories known; twice is once."""
    sha256 = run.image_sha256
    used = {event.payload["run_id"] for event in project.journal(sha256) if event.kind == "use_run"}
    if run.run_id in used:
        return
    model = run.info.model.categories
    book = fold_categories(project.journal_of_project())
    added = in_free_colors(
        [book.called(category.name) for category in model],
        project.categories(),
        {category.name: category.color for category in model},
    )
    learnt = [events.learn_categories(added)] if added else []
    project.append([*learnt, events.use_run(sha256, run.run_id, run.info.region)])
