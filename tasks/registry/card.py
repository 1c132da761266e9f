"""The model card: one page of Markdown that says what a version is, how it was judged and how to use it.

It is the version's description in MLflow and a file of its run. The form follows Mitchell et al.,
"Model Cards for Model Reporting" (2019), kept to what the pipeline knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.records import (
    CleanRecord,
    EvaluateRecord,
    FitRecord,
    RunRef,
    Score,
    SplitRecord,
    ValidateRecord,
)

DESCRIPTION_LIMIT = 5000
"""Characters that MLflow's registry keeps of a description."""
_SLICES_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a card speaks of.

    Attributes:
        name: The registered model.
        manifest: The bundle's manifest.
        requirements: Packages that the model needs, `name==version`.
        tags: Provenance, as it is tagged on the version.
    """

    name: str
    run: RunRef
    manifest: Mapping[str, Any]
    raw: ValidateRecord
    cleaned: CleanRecord
    parts: SplitRecord
    fitted: FitRecord
    evaluated: EvaluateRecord
    requirements: Sequence[str]
    tags: Mapping[str, str]


def render(facts: Facts) -> str:
    """The whole card."""
    return "\n\n".join(section for section in _sections(facts) if section) + "\n"


def shorten(card: str, limit: int = DESCRIPTION_LIMIT) -> str:
    """As many leading sections of a card as fit into `limit` characters, and where the rest is."""
    if len(card) <= limit:
        return card
    rest = "\n\n*The whole card is `card.md` among the artifacts of the run.*\n"
    head = card[: limit - len(rest)]
    for mark in ("\n\n## ", "\n"):
        if mark in head:
            return head[: head.rindex(mark)] + rest
    return head + rest


def _sections(facts: Facts) -> Iterable[str]:
    yield f"# {facts.name}\n\n{_what(facts)}"
    yield f"## How it was judged\n\n{_judged(facts)}"
    yield f"## Data\n\n{_data(facts)}"
    yield f"## How to use it\n\n{_use(facts)}"
    yield f"## Limits\n\n{_limits(facts)}"
    yield _slices(facts.evaluated)
    yield f"## Requirements\n\n{_bullets(f'`{line}`' for line in facts.requirements)}"
    yield f"## Provenance\n\n{_provenance(facts)}"


def _what(facts: Facts) -> str:
    manifest, fitted = facts.manifest, facts.fitted
    kind = manifest["network"]["kind"]
    if manifest["classes"] is None:
        answers = f"a number, `{manifest['target']}`"
    else:
        answers = f"one of {len(manifest['classes'])} classes of `{manifest['target']}`"
    return (
        f"A PyTorch network (`{kind}`, {fitted.parameters:,} parameters) that reads {_reads(manifest)} and "
        f"answers {answers}. Cleaning and encoding are inside. Trained for {fitted.train_seconds:.0f} s on "
        f"{fitted.device} in {fitted.precision}; the weights are those of epoch {fitted.best_epoch} of "
        f"{len(fitted.history)}.{_began(fitted.base)}"
    )


def _began(base: Mapping[str, str]) -> str:
    """A sentence about the pretrained model that training began with, if it did."""
    if not base:
        return ""
    name, licence = _cell(base["name"]), _cell(base["licence"])
    return (
        f" Training began with the pretrained model `{name}` (licence {licence}, "
        f"sha256 `{base['sha256'][:16]}`); {base['frozen']} of its parameters stayed as they were. What it "
        "had read before is not known here, and may hold rows like those that this model was judged on."
    )


def _reads(manifest: Mapping[str, Any]) -> str:
    columns, shape = manifest["columns"], manifest["image_shape"]
    if columns is None:
        return f"raw images, uint8 {' x '.join(map(str, shape))} in {'grey' if len(shape) == 2 else 'colour'}"
    if len(columns) > 1:
        return f"raw rows of {len(columns)} columns"
    return f"raw rows of one column (the {columns[0]['type']} `{_cell(columns[0]['name'])}`)"


def _strange(manifest: Mapping[str, Any]) -> str:
    """What the model does not refuse."""
    if manifest["columns"] is None:
        return "A picture of something else altogether is answered too."
    if [column["type"] for column in manifest["columns"]] == ["text"]:
        return "A text of words that training never saw, or in another language, is answered too."
    return "A value that training never saw (a new category, a number far outside) is answered too."


def _judged(facts: Facts) -> str:
    evaluated = facts.evaluated
    verdicts = {verdict.against: verdict for verdict in evaluated.verdicts}
    lines = [
        f"On {evaluated.rows:,} test rows that nothing was fitted to, by {evaluated.metric} "
        f"({'higher' if evaluated.higher_is_better else 'lower'} is better), with 95 % intervals"
        f"{f' ({evaluated.method})' if evaluated.method else ''}. The verdict is the candidate's against "
        "that model, from the interval of the paired difference.",
        "",
        f"| model | {_cell(evaluated.metric)} | 95 % interval | the candidate is |",
        "| --- | ---: | --- | --- |",
    ]
    for score in sorted(evaluated.scores, key=lambda score: score.name != "candidate"):
        verdict = verdicts.get(score.name)
        name = f"{score.name} ({score.rows:,} rows)" if score in evaluated.fewer else score.name
        lines.append(f"| {_cell(name)} | {_value(score)} | {verdict.verdict if verdict else ''} |")
    gate = _bullets(f"{'held' if g.passed else 'broken'}: {g.reason or g.criterion}" for g in evaluated.gate)
    return "\n".join(lines) + f"\n\nThe gate:\n\n{gate}"


def _value(score: Score) -> str:
    if score.error:
        return f"failed: {_cell(score.error)} |"
    return f"{_number(score.value)} | {_number(score.low)} to {_number(score.high)}"


def _data(facts: Facts) -> str:
    raw, cleaned, parts = facts.raw, facts.cleaned, facts.parts
    return _bullets(
        [
            f"files: {', '.join(_cell(file.name) for file in raw.files)}",
            f"rows: {cleaned.read:,} read = {cleaned.kept:,} kept + {cleaned.dropped:,} dropped + "
            f"{cleaned.quarantined:,} quarantined",
            f"split: {parts.train:,} train, {parts.validation:,} validation, {parts.test:,} test",
            f"fingerprint: `{raw.fingerprint}`",
            *(f"warning: {_cell(finding.message)}" for finding in raw.findings),
        ]
    )


def _use(facts: Facts) -> str:
    columns = facts.manifest["columns"]
    data = "a uint8 array of images" if columns is None else "a DataFrame of raw rows"
    data += f" with the column {columns[0]['name']!r}" if columns and len(columns) == 1 else ""
    probabilities = (
        ""
        if facts.manifest["classes"] is None
        else '\nmodel.predict(data, params={"output": "probabilities"})   # of each class'
    )
    return (
        "```python\nimport mlflow\n\n"
        f'model = mlflow.pyfunc.load_model("models:/{facts.name}@champion")\n'
        f"model.predict(data)   # {data}{probabilities}\n```\n\n"
        f'Or as a service: `mlflow models serve -m "models:/{facts.name}@champion" --env-manager local`.'
    )


def _limits(facts: Facts) -> str:
    warnings = (*facts.parts.warnings, *facts.fitted.warnings, *facts.evaluated.warnings)
    return _bullets(
        [
            "It was judged on rows of the same source; on other data the figures above promise nothing.",
            _strange(facts.manifest),
            *(_cell(warning) for warning in warnings),
        ]
    )


def _slices(evaluated: EvaluateRecord) -> str:
    if not evaluated.slices:
        return ""
    sign = 1 if evaluated.higher_is_better else -1
    worst = sorted(evaluated.slices, key=lambda s: sign * s.score if math.isfinite(s.score) else -math.inf)
    lines = [
        f"| column | value | rows | {_cell(evaluated.metric)} | 95 % interval |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for part in worst[:_SLICES_SHOWN]:
        place = f"{_cell(part.column)} | {_cell(part.value)} | {part.rows}"
        lines.append(f"| {place} | {_number(part.score)} | {_number(part.low)} to {_number(part.high)} |")
    more = len(worst) - _SLICES_SHOWN
    note = f"\n\n{more} better slices are left out." if more > 0 else ""
    return "## Slices, worst first\n\n" + "\n".join(lines) + note


def _provenance(facts: Facts) -> str:
    known = {
        "MLflow run": facts.run.run_id,
        "split hash": facts.parts.hash,
        "weights sha256": facts.fitted.digest,
        "fitted state": facts.fitted.state_hash,
        **{key.removeprefix("modelyard."): value for key, value in sorted(facts.tags.items())},
    }
    return _bullets(f"{_cell(key)}: `{_cell(value)}`" for key, value in known.items())


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "undefined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(text: object) -> str:
    """Text that can't end a table cell, begin a tag or start a new line."""
    flat = " ".join(str(text).split())
    return flat.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
