"""What a module inside a model made last, for losses that want more than the model's own output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class LastOutput:
    """Remembers one field of a module's last output, with its gradient.

    Parameters
    ----------
    module : nn.Module
    field : str
        Attribute of its output, for example ``"last_hidden_state"``.
    """

    def __init__(self, module: nn.Module, field: str) -> None:
        self._field = field
        self._value: Tensor | None = None
        module.register_forward_hook(self._remember)

    def _remember(self, module: nn.Module, args: Any, output: Any) -> None:
        self._value = getattr(output, self._field)

    def take(self) -> Tensor:
        """The field, once: nothing is held in memory for longer.

        Raises
        ------
        RuntimeError
            If the module was not run since it was last taken.
        """
        value, self._value = self._value, None
        if value is None:
            raise RuntimeError(f"No {self._field} was made since it was last taken.")
        return value
