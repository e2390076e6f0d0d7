"""What the server, the review and the training need of an image, whatever holds its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box


class ImageSource(Protocol):
    """An image that gives windows of itself at any scale."""

    @property
    def width_px(self) -> int:
        """Extent along x, level-0 px."""
        ...

    @property
    def height_px(self) -> int:
        """Extent along y, level-0 px."""
        ...

    @property
    def mpp(self) -> float | None:
        """Micrometres per level-0 pixel; None where nobody has said."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the content, hex: the same for a renamed or losslessly re-encoded copy."""
        ...

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        """Pixels of `box` (level-0 px) resampled to ``(out_px, out_px, 3)``, white outside."""
        ...
