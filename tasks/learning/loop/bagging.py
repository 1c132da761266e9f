"""Rows of its own for each member of a network: what it learns from, and what judges it.

One set of validation rows, shared by all members, is few rows to choose an epoch by, and all members learn
from the same rest. Where each holds out others, they are judged on more rows than one could spare, differ
more, and together learn from every row, so that nothing is left to refit (Breiman, "Bagging predictors",
1996, with rows drawn without replacement).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from tasks.errors import ConfigError
from tasks.learning.training import Examples
from tasks.networks.mlp import Mlp

MOST = 2000
"""Examples that are enough to choose an epoch by; a member learns from what it need not hold out."""


def members(network: nn.Module) -> int:
    """Number of members that can be given rows of their own.

    Raises:
        ConfigError: There are fewer than two.
    """
    count = network.members if isinstance(network, Mlp) and network.reads_table else 1
    if count < 2:
        raise ConfigError(
            "fit.bagging: the network has no members that could hold out rows of their own",
            fix="use network.kind: mlp with network.members: 2 or more on a table, or fit.bagging: false",
        )
    return count


def deal(pool: Examples, members: int, held_out: int, seed: int) -> tuple[Examples, Examples]:
    """What each member learns from, and what it holds out.

    Held-out rows are taken in turn from one shuffled row of all, so no row is held out twice before every
    row has been once.

    Args:
        pool: Examples that are dealt.
        members: Number of members.
        held_out: Examples that each holds out, but never more than `MOST`; fewer than there are.
        seed: Of the draw.
    """
    held_out = min(held_out, MOST)
    drawn = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(pool), generator=drawn)
    apart = [order.roll(-member * held_out) for member in range(members)]
    # Shuffled again: members that are given the same positions of a batch see different rows.
    rest = len(pool) - held_out
    kept = [rows[held_out:][torch.randperm(rest, generator=drawn)] for rows in apart]
    out = [rows[:held_out] for rows in apart]
    return replace(pool, own=torch.stack(kept)), replace(pool, own=torch.stack(out))
