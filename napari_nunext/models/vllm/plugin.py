"""What vLLM loads: ``--logits-processors napari_nunext.models.vllm.plugin:PointGrammar``.

Runs in vLLM's processes. Requests that name `POINTS` among their ``vllm_xargs`` get replies that
follow the codec of the checkpoint's ``nunext.json``; all others are left alone.

This is the interface of vLLM's first model runner. Its second one has another, which cannot be
tried without a GPU, so `napari_nunext.models.vllm.launch` asks for the first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vllm.v1.sample.logits_processor import LogitsProcessor, process_dict_updates

from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.vllm.grammar import Grammar, Row
from napari_nunext.models.vllm.names import COORDINATES, LOGPROBS_MODE, POINTS, SPREAD

if TYPE_CHECKING:
    import torch
    from vllm import SamplingParams
    from vllm.config import VllmConfig
    from vllm.v1.sample.logits_processor import BatchUpdate

_GREEDY_BELOW = 1e-5
"""vLLM's own threshold of temperature."""


class _Reply:
    """A request under way."""

    def __init__(self, params: SamplingParams, said: list[int]) -> None:
        self._greedy = params.temperature < _GREEDY_BELOW
        asked = params.extra_args or {}
        self._radius_bins, self._spread_radius_bins = int(asked[POINTS]), int(asked.get(SPREAD, 0))
        self._temperatures = params.temperature, float(asked.get(COORDINATES, 1.0))
        self._said = said
        """vLLM's own list, which grows."""

    def row(self) -> Row:
        """What is to be done at this step."""
        radii = self._radius_bins, self._spread_radius_bins
        return Row(len(self._said), self._greedy, *radii, *self._temperatures)


class PointGrammar(LogitsProcessor):
    """Holds replies to the grammar of points; see `Grammar`.

    Raises
    ------
    ValueError
        If the model is not a checkpoint with a codec, or vLLM would report other figures than the
        logits that this leaves.
    """

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        model = vllm_config.model_config
        if model.logprobs_mode != LOGPROBS_MODE:
            raise ValueError(
                f"vLLM reports {model.logprobs_mode}, which say nothing of how sure a point is. "
                f"Start it with --logprobs-mode {LOGPROBS_MODE}."
            )
        self._grammar = Grammar(read_description(Path(model.model)).codec, device)
        self._replies: dict[int, _Reply] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse, when it arrives, a request that could not be followed."""
        for name in (POINTS, SPREAD):
            radius = (sampling_params.extra_args or {}).get(name)
            if radius is not None and (not isinstance(radius, int) or radius < 1):
                raise ValueError(f"{name} is {radius!r}; expected a number of bins, 1 or more.")
        narrow = (sampling_params.extra_args or {}).get(COORDINATES, 1.0)
        if not isinstance(narrow, int | float) or not narrow > 0:
            raise ValueError(f"{COORDINATES} is {narrow!r}; expected a positive number.")

    def is_argmax_invariant(self) -> bool:
        """False: the likeliest token may not be legal."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Note which requests came, went and moved."""
        process_dict_updates(self._replies, batch_update, _reply_of)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Restrict the logits of this step, in place."""
        if self._replies:
            rows = {index: reply.row() for index, reply in self._replies.items()}
            self._grammar.apply(logits, rows)
        return logits


def _reply_of(params: SamplingParams, _prompt: list[int] | None, said: list[int]) -> _Reply | None:
    return _Reply(params, said) if POINTS in (params.extra_args or {}) else None
