"""Rewards by name: a recipe names them and weighs them.

A reward is a pure function of a reply, and of what else it asks for by the names of its further
parameters. `nunext_training.method.rewards` has those of nuclei; a task with other replies has a
register of its own.
"""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reward: TypeAlias = "Callable[..., float]"

F = TypeVar("F", bound="Callable[..., float]")


class Rewards:
    """The rewards of one kind of reply.

    Parameters
    ----------
    group : str
        Entry points of other packages: a reward's name, and the function. It is imported when a
        recipe names it.
    also : tuple of str
        What rewards may ask for beside the reply.
    """

    def __init__(self, group: str, also: tuple[str, ...] = ()) -> None:
        self.group = group
        self._also = also
        self._known: dict[str, Reward] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Add the decorated function.

        Raises
        ------
        InputError
            If its name is taken, or it asks for what there is not.
        """

        def add(reward: F) -> F:
            if name in self._known:
                raise InputError(f"The reward {name!r} is registered already.")
            unknown = [what for what in _asked_by(reward) if what not in self._also]
            if unknown:
                raise InputError(
                    f"The reward {name!r} asks for {', '.join(unknown)}; expected a parameter for "
                    f"the reply, and perhaps {', '.join(self._also) or 'nothing else'}."
                )
            self._known[name] = reward
            return reward

        return add

    def names(self) -> tuple[str, ...]:
        """Names of those there are, sorted. Imports nothing."""
        return tuple(sorted({*self._known, *entry_points(group=self.group).names}))

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name. Imports nothing."""
        # Of what all packages offer, each reading takes some 50 ms: those known come first.
        return name in self._known or name in entry_points(group=self.group).names

    def get(self, name: str) -> Reward:
        """The reward of this name.

        Raises
        ------
        InputError
            If there is none, the package that brings it cannot be imported, or `register` refuses.
        """
        if name not in self._known:
            found = entry_points(group=self.group, name=name)
            if not found:
                raise InputError(
                    f"There is no reward {name!r}; expected some of {', '.join(self.names())}."
                )
            point = next(iter(found))
            try:
                reward = point.load()
            except Exception as error:  # somebody else's code, whatever it raises
                raise InputError(
                    f"The reward {name!r} of {point.module} cannot be used "
                    f"({type(error).__name__}: {error}). Mend that package, or leave the reward "
                    "out of the recipe."
                ) from error
            self.register(name)(reward)
        return self._known[name]

    def asking(self, weights: Mapping[str, float], for_what: str) -> list[str]:
        """Which of these rewards ask for something beside the reply; raises as `get` does."""
        return [name for name in weights if for_what in _asked_by(self.get(name))]

    def terms(self, weights: Mapping[str, float], reply: Any, **more: Any) -> dict[str, float]:
        """What each of these rewards says of a reply.

        Parameters
        ----------
        weights : mapping
            Its keys are the names.
        reply
            What the rewards are functions of.
        **more
            What they may ask for.
        """
        return {
            name: (reward := self.get(name))(reply, **{key: more[key] for key in _asked_by(reward)})
            for name in weights
        }


def weighed(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The sum of terms, each times its weight: ``r_DM + gamma r_PQ``, for example (Eq. 19)."""
    return sum(weights[name] * value for name, value in terms.items())


def _asked_by(reward: Reward) -> list[str]:
    return list(inspect.signature(reward).parameters)[1:]
