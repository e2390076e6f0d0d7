"""What both sides call things."""

from __future__ import annotations

POINTS = "nunext_points"
"""Key of ``vllm_xargs`` that asks for a reply of points. Its value is the number of bins around a
chosen one whose probability speaks for it: `napari_nunext.models.next_point.replies.sureness`."""

SPREAD = "nunext_spread"
"""Key of ``vllm_xargs`` that asks how widely places spread. Its value is a number of bins, too:
`napari_nunext.models.next_point.replies.spread_bins2`. A plugin of before leaves it alone."""

COORDINATES = "nunext_coordinates"
"""Key of ``vllm_xargs`` of a drawn reply: the temperature of coordinates among themselves, as
`napari_nunext.models.next_point.sampling.tempered` has it. A plugin of before leaves it alone and
draws at one temperature: so it is sent only where it is not 1."""

SPREAD_AT = -200.0
"""Logit of a token that is not chosen, less the spread in squared bins: how a spread travels."""

PLUGIN = "napari_nunext.models.vllm.plugin:PointGrammar"
"""What holds replies to the grammar, for ``--logits-processors``."""

LOGPROBS_MODE = "processed_logits"
"""vLLM's name for reporting what the plugin left, which is how sure the model was."""

KEY_VARIABLE = "VLLM_API_KEY"
"""Environment variable in which vLLM, and who asks it, find its key; vLLM's own name."""
