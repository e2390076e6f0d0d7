"""The Qwen-VL families: Qwen2.5-VL, the paper's base, and Qwen3-VL.

Their own processors demand a video processor, and that torchvision, which is not published beside a
CPU-only torch. Here the processor knows images alone and prepares them with Pillow, on every
machine alike; what it saves still names the standard classes, for vLLM.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedModel, ProcessorMixin

    from napari_nunext.models.families.base import ModelSize
    from napari_nunext.models.families.prompt import Prompt

IMAGE_TOKEN = "<|image_pad|>"
VIDEO_TOKEN = "<|video_pad|>"
VISION_START_TOKEN = "<|vision_start|>"
VISION_END_TOKEN = "<|vision_end|>"
END_TOKEN = "<|im_end|>"
PAD_TOKEN = "<|endoftext|>"

SPECIAL_TOKENS = (
    PAD_TOKEN,
    "<|im_start|>",
    END_TOKEN,
    VISION_START_TOKEN,
    VISION_END_TOKEN,
    "<|vision_pad|>",
    IMAGE_TOKEN,
    VIDEO_TOKEN,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's turns, without its default system message: a small model has no use for one."""

_IMAGE = 1
"""Kind of an image's token, as the processor numbers them."""

_ROPE_THETA = 1e6
_MLP_RATIO = 2
_MAX_POSITIONS = 4096


class QwenVL(ABC):
    """What Qwen2.5-VL and Qwen3-VL share."""

    name: ClassVar[str]
    _class_prefix: ClassVar[str]
    _video_class_prefix: ClassVar[str]
    _image_mean: ClassVar[tuple[float, float, float]]
    _image_std: ClassVar[tuple[float, float, float]]
    _temporal_patch: ClassVar[int] = 2
    """Frames to a patch; a still image is repeated."""
    vision_path = "model.visual"
    layers_path = "model.language_model.layers"

    def register(self) -> None:  # noqa: B027 - transformers knows these families
        """See `Family.register`."""

    def config(
        self, size: ModelSize, *, window_px: int, vocab_size: int, ids: Mapping[str, int]
    ) -> PreTrainedConfig:
        """See `Family.config`."""
        from transformers import AutoConfig

        vision = {
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "intermediate_size": size.vision_width * _MLP_RATIO,
            "num_heads": size.vision_heads,
            "out_hidden_size": size.width,
            "patch_size": size.patch_px,
            "spatial_merge_size": size.merge,
            "temporal_patch_size": self._temporal_patch,
            **self._vision_config(size, window_px),
        }
        text = {
            "hidden_size": size.width,
            "intermediate_size": size.width * _MLP_RATIO,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.kv_heads,
            "vocab_size": vocab_size,
            "max_position_embeddings": _MAX_POSITIONS,
            "bos_token_id": None,
            "eos_token_id": ids[END_TOKEN],
            "pad_token_id": ids[PAD_TOKEN],
            **self._text_config(size.width // size.heads),
        }
        return AutoConfig.for_model(
            self.name,
            vision_config=vision,
            text_config=text,
            tie_word_embeddings=True,
            image_token_id=ids[IMAGE_TOKEN],
            video_token_id=ids[VIDEO_TOKEN],
            vision_start_token_id=ids[VISION_START_TOKEN],
            vision_end_token_id=ids[VISION_END_TOKEN],
        )

    @abstractmethod
    def _vision_config(self, size: ModelSize, window_px: int) -> dict[str, Any]:
        """What only this family's vision tower has."""

    @abstractmethod
    def _text_config(self, head_dim: int) -> dict[str, Any]:
        """What only this family's language model has."""

    def token_px(self, config: PreTrainedConfig) -> int:
        """See `Family.token_px`."""
        return int(config.vision_config.patch_size * config.vision_config.spatial_merge_size)

    def new_processor(
        self, tokenizer: Any, *, patch_px: int, merge: int, chat_template: str
    ) -> ProcessorMixin:
        """See `Family.new_processor`."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        images = Qwen2VLImageProcessorPil(
            patch_size=patch_px,
            merge_size=merge,
            temporal_patch_size=self._temporal_patch,
            image_mean=list(self._image_mean),
            image_std=list(self._image_std),
        )
        return self._processor_class()(images, tokenizer, chat_template)

    def load_processor(self, folder: Path) -> ProcessorMixin:
        """See `Family.load_processor`."""
        from transformers import AutoTokenizer
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
            Qwen2VLImageProcessorPil,
        )

        images = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return self._processor_class()(images, tokenizer, _chat_template(folder))

    def _processor_class(self) -> Any:
        """The class of processors made and loaded here, which know images alone."""
        return image_only_class(self._class_prefix)

    def _saved_class(self) -> str:
        """The class that a saved processor names, for readers that are not ours."""
        return f"{self._class_prefix}Processor"

    def save_processor(self, processor: ProcessorMixin, folder: Path) -> None:
        """See `Family.save_processor`."""
        processor.save_pretrained(folder)
        path = folder / "processor_config.json"
        data = json.loads(path.read_text(encoding="utf-8"))
        images = data["image_processor"]
        images["image_processor_type"] = "Qwen2VLImageProcessor"
        images.pop("processor_class", None)
        shared = ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std")
        video = {key: images[key] for key in (*shared, "size")}
        video["video_processor_type"] = f"{self._video_class_prefix}VideoProcessor"
        data |= {"processor_class": self._saved_class(), "video_processor": video}
        _write_json(path, data)
        tokenizer = folder / "tokenizer_config.json"
        named = json.loads(tokenizer.read_text(encoding="utf-8"))
        _write_json(tokenizer, named | {"processor_class": data["processor_class"]})
        # Readers from before transformers 5 look for the parts in files of their own.
        _write_json(folder / "preprocessor_config.json", images)
        _write_json(folder / "video_preprocessor_config.json", video)

    def prompt(
        self, processor: ProcessorMixin, instruction: str, window: NDArray[np.uint8]
    ) -> Prompt:
        """See `Family.prompt`."""
        from napari_nunext.models.families.prompt import Prompt

        content: Any = [{"type": "image"}, {"type": "text", "text": instruction}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        read: Any = processor(text=[text], images=[window], return_tensors="pt")
        return Prompt(
            self,
            ids=read["input_ids"],
            mask=read["attention_mask"],
            is_image=read["mm_token_type_ids"][0] == _IMAGE,
            images=self.images(processor, [window]),
        )

    def images(
        self, processor: ProcessorMixin, windows: Sequence[NDArray[np.uint8]]
    ) -> Mapping[str, torch.Tensor]:
        """See `Family.images`."""
        made = processor.image_processor(list(windows), return_tensors="pt")
        patches = made["pixel_values"]
        return {
            "patches": patches.reshape(len(windows), -1, patches.shape[-1]),
            "grid": made["image_grid_thw"],
        }

    def inputs(self, prompt: Prompt) -> dict[str, torch.Tensor]:
        """See `Family.inputs`: patches of all windows in one row."""
        return {
            "mm_token_type_ids": (prompt.is_image.to(prompt.ids.dtype) * _IMAGE).expand_as(
                prompt.ids
            ),
            "pixel_values": prompt.images["patches"].flatten(0, 1),
            "image_grid_thw": prompt.images["grid"],
        }

    def position_ids(self, model: PreTrainedModel, prompt: Prompt) -> torch.Tensor:
        """See `Family.position_ids`."""
        named = {name: prompt[name] for name in ("mm_token_type_ids", "image_grid_thw")}
        positions: torch.Tensor = model.model.get_rope_index(prompt.ids, **named)[0]
        return positions


class Qwen25VL(QwenVL):
    """Qwen2.5-VL: windowed attention in the vision tower, biases in the language model."""

    name = "qwen2_5_vl"
    _class_prefix = "Qwen2_5_VL"
    _video_class_prefix = "Qwen2VL"
    _image_mean = (0.48145466, 0.4578275, 0.40821073)  # CLIP's, as published
    _image_std = (0.26862954, 0.26130258, 0.27577711)

    def _vision_config(self, size: ModelSize, window_px: int) -> dict[str, Any]:
        # A small window is one attention window, so that every layer sees all of it.
        return {
            "window_size": window_px,
            "fullatt_block_indexes": list(range(size.vision_layers)),
        }

    def _text_config(self, head_dim: int) -> dict[str, Any]:
        return {"rope_parameters": _rope(head_dim)}


class Qwen3VL(QwenVL):
    """Qwen3-VL: learned positions and deep-stacked features in the vision tower."""

    name = "qwen3_vl"
    _class_prefix = "Qwen3VL"
    _video_class_prefix = "Qwen3VL"
    _image_mean = (0.5, 0.5, 0.5)
    _image_std = (0.5, 0.5, 0.5)

    def _vision_config(self, size: ModelSize, window_px: int) -> dict[str, Any]:
        # Features of the middle layer reach the first language layer, as in the published sizes.
        return {
            "num_position_embeddings": (window_px // size.patch_px) ** 2,
            "deepstack_visual_indexes": [size.vision_layers // 2],
        }

    def _text_config(self, head_dim: int) -> dict[str, Any]:
        return {
            "head_dim": head_dim,
            "rope_parameters": _rope(head_dim) | {"mrope_interleaved": True},
        }


def _rope(head_dim: int) -> dict[str, Any]:
    """Rotary embedding in three parts (frame, row, column) of 1/4, 3/8 and 3/8, as published."""
    half = head_dim // 2
    return {
        "rope_type": "default",
        "rope_theta": _ROPE_THETA,
        "mrope_section": [half // 4, half * 3 // 8, half * 3 // 8],
    }


@cache
def image_only_class(prefix: str) -> Any:
    """The family's processor without its video slot.

    ProcessorMixin takes its parts from the signature of ``__init__``, so leaving the video
    processor out there is what leaves it out.
    """
    import transformers
    from transformers import ProcessorMixin

    base = getattr(transformers, f"{prefix}Processor")

    def __init__(
        self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
    ) -> None:
        for attribute, token in (
            ("image_token", IMAGE_TOKEN),
            ("video_token", VIDEO_TOKEN),
            ("vision_start_token", VISION_START_TOKEN),
            ("vision_end_token", VISION_END_TOKEN),
        ):
            setattr(self, attribute, token)
            setattr(self, f"{attribute}_id", tokenizer.convert_tokens_to_ids(token))
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    return type(f"ImageOnly{prefix}Processor", (base,), {"__init__": __init__})


def _chat_template(folder: Path) -> str:
    """Chat template of a checkpoint, from whichever file holds it; `CHAT_TEMPLATE` without one."""
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json", "processor_config.json"):
        path = folder / name
        if path.is_file():
            template = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
            if isinstance(template, str):
                return template
    return CHAT_TEMPLATE


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
