from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.naive_bayes import MultinomialNB
from torch import Tensor, nn

from tasks.config import Mlp as MlpConfig
from tasks.config import Neuron as NeuronConfig
from tasks.config import Rnn as RnnConfig
from tasks.config import Wide as WideConfig
from tasks.config import WideDeep as WideDeepConfig
from tasks.networks import InputSpec, build
from tasks.networks.ngrams import NaiveBayes, ScaledLinear
from tasks.networks.optimizers import Joined, adamw
from tasks.networks.rnn import Rnn
from tasks.networks.wide_deep import WideDeep

SPEC = InputSpec(outputs=3, vocabulary=30, buckets=40, word_grams=15)
NETWORKS = [
    NeuronConfig(),
    MlpConfig(hidden=(8,), members=2),
    RnnConfig(hidden=5, embedding=4, layers=2),
    RnnConfig(hidden=5, embedding=4, cell="lstm", both_ways=False),
    WideConfig(),
    WideDeepConfig(hidden=5, embedding=4),
]


def texts(rows: int = 12, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Ids of words (rows, 9) and of n-grams (rows, 14), ascending, some rows short."""
    rng = np.random.default_rng(seed)
    words, grams = np.zeros((rows, 9), dtype=np.int32), np.zeros((rows, 14), dtype=np.int32)
    for i in range(rows):
        count = rng.integers(1, 10)
        words[i, :count] = rng.integers(1, 30, count)
        count = rng.integers(1, 15)
        grams[i, :count] = np.sort(rng.choice(np.arange(1, 40), count, replace=False))
    return torch.from_numpy(words), torch.from_numpy(grams)


def ready(network: Any, spec: InputSpec = SPEC) -> tuple[nn.Module, tuple[Tensor, Tensor], Tensor]:
    """A network, primed where it wants to be, its inputs and its targets."""
    torch.manual_seed(0)
    net, inputs = build(network.model_dump(), spec), texts(60)
    targets = torch.randint(0, 3, (60,)) if spec.outputs > 1 else torch.randn(60)
    if hasattr(net, "prime"):
        with torch.no_grad():
            net.prime(inputs, targets)
    return net, inputs, targets


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    many = targets.expand(outputs.shape[:-1])
    if outputs.shape[-1] == 1:
        return nn.functional.mse_loss(outputs.squeeze(-1), many)
    return nn.functional.cross_entropy(outputs.flatten(0, -2), many.flatten())


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.kind)
def test_one_row_in_one_answer_out_and_the_loss_goes_down(network: Any, outputs: int) -> None:
    net, inputs, targets = ready(network, InputSpec(outputs, vocabulary=30, buckets=40, word_grams=15))
    assert net.eval()(*inputs).shape == (60, outputs)
    assert net(*(x[:1] for x in inputs)).shape == (1, outputs)
    optimizer = (
        net.optimizer(0.003, 0.01)
        if hasattr(net, "optimizer")
        else torch.optim.AdamW(net.parameters(), 0.003, weight_decay=0.01)
    )
    for group in optimizer.param_groups:
        group["lr"] *= group.get("scale", 1.0)
    before = loss_of(net(*inputs), targets)
    for _ in range(60):
        optimizer.zero_grad()
        loss_of(net.train()(*inputs), targets).backward()
        optimizer.step()
    assert loss_of(net.eval()(*inputs), targets) < before


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.kind)
def test_a_row_has_the_same_answer_alone_and_among_longer_ones(network: Any) -> None:
    net, inputs, targets = ready(network)
    loss_of(net.train()(*inputs), targets)  # members learn how large their scores are
    together = net.eval()(*inputs)
    for i in range(12):
        short = tuple(x[i : i + 1, : max(1, int((x[i] > 0).sum()))] for x in inputs)
        torch.testing.assert_close(net(*short)[0], together[i], atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(net(*(nn.functional.pad(x, (0, 50)) for x in inputs)), together)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.kind)
def test_a_row_without_words_is_answered(network: Any) -> None:
    net, *_ = ready(network)
    nothing = torch.zeros(2, 1, dtype=torch.int32)
    assert torch.isfinite(net.eval()(nothing, nothing)).all()
    assert torch.isfinite(net.train()(nothing, nothing)).all()


def test_naive_bayes_agrees_with_scikit_learn() -> None:
    inputs, targets = texts(60)[1], torch.arange(60) % 3
    bayes = NaiveBayes(SPEC)
    bayes.prime(inputs, targets)
    table = np.zeros((60, 15))
    for i, row in enumerate(inputs.numpy()):
        table[i, row[row < 15]] = 1
    reference = MultinomialNB().fit(table[:, 1:], targets.numpy())
    scores = bayes(inputs) * bayes.spread
    expected = torch.from_numpy(reference.predict_log_proba(table[:, 1:])).float()
    torch.testing.assert_close(scores.softmax(1).log(), expected, atol=1e-5, rtol=1e-4)


def test_naive_bayes_knows_its_scores_of_rows_that_it_has_not_counted() -> None:
    inputs, targets = texts(40)[1], torch.arange(40) % 3
    whole = NaiveBayes(SPEC)
    whole.prime(inputs, targets)
    left_out = []
    for i in range(40):
        others = torch.arange(40) != i
        bayes = NaiveBayes(SPEC)
        bayes.prime(inputs[others], targets[others])
        bayes.prior.copy_(whole.prior)  # the share of the row's class is left as it is
        left_out.append(bayes(inputs[i : i + 1])[0] * bayes.spread)
    scores = torch.stack(left_out)
    assert float(whole.spread) == pytest.approx(float(scores.square().mean().sqrt()), rel=1e-4)
    losses = {
        f: float(nn.functional.cross_entropy(f * scores / whole.spread, targets)) for f in (0.05, 0.5, 2)
    }
    best = float(nn.functional.cross_entropy(whole.sharpness * scores / whole.spread, targets))
    assert best < min(losses.values())


def test_the_linear_member_is_the_same_arithmetic_written_out() -> None:
    grams = torch.tensor([[1, 3], [2, 3], [2, 0]], dtype=torch.int32)
    linear = ScaledLinear(InputSpec(outputs=2, buckets=4, word_grams=3))
    linear.prime(grams, torch.tensor([0, 1, 1]))
    idf = [math.log(4 / 2) + 1, math.log(4 / 3) + 1]
    # Of class 0 the n-gram 3 has 1 + 1 of 1 + 1 rows, as it has of class 1: it tells nothing.
    torch.testing.assert_close(linear.scale, torch.tensor([0.0, *idf, 0.0]))
    with torch.no_grad():
        linear.scale[3] = 2.0
        linear.weight.copy_(torch.arange(8.0).view(4, 2))
    # One sequence of words and one of characters in the first row: each of unit length by itself.
    torch.testing.assert_close(linear(grams)[0], linear.weight[1] + linear.weight[3] + linear.bias)
    torch.testing.assert_close(linear.bias.softmax(0), torch.tensor([1 / 3, 2 / 3]))


def test_the_recurrent_network_is_torchs_own_where_nothing_is_padded() -> None:
    torch.manual_seed(0)
    net = Rnn(SPEC, embedding=4, hidden=5, layers=2).eval()
    reference = nn.GRU(4, 5, num_layers=2, batch_first=True, bidirectional=True)
    for layer in range(2):
        for cells, mark in ((net.forwards, ""), (net.backwards, "_reverse")):
            for name, value in cells[layer].named_parameters():
                getattr(reference, f"{name[:-1]}{layer}{mark}").data.copy_(value)
    words = torch.randint(1, 30, (3, 7), dtype=torch.int32)
    states, _ = reference(net.embedding(words))
    expected = net.output(torch.cat([states.amax(1), states.mean(1)], dim=1))
    torch.testing.assert_close(net(words), expected)
    lengths = torch.tensor([7, 3, 1])
    words[torch.arange(7) >= lengths[:, None]] = 0
    packed = nn.utils.rnn.pack_padded_sequence(net.embedding(words), lengths, batch_first=True)
    states, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True, padding_value=-9.0)
    mean = states.masked_fill(states < -8, 0).sum(1) / lengths[:, None]
    torch.testing.assert_close(net(words), net.output(torch.cat([states.amax(1), mean], dim=1)))


def test_joined_members_have_each_their_own_loss_and_are_added_at_unit_size() -> None:
    net, inputs, _ = ready(WideDeepConfig(hidden=5, embedding=4, bayes=2.0, linear=1.0, recurrent=1.0))
    assert isinstance(net, WideDeep)
    with torch.no_grad():
        net.members["linear"].weight.normal_()
    apart = net.train()(*inputs)
    assert apart.shape == (2, 60, 3)
    assert net.spread[0] == 1
    centred = apart[0] - apart[0].mean(1, keepdim=True)
    torch.testing.assert_close(net.spread[1], centred.square().mean().sqrt())
    net.eval()
    bayes, linear, deep = (net.members[name] for name in ("bayes", "linear", "recurrent"))
    parts = [bayes(inputs[1]), linear(inputs[1]) / net.spread[1], deep(inputs[0]) / net.spread[2]]
    centred_parts = [part - part.mean(1, keepdim=True) for part in parts]
    expected = bayes.sharpness * (0.5 * centred_parts[0] + 0.25 * centred_parts[1] + 0.25 * centred_parts[2])
    torch.testing.assert_close(net(*inputs), expected)


def test_a_member_of_no_weight_is_left_out() -> None:
    assert list(build(WideConfig(bayes=0).model_dump(), SPEC).members) == ["linear"]
    assert list(build(WideConfig().model_dump(), SPEC).members) == ["bayes", "linear"]


def test_joined_optimizers_go_on_where_they_were() -> None:
    def made() -> tuple[nn.Linear, Joined]:
        torch.manual_seed(0)
        net = nn.Linear(3, 2)
        steps = torch.optim.SGD([net.bias], 0.1, momentum=0.9)
        return net, Joined(adamw([("weight", net.weight)], 0.01, 0.1), steps)

    def go_on(net: nn.Linear, optimizer: Joined, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            net(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()

    (net, whole), (cut, before), (again, after) = made(), made(), made()
    go_on(net, whole, 6)
    go_on(cut, before, 3)
    again.load_state_dict(cut.state_dict())
    after.load_state_dict(before.state_dict())
    go_on(again, after, 3)
    assert torch.equal(again.weight, net.weight)
    assert torch.equal(again.bias, net.bias)
    after.param_groups[-1]["lr"] = 0.0
    still = again.bias.clone()
    go_on(again, after, 1)
    assert torch.equal(again.bias, still)


@pytest.mark.parametrize("kind", ["rnn", "wide", "wide_deep"])
def test_networks_for_texts_say_so(kind: str) -> None:
    options = {"rnn": RnnConfig(), "wide": WideConfig(), "wide_deep": WideDeepConfig()}[kind].model_dump()
    with pytest.raises(ValueError, match=f"'{kind}' needs texts"):
        build(options, InputSpec(outputs=2, numbers=3))


def test_convolutions_do_not_read_texts() -> None:
    with pytest.raises(ValueError, match="'wide' for texts"):
        build({"kind": "cnn"}, SPEC)
