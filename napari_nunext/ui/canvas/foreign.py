"""What a layer that is not ours holds, in the review's words."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pint

from napari_nunext.ui.samples import SOURCE_KEY

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

OWN_READERS = ("napari", "builtins")
"""How napari calls the reader that it brings along, now and before."""
CHANNEL_LABELS = ("c", "channel", "channels")
PIXEL = "pixel"
UM = "um"


@dataclass(frozen=True, eq=False)
class Picture:
    """An image layer of somebody else's.

    Attributes
    ----------
    layer : Image
    path : Path or None
        The file that it shows, where napari itself has read it, or we; None where it was made
        otherwise, so that the file may show something else.
    mpp : float or None
        Micrometres per pixel, where the layer said so when it came.
    """

    layer: Image
    path: Path | None
    mpp: float | None

    @classmethod
    def of(cls, layer: Image) -> Picture:
        """The picture on a layer."""
        ours = layer.metadata.get(SOURCE_KEY)
        if ours is not None:
            return cls(layer, Path(ours), _mpp_of(layer))
        source = layer.source
        read = source.path is not None and source.reader_plugin in OWN_READERS
        path = Path(source.path).absolute() if read else None
        return cls(layer, path, _mpp_of(layer))

    @property
    def planes(self) -> int:
        """How many images lie in it; a plane for each of red, green and blue makes one."""
        sizes = self._data.shape[:-3] if self.layer.rgb else self._data.shape[:-2]
        return 1 if self._is_planar else prod(sizes)

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self._data.shape[-3:-1] if self.layer.rgb else self._data.shape[-2:]
        return int(height), int(width)

    def plane(self, step: tuple[int, ...]) -> NDArray[Any]:
        """The image that is shown when the sliders stand there: (H, W), or colours behind it.

        Parameters
        ----------
        step : tuple of int
            Position on each axis of the viewer; the last ones are the layer's.
        """
        data = self._data
        if self._is_planar:
            return np.moveaxis(np.asarray(data), 0, -1)
        leading = data.ndim - (3 if self.layer.rgb else 2)
        on_layer = step[len(step) - leading - 2 : len(step) - 2] if leading else ()
        here = tuple(
            min(max(i, 0), size - 1) for i, size in zip(on_layer, data.shape, strict=False)
        )
        return np.asarray(data[here])

    @property
    def _is_planar(self) -> bool:
        """Whether its first axis is colours: it is called so, or has three planes of bytes."""
        data = self._data
        if self.layer.rgb or data.ndim != 3 or data.shape[0] not in (3, 4):
            return False
        if str(self.layer.axis_labels[0]).lower() in CHANNEL_LABELS:
            return True
        return bool(data.shape[0] == 3 and data.dtype == np.uint8)

    @property
    def _data(self) -> Any:
        return self.layer.data[0] if self.layer.multiscale else self.layer.data


def _mpp_of(layer: Image) -> float | None:
    """Micrometres per pixel, where the layer says so."""
    units = [pint.Quantity(1, str(unit)) for unit in layer.units[-2:]]
    if not all(unit.check("[length]") for unit in units):
        return None
    rows, columns = (
        float(unit.to(UM).magnitude * scale)
        for unit, scale in zip(units, layer.scale[-2:], strict=True)
    )
    return columns if np.isclose(rows, columns, rtol=0.01) else None


def agree_on_units(layer: Layer) -> None:
    """Count a layer's pixels as um where nobody has said how large they are.

    It lies where it lay: napari draws layers that disagree in their units as if they had none. But
    then it warns, and the scale bar of ours loses its unit.
    """
    units = [str(unit) for unit in layer.units]
    if PIXEL in units[-2:]:
        layer.units = (*units[:-2], *(UM if unit == PIXEL else unit for unit in units[-2:]))
