"""Against the grammar applied by hand, one row at a time."""

from __future__ import annotations

import math

import pytest
import torch

from napari_nunext.core.codec import Codec
from napari_nunext.models.next_point.replies import spread_bins2
from napari_nunext.models.next_point.sampling import tempered
from napari_nunext.models.vllm.grammar import Grammar, Row
from napari_nunext.models.vllm.requests import Choice

VOCABULARY = 60
RADIUS = 2


def codec(categories: tuple[str, ...]) -> Codec:
    return Codec(
        bins=16,
        window_px=32,
        coordinate_start_id=20,
        separator_id=11,
        end_id=50,
        category_ids=tuple(range(40, 40 + len(categories))),
        category_names=categories,
    )


def by_hand(logits, its: Codec, position: int):
    """What greedy decoding says at a position, and how sure it is."""
    allowed = its.allowed_at(position).tolist()
    total = sum(math.exp(logits[t]) for t in allowed)
    p = {t: math.exp(logits[t]) / total for t in allowed}
    going_on = [t for t in allowed if t != its.end_id]
    ends = p.get(its.end_id, 0.0) > 0.5
    token = its.end_id if ends else max(going_on, key=lambda t: (p[t], -t))
    if its.phase_at(position) == "after":
        return token, 1 - p.get(its.end_id, 0.0)
    return token, sum(p[t] for t in going_on if abs(t - token) <= RADIUS)


@pytest.mark.parametrize("categories", [(), ("Round", "Pale", "Other")])
@pytest.mark.parametrize("end_bias", [-3.0, 2.5, 8.0])
def test_a_greedy_row_is_left_its_choice_and_how_sure_it_is(categories, end_bias):
    its = codec(categories)
    generator = torch.Generator().manual_seed(1)
    positions = list(range(12)) * 4
    logits = torch.randn(len(positions), VOCABULARY, generator=generator) * 2
    logits[:, its.end_id] += end_bias
    expected = [by_hand(row.tolist(), its, p) for row, p in zip(logits, positions, strict=True)]
    rows = {i: Row(p, True, RADIUS) for i, p in enumerate(positions)}
    Grammar(its, logits.device).apply(logits, rows)
    assert logits.argmax(dim=-1).tolist() == [token for token, _ in expected]
    assert (logits > -torch.inf).sum(dim=-1).tolist() == [1] * len(positions)
    left = logits.max(dim=-1).values.exp()
    sure = torch.tensor([sure for token, sure in expected])
    says = torch.tensor([token != its.end_id for token, _ in expected])
    torch.testing.assert_close(left[says], sure[says].float())


def test_a_place_says_how_widely_it_spreads_by_a_token_that_is_never_chosen():
    its = codec(("Round", "Pale"))
    generator = torch.Generator().manual_seed(4)
    positions = list(range(6)) * 5
    logits = torch.randn(len(positions), VOCABULARY, generator=generator) * 2
    logits[:, its.end_id] -= 9.0
    logits[:6, its.coordinate_start_id] += 99.0  # the bin that would say it is the chosen one
    before = logits.clone()
    rows = {i: Row(p, True, RADIUS, 3) for i, p in enumerate(positions)}
    Grammar(its, logits.device).apply(logits, rows)
    plain = before.clone()
    Grammar(its, plain.device).apply(
        plain, {i: Row(p, True, RADIUS) for i, p in rows_of(positions)}
    )
    assert logits.argmax(dim=-1).tolist() == plain.argmax(dim=-1).tolist()
    assert torch.equal(logits.max(dim=-1).values, plain.max(dim=-1).values)
    for row, position in rows_of(positions):
        first, second = logits[row].topk(2).values.tolist()
        told = Choice.read({"logprobs": {"content": [content(first, max(second, -9999.0))]}})
        if its.phase_at(position) == "after":
            assert told.spread_bins2 == (None,)
            continue
        allowed = torch.from_numpy(its.allowed_at(position))
        scores = before[row : row + 1, allowed].softmax(dim=-1)
        spread = spread_bins2(scores, allowed, logits[row : row + 1].argmax(dim=-1), its, 3)
        assert told.spread_bins2 == (pytest.approx(float(spread), abs=1e-3),)
        assert float(spread) > 0 or row < 6


def rows_of(positions):
    return list(enumerate(positions))


def content(first: float, second: float):
    """How vLLM tells a token, and the likeliest ones beside it."""
    return {"logprob": first, "top_logprobs": [{"logprob": first}, {"logprob": second}]}


def test_the_end_wins_by_majority_and_not_by_being_the_likeliest_token():
    its = codec(())
    logits = torch.full((2, VOCABULARY), -5.0)
    logits[:, 20:36] = 1.0
    logits[0, its.end_id] = 3.0  # e^3 against 16 e: the likeliest token, and the smaller part
    logits[1, its.end_id] = 5.0
    Grammar(its, logits.device).apply(logits, {0: Row(0, True, 1), 1: Row(0, True, 1)})
    assert logits.argmax(dim=-1).tolist() == [20, its.end_id]


def test_where_the_engine_draws_the_legal_logits_stay():
    its = codec(("Round", "Pale"))
    logits = torch.randn(7, VOCABULARY, generator=torch.Generator().manual_seed(2))
    before = logits.clone()
    Grammar(its, logits.device).apply(logits, {i: Row(i, False, 1) for i in range(6)})
    for position in range(6):
        legal = torch.from_numpy(its.allowed_at(position))
        assert torch.equal(logits[position, legal], before[position, legal])
        assert (logits[position] > -torch.inf).sum() == len(legal)
    assert torch.equal(logits[6], before[6])


def test_coordinates_have_a_temperature_of_their_own_where_the_engine_draws():
    its = codec(("Round", "Pale"))
    logits = torch.randn(6, VOCABULARY, generator=torch.Generator().manual_seed(2))
    before = logits.clone()
    rows = {i: Row(i, False, 1, 0, 0.8, 0.4) for i in range(6)}
    Grammar(its, logits.device).apply(logits, rows)
    for position in range(6):
        legal = torch.from_numpy(its.allowed_at(position))
        drawn_from = (logits[position] / 0.8).softmax(dim=-1)  # as the engine does
        is_coordinate = torch.from_numpy(its.coordinates_at(position))
        assert [20 <= i < 36 for i in legal.tolist()] == is_coordinate.tolist()
        ours = tempered(before[position, legal], is_coordinate, 0.8, 0.4).softmax(dim=-1)
        torch.testing.assert_close(drawn_from[legal], ours)
        assert drawn_from.sum() == pytest.approx(float(drawn_from[legal].sum()))


def test_what_is_not_sure_at_all_is_still_chosen():
    its = codec(())
    logits = torch.zeros(1, VOCABULARY)
    logits[0, its.separator_id], logits[0, its.end_id] = -200.0, 0.0
    logits[0, its.separator_id] = 100.0
    logits[0, its.end_id] = 100.0  # half each: going on wins, and nothing overflows
    Grammar(its, logits.device).apply(logits, {0: Row(2, True, 1)})
    assert logits.argmax().item() == its.separator_id
    logits = torch.zeros(1, VOCABULARY)
    logits[0, its.end_id] = 300.0
    Grammar(its, logits.device).apply(logits, {0: Row(2, True, 1)})
    assert logits.argmax().item() == its.end_id
    assert torch.isfinite(logits[0, its.end_id])
