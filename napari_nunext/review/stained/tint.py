"""Colours of nuclei by their stain, in the place of those of their categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.uids import Uids
    from napari_nunext.review.stained.counted import CountedStain

COLORS = {POSITIVE: (240, 228, 66), NEGATIVE: (86, 180, 233)}
"""Yellow reads on brown and sky blue on blue; both are of Okabe and Ito."""
NOT_COUNTED = (160, 160, 160)
"""Grey: rejected, left out, or not measured yet."""
_RGB = (COLORS[NEGATIVE], COLORS[POSITIVE], NOT_COUNTED)
_PALETTE = np.array(_RGB, dtype=np.float32) / np.float32(255)


@dataclass(frozen=True, eq=False)
class Tint:
    """Nuclei that count, and from which density on they are positive."""

    counted: CountedStain
    cut_off: float

    def colors(self, uids: Uids) -> NDArray[np.float32]:
        """RGB in 0..1 of nuclei by their uids, shape (N, 3)."""
        od = self.counted.densities_of(uids)
        code = np.where(np.isnan(od), 2, od >= self.cut_off).astype(np.intp)
        colors: NDArray[np.float32] = _PALETTE[code]
        return colors
