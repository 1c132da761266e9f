"""A run as lines of its own log: what somebody reads who follows it in Prefect's pages, or from afar."""

from __future__ import annotations

import time
from typing import Any

from prefect.logging import get_run_logger

from flows import terminal
from flows.audience import Audience
from tasks.records import Epoch, RunRef

EPOCH_SECONDS = 1.0
"""Least time between two lines about epochs; the last one is always told."""


class Reporter(Audience):
    """Writes each step's line, and an epoch a second, to the log of the run that it is called in."""

    def __init__(self) -> None:
        self._told = float("-inf")

    def started(self, run: RunRef, flow_run_id: str) -> None:  # noqa: ARG002
        """Names the MLflow run."""
        get_run_logger().info("run %s", run.run_id)

    def waits(self, why: str) -> None:
        """Says what is waited for."""
        get_run_logger().info(why)

    def epoch(self, epoch: Epoch, total: int) -> None:
        """Tells how far the training is."""
        now = time.monotonic()
        if now - self._told < EPOCH_SECONDS and epoch.epoch < total:
            return
        self._told = now
        get_run_logger().info("  %s", terminal.progress(epoch, total))

    def end(self, record: Any) -> None:
        """The step's line, and what it warns about."""
        get_run_logger().info("✓ %s", terminal.line(record))
        for warning in terminal.warnings(record):
            get_run_logger().warning("  ! %s", warning)

    def failed(self, step: str) -> None:
        """The cross; the error itself is in the run's state."""
        get_run_logger().error("✗ %s", step)
