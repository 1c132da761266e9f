from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from tasks.config import Cnn as CnnConfig
from tasks.config import Mlp as MlpConfig
from tasks.config import Neuron as NeuronConfig
from tasks.networks import InputSpec, Standardise, build, count_parameters
from tasks.networks.cnn import AT_ONCE, Cnn
from tasks.networks.mlp import Mlp
from tasks.networks.neuron import Neuron
from tasks.networks.tables import Bins, Embeddings, dropped

TABLE = InputSpec(outputs=3, numbers=4, levels=(5, 2))
IMAGES = InputSpec(outputs=10, image=(1, 13, 12))


def table_batch(rows: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, 4), torch.randint(0, 2, (rows, 2))


def test_the_primers_neuron_does_not_fire() -> None:
    unit = Neuron(InputSpec(outputs=1, numbers=3))
    threshold = 0.5
    with torch.no_grad():
        unit.sum.weight.copy_(torch.tensor([[0.8, 0.3, 0.5]]))
        unit.sum.bias.fill_(-threshold)
    above = unit(torch.tensor([[0.2, 0.7, 0.1]])).item()
    assert above + threshold == pytest.approx(0.42)
    assert not above > 0
    assert unit(torch.tensor([[0.9, 0.7, 0.1]])).item() > 0


def test_the_primers_first_network_is_the_same_arithmetic_written_out() -> None:
    net = Mlp(InputSpec(outputs=1, numbers=3), hidden=(4, 2), dropout=0.0).eval()
    x = torch.randn(7, 3)
    (w1, b1), (w2, b2) = ((layer.weight[0], layer.bias[0]) for layer in net.hidden)
    expected = torch.relu(torch.relu(x @ w1 + b1) @ w2 + b2) @ net.output.weight[0] + net.output.bias[0]
    torch.testing.assert_close(torch.sigmoid(net(x)), torch.sigmoid(expected))
    assert count_parameters(net) == 3 * 4 + 4 + 4 * 2 + 2 + 2 * 1 + 1


@pytest.mark.parametrize(
    "network", [NeuronConfig(), MlpConfig(hidden=(8,)), MlpConfig(hidden=(8, 4), members=3, bins=5)]
)
def test_tables_in_one_row_an_answer_out(network: NeuronConfig | MlpConfig) -> None:
    net = build(network.model_dump(), TABLE).eval()
    assert net(*table_batch()).shape == (6, 3)
    assert net(*table_batch(1)).shape == (1, 3)


@pytest.mark.parametrize("network", [NeuronConfig(), MlpConfig(hidden=(8,)), CnnConfig(widths=(4, 5, 6))])
def test_images_in_one_row_an_answer_out(network: NeuronConfig | MlpConfig | CnnConfig) -> None:
    net = build(network.model_dump(), IMAGES).eval()
    assert net(torch.randn(2, 1, 13, 12)).shape == (2, 10)


def test_members_share_nothing_and_are_averaged() -> None:
    torch.manual_seed(0)
    net = Mlp(TABLE, hidden=(8,), dropout=0.0, members=3, bins=4)
    numbers, codes = table_batch()
    apart = net.train()(numbers, codes)
    assert apart.shape == (3, 6, 3)
    torch.testing.assert_close(net.eval()(numbers, codes), apart.mean(0))
    apart[1].sum().backward()
    for layer in (*net.hidden, net.output):
        moved = layer.weight.grad.abs().sum((1, 2)) > 0
        assert moved.tolist() == [False, True, False]


@pytest.mark.parametrize(("linear", "trees"), [(False, 0), (True, 0), (True, 5)])
def test_a_member_answers_its_own_rows_as_it_answers_rows_of_all(linear: bool, trees: int) -> None:
    torch.manual_seed(0)
    net = Mlp(TABLE, hidden=(8,), dropout=0.0, members=3, bins=4, linear=linear, trees=trees).train()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    numbers, codes = torch.randn(3, 6, 4), torch.randint(0, 2, (3, 6, 2))
    if net.trees is not None:
        net.trees.grow((numbers, codes), torch.randint(0, 3, (3, 6)))
    own = net.eval()(numbers, codes)
    for member in range(3):
        together = net.train()(numbers[member], codes[member])[member]
        if net.trees is not None:
            together = (together + net.trees(numbers[member], codes[member])[member]) / 2
        torch.testing.assert_close(own[member], together)


def primed(outputs: int, targets: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    net = Mlp(InputSpec(outputs=outputs, numbers=3), hidden=(8,), members=2, linear=True)
    with torch.no_grad():
        net.prime((numbers,), targets)
        return net.eval()(numbers)


def test_the_linear_part_starts_as_ridge_or_logistic_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(200, 3, generator=generator)
    line = numbers @ torch.tensor([1.0, -2.0, 0.5]) + 3.0
    noise = torch.randn(200, generator=generator)
    ridge = Ridge(alpha=1.0).fit(numbers, line + noise)
    found = primed(1, line + noise, numbers)
    torch.testing.assert_close(found[:, 0], torch.tensor(ridge.predict(numbers)).float(), atol=1e-3, rtol=0)
    classes = (line + 3 * noise > 3.0).long()
    # Two weights that share a difference cost half of one that has it all.
    logistic = LogisticRegression(C=2.0).fit(numbers, classes)
    expected = torch.tensor(logistic.predict_proba(numbers)).float()
    torch.testing.assert_close(primed(2, classes, numbers).softmax(1), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("part", ["linear", "trees"])
def test_linear_parts_and_trees_are_for_tables(part: str) -> None:
    with pytest.raises(ValueError, match=f"network.{part} is for tables"):
        Mlp(IMAGES, **{part: True})


def test_dropout_by_bytes_keeps_the_mean_and_drops_its_share() -> None:
    torch.manual_seed(0)
    out = dropped(torch.ones(100_003), 0.25)
    assert out.unique().tolist() == pytest.approx([0.0, 256 / 192])
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)
    torch.manual_seed(0)
    assert torch.equal(out, dropped(torch.ones(100_003), 0.25))


def test_embeddings_look_up_each_category_in_its_own_rows() -> None:
    embed = Embeddings(2, (3, 4), 5)
    found = embed(torch.tensor([[2, 1]]))
    wide = embed.table.view(7, 2, 5)
    for member in range(2):
        torch.testing.assert_close(found[member, 0], torch.cat([wide[2, member], wide[4, member]]))


def test_an_unknown_level_is_embedded_as_zero() -> None:
    assert Embeddings(2, (3, 4), 5)(torch.tensor([[0, 0]])).abs().sum() == 0


def test_bins_start_as_the_linear_map_and_then_bend() -> None:
    bins = Bins(1, 1, 8, 2)
    x = torch.linspace(-3, 3, 61)[:, None]
    straight = bins(x)[0]
    torch.testing.assert_close(straight.diff(dim=0).diff(dim=0), torch.zeros(59, 2), atol=1e-5, rtol=0)
    with torch.no_grad():
        bins.mix.normal_()
    bent = bins(x)[0]
    assert bent.diff(dim=0).diff(dim=0).abs().max() > 1e-3


def test_standardise_agrees_with_arithmetic_for_grey_and_colour() -> None:
    grey = torch.randint(0, 256, (2, 5, 6), dtype=torch.uint8)
    expected = (grey[:, None].float() - 30.0) / 60.0
    torch.testing.assert_close(Standardise((30.0,), (60.0,))(grey), expected)
    colour = torch.randint(0, 256, (2, 5, 6, 3), dtype=torch.uint8)
    out = Standardise((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))(colour)
    torch.testing.assert_close(out[:, 2], (colour[..., 2].float() - 3.0) / 6.0)


def test_a_custom_factory_by_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    net = build({"kind": "torch.nn:Identity", "options": {}}, TABLE)
    assert isinstance(net, nn.Identity)
    with pytest.raises(ValueError, match="can't be imported"):
        build({"kind": "torch.nn:Nothing", "options": {}}, TABLE)
    with pytest.raises(ValueError, match="returned InputSpec"):
        build({"kind": "copy:copy", "options": {}}, TABLE)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("side", [1, 7, 17, 18, 19, 33])
def test_the_cnn_reads_images_of_any_size(side: int, fold: bool) -> None:
    spec = InputSpec(outputs=2, image=(3, side, 20))
    net = build(CnnConfig(widths=(2, 3, 4), fold=fold).model_dump(), spec).eval()
    assert net(torch.randn(2, 3, side, 20)).shape == (2, 2)


def test_a_cnn_that_was_kept_before_it_had_options_still_loads() -> None:
    net = build({"kind": "cnn", "widths": [2, 3, 4]}, InputSpec(outputs=5, image=(1, 28, 28)))
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items() if tensor.dim() > 1}
    assert shapes == {
        "conv1.weight": (2, 4, 3, 3), "conv2.weight": (3, 2, 3, 3), "conv3.weight": (4, 3, 3, 3),
        "output.weight": (5, 4),
    }  # fmt: skip


@pytest.mark.parametrize("fold", [True, False])
def test_the_cnn_is_the_same_arithmetic_written_out(fold: bool) -> None:
    torch.manual_seed(0)
    net = Cnn(InputSpec(outputs=3, image=(2, 24, 22)), widths=(4, 5, 6), fold=fold)
    images = torch.randn(7, 2, 24, 22)
    x = images
    if fold:
        x = torch.cat([images[:, c : c + 1, i::2, j::2] for c in (0, 1) for i in (0, 1) for j in (0, 1)], 1)
    for number, (conv, pooled) in enumerate(
        ((net.conv1, not fold), (net.conv2, True), (net.conv3, False)), 1
    ):
        x = nn.functional.conv2d(x, conv.weight)
        # The largest of 2x2, by hand; what is left over at an odd edge is not looked at.
        x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)) if pooled else x
        norm = getattr(net, f"norm{number}")
        mean, spread = x.mean((0, 2, 3), True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        x = ((x - mean) / (spread + norm.eps).sqrt()).clamp(min=0)
    expected = x.amax((2, 3)) @ net.output.weight.T + net.output.bias
    torch.testing.assert_close(net.train()(images), expected, atol=1e-4, rtol=1e-4)


def test_a_residual_convolution_adds_to_what_it_is_given() -> None:
    torch.manual_seed(0)
    spec, images = InputSpec(outputs=3, image=(1, 20, 20)), torch.randn(4, 1, 20, 20)
    one = Cnn(spec, widths=(4, 5, 6)).eval()
    two = build(CnnConfig(widths=(4, 5, 6), residual=2).model_dump(), spec).eval()
    two.load_state_dict(one.state_dict(), strict=False)
    for further in two.further:
        nn.init.zeros_(further[0].weight)
    torch.testing.assert_close(two(images), one(images))
    nn.init.ones_(two.further[0][1].bias)  # relu(0 + 1) is added to each response
    torch.testing.assert_close(two(images), one(images) + one.output.weight.sum(1))


def test_many_images_are_answered_as_each_alone() -> None:
    net = build(CnnConfig(widths=(2, 3, 4)).model_dump(), InputSpec(outputs=2, image=(1, 20, 20))).eval()
    images = torch.randn(AT_ONCE + 3, 1, 20, 20)
    for at in (0, AT_ONCE - 1, AT_ONCE, AT_ONCE + 2):
        torch.testing.assert_close(net(images)[at : at + 1], net(images[at : at + 1]))


def test_a_cnn_with_a_mirror_answers_a_mirror_image_alike() -> None:
    torch.manual_seed(0)
    spec, images = InputSpec(outputs=3, image=(1, 20, 20)), torch.randn(4, 1, 20, 20)
    one = Cnn(spec, widths=(4, 5, 6)).eval()
    both = Cnn(spec, widths=(4, 5, 6), mirror=True).eval()
    both.load_state_dict(one.state_dict())
    torch.testing.assert_close(both(images), (one(images) + one(images.flip(3))) / 2)
    torch.testing.assert_close(both(images), both(images.flip(3)))
    assert not torch.allclose(one(images), one(images.flip(3)))


def test_a_cnn_with_a_mirror_learns_from_an_image_or_its_mirror_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Cnn(InputSpec(outputs=3, image=(1, 20, 20)), widths=(4, 5, 6), mirror=True).train()
    shown: list[torch.Tensor] = []
    monkeypatch.setattr(net, "_answer", lambda images: shown.append(images))
    images = torch.randn(200, 1, 20, 20)
    torch.manual_seed(0)
    net(images)
    changed = (shown[0] != images).flatten(1).any(1)
    assert 70 < changed.sum() < 130
    assert torch.equal(shown[0][changed], images[changed].flip(3))


def test_networks_say_what_they_can_not_read() -> None:
    with pytest.raises(ValueError, match="needs images"):
        build(CnnConfig().model_dump(), TABLE)
