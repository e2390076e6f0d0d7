"""A checkpoint in vLLM, and its adapters, among the models that can be had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.next_point.replies import CONFIDENCE_RADIUS_UM
from napari_nunext.models.vllm.connection import VllmConnection

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.process.vllm_address import VllmAddress
    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.detector import Detector, DetectorInfo

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
"""Architectures that vLLM has; our own `conv_qwen` is not one of them."""


class VllmOffer:
    """A `napari_nunext.models.packages.offers.Offer` of a detector that runs in vLLM.

    Parameters
    ----------
    connection : VllmConnection
        Shared by a checkpoint and its adapters.
    folder : Path
        The checkpoint that vLLM was started on, as this machine sees it.
    name : str
        Under which vLLM serves it, or an adapter of it.
    adapter : Path, optional
        Folder of the adapter; it has the prompt, grammar and categories of the checkpoint.

    Raises
    ------
    CheckpointError
        If the folder is not a detector's checkpoint, or of a family that vLLM does not have.
    """

    kind: Literal["detector"] = "detector"
    origin = "vLLM"

    def __init__(
        self,
        connection: VllmConnection,
        folder: Path,
        name: str,
        adapter: Path | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self._connection = connection
        self._adapter = adapter
        self._description = check_served(folder)
        self._info: DetectorInfo | None = None

    @property
    def info(self) -> DetectorInfo:
        """What it is described as. A run is known by the checkpoint and the adapter alike."""
        if self._info is None:
            adapter = {} if self._adapter is None else {"adapter": checkpoint_sha256(self._adapter)}
            info = self._description.info(
                checkpoint_sha256(self.folder),
                strategy="greedy",
                engine="vllm",
                confidence_radius_um=CONFIDENCE_RADIUS_UM,
                repeats="dropped",
                **adapter,
            )
            self._info = info if self._adapter is None else replace(info, name=self.name)
        return self._info

    @property
    def problem(self) -> str | None:
        """Asked of the server every few seconds."""
        look = self._connection.look()
        if look.problem is None and self.name not in look.served:
            return (
                f"The vLLM server at {self._connection.url} serves {', '.join(look.served)}, not "
                f"{self.name}. Start it with --served-model-name {self.name}."
            )
        return look.problem

    @property
    def passing(self) -> bool:
        """Whether the problem is that the server does not answer yet, or any more."""
        return self._connection.look().away

    def load(self) -> Detector:
        """Make it, whether vLLM is there or not.

        Reads the checkpoint's tokenizer, for the prompt; weights are vLLM's.
        """
        from napari_nunext.models.checkpoints.processor import WindowProcessor
        from napari_nunext.models.families import get_family
        from napari_nunext.models.vllm.detector import Served, VllmDetector

        family = get_family(self._description.family)
        processor = family.load_processor(self.folder)
        windows = WindowProcessor(family, processor, self._description)
        served = Served(self._connection, self.name, self._description, windows.prompt_ids_of)
        return VllmDetector(served, self.info)


def vllm_offers(address: VllmAddress | None) -> list[VllmOffer]:
    """The checkpoint at an address, then its adapters.

    Raises
    ------
    CheckpointError
        If the folder is not a checkpoint that vLLM serves.
    """
    if address is None:
        return []
    connection = VllmConnection(address.url, address.key)
    adapters = address.adapters.items()
    return [
        VllmOffer(connection, address.folder, address.name),
        *(VllmOffer(connection, address.folder, name, path) for name, path in adapters),
    ]


def check_served(folder: Path) -> CheckpointDescription:
    """Description of a checkpoint that vLLM can serve.

    Raises
    ------
    CheckpointError
        If it is not a detector's checkpoint, or of a family that vLLM does not have.
    """
    description = read_description(folder)
    if description.family not in FAMILIES:
        raise CheckpointError(
            f"{folder.name} is of the family {description.family}, which vLLM does not have "
            f"(it has {' and '.join(FAMILIES)}). Serve it without --vllm."
        )
    return description
