"""Kinds of values that requests and replies are made of, with their bounds."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from napari_nunext.core.identity import IMAGE_ID, IMAGE_ID_LENGTH
from napari_nunext.core.sentences import without_folders
from napari_nunext.core.shapes.masks import FARTHEST_PX
from napari_nunext.core.shapes.regions import MOST_CORNERS

Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ImageId: TypeAlias = Annotated[
    str,
    Field(pattern=f"^{IMAGE_ID}$", min_length=IMAGE_ID_LENGTH, max_length=IMAGE_ID_LENGTH),
]
MOST_POLYGONS = 1000
"""Of what is searched, or left out."""

Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Pixel: TypeAlias = Annotated[float, Field(ge=-FARTHEST_PX, le=FARTHEST_PX, allow_inf_nan=False)]
Polygons: TypeAlias = Annotated[
    list[Annotated[list[tuple[Pixel, Pixel]], Field(min_length=3, max_length=MOST_CORNERS)]],
    Field(min_length=1, max_length=MOST_POLYGONS),
]
"""Corners x, y of each, level-0 px, not closed."""
RunId: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]
Sentence: TypeAlias = Annotated[str, AfterValidator(without_folders)]
"""Tells a person something; never where files lie on the server."""
NamesIfAny: TypeAlias = Annotated[tuple[str, ...], Field(exclude_if=lambda names: not names)]
"""Not sent where there are none: clients of before know no such field."""
UmIfKnown: TypeAlias = Annotated[Number | None, Field(ge=0, exclude_if=lambda um: um is None)]
"""Likewise."""
MppField: TypeAlias = Annotated[float, Field(ge=0.02, le=20.0, allow_inf_nan=False)]
