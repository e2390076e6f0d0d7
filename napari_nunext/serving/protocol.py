"""What travels between the app and the model server.

Every message is a pydantic model, so that the server's OpenAPI document is the contract. Points are
``(x, y)`` in level-0 pixels of the uploaded image, corner origin; scale travels as mpp.

`POST /v1/detect` answers with one JSON object a line (NDJSON), in this order: `Started`, then
`Points`, `Hidden`, `WindowDone`, `WindowFailed` and `Masks` as they come, then `Usage` and `Done`,
or `Failed`. Every point has an index of its own within its stream. `Hidden` takes points back: at a
seam, a surer sighting of the same nucleus stands; it may name one at once. `Points` may show one of
them again. The points that stand at `Done` are the result. `Masks` come region by region, of points
that stand for good: no `Hidden` names them later. A run that is cancelled while it still waits for
its turn sends only `Done`. Empty lines say that the server is alive; skip them.

Who keeps the windows that are done, with all the points that they sent, can go on with a search
that was broken off, by whatever: see `Resume`. Together both streams lead to what one undisturbed
search leads to.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.area import Area
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.serving.fields import (
    ImageId,
    MppField,
    NamesIfAny,
    Number,
    Polygons,
    RunId,
    Sentence,
    Sha256,
    UmIfKnown,
)

FILES_KEY_HEADER = "X-Nunext-Files-Key"
"""Who shows the right one may name files of the server's machine."""


class Message(BaseModel):
    """Base: unknown fields are refused, so that a typing error is not silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Server and models


CategoryInfo = Category
"""A category that a model distinguishes, as it travels."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ModelInfo(ModelDescription):
    """A detector or segmenter of the server: what it is, and whether it can be had."""

    id: str
    """What requests name. ``"classical"`` is always there."""
    checkpoint_sha256: Sha256 | None
    mpp: MppField | None = None
    named_prompts: NamesIfAny = ()
    taught_on_dab: NamesIfAny = ()
    problem: Sentence | None = None
    """One sentence where this model cannot be served; None when it can."""
    passing: bool = False
    """Whether the problem may be over in a moment: what runs the model starts, or starts again."""
    default: bool = False


class ModelList(Message):
    """Reply of ``GET /v1/models``."""

    models: list[ModelInfo]


class Health(Message):
    """Reply of ``GET /healthz``; without the token only status and version are told."""

    status: Literal["ready", "loading", "draining"]
    version: str
    device: str | None = None
    """What models run on: ``"cpu"``, ``"mps"``, or a GPU's name."""
    memory_bytes: int | None = None
    """Resident memory of the server process; None where the system does not tell."""
    loaded: list[str] = []
    """Ids of the models in memory."""
    problems: list[Sentence] = []
    """What the server finds wrong with itself, a sentence each: memory, disk, its model."""


class FileOffer(Message):
    """Body of ``POST /v1/files``: where an image lies that the server may read itself."""

    sha256: ImageId
    path: Annotated[str, Field(min_length=1, max_length=32_768)]


class ImageStored(Message):
    """Reply of ``PUT /v1/images/{sha256}`` and ``POST /v1/files``."""

    sha256: ImageId
    width_px: int
    height_px: int


class Problem(Message):
    """Body of every refusal: one sentence that says what to do."""

    code: str
    message: Sentence


# Jobs


class JobRequest(Message):
    """What every job is asked: something about an image that was uploaded before."""

    image: ImageId
    mpp: MppField
    run: RunId | None = None
    """The caller's id for it, by which it can be cancelled."""


class CancelRequest(Message):
    """Stop a job at its next step."""

    run: RunId


class Cancelled(Message):
    """Reply of ``POST /v1/cancel``; `found` is False where the job had already ended."""

    found: bool


class Event(Message):
    """One line of a stream."""

    event: str


LAST_EVENTS = ("done", "failed")
"""With one of these every stream ends that was not cut off."""


class Failed(Event):
    """Last event of a job that broke; what was streamed before it stays valid."""

    event: Literal["failed"] = "failed"
    code: str
    message: Sentence


# Detection


class Sighted(Message):
    """A point that a window which is done had sent."""

    window: int
    x: Number
    y: Number
    category: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    outlined: bool = False
    """Whether its mask was sent as well."""


class Resume(Message):
    """Go on with a search that was broken off.

    Where the server's plan is another by now, all is searched anew: `Started` says which.
    """

    plan: str
    """As `Started` had it."""
    done: list[int]
    """The windows that were searched to their end."""
    sighted: list[Sighted]
    """What these had sent near their seams (`napari_nunext.core.seams.near_seams`), whether it
    stood or not, and, where masks are wanted, all that has none. They have the indices 0, 1, ... in
    this stream. After `Started`, `Points` and `Hidden` say of each whether it stands now."""


class DetectRequest(JobRequest):
    """Find the nuclei of an image."""

    model: str | None = None
    """Id of a detector; the server's default when None."""
    region: tuple[Number, Number, Number, Number] | None = None
    """x0, y0, x1, y1, level-0 px; the whole image when None."""
    near: tuple[Number, Number] | None = None
    """x, y, level-0 px: what lies nearest is searched first; row by row when None."""
    resume: Resume | None = None
    tissue: bool | None = None
    """Whether windows of bare glass are left out, by `napari_nunext.core.image.tissue`."""
    pen: bool | None = None
    """Whether marks of a pen count as glass, where `napari_nunext.core.image.pen` tells them."""
    within: Polygons | None = None
    """Where in the region is searched, level-0 px; all of it when None."""
    without: Polygons | None = None
    """Where it is not searched all the same: nothing is found there."""
    only: Annotated[list[str], Field(max_length=1000)] | None = None
    """Categories searched for alone; all when None. `Started.decoding` says how (``only_by``)."""
    position_error: bool | None = None
    """Whether `PointOut` says how far off it may be: clients of before refuse what does."""
    masks: bool = False
    segmenter: str | None = None
    """Id of a segmenter, where masks are wanted; the server's default when None."""
    priority: Literal["interactive", "batch"] = "interactive"
    """``"batch"`` lets those go first who wait for an answer."""

    @property
    def area(self) -> Area:
        """What of the region is searched."""
        return Area.from_json({"within": self.within, "without": self.without})


class PointOut(Message):
    """One nucleus."""

    index: int
    x: Number
    y: Number
    category: str
    confidence: Annotated[float, Field(ge=0, le=1)]
    position_error_um: UmIfKnown = None
    """Root mean square distance from the centre, of points like this; None where nobody says."""


class Started(Event):
    """First event: everything that a prediction must remember of how it was made."""

    event: Literal["started"] = "started"
    run: str
    model: ModelInfo
    segmenter: ModelInfo | None
    windows: int
    """How many are searched; those that are left out keep their numbers, and are never named."""
    codec_version: int
    merge_radius_um: float
    halo_um: float
    decoding: dict[str, Any]
    plan: str = ""
    """Tells searches apart that cut or see windows differently. Another name for: image and scale,
    region, windows, models and what they are told."""
    windows_left_out: int = 0
    """Windows of bare glass, where they are not wanted."""
    windows_beyond: int = 0
    """Windows in which nothing is to be searched; none of them is among the others."""
    resumed: bool = False
    """Whether it goes on with the search that the request names."""


class Points(Event):
    """Points of one window, as they are decoded, in the window's order."""

    event: Literal["points"] = "points"
    window: int
    points: list[PointOut]


class Hidden(Event):
    """Points that do not stand, for a surer sighting of the same nucleus does."""

    event: Literal["hidden"] = "hidden"
    indices: list[int]


class WindowDone(Event):
    """A window is finished; ``"limit"`` means it was cut off at the most points it may hold."""

    event: Literal["window"] = "window"
    window: int
    box: tuple[Number, Number, Number, Number]
    finish: Literal["end", "limit"]
    done: int
    total: int


class WindowFailed(Event):
    """A window cannot be read: its pixels are damaged. It is not done; the others go on."""

    event: Literal["window_failed"] = "window_failed"
    window: int
    box: tuple[Number, Number, Number, Number]
    message: Sentence


class Outline(Message):
    """A mask in level-0 pixels; see `napari_nunext.core.shapes.masks.Mask.to_json`."""

    offset: tuple[int, int]
    size: tuple[int, int]
    counts: list[int]

    def to_mask(self) -> Mask:
        """The mask; `RecordError` if its runs do not add up."""
        return Mask.from_json(self.model_dump(include={"offset", "size", "counts"}))


class MaskOut(Outline):
    """Mask of the point with this index."""

    index: int
    score: float
    """How good the segmenter believes the mask is, 0..1."""

    @classmethod
    def of(cls, index: int, mask: Mask, score: float) -> MaskOut:
        """The mask of the point or prompt with this index."""
        return cls(index=index, score=score, **mask.to_json())


class Masks(Event):
    """Masks of points that stand for good; a point for which no pixel is drawn has none."""

    event: Literal["masks"] = "masks"
    masks: list[MaskOut]


class Usage(Event):
    """What the run cost."""

    event: Literal["usage"] = "usage"
    image_tokens: int
    output_tokens: int
    seconds: float


class Done(Event):
    """Last event of a run that ended by itself or was cancelled."""

    event: Literal["done"] = "done"
    points: int
    """How many stand, of those with an index in this stream."""
    finish: Literal["complete", "incomplete", "cancelled"]
    """``"incomplete"``: all but windows that cannot be read."""


DetectEvent: TypeAlias = Annotated[
    Started | Points | Hidden | WindowDone | WindowFailed | Masks | Usage | Done | Failed,
    Field(discriminator="event"),
]
detect_event: TypeAdapter[DetectEvent] = TypeAdapter(DetectEvent)
"""Parses a line of the stream: ``detect_event.validate_json(line)``."""


# Segmentation


MOST_PROMPTS = 10_000
"""Of one request for masks."""


class PromptPoint(Message):
    """A click: on the nucleus (positive) or beside it."""

    x: Number
    y: Number
    positive: bool = True


class MaskPrompt(Message):
    """Prompt for one mask: at least one point, or a box."""

    points: Annotated[list[PromptPoint], Field(max_length=100)] = []
    box: tuple[Number, Number, Number, Number] | None = None
    outline: Outline | None = None
    """What the points correct, for a segmenter that reads it."""


class SegmentRequest(JobRequest):
    """Masks for prompts on an image."""

    prompts: Annotated[list[MaskPrompt], Field(max_length=MOST_PROMPTS)]
    segmenter: str | None = None


class SegmentReply(Message):
    """Masks in the order of their prompts; `MaskOut.index` is the prompt's.

    A prompt that yields no pixel has no mask.
    """

    masks: list[MaskOut]
    segmenter: str
