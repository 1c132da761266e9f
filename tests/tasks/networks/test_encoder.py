from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tasks.networks import InputSpec, build, count_parameters
from tasks.networks.encoder import TOGETHER, Encoder

SUBWORDS = torch.tensor([[3, 8, 5, 7, 10, 4], [3, 6, 9, 4, 0, 0], [3, 4, 0, 0, 0, 0]], dtype=torch.int32)


def encoder(architecture: dict[str, Any], seed: int = 0, **options: Any) -> Encoder:
    torch.manual_seed(seed)
    return Encoder(InputSpec(outputs=2, architecture=architecture), **options)


def test_answers_are_the_mean_over_what_is_no_padding_written_out(architecture: dict[str, Any]) -> None:
    net = encoder(architecture).eval()
    row = SUBWORDS[1:2, :4].long() - 1
    inside = net.body(input_ids=row).last_hidden_state[0]
    torch.testing.assert_close(net(SUBWORDS)[1], net.output(inside.mean(0)), rtol=1e-5, atol=1e-6)


def test_one_row_is_answered_as_among_many_whatever_the_order(architecture: dict[str, Any]) -> None:
    net = encoder(architecture).eval()
    many = SUBWORDS[torch.arange(3 * TOGETHER + 1) % 3]
    answers = net(many)
    assert answers.shape == (3 * TOGETHER + 1, 2)
    for at in (0, 1, 2, TOGETHER, 3 * TOGETHER):
        torch.testing.assert_close(answers[at], net(many[at : at + 1])[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(answers[0], answers[1])


def test_a_text_of_nothing_is_answered_by_a_number(architecture: dict[str, Any]) -> None:
    nothing = torch.zeros(2, 6, dtype=torch.int32)
    assert torch.isfinite(encoder(architecture).eval()(nothing)).all()
    assert torch.isfinite(encoder(architecture).train()(nothing)).all()


def test_the_base_models_weights_come_from_its_folder(base_model: Path, architecture: dict[str, Any]) -> None:
    nets = [encoder(architecture, seed) for seed in (1, 2)]
    assert not torch.equal(*(net.body.encoder.layer[0].output.dense.weight for net in nets))
    for net in nets:
        net.load_pretrained(str(base_model))
    first, second = (net.body.state_dict() for net in nets)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(*(net.output.weight for net in nets)), "the last layer is the seed's"


def test_weights_that_lack_a_part_are_refused(base_model: Path, architecture: dict[str, Any]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(base_model / "model.safetensors")
    dropped = next(name for name in weights if name.endswith("output.dense.weight"))
    save_file(
        {k: v for k, v in weights.items() if k != dropped}, base_model / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ValueError, match=r"lacks 1 weights, such as .*output\.dense\.weight"):
        encoder(architecture).load_pretrained(str(base_model))
    (base_model / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="can't be read"):
        encoder(architecture).load_pretrained(str(base_model))


def test_only_the_head_is_faster_and_only_matrices_decay(architecture: dict[str, Any]) -> None:
    net = encoder(architecture, head_rate=7.0)
    matrices, others, head = net.optimizer(0.001, 0.5).param_groups
    assert head["scale"] == 7.0
    assert {id(p) for p in head["params"]} == {id(p) for p in net.output.parameters()}
    assert others["weight_decay"] == 0
    assert matrices["weight_decay"] == 0.5
    assert all(p.dim() > 1 for p in matrices["params"])
    held = sum(p.numel() for group in (matrices, others, head) for p in group["params"])
    assert held == count_parameters(net)


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_words_stay_as_they_were(architecture: dict[str, Any], frozen: bool) -> None:
    net = encoder(architecture, freeze_words=frozen).train()
    words, dense = net.body.get_input_embeddings().weight, net.body.encoder.layer[0].output.dense.weight
    before = words.detach().clone(), dense.detach().clone()
    optimizer = net.optimizer(0.01, 0.0)
    nn.functional.cross_entropy(net(SUBWORDS), torch.tensor([0, 1, 0])).backward()
    optimizer.step()
    assert torch.equal(words, before[0]) == frozen
    assert not torch.equal(dense, before[1])


def test_lengths_are_numbers_of_subwords(architecture: dict[str, Any]) -> None:
    assert encoder(architecture).lengths((SUBWORDS,)).tolist() == [6, 4, 2]


def test_padding_changes_no_answer_of_another_family(architecture: dict[str, Any]) -> None:
    net = encoder(architecture | {"model_type": "roberta", "pad_token_id": 1}).eval()
    torch.testing.assert_close(net(SUBWORDS)[2], net(SUBWORDS[2:, :2])[0], rtol=1e-4, atol=1e-5)


def test_keys_that_name_code_are_passed_over(base_model: Path, architecture: dict[str, Any]) -> None:
    hostile = architecture | {
        "auto_map": {"AutoModel": "evil--modeling.Evil"}, "attn_implementation": "evil/kernels",
        "_attn_implementation": "evil/kernels", "quantization_config": {"quant_method": "evil"},
    }  # fmt: skip
    net = encoder(hostile)
    net.load_pretrained(str(base_model))
    assert not {"auto_map", "quantization_config"} & net.body.config.to_dict().keys()
    assert net.body.config._attn_implementation == "sdpa"
    assert type(net.body).__module__.startswith("transformers.models.bert")


T5 = {
    "model_type": "t5",
    "d_model": 8,
    "d_kv": 4,
    "d_ff": 8,
    "num_layers": 1,
    "num_heads": 1,
    "vocab_size": 9,
}
VIT = {
    "model_type": "vit", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 1, "image_size": 8, "patch_size": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        (T5, "'t5' is no text encoder"),
        (VIT, "'vit' is no text encoder"),
        ({"model_type": "no-such-kind"}, "'no-such-kind' can't be built"),
        ({"model_type": "bert", "hidden_size": "wide"}, "'bert' can't be built"),
        ({}, "'None' can't be built"),
    ],
)
def test_what_is_no_text_encoder_is_refused(base_model: Path, plain: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        encoder(plain)


def test_it_is_built_from_its_section_and_needs_texts(architecture: dict[str, Any]) -> None:
    section = {"kind": "encoder", "model": "tiny", "length": 6, "head_rate": 3.0, "dropout": 0.0}
    net = build(section, InputSpec(outputs=2, architecture=architecture))
    assert isinstance(net, Encoder)
    assert net.head_rate == 3.0
    with pytest.raises(ValueError, match=r"columns\.text"):
        build(section, InputSpec(outputs=2, numbers=3))
