"""Keys and values of replies that differ in length, a place for each, and attention over them.

transformers' own cache holds rows of one length: new ones would have to be padded, and every step
copies all of it to append a token. Here each row has a place in one tensor and is written where it
ends. A row that leaves is replaced by the last one, so that those that remain stand together, and
the cost of coming and going is that of the rows that come and go.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, Cache

from napari_nunext.core.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

ATTENTION = "nunext_rows"
"""Name under which transformers knows `attend`."""

_LENGTH_STEP = 64
"""Places grow by so many tokens at least, and by half of what they are."""


class RowCache(Cache):
    """A cache for `ATTENTION`, into which rows come and from which they go at any time.

    A forward pass is written beyond the end of each row by `begin` and counts once `commit` says
    so: one that fails half-way leaves everything as it was. One that reads the last tokens of some
    rows again writes over them; it may be tried again.

    Parameters
    ----------
    language_model : PreTrainedModel
        As ``get_decoder()`` gives it.

    Raises
    ------
    CheckpointError
        If some of its layers look back over a part of the text only.
    """

    def __init__(self, language_model: PreTrainedModel) -> None:
        super().__init__(layers=[])
        config: Any = language_model.config
        if set(getattr(config, "layer_types", None) or {"full_attention"}) != {"full_attention"}:
            raise CheckpointError(
                "The checkpoint's language model has layers with sliding attention, which the "
                "decoder does not serve. Export it with use_sliding_window = false."
            )
        self._groups = config.num_attention_heads // config.num_key_value_heads
        self._store = torch.empty(0)
        """Shape (2 * layers, places, key heads, room, head width): keys and values by turns."""
        self._lengths = torch.empty(0, dtype=torch.long)
        self._added = 0
        """Tokens by which the pass under way makes each row longer."""
        self._places = torch.empty(0, 0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each row, shape (n,), int64, CPU."""
        return self._lengths

    @property
    def longest(self) -> int:
        """Tokens of the longest row; 0 without rows."""
        return int(self._lengths.max()) if len(self) else 0

    @property
    def places(self) -> torch.Tensor:
        """Where the tokens of the pass under way stand in their rows, shape (m, count), CPU."""
        return self._places

    def append(self, prompts: Cache, copies: int = 1) -> None:
        """Take in the rows of a cache of transformers', `copies` of each in succession."""
        layers: list[Any] = prompts.layers
        pairs = [(layer.keys, layer.values) for layer in layers]
        rows, _, length, _ = pairs[0][0].shape
        start, stop = len(self), len(self) + rows * copies
        self._make_room(pairs[0][0], len(pairs), stop, max(length, self.longest))
        for layer, pair in enumerate(pairs):
            for half, states in enumerate(pair):
                place = self._store[2 * layer + half, start:stop, :, :length]
                place.copy_(states.repeat_interleave(copies, dim=0) if copies > 1 else states)
        arrived = torch.full((rows * copies,), length)
        self._lengths = torch.cat([self._lengths, arrived])

    def keep(self, kept: torch.Tensor) -> torch.Tensor:
        """Let the other rows go.

        Parameters
        ----------
        kept : Tensor of bool, shape (n,)

        Returns
        -------
        Tensor, shape (m,), int64, CPU
            Which row stands in each place now: the order of the rows changes.
        """
        order = kept.nonzero()[:, 0]
        remain = len(order)
        holes = (~kept[:remain]).nonzero()[:, 0]
        if len(holes):
            # As many rows beyond those places are kept as there are holes in them.
            movers = order[len(order) - len(holes) :]
            length, device = self.longest, self._store.device
            moved = self._store[:, movers.to(device), :, :length]
            self._store[:, holes.to(device), :, :length] = moved
            order = torch.arange(remain).index_copy(0, holes, movers)
        self._lengths = self._lengths[order]
        return order

    def begin(self, count: int, again: torch.Tensor | None = None) -> torch.Tensor:
        """Prepare a pass of `count` tokens.

        Parameters
        ----------
        count : int
        again : Tensor of int, shape (m,), optional
            Rows whose last `count` tokens give way to those of the pass. When None, tokens are
            added to all rows.

        Returns
        -------
        Tensor, shape (m, 1, groups * count, longest)
            What `attend` adds to its scores: zero where a token may look, minus infinity elsewhere.
        """
        rows = torch.arange(len(self)) if again is None else again
        self._added = count if again is None else 0
        length, store = self.longest + self._added, self._store
        self._make_room(store[0], len(store) // 2, len(self), length)
        ends = self._lengths[rows] + self._added
        self._places = ends[:, None] - count + torch.arange(count)
        hidden = torch.arange(length) > self._places[..., None]
        mask = torch.zeros(hidden.shape, dtype=store.dtype).masked_fill_(hidden, -torch.inf)
        self._at = self._places.to(store.device)
        self._rows = rows[:, None].to(store.device)
        return mask.repeat(1, self._groups, 1)[:, None].to(store.device)

    def commit(self) -> None:
        """The pass has succeeded: what it wrote counts."""
        self._lengths = self._lengths + self._added

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's new keys and values, each of shape (m, key heads, count, width)."""
        length = self.longest + self._added
        keys, values = self._store[2 * layer_idx : 2 * layer_idx + 2, : len(self), :, :length]
        keys[self._rows, :, self._at] = key_states.transpose(1, 2)
        values[self._rows, :, self._at] = value_states.transpose(1, 2)
        if self._added:
            return keys, values
        some = self._rows[:, 0]
        return keys[some], values[some]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens of the longest row."""
        return self.longest

    def _make_room(self, like: torch.Tensor, layers: int, rows: int, length: int) -> None:
        """Hold at least so many rows of so many tokens, each half as many again when it grows."""
        if self._store.ndim == 1:
            places, room = 0, 0
        else:
            places, room = self._store.shape[1], self._store.shape[3]
        if rows <= places and length <= room:
            return
        if rows > places:
            places = max(rows, places + places // 2)
        if length > room:
            room = max(length + _LENGTH_STEP, room + room // 2)
        _, heads, _, width = like.shape
        # Zeros, for what is masked is read all the same, and must be finite.
        grown = like.new_zeros(2 * layers, places, heads, room, width)
        if len(self):
            used = self.longest
            grown[:, : len(self), :, :used] = self._store[:, : len(self), :, :used]
        self._store = grown


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention over a `RowCache`.

    The heads that share a key head are laid behind one another as if they were further tokens:
    keys and values are read once, where they stand, rather than repeated for each head.
    """
    rows, heads, count, width = query.shape
    packed = query.reshape(rows, key.shape[1], -1, width)
    attended = functional.scaled_dot_product_attention(
        packed, key, value, attn_mask=attention_mask, scale=scaling
    )
    return attended.reshape(rows, heads, count, width).transpose(1, 2), None


AttentionInterface.register(ATTENTION, attend)


@contextmanager
def attending(language_model: PreTrainedModel) -> Iterator[None]:
    """Let a language model attend through `attend`; then again as before."""
    config: Any = language_model.config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before
