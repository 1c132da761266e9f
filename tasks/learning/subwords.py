"""Texts as the subwords of a pretrained encoder, cut by the tokenizer that it was trained with.

Nothing here is learned from train rows: tokenizer and architecture are the base model's own. Both are
kept with the model, so that it is whole without the folder that it came from. The package tokenizers
is an optional one, asked for only where such a model is made or opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import ConfigError
from tasks.learning.features import texts_of

CHARACTERS = 64
"""Most characters of a text that are read for each token that may be: a megabyte costs no second."""


@dataclass(frozen=True)
class SubwordInputs:
    """Numbers of subwords (n, length) int32: the tokenizer's id plus one, and 0 where the text has ended.

    Attributes:
        column: Name of the column of texts.
        tokenizer: Content of the base model's tokenizer.json.
        architecture: Its config.json: kind and sizes of the network.
        length: Most subwords of a text that are read, the tokenizer's own marks included.
        base: What the base model is: name, licence, sha256 of its files.
    """

    column: str
    tokenizer: str
    architecture: dict[str, Any]
    length: int
    base: dict[str, str]

    @staticmethod
    def restored(state: dict[str, Any]) -> SubwordInputs:
        """What a model kept.

        Raises:
            ConfigError: The package tokenizers is not there.
            ValueError: The tokenizer is none.
        """
        inputs = SubwordInputs(**state)
        opened(inputs.tokenizer)
        return inputs

    def encode(self, rows: pd.DataFrame) -> tuple[np.ndarray, ...]:
        """Rows to subwords (n, length) int32."""
        subwords = np.zeros((len(rows), self.length), dtype=np.int32)
        for row, ids in zip(subwords, self._ids(rows), strict=True):
            read = ids[: self.length]
            row[: len(read)] = np.asarray(read, dtype=np.int32) + 1
        return (subwords,)

    def cut_share(self, rows: pd.DataFrame) -> float:
        """Share of texts of which the end is not read."""
        longer = [len(ids) > self.length for ids in self._ids(rows)]
        return float(np.mean(longer)) if longer else 0.0

    def _ids(self, rows: pd.DataFrame) -> list[list[int]]:
        """Ids of each text, one more than are read where it is longer; a text that is missing is empty."""
        tokenizer = opened(self.tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.length + 1)
        texts = texts_of(rows[self.column]).fillna("")
        # One by one: a batch is dealt to threads of its own, whatever fit.threads says.
        return [tokenizer.encode(text[: CHARACTERS * self.length]).ids for text in texts]


def require() -> None:
    """Raises ConfigError unless the optional packages are there."""
    absent = [name for name in ("transformers", "tokenizers") if find_spec(name) is None]
    if absent:
        raise ConfigError(
            f"network.kind 'encoder' needs the extra `text`: {' and '.join(absent)} can't be imported",
            fix="run `make text`, or `pip install 'modelyard[text]'`",
        )


@lru_cache(maxsize=4)
def opened(content: str) -> Any:
    """The tokenizer whose tokenizer.json this is.

    Raises:
        ConfigError: The package tokenizers is not there.
        ValueError: The content is no tokenizer.
    """
    require()
    from tokenizers import Tokenizer  # noqa: PLC0415

    try:
        return Tokenizer.from_str(content)
    except Exception as error:  # the package raises nothing narrower
        raise ValueError(f"tokenizer.json is not what it should be: {error}") from error
