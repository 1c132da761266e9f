from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "a", "##ly", "!")


@pytest.fixture(scope="session")
def _made_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = pytest.importorskip(
        "transformers", reason="the extra `text` is not installed: `make text`"
    )
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=24,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    ids = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Made\n")
    return folder


@pytest.fixture
def base_model(_made_encoder: Path, tmp_path: Path) -> Path:
    """A folder with a BERT of one layer and ten subwords; skipped without the extra `text`."""
    return Path(shutil.copytree(_made_encoder, tmp_path / "tiny"))


@pytest.fixture
def architecture(base_model: Path) -> dict[str, object]:
    """That model's config.json."""
    return dict(json.loads((base_model / "config.json").read_text()))
