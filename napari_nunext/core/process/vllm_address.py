"""Where a vLLM is, and what it serves, as one process tells another. No model is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class VllmAddress:
    """A vLLM that serves a checkpoint, and adapters of it."""

    url: str
    """As `VllmConnection` takes it."""
    folder: Path
    """The checkpoint, as this machine sees it."""
    name: str
    """Under which it is served."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """By the names under which they are served."""
    key: str | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """All of it, the key too, for `from_json`."""
        return {
            "url": self.url,
            "folder": str(self.folder),
            "name": self.name,
            "adapters": {name: str(path) for name, path in self.adapters.items()},
            "key": self.key,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> VllmAddress:
        """What `to_json` wrote."""
        adapters = {name: Path(path) for name, path in data["adapters"].items()}
        return cls(data["url"], Path(data["folder"]), data["name"], adapters, data["key"])
