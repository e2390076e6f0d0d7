from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from nunext_training.trainers.last_output import LastOutput


class Tower(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> object:
        return SimpleNamespace(pooler_output=x + 1, other=None)


def test_the_last_output_is_taken_once_with_its_gradient() -> None:
    tower = Tower()
    last = LastOutput(tower, "pooler_output")
    tower(torch.tensor([5.0]))
    x = torch.tensor([1.0], requires_grad=True)
    tower(x)
    taken = last.take()
    assert taken.tolist() == [2.0]
    (3 * taken).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0]
    with pytest.raises(RuntimeError, match="pooler_output"):
        last.take()
