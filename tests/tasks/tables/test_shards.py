"""What is learned of rows that are not in memory, and how they come to the training loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.config import Columns, Encode, Fit, Mlp, Trim
from tasks.dataset import Dataset
from tasks.errors import ConfigError
from tasks.features.schema import frame
from tasks.fit import encode_examples, fit_encoder
from tasks.learning import hooks, scoring
from tasks.learning.pieces import fit_encoder as learning
from tasks.learning.pieces import shards as feeding
from tasks.learning.training import Examples
from tasks.splitting import parts
from tasks.tables import table as table_of


def learned(bench, kind="regression", goal="price", columns=None, **how):
    """The encoder of the sample, that of all rows by the stream, and that of all rows in memory."""
    cleaned, split = bench.clean("always", target=goal), bench.split("always", target=goal)
    rows, columns = table_of.load(cleaned.folder), columns or Columns()
    asked = {"target": goal, "kind": kind, "columns": columns, "exclude": (), "encode": Encode(**how)}
    sample = Dataset.load(cleaned.folder)
    known = fit_encoder(sample.take((parts.load(split.folder) == "train").to_numpy()), **asked)
    everything = pd.concat([frame(batch, ids) for ids, batch in rows.batches()])
    train = Dataset(everything[np.load(split.folder / parts.CODES) == parts.TRAIN])
    return (
        known,
        learning.exact(known, rows, split.folder, goal, asked["encode"]),
        fit_encoder(train, **asked),
        train,
    )


def test_a_table_that_is_its_own_sample_is_learned_as_in_memory(bench, table):
    _, pieces, whole, _ = learned(bench, numeric="quantile")
    assert pieces.state() == whole.state()


@pytest.mark.parametrize(("numeric", "target"), [("standard", "log"), ("quantile", "auto"), ("none", "none")])
def test_counts_and_moments_are_those_of_all_rows(bench, table, sampling, numeric, target):
    known, pieces, whole, _ = learned(
        bench, numeric=numeric, target=target, columns=Columns(categorical=("whole",))
    )
    assert pieces.inputs.categories == whole.inputs.categories
    for one, other in zip(pieces.inputs.numbers, whole.inputs.numbers, strict=True):
        assert (one.name, one.indicator) == (other.name, other.indicator)
        if numeric == "standard":
            assert one.knots == pytest.approx(other.knots, rel=1e-9)
    assert pieces.target.log == whole.target.log
    for field in ("mean", "std", "low", "high"):
        assert getattr(pieces.target, field) == pytest.approx(getattr(whole.target, field), rel=1e-9)
    assert known.target != pieces.target


def test_rows_that_are_passed_over_do_not_shift_the_parts_of_those_after(bench, table, sampling):
    bench.store(pd.concat([table.iloc[:2000], table.iloc[:1000], table.iloc[2000:]], ignore_index=True))
    _, pieces, whole, _ = learned(bench)
    assert pieces.inputs.categories == whole.inputs.categories
    assert pieces.target.mean == pytest.approx(whole.target.mean, rel=1e-12)


def test_quantiles_are_near_those_of_all_rows(bench, table, sampling):
    _, pieces, whole, train = learned(bench, numeric="quantile")
    values = train.rows["x"].dropna().to_numpy()
    apart = np.abs(pieces.inputs.numbers[0].encode(values) - whole.inputs.numbers[0].encode(values))
    assert apart.mean() < 0.1


def test_classes_are_those_of_all_rows(bench, table, sampling):
    bench.task = "classification"
    rows = table.assign(kind=table["kind"].fillna("a"))
    rows.loc[rows.index[-40:], "kind"] = "rare"
    bench.store(rows)
    _, pieces, whole, _ = learned(bench, "classification", "kind")
    assert pieces.target == whole.target


def test_a_batch_is_encoded_as_its_frame_is(bench, table):
    _, encoder, _, train = learned(bench, numeric="quantile", columns=Columns(categorical=("whole", "x")))
    assert len(encoder.inputs.categories) == 4
    rows, split = table_of.load(bench.clean("always").folder), bench.split("always").folder
    pieces = learning.train_pieces(rows, split, list(rows.kinds))
    batches = [frame(batch, coded=True) for piece in pieces for batch in piece.batches()]
    assert len(batches) > 2
    numbers, codes = (
        np.concatenate(x) for x in zip(*(encoder.inputs.encode(b) for b in batches), strict=True)
    )
    expected = encoder.inputs.encode(train.rows)
    assert (numbers == expected[0]).all()
    assert (codes == expected[1]).all()


@pytest.fixture
def shards(bench, table, tmp_path, monkeypatch):
    """The train rows in files, in blocks of 64, some 300 in a window."""
    monkeypatch.setattr(feeding, "BLOCK", 64)
    _, encoder, _, train = learned(bench, numeric="quantile")
    whole = encode_examples(train, encoder, "price")
    rows, split = table_of.load(bench.clean("always").folder), bench.split("always").folder
    feeding.examples(rows, split, encoder, "price", whole, tmp_path / "shards")
    return whole, feeding.Shards.open(tmp_path / "shards", 300 * 40, whole)


def epoch(shards, size, seed=0):
    torch.manual_seed(seed)
    return [(*(x[rows] for x in shards.inputs), shards.targets[rows]) for rows in shards.batches(size, None)]


@pytest.mark.parametrize("size", [1, 50, 64, 700])
def test_an_epoch_brings_every_row_once(shards, size):
    whole, pieces = shards
    batches = epoch(pieces, size)
    assert len(pieces) == len(whole) > 5 * pieces.window
    lone = size > 1 and len(whole) % size == 1
    assert len(batches) == -(-len(whole) // size) - lone
    assert {len(batch[-1]) for batch in batches[:-1]} <= {size}
    brought = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    for one, other in zip(brought, (*whole.inputs, whole.targets), strict=True):
        assert one.dtype == other.dtype
    key = torch.cat([brought[0], brought[1], brought[2][:, None]], dim=1)
    expected = torch.cat([*whole.inputs, whole.targets[:, None]], dim=1)
    assert sorted(map(tuple, key.tolist())) == sorted(map(tuple, expected.tolist()))


def test_order_is_the_seeds_and_mixes_far_rows(shards):
    _, pieces = shards
    one, same, other = (torch.cat([b[-1] for b in epoch(pieces, 50, seed)]) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[:50].sort().values, other[:50].sort().values)


def test_training_in_pieces_learns_what_training_in_memory_learns(bench, table, sampling, monkeypatch):
    monkeypatch.setattr(feeding, "BLOCK", 64)
    monkeypatch.setattr(feeding, "SHARE", 2**16)
    operations, settings = (Trim(trim=("kind",)),), Fit(epochs=8, batch_size=64, learning_rate=0.01)
    record = bench.fit("always", *operations, settings=settings)
    assert "a sample of" in record.warnings[-1]
    test = bench.split("always", *operations).folder
    scorer = scoring.load(record.folder)
    raw = Dataset.load(bench.validate("always").folder).rows
    dealt = parts.load(test)
    held_out = raw.loc[dealt.index[dealt == "test"]]
    known = held_out[held_out["x"].notna()]  # without x, its part of the price can't be known
    errors = np.log1p(scorer.predict(known).values) - np.log1p(known["price"])
    assert float(np.sqrt((errors**2).mean())) < 0.15 < float(np.log1p(known["price"]).std()) / 3
    assert bench.fit("always", *operations, settings=settings).step.status == "reused"
    assert not list((bench.work("always") / "checkpoints").glob("*"))


def test_the_same_seed_gives_the_same_bits(bench, table, sampling):
    digests = {bench.fit("always", work=bench.folder / name).digest for name in ("one", "two")}
    assert len(digests) == 1


def test_encoded_rows_are_taken_up_by_a_fit_that_was_stopped(bench, table, tmp_path, monkeypatch):
    _, encoder, _, train = learned(bench, numeric="quantile")
    whole = encode_examples(train, encoder, "price")
    rows, split = table_of.load(bench.clean("always").folder), bench.split("always").folder
    asked = (rows, split, encoder, "price", whole, tmp_path / "shards")
    first = feeding.examples(*asked)
    monkeypatch.setattr(feeding, "_encode", None)
    assert len(feeding.examples(*asked)) == len(first)
    (tmp_path / "shards" / feeding.DONE).unlink()
    with pytest.raises(TypeError):
        feeding.examples(*asked)


@pytest.mark.parametrize("setting", ["refit", "bagging"])
def test_what_takes_rows_in_memory_is_refused_in_words(bench, table, sampling, setting):
    network = Mlp(hidden=(8,), members=2)
    with pytest.raises(ConfigError, match=rf"fit\.{setting} takes rows that are in memory"):
        bench.fit("always", settings=Fit(epochs=1, **{setting: True}), network=network)


def test_a_network_is_shown_the_sample_before_the_first_epoch(shards):
    whole, pieces = shards
    assert pieces.shown is whole
    assert isinstance(whole, Examples) and whole.shown is whole
    assert hooks.lengths(torch.nn.Linear(1, 1), pieces.shown.inputs) is None


def test_another_limit_of_memory_trains_anew_since_the_order_is_another(bench, table, sampling):
    assert bench.fit("always").step.status == "ran"
    bench.memory_mb = 2048
    again = bench.fit("always")
    assert again.step.status == "ran"
    assert "memory_mb" in again.step.why


def test_two_processes_train_on_the_same_batches_as_one(bench, table, sampling, monkeypatch):
    monkeypatch.setattr(feeding, "BLOCK", 64)
    monkeypatch.setattr(feeding, "SHARE", 2**16)
    one = bench.fit("always", settings=Fit(epochs=2, batch_size=64))
    two = bench.fit("always", settings=Fit(epochs=2, batch_size=64, processes=2))
    for alone, together in zip(one.history, two.history, strict=True):
        assert together.train_loss == pytest.approx(alone.train_loss, rel=1e-4)
        assert together.validation_loss == pytest.approx(alone.validation_loss, rel=1e-4)
