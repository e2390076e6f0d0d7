"""What the papers leave open or offer, by name: words of recipes and of what they steer."""

from __future__ import annotations

from typing import Literal, TypeAlias

Supervision: TypeAlias = Literal["naive", "soft"]
"""The next-token loss (NuNext, Eq. 2), or the spatial-aware one (Eq. 7-8)."""

SoftmaxOver: TypeAlias = Literal["vocabulary", "bins"]
"""What the probabilities of a coordinate are taken over; the paper leaves it open."""

Foreground: TypeAlias = Literal["masks", "discs"]
"""What counts as nucleus: true masks, or discs around the centroids."""

Teacher: TypeAlias = Literal["model", "truth"]
"""Who teaches the head of atomic points."""
