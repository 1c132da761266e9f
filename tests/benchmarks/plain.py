"""The six steps by hand, in one script: no Prefect, no Great Expectations, no MLflow.

What `orchestration.py` holds `modelyard train` against. Data, network, loop and baselines are the project's
own; checks are a few lines of pandas, and nothing is remembered, reported or registered.

    .venv/bin/python tests/benchmarks/plain.py PROJECT [--source PATH] [--set KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import types
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def without_prefect() -> None:
    """The modules of the steps hold plain functions, too; Prefect's decorator is not needed for those."""
    stub: Any = types.ModuleType("prefect")
    stub.task = lambda **_: lambda function: function
    sys.modules["prefect"] = stub


def check(rows: Any, target: str) -> None:
    """What a careful person looks at: rows, names, the target, columns without a value."""
    if rows.empty or rows.columns.duplicated().any():
        raise SystemExit("no rows, or two columns of one name")
    if rows[target].isna().any():
        raise SystemExit(f"{target} is missing in {int(rows[target].isna().sum())} rows")
    for name, share in rows.isna().mean().items():
        if share > 0.6:
            print(f"{name}: {share:.0%} missing", file=sys.stderr)


def main() -> None:
    """Prints the scores as one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--set", action="append", default=[])
    words = parser.parse_args()
    began = time.perf_counter()
    without_prefect()
    scores = run(words.project, words.source, tuple(words.set))
    print(json.dumps({"seconds": time.perf_counter() - began, "scores": scores}))


def run(project: str, source: Path | None, settings: tuple[str, ...]) -> dict[str, float]:
    """Reads, checks, cleans, splits, trains, judges; the metric of each rung."""
    from tasks import clean, config, sources, split
    from tasks.ladder import baselines
    from tasks.ladder.comparison import CANDIDATE
    from tasks.ladder.rows import Rows
    from tasks.ladder.rungs import compare_all
    from tasks.learning import scoring
    from tasks.splitting.assign import assign_splits
    from tasks.splitting.parts import PARTS
    from tasks.tables.opening import of_frame

    loaded = config.load(ROOT, project, source=source, settings=settings)
    c = loaded.config
    raw = sources.read(c.source, loaded.folder, c.target, c.columns).dataset
    check(raw.rows, c.target)
    data = clean.tidy(raw, [operation.model_dump() for operation in c.clean], c.target, c.columns.text).data
    how = {"target": c.target, "kind": c.task, "seed": c.seed, "drop": c.columns.drop, "text": c.columns.text}
    plan = split.planned(data.rows, c.split, images=data.pixels is not None, **how)
    dealt = assign_splits(of_frame(data.rows), plan).parts
    train, validation, test = (data.take((dealt == part).to_numpy()) for part in PARTS)
    with tempfile.TemporaryDirectory() as place:
        bundle = Path(place) / "model"
        bundle.mkdir()
        learn(c, raw, train, validation, bundle)
        before = raw.take(raw.rows.index.isin(test.rows.index))
        model = scoring.load(bundle)
        asked = before.rows.drop(columns=[c.target]) if raw.pixels is None else before.pixels
        answers = {CANDIDATE: baselines.Answer(model.predict(asked), 0.0)}
    balanced = c.fit.class_weights == "balanced"
    problem = baselines.Problem(c.task, c.target, c.columns, c.encode, (), c.seed, balanced)
    known = data.take((dealt != "test").to_numpy()) if c.fit.refit or c.fit.bagging else train
    for name in c.evaluate.baselines:
        answers[name] = baselines.answer(name, known, test, problem)
    truth = baselines.truth_of(test.rows[c.target], c.task)
    rows = Rows(train, test, before, before.rows, truth)
    compared = compare_all(c.task, c.evaluate.metric, rows.truth, answers, c.seed)
    for verdict in compared.verdicts:
        print(f"{verdict.verdict} against {verdict.against}", file=sys.stderr)
    return {name: values[c.evaluate.metric] for name, values in compared.values.items()}


def learn(c: Any, raw: Any, train: Any, validation: Any, bundle: Path) -> None:
    """Trains as `fit` does and saves the model into `bundle`."""
    from tasks import fit
    from tasks.learning import scoring, training

    encoder = fit.fit_encoder(
        train, target=c.target, kind=c.task, columns=c.columns, exclude=(), encode=c.encode, network=c.network
    )
    network = fit.new_network(c.network, encoder, c.seed)
    known, held_out, goal = fit.dealt(train, validation, encoder, c.target, network, c.fit, c.seed)
    metric = c.fit.metric or c.evaluate.metric
    what = fit.make_task(encoder, goal, c.fit, metric, c.task)
    precision = fit.precision_of(c.fit, "cpu", train, c.network)
    how = {"seed": c.seed, "device": "cpu", "precision": precision}
    checkpoint = bundle.with_name("checkpoint")
    chosen = training.train(network, known, held_out, what, c.fit, checkpoint=checkpoint, **how)
    make = partial(fit.new_network, c.network, encoder, c.seed)
    trained = fit.refit(chosen, make, known, held_out, what, c.fit, checkpoint, how)
    unused = fit.unused_columns(raw, target=c.target, columns=c.columns, exclude=())
    about = fit.describe(raw, c.network, c.clean, kind=c.task, target=c.target, unused=unused)
    seen = raw.rows[raw.rows.index.isin([*train.rows.index, *validation.rows.index])]
    scoring.save(bundle, about, encoder, trained.weights, seen)


if __name__ == "__main__":
    main()
