"""Qwen2.5-VL with a convolutional vision tower: small checkpoints trained from nothing."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.families.qwen_vl import Qwen25VL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedConfig

    from napari_nunext.models.families.base import ModelSize

_MLP_RATIO = 4
_INITIALIZER_RANGE = 0.04
"""About half the inverse square root of the width, as the large models have of theirs."""


class ConvQwen(Qwen25VL):
    """Qwen2.5-VL's language model behind convolutions. **Ours**."""

    name = "conv_qwen"
    _temporal_patch = 1
    _image_mean = (0.7, 0.7, 0.7)  # about an H&E tile's
    _image_std = (0.25, 0.25, 0.25)

    def register(self) -> None:
        """See `Family.register`."""
        importlib.import_module("napari_nunext.models.families.conv_qwen_processor")

    def config(
        self, size: ModelSize, *, window_px: int, vocab_size: int, ids: Mapping[str, int]
    ) -> PreTrainedConfig:
        """See `Family.config`."""
        from napari_nunext.models.families.conv_qwen_model import TOKEN_PX

        if (size.patch_px, size.merge) != (TOKEN_PX, 1):
            raise CheckpointError(
                f"Patches of {size.patch_px} px, {size.merge} x {size.merge} to a token; the "
                f"convolutions make tokens of {TOKEN_PX} px: expected patch_px={TOKEN_PX}, merge=1."
            )
        return super().config(size, window_px=window_px, vocab_size=vocab_size, ids=ids)

    def _processor_class(self) -> Any:
        from napari_nunext.models.families.conv_qwen_processor import ConvQwenProcessor

        return ConvQwenProcessor

    def _saved_class(self) -> str:
        return str(self._processor_class().__name__)

    def _vision_config(self, size: ModelSize, window_px: int) -> dict[str, Any]:
        return {
            "intermediate_size": size.vision_width * _MLP_RATIO,
            "grid": window_px // size.patch_px,
        }

    def _text_config(self, head_dim: int) -> dict[str, Any]:
        return super()._text_config(head_dim) | {"initializer_range": _INITIALIZER_RANGE}
