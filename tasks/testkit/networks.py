"""The contract of a network, as a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tasks.config import Fit
from tasks.learning import hooks
from tasks.networks.spec import InputSpec

TABLE = InputSpec(outputs=3, numbers=4, levels=(5, 3))
IMAGES = InputSpec(outputs=3, image=(1, 16, 16))
TEXTS = InputSpec(outputs=3, vocabulary=40, buckets=200)
BATCH = 12
RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""One example alone and among others differ in the last bits of a sum, and no further."""
STEPS = 60


def check_network(factory: Callable[..., nn.Module], spec: InputSpec = TABLE, **options: Any) -> None:
    """Runs a network through what training, storing and answering will ask of it.

    Args:
        factory: Takes an `InputSpec` and the options.
        spec: What goes in and out: `TABLE`, `IMAGES`, `TEXTS`, or one of your own.
        options: What the settings would give it.

    Raises:
        AssertionError: Says which sentence of the contract does not hold.
    """
    inputs, targets = examples(spec)
    network = _made(factory, spec, options)
    again = _made(factory, spec, options)
    for name, values in network.state_dict().items():
        assert torch.equal(values, again.state_dict()[name]), (
            f"the same seed gives the same weights, but {name} differs: draw from torch's own generator"
        )
    hooks.prime(network, inputs, targets)
    _trains(network, inputs, targets, spec)
    _answers(network, inputs, spec)
    _is_stored(network, _made(factory, spec, options, seed=1), inputs)
    _learns(network, inputs, targets)


def examples(spec: InputSpec, count: int = BATCH) -> tuple[tuple[Tensor, ...], Tensor]:
    """Made inputs, as an encoder writes them, and targets (count,): classes, or standardised numbers."""
    draw = torch.Generator().manual_seed(0)
    if spec.image is not None:
        inputs: tuple[Tensor, ...] = (torch.randn(count, *spec.image, generator=draw),)
    elif spec.vocabulary:
        words = torch.randint(1, spec.vocabulary, (count, 9), generator=draw)
        grams = torch.randint(1, spec.buckets, (count, 14), generator=draw)
        words[0, 4:], grams[0, 6:] = 0, 0
        inputs = (words, grams)
    else:
        numbers = torch.randn(count, spec.numbers, generator=draw)
        codes = [torch.randint(0, levels, (count,), generator=draw) for levels in spec.levels]
        inputs = (numbers, torch.stack(codes, 1) if codes else torch.empty(count, 0, dtype=torch.int64))
    if spec.outputs == 1:
        return inputs, torch.randn(count, generator=draw)
    return inputs, torch.arange(count) % spec.outputs


def _made(
    factory: Callable[..., nn.Module], spec: InputSpec, options: dict[str, Any], seed: int = 0
) -> nn.Module:
    torch.manual_seed(seed)
    network = factory(spec, **options)
    assert isinstance(network, nn.Module), f"a factory answers a Module, not {type(network).__name__}"
    return network


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    many = targets.expand(outputs.shape[:-1])
    if outputs.shape[-1] == 1:
        return nn.functional.mse_loss(outputs.squeeze(-1), many)
    return nn.functional.cross_entropy(outputs.flatten(0, -2), many.flatten())


def _trains(network: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor, spec: InputSpec) -> None:
    network.train()
    outputs = network(*inputs)
    wanted = (BATCH, spec.outputs)
    assert outputs.shape[-2:] == wanted and outputs.dim() in (2, 3), (
        f"in training mode it answers {wanted} or (members, *{wanted}), not {tuple(outputs.shape)}"
    )
    assert outputs.is_floating_point() and torch.isfinite(outputs).all(), "it answers finite numbers"
    _loss(outputs.float(), targets).backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"every weight has a gradient, but {name} takes no part"
            grad = parameter.grad.coalesce().values() if parameter.grad.is_sparse else parameter.grad
            assert torch.isfinite(grad).all(), f"gradients are finite, but that of {name} is not"


@torch.no_grad()
def _answers(network: nn.Module, inputs: tuple[Tensor, ...], spec: InputSpec) -> None:
    network.eval()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    many = network(*inputs)
    assert many.shape == (BATCH, spec.outputs), (
        f"in eval mode it answers {(BATCH, spec.outputs)}, not {tuple(many.shape)}"
    )
    assert torch.isfinite(many).all(), "in eval mode, too, it answers finite numbers"
    assert torch.equal(many, network(*inputs)), "in eval mode the same question has the same answer"
    alone = torch.cat([network(*(x[i : i + 1] for x in inputs)) for i in range(BATCH)])
    assert torch.allclose(alone, many, rtol=RELATIVE, atol=ABSOLUTE), (
        "in eval mode an example's answer does not depend on the others beside it, but one alone differs"
    )
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name]), f"answering changes nothing, but {name} changed"


@torch.no_grad()
def _is_stored(network: nn.Module, other: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    other.load_state_dict(network.state_dict())
    assert torch.allclose(other.eval()(*inputs), network.eval()(*inputs), rtol=RELATIVE, atol=ABSOLUTE), (
        "its state dict is all that it knows, but another instance with the same state answers differently: "
        "what is fitted or drawn has to be a parameter or a buffer"
    )


def _learns(network: nn.Module, inputs: tuple[Tensor, ...], targets: Tensor) -> None:
    """By a few steps on one batch; which one does not matter."""
    network.eval()
    with torch.no_grad():
        before = float(_loss(network(*inputs).float(), targets))
    settings = Fit(learning_rate=0.01)
    optimizer = hooks.optimizer(network, settings)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * group.get("scale", 1.0)
    network.train()
    for _ in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        _loss(network(*inputs).float(), targets).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()
    with torch.no_grad():
        after = float(_loss(network(*inputs).float(), targets))
    assert after < before, (
        f"{STEPS} steps on one batch lower its loss; it went from {before:.4g} to {after:.4g}"
    )
