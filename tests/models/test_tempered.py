"""What replies are drawn from, against the formula by hand."""

from __future__ import annotations

import pytest
import torch

from napari_nunext.models.next_point.sampling import Draw, Sampling, tempered

SCORES = torch.tensor([1.5, 0.3, -0.4, 0.9, 2.0, 0.1])
IS_COORDINATE = torch.tensor([True, True, True, True, False, False])
T, NARROW = 0.8, 0.4


def by_hand(scores: torch.Tensor) -> torch.Tensor:
    """The probabilities of `SCORES`, one after the other."""
    whole = (scores / T).exp() / (scores / T).exp().sum()
    among = (scores[:4] / (T * NARROW)).exp() / (scores[:4] / (T * NARROW)).exp().sum()
    return torch.cat([whole[:4].sum() * among, whole[4:]])


def test_tokens_come_as_often_as_the_formula_says_and_ends_as_often_as_before() -> None:
    count = 40_000
    rows, scores = torch.arange(count), SCORES.expand(count, -1)
    narrow = Draw(Sampling(T, (3,), count, NARROW))(scores, rows, IS_COORDINATE)
    found = torch.bincount(narrow, minlength=6) / count
    torch.testing.assert_close(found, by_hand(SCORES), atol=0.01, rtol=0)
    plain = Draw(Sampling(T, (3,), count))(scores, rows, IS_COORDINATE)
    # One number draws a token: those that are no coordinates are the very same draws.
    assert torch.equal(narrow >= 4, plain >= 4)
    assert (narrow == 0).sum() > 1.3 * (plain == 0).sum()


def test_the_gradient_is_that_of_the_log_probability_with_the_mass_of_coordinates() -> None:
    p = (SCORES / T).softmax(dim=-1)
    mass = p[:4].sum()
    among = (SCORES[:4] / (T * NARROW)).softmax(dim=-1)
    for token in range(6):
        scores = SCORES.clone().requires_grad_()
        log_p = tempered(scores, IS_COORDINATE, T, NARROW).log_softmax(dim=-1)[token]
        (got,) = torch.autograd.grad(log_p, scores)
        said = torch.eye(6)[token]
        expected = (said - p) / T
        if token < 4:
            of_mass = torch.cat([p[:4] / mass, torch.zeros(2)]) - p
            narrowed = torch.cat([said[:4] - among, torch.zeros(2)])
            expected = of_mass / T + narrowed / (T * NARROW)
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(log_p.detach(), by_hand(SCORES)[token].log())


@pytest.mark.parametrize("scores", [SCORES, torch.randn(7, 6) * 20])
def test_one_temperature_for_all_is_what_it_was(scores: torch.Tensor) -> None:
    assert torch.equal(tempered(scores, IS_COORDINATE, T), scores / T)
    assert torch.equal(tempered(scores, None, T, NARROW), scores / T)
    words = torch.zeros(6, dtype=torch.bool)
    assert torch.equal(tempered(scores, words, T, NARROW), scores / T)


def test_an_end_that_may_not_be_said_and_narrow_draws_leave_no_odd_numbers() -> None:
    scores = (SCORES * 30).masked_fill(~IS_COORDINATE, -torch.inf)
    p = tempered(scores, IS_COORDINATE, 1.0, 0.05).softmax(dim=-1)
    torch.testing.assert_close(p, torch.eye(6)[0])
    with pytest.raises(ValueError, match="positive temperatures"):
        Sampling(1.0, (0,), 1, 0.0)
