"""A vision-language model in memory, with the processor that belongs to it.

Nothing here reaches the network, nothing but safetensors is read, and no code that a folder brings
is run.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    ProcessorMixin,
)
from transformers.generation import LogitsProcessor

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.answerers.answerer import Ended, Said
from napari_nunext.models.answerers.stepwise import Words, one_by_one
from napari_nunext.models.checkpoints.integrity import (
    check_adapter_files,
    check_weight_files,
    read_json,
)
from napari_nunext.models.checkpoints.loading import (
    decoding_dtype,
    load_weights,
    without_progress_bars,
    without_renaming_warnings,
)
from napari_nunext.models.devices import choose_device, named_dtype
from napari_nunext.models.families import get_family, is_family
from napari_nunext.models.next_point.sampling import Draw, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from transformers import BatchFeature, PreTrainedModel

    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.core.process.precision import Precision
    from napari_nunext.models.answerers.answerer import AnswerSampling, Finish


def load_answerer(place: AnswererFolder, precision: Precision = "auto") -> LoadedAnswerer:
    """Bring the model of a folder into memory.

    Raises
    ------
    CheckpointError
        If it is no vision-language model, needs code of its own, or does not hold together.
    """
    folder = place.folder
    check_weight_files(folder)
    processor = _processor(folder)
    device = choose_device()
    dtype = named_dtype(precision) or decoding_dtype(folder, device)
    model = load_weights(AutoModelForImageTextToText, folder, device=device, dtype=dtype)
    if place.adapter is not None:
        # Apart, additions make a small model half as slow again.
        model = _add(place.adapter, model).merge_and_unload().eval()
    # Not merged: the performer is to stay as it is, bit for bit, and its additions are switched off
    # while it answers.
    additions = None if place.allocator is None else _add(place.allocator, model)
    ends = _ends(model, processor)
    # By the temperature alone: a folder's penalties and cuts would be part of how an answer came
    # about, and are not among what is kept with it.
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=list(ends) or None, pad_token_id=ends[0] if ends else None
    )
    image_id = _image_id(model, processor, folder.name)
    if additions is not None:
        additions.base_model.disable_adapter_layers()
    return LoadedAnswerer(model, processor, ends, image_id, additions)


def save_answerer(folder: Path, model: PreTrainedModel, processor: ProcessorMixin) -> None:
    """Write a folder that `load_answerer` and the Auto classes read."""
    with without_progress_bars():
        model.save_pretrained(folder)
    kind = str(model.config.model_type)
    if is_family(kind):
        get_family(kind).save_processor(processor, folder)
    else:
        processor.save_pretrained(folder)


def _processor(folder: Path) -> ProcessorMixin:
    """What turns pictures and words into the model's inputs."""
    kind = str(read_json(folder / "config.json").get("model_type"))
    from_here = {"local_files_only": True, "trust_remote_code": False}
    try:
        if is_family(kind):  # these need no torchvision
            family = get_family(kind)
            family.register()
            return family.load_processor(folder)
        if kind not in CONFIG_MAPPING:
            raise CheckpointError(
                f"{folder.name} is a {kind}, which transformers does not know; code that a folder "
                "brings is not run. Serve it with a server that knows it, and give its address."
            )
        config = AutoConfig.from_pretrained(folder, **from_here)
        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
            raise CheckpointError(
                f"{folder.name} is a {kind}, which does not answer questions about pictures in "
                "words. Name the folder of a vision-language model."
            )
        processor = AutoProcessor.from_pretrained(folder, **from_here)
        if not isinstance(processor, ProcessorMixin):  # a tokenizer, where there is nothing else
            raise ValueError("it has no processor for pictures")
        return processor
    except CheckpointError:
        raise
    except Exception as error:  # of many libraries, each with its own
        raise CheckpointError(
            f"{folder.name}, a {kind}, cannot be used here ({_beginning(error, folder)}). Copy the "
            "folder again, or serve it with vLLM and give its address."
        ) from error


def _add(adapter: Path, model: PreTrainedModel) -> Any:
    """The model with the additions that PEFT saved, as PEFT's own model around it.

    By PEFT itself: transformers' own loading leaves the output layer as it was where the rows of
    tokens that it shares with the embedding were trained.
    """
    check_adapter_files(adapter)
    try:
        from peft import PeftConfig, PeftModel

        with without_progress_bars(), without_renaming_warnings():
            config = PeftConfig.from_pretrained(str(adapter))
            wrapped = PeftModel(model, config)
            report = wrapped.load_adapter(str(adapter), "default", use_safetensors=True)
    except Exception as error:
        raise CheckpointError(
            f"The adapter {adapter.name} cannot be put on the model ({_beginning(error, adapter)})."
            " It takes peft (pip install peft), and the model that it was trained on."
        ) from error
    if report.missing_keys or report.unexpected_keys:
        raise CheckpointError(
            f"The adapter {adapter.name} does not fit its model. Name the one that it was trained "
            "on."
        )
    return wrapped.eval()


def _beginning(error: BaseException, folder: Path) -> str:
    """The first line of an error, without the place of a folder."""
    said = str(error).replace(str(folder), folder.name).strip()
    return next(iter(said.splitlines()), type(error).__name__)[:200]


def _ends(model: PreTrainedModel, processor: ProcessorMixin) -> tuple[int, ...]:
    """Tokens that end a reply: those that the model states, and its tokenizer's."""
    stated: Any = model.generation_config.eos_token_id
    every = [*(stated if isinstance(stated, list) else [stated]), processor.tokenizer.eos_token_id]
    return tuple(dict.fromkeys(end for end in every if end is not None))


def _image_id(model: PreTrainedModel, processor: ProcessorMixin, name: str) -> int | None:
    """The token that stands for a piece of the picture; None where the model does not say."""
    stated = (getattr(model.config, each, None) for each in ("image_token_id", "image_token_index"))
    image_id = next((each for each in stated if each is not None), None)
    known = getattr(processor, "image_token_id", image_id)
    if image_id != known:
        raise CheckpointError(
            f"The tokenizer of {name} has the token of pictures at {known}, its model at "
            f"{image_id}. Copy the whole folder again."
        )
    return image_id


@dataclass(frozen=True, eq=False, slots=True)
class LoadedAnswerer:
    """A model that can be asked. For the models' thread."""

    model: PreTrainedModel
    processor: ProcessorMixin
    ends: tuple[int, ...]
    """Tokens that end a reply."""
    image_id: int | None
    """The token that stands for a piece of the picture; None where the model does not say."""
    additions: Any = None
    """PEFT's model around `model` with an allocator's additions, which are switched off."""

    @contextmanager
    def allocating(self) -> Iterator[None]:
        """Within it, the model is the allocator.

        Raises
        ------
        InputError
            If there are no additions of an allocator.
        """
        if self.additions is None:
            raise InputError("The answerer has no allocator. Name its folder as allocator=.")
        layers = self.additions.base_model
        layers.enable_adapter_layers()
        try:
            yield
        finally:
            layers.disable_adapter_layers()

    def answer(
        self,
        rgb: NDArray[np.uint8],
        prompt: str,
        system: str,
        sampling: AnswerSampling,
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[Said | Ended | None]:
        """Answer, token by token; see `Answerer.answer`.

        Raises
        ------
        InputError
            If picture and words leave the model no room to answer.
        """
        inputs = self.read(rgb, prompt, system)
        ids = inputs["input_ids"]
        most = min(sampling.max_tokens, self.room(ids.shape[1]))
        words = Words(self.text)
        said, last = 0, None
        finish: Finish = "cancelled"
        with closing(self._reply(inputs, sampling, most)) as reply:
            while not cancelled():
                token = next(reply, None)
                if token is None:
                    finish = "stop" if last in self.ends else "length"
                    break
                said, last = said + 1, token
                text = words.take(token)
                yield Said(text) if text else None
        if rest := words.rest():
            yield Said(rest)
        seen = None if self.image_id is None else int((ids == self.image_id).sum())
        yield Ended(finish, ids.shape[1], said, seen)

    def read(
        self, rgb: NDArray[np.uint8], prompt: str, system: str, reply: str = ""
    ) -> BatchFeature:
        """The model's inputs; the picture as it is, where its processor takes any size.

        With a `reply`, it stands behind them as the model's own.
        """
        picture = {"type": "image", "image": Image.fromarray(rgb)}
        messages: Any = [
            {"role": "system", "content": [{"type": "text", "text": system}]},
            {"role": "user", "content": [picture, {"type": "text", "text": prompt}]},
        ]
        if reply:
            said = [{"type": "text", "text": reply}]
            messages.append({"role": "assistant", "content": said})
        inputs: Any = self.processor.apply_chat_template(
            messages,
            add_generation_prompt=not reply,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=True,  # words of a question, whatever they look like
            processor_kwargs={"images_kwargs": self._as_it_is(*rgb.shape[:2])},
        )
        moved: BatchFeature = inputs.to(self.model.device, dtype=self.model.dtype)
        return moved

    def text(self, ids: list[int]) -> str:
        """What tokens say, those that end a reply left out."""
        text: str = self.processor.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _as_it_is(self, height_px: int, width_px: int) -> dict[str, bool]:
        """Options for a processor of images that cuts any size into whole tokens.

        Others have a size of their own, and resize to it.
        """
        images: Any = self.processor.image_processor
        patch, merge = (getattr(images, name, None) for name in ("patch_size", "merge_size"))
        if not (isinstance(patch, int) and isinstance(merge, int)):
            return {}
        whole = height_px % (patch * merge) == width_px % (patch * merge) == 0
        return {"do_resize": False} if whole else {}

    def room(self, prompt_tokens: int) -> int:
        """How many tokens a reply may have."""
        most: int | None = getattr(
            self.model.config.get_text_config(), "max_position_embeddings", None
        )
        if most is None:
            return sys.maxsize
        if prompt_tokens >= most:
            raise InputError(
                f"The picture and the question take {prompt_tokens} tokens, and the model reads "
                f"{most}. Allow fewer image tokens."
            )
        return most - prompt_tokens

    def _reply(
        self, inputs: BatchFeature, sampling: AnswerSampling, most: int
    ) -> Generator[int, None, None]:
        """Tokens of a reply, the one that ends it among them."""
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed
        is_drawn = sampling.temperature > 0
        drawn = [Drawn(Sampling(sampling.temperature, [seed]))] if is_drawn else []
        model: Any = self.model
        return one_by_one(
            lambda streamer: model.generate(
                **inputs, max_new_tokens=most, logits_processor=drawn, streamer=streamer
            )
        )


class Drawn(LogitsProcessor):
    """Leaves one token, drawn from all: ``generate`` itself draws from the whole process's luck.

    Parameters
    ----------
    sampling : Sampling
    never : sequence of int
        Tokens that are not drawn.
    """

    def __init__(self, sampling: Sampling, never: Sequence[int] = ()) -> None:
        self._draw, self._never = Draw(sampling), list(never)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of every reply, shape (replies, vocabulary)."""
        del input_ids
        scores[:, self._never] = -torch.inf
        drawn = self._draw(scores, torch.arange(len(scores))).to(scores.device)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn[:, None], 0.0)
