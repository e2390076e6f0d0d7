"""The nuclei of a window as points, written in coordinate tokens (NuNext, section 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_nunext.core.scores.metrics import DetectionScore
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.data.batches import Collator
from nunext_training.data.painting import foreground_painter
from nunext_training.data.windows import GridWindows, RandomWindows, WindowSpec
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.runs import processes
from nunext_training.tasks.naming import Named
from nunext_training.tasks.replaying import Replayed, as_widely_varied
from nunext_training.tasks.scoring import RolloutScorer
from nunext_training.trainers.covt import ThoughtCollator
from nunext_training.trainers.lora import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.painted.recoloured import ColoursOfHAndE
    from nunext_training.data.painting import Painter
    from nunext_training.data.task import Examples
    from nunext_training.data.training_data import TrainingData
    from nunext_training.data.windows import Example
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.recipes.sections import ValidationOptions
    from nunext_training.tasks.prompted_masks import PromptedMasks
    from nunext_training.trainers.covt import FrozenSam


class PointsTask:
    """Windows at random places, replies in raster order, F1 of images that are decoded whole.

    Parameters
    ----------
    parent : LoadedCheckpoint
        Gives the codec, the scale and the prompt.
    recipe : Recipe
    data : TrainingData
    painter : Painter, optional
        Paints the windows to learn from.
    validation_painter : Painter, optional
        Paints those of validation.
    verdicts : bool
        Cut what people judged, too.
    earlier : sequence of LabelledImage
        What the parent knew: what the recipe replays.
    colours : ColoursOfHAndE, optional
        In which the parent knows what it is to learn from; then it is replayed so, too.
    """

    encode: Callable[[Sequence[Example]], dict[str, Tensor]]

    def __init__(
        self,
        parent: LoadedCheckpoint,
        recipe: Recipe,
        data: TrainingData,
        *,
        painter: Painter | None = None,
        validation_painter: Painter | None = None,
        verdicts: bool = False,
        earlier: Sequence[LabelledImage] = (),
        colours: ColoursOfHAndE | None = None,
    ) -> None:
        codec = parent.description.codec
        self._parent = parent
        self._recipe = recipe
        self._train = data.train
        self._earlier = tuple(earlier)
        self._own = () if colours is None else colours.tiles()
        self._colours = colours if recipe.keeping.seeing else None
        self._spec = WindowSpec(codec.window_px, parent.description.mpp, codec.category_names)
        self._painter = painter
        self._verdicts = verdicts
        self._decoded = decoded_images(data.val, recipe.validation)
        pad_id = parent.windows.processor.tokenizer.pad_token_id
        self.collator = Collator(codec, parent.windows, pad_id)
        """Of windows to batches, without what an `encode` of a subclass adds."""
        self.encode = self.collator
        self.validation = (
            GridWindows(data.val, self._spec, validation_painter) if data.val else None
        )

    def examples(self, count: int) -> Examples[Example]:
        """See `nunext_training.data.task.Task`."""
        examples, share = self._cut(count), self._recipe.windows.named_category_share
        if not share:
            return examples
        return Named(examples, self._spec.category_names, share=share, seed=self._recipe.seed)

    def _cut(self, count: int) -> Examples[Example]:
        new = RandomWindows(
            self._train,
            self._spec,
            self._recipe.windows,
            length=count,
            seed=self._recipe.seed,
            painter=self._painter,
            verdicts=self._verdicts,
            colours=self._colours,
        )
        if not self._earlier:
            return new
        options, seed = as_widely_varied(self._recipe.windows), self._recipe.seed
        earlier, own = (
            RandomWindows(
                *(images, self._spec, options), length=count, seed=seed, painter=self._painter
            )
            if images
            else None
            for images in (self._earlier, self._own)
        )
        assert earlier is not None
        keeping = self._recipe.keeping
        return Replayed(new, earlier, keeping.replay, own=own, own_share=keeping.recoloured)

    def score(self, model: Any) -> dict[str, float]:
        """F1 of the images that are decoded; each is, by one of the processes."""
        if not self._decoded:
            return {}
        with merged(model):
            evaluation = evaluate_detector(
                NextPointDetector.from_loaded(replace(self._parent, model=model)),
                processes.my_share(self._decoded),
                radius_um=self._recipe.validation.radius_um,
                method=VALIDATION_MATCHING,
                data={},
            )
        score = evaluation.report.overall
        tp, fp, fn = processes.total([score.tp, score.fp, score.fn])
        return {"f1": DetectionScore(round(tp), round(fp), round(fn)).f1}


class ThoughtTask(PointsTask):
    """`PointsTask` with what the chain of visual thought is judged by (Eq. 9).

    Parameters
    ----------
    parent, recipe, data, earlier, colours
        As `PointsTask`.
    sam : FrozenSam

    Raises
    ------
    RecordError
        If the recipe wants true masks, and a nucleus has none.
    """

    def __init__(
        self,
        parent: LoadedCheckpoint,
        recipe: Recipe,
        data: TrainingData,
        sam: FrozenSam,
        *,
        earlier: Sequence[LabelledImage] = (),
        colours: ColoursOfHAndE | None = None,
    ) -> None:
        covt = recipe.covt
        painter = foreground_painter([*data.train, *earlier], covt.target, covt.radius_um)
        super().__init__(parent, recipe, data, painter=painter, earlier=earlier, colours=colours)
        self.encode = ThoughtCollator(self.encode, sam)


class RewardedPointsTask(PointsTask):
    """`PointsTask` whose replies have a reward; validation looks at the decoded images alone.

    Parameters
    ----------
    parent, recipe, data
        As `PointsTask`.
    masks : PromptedMasks, optional
        What points prompt, for rewards of masks; examples are then painted.
    """

    def __init__(
        self,
        parent: LoadedCheckpoint,
        recipe: Recipe,
        data: TrainingData,
        masks: PromptedMasks | None = None,
    ) -> None:
        painter = None if masks is None else true_painter(recipe, data)
        super().__init__(
            parent,
            recipe,
            replace(data, val=tuple(decoded_images(data.val, recipe.validation))),
            painter=painter,
            validation_painter=painter,
            verdicts=recipe.rft.use_verdicts,
        )
        self.scorer = RolloutScorer(parent, recipe.rft, masks)


def true_painter(recipe: Recipe, data: TrainingData) -> Painter:
    """What rewards of masks are measured against; raises `RecordError` where it is missing."""
    return foreground_painter(
        [*data.train, *data.val], recipe.rft.panoptic_truth, recipe.covt.radius_um
    )


def decoded_images(
    images: Sequence[LabelledImage], options: ValidationOptions
) -> list[LabelledImage]:
    """The images of the validation split that are decoded, evenly spaced."""
    n = min(options.images, len(images))
    return [images[i * len(images) // n] for i in range(n)]
