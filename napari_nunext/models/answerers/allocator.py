"""How many image tokens a question deserves: the allocator of a performer.

"Bilateral pathology reasoning" (arXiv 2505.15687): a second set of additions to the same model
reads the image and the task and names a number of image tokens; the image is resized to it, and the
performer answers. Ours: it looks at a thumbnail, as what it reads counts too, and it chooses among
the sizes that it was taught by how likely it finds each as its reply, so that what it says can
always be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from napari_nunext.core.answers.prompts import SYSTEM, allocation_prompt
from napari_nunext.core.answers.reply import reply_text
from napari_nunext.models.answerers.together import can_share, read_shared
from napari_nunext.models.families.pictures import followed_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.models.answerers.loaded import LoadedAnswerer


def said(tokens: int) -> str:
    """An allocator's reply that names so many image tokens."""
    return reply_text("", str(tokens))


def choose_tokens(
    model: LoadedAnswerer,
    thumbnail_rgb: NDArray[np.uint8],
    question: Question,
    menu: Sequence[int],
    *,
    current_tokens: int,
    most_tokens: int,
) -> int:
    """The likeliest of a menu.

    Parameters
    ----------
    model : LoadedAnswerer
        With the allocator's additions switched on.
    thumbnail_rgb : ndarray of uint8, shape (H, W, 3)
    question : Question
        What the performer will be asked.
    menu : sequence of int
        At least one.
    current_tokens, most_tokens : int
        Image tokens of the picture under the budget, and the budget.
    """
    if len(menu) == 1:
        return menu[0]
    asked = allocation_prompt(question, current_tokens=current_tokens, most_tokens=most_tokens)
    read = model.read(thumbnail_rgb, asked, SYSTEM)
    replies = [reply_ids(model, said(tokens)) for tokens in menu]
    likelihoods = reply_log_likelihoods(model, read, replies)
    return menu[max(range(len(menu)), key=likelihoods.__getitem__)]


def reply_ids(model: LoadedAnswerer, text: str) -> list[int]:
    """Tokens of a reply, the one that ends it among them."""
    tokenizer: Any = model.processor.tokenizer
    return [*tokenizer.encode(text, add_special_tokens=False), model.ends[0]]


@torch.inference_mode()
def reply_log_likelihoods(
    model: LoadedAnswerer, read: Any, replies: Sequence[Sequence[int]]
) -> list[float]:
    """How likely a model finds each reply to what it has read, as logarithms.

    What was read is computed once, where the model allows that.

    Parameters
    ----------
    model : LoadedAnswerer
    read : BatchFeature
        As `LoadedAnswerer.read` returns it.
    replies : sequence of sequence of int
        Tokens of each.
    """
    if can_share(model):
        return _behind_one_prompt(model, read, replies)
    return [_alone(model, read, reply) for reply in replies]


def _behind_one_prompt(
    model: LoadedAnswerer, read: Any, replies: Sequence[Sequence[int]]
) -> list[float]:
    """All replies side by side, each behind the same cache."""
    device = model.model.device
    shared = read["input_ids"].shape[1] - 1  # the last foretells the first of a reply
    cache, delta = read_shared(model, read, shared, copies=len(replies))
    last = int(read["input_ids"][0, -1])
    rows = [torch.tensor([last, *reply], device=device) for reply in replies]
    ids = pad_sequence(rows, batch_first=True, padding_value=last)
    lengths = torch.tensor([len(row) for row in rows], device=device)[:, None]
    own = torch.arange(ids.shape[1], device=device)[None]
    is_there = own < lengths
    before = torch.ones((len(rows), shared), dtype=torch.bool, device=device)
    places = (shared + own + delta).expand(len(rows), -1)
    any_model: Any = model.model
    logits = any_model(
        input_ids=ids,
        attention_mask=torch.cat([before, is_there], dim=1),
        position_ids=places[None].expand(3, -1, -1),
        past_key_values=cache,
        use_cache=True,
    ).logits[:, :-1]
    found = logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
    summed: list[float] = torch.where(is_there[:, 1:], found, 0.0).sum(dim=1).tolist()
    return summed


def _alone(model: LoadedAnswerer, read: Any, reply: Sequence[int]) -> float:
    """One reply, what was read computed with it."""
    ids = torch.tensor([reply], device=model.model.device)
    any_model: Any = model.model
    logits = any_model(
        **followed_by(read, ids), logits_to_keep=ids.shape[1] + 1, use_cache=False
    ).logits[:, :-1]
    return float(logits.float().log_softmax(-1).gather(2, ids[..., None]).sum())
