"""What the server counts, for Prometheus. No image, person or file is a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from napari_nunext import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10000.0)
"""Upper edges of the histograms: from a mask click to a whole slide."""


class Metrics:
    """Counters of one server; a registry of their own, so that there may be several."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "nunext_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "nunext_request_seconds",
            "From a request's arrival to the last byte of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.wait_seconds = Histogram(
            "nunext_job_wait_seconds",
            "From a job's arrival to its first turn.",
            ["urgency"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.jobs = Counter(
            "nunext_jobs",
            "Detections and segmentations that ended.",
            ["kind", "outcome"],
            registry=self._registry,
        )
        self.points = Counter("nunext_points", "Nuclei found.", registry=self._registry)
        self.tokens = Counter(
            "nunext_tokens", "Tokens read and decoded.", ["kind"], registry=self._registry
        )
        Gauge("nunext_info", "Version of the server.", ["version"], registry=self._registry).labels(
            __version__
        ).set(1)

    def watch(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """Tell a figure as it is whenever somebody asks."""
        Gauge(name, help_, registry=self._registry).set_function(read)

    def text(self) -> str:
        """All of them in Prometheus' text format."""
        return generate_latest(self._registry).decode()
