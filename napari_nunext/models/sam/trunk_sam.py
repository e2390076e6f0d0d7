"""A SAM that sees by a trunk trained on photographs, and draws finer than its tokens.

EfficientNet-Lite0's stages of strides 8 and 16 are added to SAM's patches; those of strides 2 and 4
to what the mask decoder has brought up to these strides, as in SAM 2 (Ravi et al., 2024). The rest
is transformers' SAM under its own names, so a SAM that has learned goes on with a trunk from where
it is. **Ours**; registered with the Auto classes when this module is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForMaskGeneration, SamConfig, SamModel
from transformers.models.sam.modeling_sam import (
    SamMaskDecoder,
    SamVisionEncoder,
    SamVisionEncoderOutput,
)

from napari_nunext.models.families.trunk import (
    STAGES,
    PublishedStages,
    Tap,
    in_float32_where_trained,
    on_grid_of,
)

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import SamVisionConfig

PATCH_PX = 8
"""Side of a patch: tokens are made of strides 8 and 16."""

_READ = _FINEST, _FINE, _TOKENS, _COARSE = 0, 1, 2, 4
"""Stages whose ends are read: of strides 2, 4, 8 and 16."""


class TrunkSamConfig(SamConfig):
    """Configuration of `TrunkSamModel`: SAM's, with patches of `PATCH_PX`."""

    model_type = "trunk_sam"


class SamTrunk(PublishedStages):
    """The first five stages of the trunk, as a SAM reads them.

    Parameters
    ----------
    token_width : int
        Of the encoder's tokens.
    channels : int
        Of the decoder; a quarter of them has stride 4, an eighth stride 2.
    """

    def __init__(self, token_width: int, channels: int) -> None:
        super().__init__(_COARSE)
        self.finest = Tap(STAGES[_FINEST].width, channels // 8)
        self.fine = Tap(STAGES[_FINE].width, channels // 4)
        self.tokens = Tap(STAGES[_TOKENS].width, token_width)
        self.coarse = Tap(STAGES[_COARSE].width, token_width)

    def taps(self) -> tuple[Tap, ...]:
        """What reads the stages, the finest first."""
        return self.finest, self.fine, self.tokens, self.coarse

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, and what the decoder adds at strides 4 and 2.

        Parameters
        ----------
        images : Tensor, shape (B, 3, H, W)

        Returns
        -------
        tuple of Tensor
            Shapes (B, H / 8, W / 8, token_width), (B, channels / 4, H / 4, W / 4) and
            (B, channels / 8, H / 2, W / 2).
        """
        with in_float32_where_trained(images):
            ends = self.ends(images.contiguous(memory_format=torch.channels_last), _READ)
            finest, fine, middle, coarse = ends
            tokens = self.tokens(middle)
            tokens = tokens + on_grid_of(tokens, self.coarse(coarse))
            return tokens, _channels_first(self.fine(fine)), _channels_first(self.finest(finest))


class TrunkSamEncoder(SamVisionEncoder):
    """SAM's image encoder, whose tokens are patches and what the trunk makes of them.

    What the decoder adds at finer strides goes along in further channels, folded to the tokens'
    grid: an embedding stays one tensor, which is cached, repeated and passed on as any SAM's.
    """

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__(config)
        self.trunk = SamTrunk(config.hidden_size, config.output_channels)

    def forward(self, pixel_values: Tensor | None = None, **kwargs: Any) -> SamVisionEncoderOutput:
        """Embedding of windows, shape (B, 4 * output_channels, grid, grid)."""
        assert pixel_values is not None
        tokens, fine, finest = self.trunk(pixel_values)
        hidden = self.patch_embed(pixel_values) + tokens + self.pos_embed
        for layer in self.layers:
            hidden = layer(hidden)
        folded = functional.pixel_unshuffle(fine, 2), functional.pixel_unshuffle(finest, 4)
        return SamVisionEncoderOutput(last_hidden_state=torch.cat([self.neck(hidden), *folded], 1))


class TrunkSamDecoder(SamMaskDecoder):
    """SAM's mask decoder, which adds the trunk's finer features to what it brings up."""

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As SAM's, of embeddings that `TrunkSamEncoder` makes."""
        width = self.hidden_size
        coarse, fine, finest = image_embeddings.split([width, width, 2 * width], dim=1)
        batch, prompts = sparse_prompt_embeddings.shape[:2]
        tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([tokens.expand(batch, prompts, -1, -1), sparse_prompt_embeddings], dim=2)
        tokens, seen = self.transformer(
            point_embeddings=tokens,
            image_embeddings=(coarse + dense_prompt_embeddings).repeat_interleave(prompts, 0),
            image_positional_embeddings=image_positional_embeddings.repeat_interleave(prompts, 0),
            attention_similarity=attention_similarity,
            target_embedding=target_embedding,
        )
        seen = seen.transpose(2, 3).reshape(batch * prompts, width, *coarse.shape[2:])
        raised = _added(self.upscale_conv1(seen), functional.pixel_shuffle(fine, 2))
        raised = self.activation(self.upscale_layer_norm(raised))
        raised = _added(self.upscale_conv2(raised), functional.pixel_shuffle(finest, 4))
        raised = self.activation(raised).unflatten(0, (batch, prompts))
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        heads = list(enumerate(self.output_hypernetworks_mlps))[chosen]
        kernels = torch.stack([head(tokens[:, :, 1 + i]) for i, head in heads], dim=2)
        masks = torch.einsum("bpkc,bpchw->bpkhw", kernels, raised)
        return masks, self.iou_prediction_head(tokens[:, :, 0])[:, :, chosen]


class TrunkSamModel(SamModel):
    """transformers' SAM with a trunk; see the module."""

    config_class = TrunkSamConfig

    def __init__(self, config: TrunkSamConfig) -> None:
        super().__init__(config)
        vision: Any = config.vision_config
        decoder: Any = config.mask_decoder_config
        self.vision_encoder = TrunkSamEncoder(vision)
        self.mask_decoder = TrunkSamDecoder(decoder)
        self.post_init()


def _added(raised: Tensor, finer: Tensor) -> Tensor:
    """Features of each prompt, shape (B * P, ...), and those of its image, shape (B, ...)."""
    return (raised.unflatten(0, (len(finer), -1)) + finer[:, None]).flatten(0, 1)


def _channels_first(features: Tensor) -> Tensor:
    return features.permute(0, 3, 1, 2)


AnySam = AutoModelForMaskGeneration
"""Reads SAMs with and without a trunk; for `napari_nunext.models.checkpoints.loading`."""

AutoConfig.register(TrunkSamConfig.model_type, TrunkSamConfig)
AutoModelForMaskGeneration.register(TrunkSamConfig, TrunkSamModel)
