"""The ladder on a table beyond memory: by the sample, and said so."""

from __future__ import annotations

from tasks.config import Columns, Encode, Evaluate, Fit, Limit
from tasks.evaluate import evaluate
from tasks.splitting import parts


def test_all_rungs_are_judged_on_the_sampled_test_rows_and_the_record_says_so(bench, table, sampling):
    fitted = bench.fit("always", settings=Fit(epochs=6, batch_size=64, learning_rate=0.01))
    raw, rows, dealt = bench.validate("always"), bench.clean("always"), bench.split("always")
    judged = evaluate.fn(
        raw, rows, dealt, fitted, rules=Evaluate(metric="rmsle", baselines=("median", "ridge")),
        gate=(Limit(metric="rmsle", at_most=1.0),), columns=Columns(), encode=Encode(target="log"),
        target="price", kind="regression", seed=0, champion=None, work=bench.work("always"),
    )  # fmt: skip
    assert judged.rows == int((parts.load(dealt.folder) == "test").sum()) < dealt.test
    assert judged.score("candidate").value < judged.score("median").value
    assert judged.passed
    assert any("baselines fitted on a sample" in warning for warning in judged.warnings)
