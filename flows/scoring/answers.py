"""Answers as a file: one line an input row, written as they come, whole or absent in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from tasks import store
from tasks.errors import ConfigError, quoted
from tasks.ladder.intervals import Interval
from tasks.predictions import Predictions

ENDINGS = (".csv", ".parquet")


def check_output(output: Path, source: Path, *, force: bool) -> None:
    """Refuses an output that can't be written, or that would write into what is read.

    Raises:
        ConfigError: Unknown ending, no such folder, a place in the input, or a file that is there
            and may not be replaced.
    """
    name = f"output {quoted(str(output))}"
    if output.suffix not in ENDINGS:
        raise ConfigError(f"{name}: expected a name ending in {' or '.join(ENDINGS)}")
    if not output.parent.is_dir():
        raise ConfigError(f"{name}: its folder does not exist", fix="make it first")
    same = output.exists() and source.exists() and output.samefile(source)
    if same or output.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{name}: lies in the input", fix="choose a place outside of it")
    if output.is_dir() or (output.exists() and not force):
        raise ConfigError(f"{name} exists", fix="choose another name, or add --force")


def columns(manifest: Mapping[str, Any], interval: Interval | None, *, folder: bool) -> pa.Schema:
    """The columns of a model's answers.

    Args:
        manifest: The model's.
        interval: Its prediction interval; without one there is neither `low` nor `high`.
        folder: Whether the input is many files, whose names become the column `file`.
    """
    classes = manifest["classes"]
    answer = pa.float64() if classes is None else pa.array(classes).type
    fields = [("file", pa.string())] if folder else []
    fields += [("prediction", answer)]
    if classes is not None:
        fields += [("probability", pa.float64())]
    elif interval is not None:
        fields += [("low", pa.float64()), ("high", pa.float64())]
    return pa.schema([*fields, ("model_version", pa.int64()), ("error", pa.string())])


def table(
    schema: pa.Schema,
    predictions: Predictions,
    bad: Mapping[int, str],
    *,
    version: int,
    interval: Interval | None,
    file: str | list[str] | None,
) -> pa.Table:
    """Some rows' answers in the columns of `schema`; what is unreadable has an error and no answer.

    Args:
        schema: What `columns` gave.
        predictions: Of n rows.
        bad: Positions of the rows that can't be read, with the reason.
        version: Of the model.
        interval: Its prediction interval.
        file: Name of the file that the rows come from, or of each row's.
    """
    count = len(predictions.values)
    is_bad = np.zeros(count, dtype=bool)
    is_bad[list(bad)] = True
    found: dict[str, Any] = {"prediction": pa.array(predictions.values, mask=is_bad)}
    if predictions.probabilities is not None:
        found["probability"] = pa.array(predictions.confidence, mask=is_bad)
    elif interval is not None:
        ends = zip(("low", "high"), interval.around(predictions.values), strict=True)
        found |= {name: pa.array(values, mask=is_bad) for name, values in ends}
    found["model_version"] = pa.repeat(version, count)
    found["error"] = _errors(bad, count)
    one = not isinstance(file, list)
    found["file"] = pa.repeat(pa.scalar(file, pa.string()), count) if one else pa.array(file, pa.string())
    return pa.table([found[name] for name in schema.names], names=schema.names).cast(schema)


def _errors(bad: Mapping[int, str], count: int) -> pa.Array:
    if not bad:
        return pa.nulls(count, pa.string())
    return pa.array([bad.get(row) for row in range(count)], pa.string())


@contextmanager
def writing(output: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """A function that appends rows; the file takes its name when the block ends without an error."""
    with store.replacing(output) as temporary:
        if output.suffix == ".parquet":
            with pq.ParquetWriter(temporary, schema) as parquet:
                yield parquet.write_table
            return
        options = arrow_csv.WriteOptions(include_header=False)  # it would put the names in quotes
        with temporary.open("wb") as file:
            file.write(",".join(schema.names).encode() + b"\n")
            with arrow_csv.CSVWriter(file, schema, write_options=options) as text:
                yield text.write_table
