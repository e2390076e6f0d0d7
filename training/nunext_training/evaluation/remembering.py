"""What a training made of a model: its parent beside it, on new tissue and on what was known.

So forgetting is said where it happens. The rule of what is worse is the app's
(`napari_nunext.core.scores.falling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.scores.falling import FORGIVEN, falls, shown
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.evaluation.scores import VALIDATION_MATCHING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.scores.falling import Fall
    from napari_nunext.core.scores.metrics import DetectionReport
    from napari_nunext.models.detector import Detector
    from nunext_training.data.labelled import LabelledImage

FILE_NAME = "before_and_after.json"
"""In the folder of the new checkpoint."""
NEW, EARLIER = "new tissue", "earlier tissue"


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """Figures of a parent and of what it became, on the same images."""

    tissue: str
    """`NEW` or `EARLIER`."""
    before: DetectionReport
    after: DetectionReport
    data: tuple[dict[str, Any], ...] = ()
    """What the images come from."""

    @property
    def falls(self) -> tuple[Fall, ...]:
        """What has fallen, the deepest fall first."""
        forgiven = FORGIVEN if self.tissue == EARLIER else 0
        return falls(self.before, self.after, forgiven)

    @property
    def words(self) -> str:
        """The figures in a line, and in another one what has fallen."""
        pairs = {"all nuclei": (self.before.overall, self.after.overall)} | {
            name: (score, self.after.by_category[name])
            for name, score in self.before.by_category.items()
            if name in self.after.by_category
        }
        figures = ", ".join(
            f"{name} {shown(old.f1)} -> {shown(new.f1)}" for name, (old, new) in pairs.items()
        )
        line = f"F1 on {self.tissue} ({self.before.images} images): {figures}."
        if not self.falls:
            return line
        deepest = self.falls[0]
        what = deepest.words(f"on {self.tissue}")
        return f"{line}\nWorse: the new model finds {what} ({deepest.loss} lost)."

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        return {
            "tissue": self.tissue,
            "data": list(self.data),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "falls": [
                {"category": fall.category, "before": fall.before, "after": fall.after}
                for fall in self.falls
            ],
        }


def before_and_after(
    old: Detector,
    new: Detector,
    images: Sequence[LabelledImage],
    *,
    tissue: str,
    radius_um: float,
    data: Sequence[dict[str, Any]] = (),
) -> BeforeAndAfter:
    """Test two models on the same images, decoded whole."""
    before, after = (
        evaluate_detector(
            model, images, radius_um=radius_um, method=VALIDATION_MATCHING, data={}
        ).report
        for model in (old, new)
    )
    return BeforeAndAfter(tissue, before, after, tuple(data))
