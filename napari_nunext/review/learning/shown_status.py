"""What a panel shows of a training that is under way, told from the thread that follows it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.learning.training import TrainingStep
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.learn import LearnModel
    from napari_nunext.review.shown.teach import TeachModel


class ShownStatus:
    """The status of a training in what its panel shows. Of time left only a step says more.

    Parameters
    ----------
    session : Session
    model : LearnModel or TeachModel
    name : str
        Of the model's attribute.
    """

    def __init__(self, session: Session, model: LearnModel | TeachModel, name: str) -> None:
        self._session, self._model, self._name = session, model, name

    def show(self, **changes: Any) -> None:
        """Change some of it; from any thread."""
        self._change(lambda status: {"seconds_left": None} | changes)

    def step(self, step: TrainingStep) -> None:
        """Show how far it is, and its loss where losses are shown; from any thread."""
        self._change(
            lambda status: {
                "step": step.step,
                "steps": step.steps,
                "seconds_left": step.seconds_left,
                "words": step.words,
                **_losses(status, step),
            }
        )

    def stopping(self) -> None:
        """Say that it ends after the step that it is at, where it is under way."""
        if getattr(self._model, self._name).busy:
            self.show(words="Stopping\N{HORIZONTAL ELLIPSIS}")

    def _change(self, how: Callable[[Any], dict[str, Any]]) -> None:
        def change() -> None:
            status = getattr(self._model, self._name)
            setattr(self._model, self._name, replace(status, **how(status)))

        self._session.background.on_main(change)


def _losses(status: Any, step: TrainingStep) -> dict[str, Any]:
    if not hasattr(status, "losses") or step.step == status.step:
        return {}
    return {"losses": (*status.losses, step.loss)}
