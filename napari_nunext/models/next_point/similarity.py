"""What a model looked at: latent states against visual tokens (NuNext, Fig. 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_nunext.core.errors import InputError
from napari_nunext.models.families import unwrapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint


@torch.no_grad()
def latent_similarity(loaded: LoadedCheckpoint, window: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Heat maps of a window, one for each latent token.

    The value at an image token is the cosine between its last hidden state and the latent's;
    between the centres of tokens it is interpolated bilinearly. The paper does not say at which
    layer it compares: the last one, where the latents were trained, is ours.

    Parameters
    ----------
    loaded : LoadedCheckpoint
    window : array of uint8, shape (window_px, window_px, 3)

    Returns
    -------
    array of float32, shape (L, window_px, window_px)
        From -1 to 1, in the order of the codec's latent tokens.

    Raises
    ------
    InputError
        If the checkpoint has no latent tokens, or the window another size.
    """
    latent_ids = loaded.description.codec.latent_ids
    if not latent_ids:
        raise InputError(
            f"{loaded.description.name} has no latent tokens to compare with the image. Choose a "
            "checkpoint that was built with some."
        )
    prompt = loaded.windows([window], loaded.device)
    model = unwrapped(loaded.model)
    hidden = model.base_model(**prompt, use_cache=False).last_hidden_state[0].float()
    directions = functional.normalize(hidden, dim=1)
    visual = directions[prompt.image_places]
    latents = directions[-len(latent_ids) :]  # the prompt ends in them
    grid = round(len(visual) ** 0.5)
    cosines = (latents @ visual.T).view(len(latent_ids), 1, grid, grid)
    side = loaded.description.window_px
    maps = functional.interpolate(cosines, (side, side), mode="bilinear", align_corners=False)
    values: NDArray[np.float32] = maps[:, 0].cpu().numpy()
    return values
