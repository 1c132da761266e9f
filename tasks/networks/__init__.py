"""Networks: torch and nothing else. `build` turns a `network:` section and a spec into a module.

Every network reads what the encoder writes and answers (batch, outputs): one logit a class, or one
standardised number. Tables: `net(numbers (batch, p) float32, codes (batch, q) int64)`. Images:
`net(pixels (batch, channels, height, width) float32, standardised)`. In training mode a network of
several members answers (members, batch, outputs); the loss is the mean over members. Texts:
`net(words (batch, L) int32, n-grams (batch, K) int32)`, ids padded with zeros.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from tasks.networks.cnn import Cnn
from tasks.networks.encoder import Encoder
from tasks.networks.mlp import Mlp
from tasks.networks.neuron import Neuron
from tasks.networks.rnn import Rnn
from tasks.networks.spec import InputSpec, Standardise
from tasks.networks.wide_deep import WideDeep

__all__ = ["InputSpec", "Standardise", "build", "count_parameters"]


SHIPPED: dict[str, Callable[..., nn.Module]] = {
    "neuron": Neuron,
    "mlp": Mlp,
    "cnn": Cnn,
    "rnn": Rnn,
    "wide": WideDeep,
    "wide_deep": WideDeep,
    "encoder": Encoder,
}


def build(network: Mapping[str, Any], spec: InputSpec) -> nn.Module:
    """The module that a `network:` section describes.

    Args:
        network: `kind` and its options, as plain data.
        spec: What goes in and how many numbers come out.

    Raises:
        ValueError: The kind can't read such inputs, or a custom factory is missing or returns no module.
    """
    options = {key: value for key, value in network.items() if key != "kind"}
    kind = network["kind"]
    if kind in SHIPPED:
        return SHIPPED[kind](spec, **options)
    return _custom(kind, spec, options.get("options", {}))


def _custom(kind: str, spec: InputSpec, options: Mapping[str, Any]) -> nn.Module:
    module, _, name = kind.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"network.kind {kind!r} can't be imported: {error}") from error
    try:
        network = factory(spec, **options)
    except Exception as error:
        raise ValueError(f"network.kind {kind!r} raised {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"network.kind {kind!r} returned {type(network).__name__}, not a torch.nn.Module")
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
