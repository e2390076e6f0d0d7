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

from napari_nunext.core.answers.prompts import SYSTEM, allocation_prompt
from napari_nunext.core.answers.reply import reply_text

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
    likelihoods = [_log_likelihood(model, read, said(tokens)) for tokens in menu]
    return menu[max(range(len(menu)), key=likelihoods.__getitem__)]


def reply_ids(model: LoadedAnswerer, text: str) -> list[int]:
    """Tokens of a reply, the one that ends it among them."""
    tokenizer: Any = model.processor.tokenizer
    return [*tokenizer.encode(text, add_special_tokens=False), model.ends[0]]


def _log_likelihood(model: LoadedAnswerer, read: Any, reply: str) -> float:
    """Of a reply to what was read."""
    ids = torch.tensor([reply_ids(model, reply)], device=model.model.device)
    inputs = {name: value for name, value in read.items() if name != "input_ids"}
    longer = torch.ones_like(ids)
    inputs["attention_mask"] = torch.cat([read["attention_mask"], longer], dim=1)
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = torch.cat([read["mm_token_type_ids"], 0 * longer], dim=1)
    with torch.inference_mode():
        logits = model.model(
            input_ids=torch.cat([read["input_ids"], ids], dim=1),
            logits_to_keep=ids.shape[1] + 1,
            use_cache=False,
            **inputs,
        ).logits[:, :-1]
    return float(logits.float().log_softmax(-1).gather(2, ids[..., None]).sum())
