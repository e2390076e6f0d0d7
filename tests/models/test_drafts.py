"""Atomic points in the decoder: what is guessed is read, and what the model says is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.atomic_points import AtomicPoints
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.next_point.decoder import Decoder, decode_batch
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.drafts import Drafts

MAX_POINTS = 5

pytestmark = pytest.mark.parametrize(
    "checkpoint",
    [("conv_qwen", "plain"), ("qwen2_5_vl", "both"), ("qwen3_vl", "categories")],
    ids="-".join,
    indirect=True,
)


@pytest.fixture
def inputs(checkpoint, windows):
    return checkpoint.windows(windows, checkpoint.device)


def head_of(checkpoint, seed=0):
    """A head that guesses at random: hardly ever what the model would say."""
    torch.manual_seed(seed)
    head = AtomicHead.beginning(checkpoint.model, checkpoint.description.codec)
    return head.to(checkpoint.model.dtype).requires_grad_(False)


class Oracle:
    """A head that knows the replies, but is off by some bins. Beyond them it stays at the last."""

    def __init__(self, codec, replies, off):
        self.codec, self.off = codec, off
        self.known = [codec.parse(reply) for reply in replies]
        self.asked = [0] * len(replies)
        self.looked = 0

    def look(self, image_states):
        rows = torch.arange(self.looked, self.looked + len(image_states)).float()
        self.looked += len(image_states)
        return rows[:, None, None]

    def y_scores(self, seen, state, x):
        guesses = []
        for row in seen[:, 0, 0].long().tolist():
            known = self.known[row].bins_xy
            y = int(known[min(self.asked[row], len(known) - 1), 1])
            guesses.append(y + self.off if y + self.off < self.codec.bins else y - self.off)
            self.asked[row] += 1
        return torch.eye(self.codec.bins)[guesses][:, None]

    def category_scores(self, seen, state, x, y):
        if not self.codec.has_categories:
            return None
        guesses = []
        for row in seen[:, 0, 0].long().tolist():
            known = self.known[row].category_indices
            guesses.append(int(known[min(self.asked[row], len(known)) - 1]))
        return torch.eye(len(self.codec.category_ids))[guesses][:, None]


def replies_of(checkpoint, inputs, **options):
    """Replies of a batch, and what was said of each token: (position, token) to scores."""
    tokens, scores = {}, {}
    steps = decode_batch(
        checkpoint.model,
        inputs,
        checkpoint.description.codec,
        max_points=MAX_POINTS,
        **options,
    )
    for step in steps:
        for i, row in enumerate(step.rows.tolist()):
            tokens.setdefault(row, []).append(int(step.token_ids[i]))
            scores.setdefault(row, []).append(step.scores[i])
    return [tuple(tokens[row]) for row in sorted(tokens)], scores


@pytest.fixture
def passes(monkeypatch):
    """Shapes of what is read, pass by pass, and which replies read again."""
    read = []
    original = Decoder._read

    def counted(self, ids, again=None):
        read.append((tuple(ids.shape), None if again is None else again.tolist()))
        return original(self, ids, again)

    monkeypatch.setattr(Decoder, "_read", counted)
    return read


def test_without_tolerance_a_bad_head_changes_nothing_that_is_said(checkpoint, inputs, passes):
    codec = checkpoint.description.codec
    alone, scores_alone = replies_of(checkpoint, inputs)
    passes.clear()
    drafts = Drafts(head_of(checkpoint), codec, tolerance_bins=0)
    drafted, scores = replies_of(checkpoint, inputs, drafts=drafts)
    assert drafted == alone
    assert any(len(reply) > 3 for reply in alone)
    assert any(again for _, again in passes)
    for row, expected in scores_alone.items():
        torch.testing.assert_close(
            torch.stack([s.softmax(-1).sort().values[-2:] for s in scores[row]]),
            torch.stack([s.softmax(-1).sort().values[-2:] for s in expected]),
            rtol=1e-3,
            atol=1e-5,
        )


def test_a_good_head_makes_a_point_cost_one_pass(checkpoint, inputs, passes):
    codec = checkpoint.description.codec
    alone, _ = replies_of(checkpoint, inputs)
    passes_alone = len(passes)
    passes.clear()
    drafts = Drafts(Oracle(codec, alone, off=0), codec, tolerance_bins=codec.bins)
    drafted, _ = replies_of(checkpoint, inputs, drafts=drafts)
    longest = max(len(codec.parse(reply)) for reply in alone)
    assert len(passes) <= longest < passes_alone
    assert all(shape[1] == 3 and again is None for shape, again in passes)
    assert drafted == alone


def test_what_is_near_enough_is_read_and_what_the_model_says_is_told(checkpoint, inputs, passes):
    codec, model = checkpoint.description.codec, checkpoint.model
    drafts = Drafts(head_of(checkpoint, seed=3), codec, tolerance_bins=codec.bins)
    said, scores = replies_of(checkpoint, inputs, drafts=drafts)
    assert all(again is None for _, again in passes)

    # The same again by hand, without a cache: guesses stand in the text, x is the model's own.
    head = head_of(checkpoint, seed=3)
    image = (inputs["mm_token_type_ids"][0] == 1).nonzero()[:, 0]
    for row, reply in enumerate(said):
        window = window_of(inputs, row)
        text: list[int] = []
        for start in range(0, len(reply), 3):
            states = read(model, window, text)
            compare(model, states[-1], scores[row][start], codec, start)
            if reply[start] == codec.end_id:
                break
            text += guessed(head, codec, states[None, image], states[None, -1:], reply[start])
            states = read(model, window, text)
            for position, state in zip(range(start + 1, len(reply)), states[-3:-1], strict=False):
                compare(model, state, scores[row][position], codec, position)


def window_of(inputs, row):
    """Inputs of one window of a batch."""
    pixels = inputs["pixel_values"].unflatten(0, (len(inputs["input_ids"]), -1))
    names = ("input_ids", "mm_token_type_ids", "image_grid_thw")
    return {"pixel_values": pixels[row]} | {n: inputs[n][row : row + 1] for n in names}


def guessed(head, codec, image, state, x_id):
    """A point as the head has it: its x, y and what follows."""
    x = torch.tensor([[x_id - codec.coordinate_start_id]])
    seen = head.look(image)
    y = head.y_scores(seen, state, x).argmax(dim=-1)
    category = head.category_scores(seen, state, x, y)
    after = codec.separator_id if category is None else codec.category_ids[int(category.argmax())]
    return [x_id, codec.coordinate_start_id + int(y), after]


def read(model, one, text):
    """States after a prompt and some tokens, in one pass without a cache, shape (T, width)."""
    reply = torch.tensor([text], dtype=torch.long)
    whole = one | {
        "input_ids": torch.cat([one["input_ids"], reply], dim=1),
        "mm_token_type_ids": torch.cat([one["mm_token_type_ids"], torch.zeros_like(reply)], dim=1),
    }
    with torch.no_grad():
        return model.base_model(**whole, use_cache=False).last_hidden_state[0]


def compare(model, state, scores, codec, position):
    """That scores are the output layer's rows of the tokens that may stand at a position."""
    allowed = torch.from_numpy(codec.allowed_at(position))
    weight = model.get_output_embeddings().weight.detach()
    finite = scores[torch.isfinite(scores)]
    torch.testing.assert_close(finite.double(), weight[allowed] @ state, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("off", "read_again"), [(1, False), (2, True)])
def test_a_guess_beyond_the_tolerance_alone_is_read_again(
    checkpoint, inputs, passes, off, read_again
):
    codec = checkpoint.description.codec
    alone, _ = replies_of(checkpoint, inputs)
    passes.clear()
    drafts = Drafts(Oracle(codec, alone, off=off), codec, tolerance_bins=1)
    replies_of(checkpoint, inputs, drafts=drafts)
    # The first points are those that the oracle knows, whatever is read after them.
    begun = [row for row, reply in enumerate(alone) if reply[0] != codec.end_id]
    assert passes[0] == ((len(begun), 3), None)
    if read_again:  # y and what follows; x stays
        assert passes[1] == ((len(begun), 2), list(range(len(begun))))
    else:
        assert len(passes) == 1 or passes[1][1] is None


def test_replies_that_come_later_are_guessed_by_what_they_show(checkpoint, inputs, windows):
    codec = checkpoint.description.codec
    alone, _ = replies_of(checkpoint, inputs)
    decoder = Decoder(
        checkpoint.model,
        codec,
        drafts=Drafts(head_of(checkpoint), codec, tolerance_bins=0),
    )
    waiting = list(range(len(windows)))
    tokens = {row: [] for row in waiting}
    rng = np.random.default_rng(0)
    while waiting or len(decoder):
        if waiting and decoder.at_a_point and (len(decoder) == 0 or rng.random() < 0.6):
            row = waiting.pop(0)
            decoder.admit(checkpoint.windows([windows[row]], checkpoint.device), [row])
        step = decoder.choose()
        going = []
        for row, token in zip(step.rows.tolist(), step.token_ids.tolist(), strict=True):
            tokens[row].append(token)
            going.append(token != codec.end_id and len(tokens[row]) < len(alone[row]))
        decoder.advance(step.token_ids, torch.tensor(going))
    assert [tuple(tokens[row]) for row in range(len(windows))] == alone


def test_a_detector_decodes_with_its_head_or_without_and_says_which(checkpoint, windows):
    description = replace(checkpoint.description, atomic=AtomicPoints(used=True, tolerance_um=0.0))
    headed = replace(checkpoint, description=description, atomic_head=head_of(checkpoint))
    with_head = NextPointDetector.from_loaded(headed, windows_at_once=2)
    without = NextPointDetector.from_loaded(headed, windows_at_once=2, atomic=False)
    said = ("points", "tolerance_um")
    assert [with_head.info.decoding.get(name) for name in said] == ["atomic", 0.0]
    assert [without.info.decoding.get(name) for name in said] == ["autoregressive", None]

    def found(detector):
        events = list(detector.detect(windows, cancelled=lambda: False))
        points = [e for e in events if isinstance(e, WindowPoints)]
        return sorted((e.window, *e.points_xy[0], *e.categories) for e in points), {
            (e.window, *e.points_xy[0]): e.confidence[0] for e in points
        }

    points, confidence = found(with_head)
    expected, confidence_alone = found(without)
    assert points == expected
    assert points
    assert confidence == pytest.approx(confidence_alone, rel=1e-3)


def test_a_head_that_is_not_there_cannot_be_asked_for(checkpoint):
    with pytest.raises(CheckpointError, match=r"no head for atomic points.*nunext-train atomic"):
        NextPointDetector.from_loaded(checkpoint, atomic=True)
