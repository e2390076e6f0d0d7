"""What vLLM is asked for the points of a window, and what its answers say.

One request is one window. It goes through the chat interface: that is the one in which every
version of vLLM takes images, and it tells the tokens of the prompt that it made, so that a prompt
which is not the checkpoint's own is noticed (`check_prompt`). The window is sent losslessly and in
the size that the processor is pinned to, so vLLM sees just these pixels.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from napari_nunext.core.codec import TOKENS_PER_POINT, latent_token
from napari_nunext.core.errors import ServerError
from napari_nunext.models.next_point.replies import confidence_radius_bins, spread_radius_bins
from napari_nunext.models.vllm.names import COORDINATES, POINTS, SPREAD, SPREAD_AT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.next_point.sampling import Sampling

PATH = "/v1/chat/completions"

NEVER = -100.0
"""The least bias that there is."""

_AS_IT_IS = {
    # What a base model's generation_config.json asks for would change the distribution.
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}


def points_request(
    window: NDArray[np.uint8],
    description: CheckpointDescription,
    *,
    model: str,
    max_tokens: int,
    sampling: Sampling | None = None,
    in_a_hurry: bool = True,
    instruction: str | None = None,
    among: Collection[str] = (),
) -> dict[str, Any]:
    """Body of a request for the points of a window.

    Parameters
    ----------
    window : ndarray of uint8, shape (window_px, window_px, 3)
        RGB.
    description : CheckpointDescription
        Gives prompt and grammar.
    model : str
        Name under which vLLM serves the checkpoint, or an adapter of it.
    max_tokens : int
        A reply that has not ended by then is cut off.
    sampling : Sampling, optional
        With the seed of this window alone. Greedy when None, and then streamed, with how sure each
        token is.
    in_a_hurry : bool
        False lets those go first who are.
    instruction : str, optional
        The prompt; the description's own, which asks for everything, when None.
    among : collection of str
        Categories that each nucleus has one of; all that the codec knows where there are none.
    """
    codec = description.codec
    content = [
        {"type": "image_url", "image_url": {"url": _data_url(window)}},
        {"type": "text", "text": instruction or description.prompt},
    ]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    forced: dict[str, Any] = {}
    if codec.latent_ids:
        latents = "".join(latent_token(i) for i in range(len(codec.latent_ids)))
        messages.append({"role": "assistant", "content": latents})
        forced = {"add_generation_prompt": False, "continue_final_message": True}
    asked: dict[str, float] = {POINTS: confidence_radius_bins(codec, description.mpp)}
    if sampling is None:
        # A chunk for a point rather than for a token: less to read, on both sides.
        how = {"temperature": 0.0, "stream": True, "stream_interval": TOKENS_PER_POINT}
        tells_positions = description.position_calibration is not None
        how |= {"logprobs": True, "top_logprobs": 2 if tells_positions else 0}
        if tells_positions:
            asked[SPREAD] = spread_radius_bins(codec, description.mpp)
    else:
        (seed,) = sampling.seeds
        how = {"temperature": sampling.temperature, "seed": seed, "n": sampling.rollouts}
        if sampling.coordinate_temperature != 1:
            asked[COORDINATES] = sampling.coordinate_temperature
    names = zip(codec.category_ids, codec.category_names, strict=True)
    others = {str(id_): NEVER for id_, name in names if among and name not in among}
    return {
        "model": model,
        "messages": messages,
        **forced,
        **({"logit_bias": others} if others else {}),
        **_AS_IT_IS,
        **how,
        "priority": 0 if in_a_hurry else 1,
        "max_tokens": max_tokens,
        "stop_token_ids": [codec.end_id],
        "skip_special_tokens": False,
        "return_token_ids": True,
        "vllm_xargs": asked,
    }


def reply_request(
    rgb: NDArray[np.uint8],
    prompt: str,
    system: str,
    *,
    model: str,
    max_tokens: int,
    sampling: Sampling,
    ends: Sequence[int],
    never: Sequence[int] = (),
) -> dict[str, Any]:
    """Body of a request for replies to a question about a picture, in words that nothing binds.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    prompt, system : str
        What stands behind the picture, and before it.
    model : str
        Name under which vLLM serves the checkpoint.
    max_tokens : int
    sampling : Sampling
        With the seed of this question alone.
    ends : sequence of int
        Tokens that end a reply.
    never : sequence of int
        Tokens that are not drawn.
    """
    (seed,) = sampling.seeds
    content = [
        {"type": "image_url", "image_url": {"url": _data_url(rgb)}},
        {"type": "text", "text": prompt},
    ]
    before = [{"role": "system", "content": system}] if system else []
    return {
        "model": model,
        "messages": [*before, {"role": "user", "content": content}],
        **_AS_IT_IS,
        "temperature": sampling.temperature,
        "seed": seed,
        "n": sampling.rollouts,
        "max_tokens": max_tokens,
        "stop_token_ids": list(ends),
        "logit_bias": {str(token): NEVER for token in never},
        "skip_special_tokens": False,
        "return_token_ids": True,
    }


def _data_url(window: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    # It travels within a machine or a machine room: time counts, size does not.
    Image.fromarray(window).save(file, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@dataclass(frozen=True, slots=True)
class Choice:
    """A reply, or the next part of one."""

    token_ids: tuple[int, ...]
    """Without the latent tokens, which belong to the prompt."""
    log_sureness: tuple[float, ...]
    """One for each token where they were asked for; see `napari_nunext.models.vllm.grammar`."""
    finish: str | None
    """``"stop"`` at the end token, ``"length"`` where it was cut off; None while it goes on."""
    spread_bins2: tuple[float | None, ...] = ()
    """As long as `log_sureness`: how widely a coordinate spreads, None where that is not told."""

    @classmethod
    def read(cls, data: dict[str, Any]) -> Choice:
        """From an element of an answer's ``choices``."""
        told = (data.get("logprobs") or {}).get("content") or ()
        return cls(
            tuple(int(token) for token in data.get("token_ids") or ()),
            tuple(float(each["logprob"]) for each in told),
            data.get("finish_reason"),
            tuple(_spread_bins2(each.get("top_logprobs") or ()) for each in told),
        )

    def reply(self, codec: Codec) -> tuple[int, ...]:
        """The tokens, with the end where that is what stopped them.

        Whether the token that stops a reply is told with it differs between versions of vLLM.
        """
        untold_end = self.finish == "stop" and codec.end_id not in self.token_ids
        return (*self.token_ids, codec.end_id) if untold_end else self.token_ids


def _spread_bins2(likeliest: Sequence[dict[str, Any]]) -> float | None:
    """What `Grammar` left beside the token that it chose."""
    spreads = [SPREAD_AT - float(each["logprob"]) for each in likeliest]
    return next((spread for spread in spreads if 0 <= spread <= _MOST_BINS2), None)


_MOST_BINS2 = 5000.0
"""More than any spread, and less than what vLLM has for a token that cannot be."""


def check_prompt(got: Sequence[int] | None, expected: Sequence[int], url: str) -> None:
    """Raise `ServerError` unless vLLM answered to the prompt that the checkpoint was trained on."""
    if got is None or list(got) != list(expected):
        count = "no" if got is None else str(len(got))
        raise ServerError(
            f"The vLLM server at {url} answered to a prompt of {count} tokens; expected the "
            f"checkpoint's own {len(expected)}. Start it on this very checkpoint."
        )


def check_reply(reply: Sequence[int], codec: Codec, url: str) -> None:
    """Raise `ServerError` unless a reply, whole or cut off, follows the codec's grammar."""
    failure = codec.parse(reply).failure
    if failure is not None and failure.reason != "no end":
        raise ServerError(
            f"The vLLM server at {url} does not hold to the grammar of points ({failure.reason} at "
            f"{failure.position}). Start it as `napari-nunext serve --vllm` does, or with the "
            "options in docs/vllm.md."
        )
