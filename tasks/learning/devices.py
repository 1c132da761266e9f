"""Where and how precisely to compute: device, number format, CPU threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tasks.errors import ConfigError

WIDE = 512
"""Units of every dense layer from which bfloat16 pays on a CPU; at 256 it is quicker too, and costs accuracy
on tables of a few thousand rows."""
ROOM = 0.6
"""Share of a GPU's free memory that examples may take."""


def resolve_device(device: str) -> str:
    """The device to train on: `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ConfigError: A device was asked for by name and is not there.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if present[name])
    if not present[device]:
        found = ", ".join(name for name, there in present.items() if there)
        raise ConfigError(
            f"fit.device is {device!r}, but this machine has none (torch {torch.__version__} sees: {found})",
            fix="use fit.device: auto",
        )
    return device


def resolve_precision(
    precision: str, device: str, *, convolutional: bool, encoder: bool = False, wide: bool = False
) -> str:
    """float32, or bfloat16 for matrix products where it pays: on GPUs and, for convolutions, pretrained
    encoders and dense layers of 512 units, on CPUs that have instructions for it (1.3, 2.4 and 2.8 times
    faster there; without them it would be slower).
    """
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    has_instructions = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return (
        "bfloat16"
        if device == "cpu" and (convolutional or encoder or wide) and has_instructions()
        else "float32"
    )


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within this block torch computes on `count` CPU threads; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes of examples may lie in the device's memory, with room for the training."""
    return device.type != "cuda" or size < ROOM * torch.cuda.mem_get_info(device)[0]
