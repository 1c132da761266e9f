"""A pretrained text encoder with a new last layer; its inside is transformers', an optional package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tasks.networks.spec import InputSpec

TOGETHER = 64
"""Texts of similar length that are answered at a time: 4,096 at once would take gigabytes."""

PASSED_OVER = ("auto_map", "quantization_config", "attn_implementation", "_attn_implementation", "dtype")
"""Keys of a config.json that name code to run or to fetch, or another number format."""

ATTENTION = "sdpa"


class Encoder(nn.Module):
    """Subwords through a transformer, the mean of what comes out, dropout, one linear layer.

    A new module has random weights; `load_pretrained` puts in those of the base model, and a model that
    was trained brings its own.

    Args:
        spec: `architecture` is the base model's config.json.
        head_rate: Learning rate of the last layer, as a multiple of the others'.
        dropout: Share of the mean that training zeroes; inside, the base model's own shares hold.
        freeze_words: Whether the table of subwords stays as it is.
        told: Where the base model lies and how texts are cut, which the inputs know.
    """

    def __init__(
        self,
        spec: InputSpec,
        *,
        head_rate: float = 10.0,
        dropout: float = 0.1,
        freeze_words: bool = True,
        **told: object,  # noqa: ARG002 - see above
    ) -> None:
        super().__init__()
        if spec.architecture is None:
            raise ValueError("network.kind 'encoder' needs texts; name their column in columns.text")
        self.body = _untrained(spec.architecture)
        self.body.get_input_embeddings().weight.requires_grad_(not freeze_words)
        self.head_rate, self.dropout = head_rate, dropout
        self.output = nn.Linear(self.body.config.hidden_size, spec.outputs)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(self, subwords: Tensor) -> Tensor:
        """Ids plus one (batch, length), 0 where a text has ended -> (batch, outputs)."""
        if self.training:
            return self._answers(subwords)
        # Rows of one length together: what is padded away costs nothing.
        order = torch.argsort((subwords > 0).sum(1), stable=True)
        parts = [self._answers(subwords[rows]) for rows in torch.split(order, TOGETHER)]
        return torch.cat(parts)[torch.argsort(order)]

    def _answers(self, subwords: Tensor) -> Tensor:
        longest = max(1, int((subwords > 0).sum(1).max())) if len(subwords) else 1
        subwords = subwords[:, :longest].long()
        mask = subwords > 0
        mask[:, 0] = True  # a text of nothing has one place, so that no mean is over none
        ids = (subwords - 1).clamp(min=0)  # which id stands behind the mask changes nothing
        read = self.body(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
        weights = mask.unsqueeze(2).float()
        mean = (read * weights).sum(1) / weights.sum(1)
        answer: Tensor = self.output(nn.functional.dropout(mean, self.dropout, self.training))
        return answer

    def lengths(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Number of subwords of each text, (n,)."""
        return (inputs[0] > 0).sum(1)

    def load_pretrained(self, folder: str) -> None:
        """Takes the weights of the base model in `folder`, from safetensors.

        Raises:
            ValueError: They can't be read, or are not all there.
        """
        try:
            found, report = _library().AutoModel.from_pretrained(
                folder,
                config=self.body.config,
                attn_implementation=ATTENTION,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
        except Exception as error:  # the library promises no kinds
            raise ValueError(
                f"network.model: the weights in {folder} can't be read: {_brief(error)}"
            ) from error
        missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise ValueError(f"network.model: {folder} lacks {len(missing)} weights, such as {missing[0]}")
        self.body.load_state_dict(_without_pooler(found).state_dict())

    def optimizer(self, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        """AdamW; biases and norms do not decay, and the last layer goes at its own multiple of the rate."""
        inside = [parameter for parameter in self.body.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in inside if p.dim() > 1], "weight_decay": weight_decay},
            {"params": [p for p in inside if p.dim() <= 1], "weight_decay": 0.0},
            {"params": [*self.output.parameters()], "weight_decay": weight_decay, "scale": self.head_rate},
        ]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), fused=True)


def _library() -> Any:
    try:
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise ValueError(f"network.kind 'encoder' needs the package transformers: {error}") from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def _untrained(architecture: Mapping[str, Any]) -> Any:
    """The module of a config.json, with random weights.

    Raises:
        ValueError: The library does not know the kind, or it reads no texts from one side to the other.
    """
    library = _library()
    plain = {key: value for key, value in architecture.items() if key not in PASSED_OVER}
    kind = str(plain.pop("model_type", None))
    try:
        config = library.AutoConfig.for_model(kind, **plain)
        body = library.AutoModel.from_config(
            config, attn_implementation=ATTENTION, dtype=torch.float32, trust_remote_code=False
        )
    except Exception as error:  # the library promises no kinds
        raise ValueError(f"network.model: {kind!r} can't be built: {_brief(error)}") from error
    if config.is_encoder_decoder or body.main_input_name != "input_ids":
        raise ValueError(f"network.model: {kind!r} is no text encoder")
    return _without_pooler(body)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _without_pooler(body: Any) -> Any:
    """The module without the layer that some put on top, which nothing here reads."""
    if getattr(body, "pooler", None) is not None:
        body.pooler = None
    return body
