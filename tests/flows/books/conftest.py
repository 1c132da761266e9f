"""These tests train again and again, and others look at a shared yard's latest run."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="package")
def yard(opened: Any) -> Any:
    """A yard of these tests' own."""
    with opened() as yard:
        yield yard


@pytest.fixture(scope="package")
def trained(yard: Any) -> dict[str, Any]:
    """Its first training's document."""
    answer = yard("train", "rings", "--json")
    assert answer.code == 0, answer.err
    return answer.document
