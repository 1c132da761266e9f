"""The report of one run: one HTML file that loads nothing from elsewhere.

Numbers come from the records; tables and pictures from the files that the records name. A run that
stopped early has fewer records: the page then shows how far it came. Text is escaped by the
template; what enters it as markup is made here, from charts and base64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks import store, wording
from tasks.config import Config, as_yaml
from tasks.dataset import Dataset
from tasks.records import (
    CleanRecord,
    EvaluateRecord,
    ExtraRecord,
    FitRecord,
    RegisterRecord,
    SplitRecord,
    Step,
    ValidateRecord,
)
from tasks.reports import answers, exhibits, honesty, texts
from tasks.reports.exhibits import candidate_of

HEADLINE = 80
"""Longest reason, in characters, that stands in the headline; a longer one follows it."""
STEPS = ("validate", "clean", "split", "fit", "evaluate", "register")


@dataclass(frozen=True, kw_only=True)
class _Run:
    """All that is known about the run; a step that was not reached has no record."""

    config: Config
    validated: ValidateRecord | None
    cleaned: CleanRecord | None
    parts: SplitRecord | None
    fitted: FitRecord | None
    evaluated: EvaluateRecord | None
    registered: RegisterRecord | None
    reasons: tuple[str, ...]
    extras: tuple[ExtraRecord, ...]

    @property
    def records(self) -> tuple[Any, ...]:
        return (self.validated, self.cleaned, self.parts, self.fitted, self.evaluated, self.registered)

    @property
    def stopped(self) -> str | None:
        """The first step without a record."""
        return next((name for name, record in zip(STEPS, self.records, strict=True) if record is None), None)


def write(
    path: Path,
    *,
    config: Config,
    validated: ValidateRecord | None,
    cleaned: CleanRecord | None,
    parts: SplitRecord | None,
    fitted: FitRecord | None,
    evaluated: EvaluateRecord | None,
    registered: RegisterRecord | None,
    links: Mapping[str, str],
    environment: Mapping[str, str],
    reasons: Sequence[str] = (),
    extras: Sequence[ExtraRecord] = (),
) -> Path:
    """Writes the report of a run, whole or not at all.

    Args:
        path: The HTML file.
        config: The project's resolved settings.
        validated: Record of the first step; like the later ones, None where the run did not get so far.
        cleaned: Record of `clean`.
        parts: Record of `split`.
        fitted: Record of `fit`; its folder is the bundle, whose filters are shown.
        evaluated: Record of `evaluate`; its folder holds the predictions.
        registered: Record of `register`.
        links: Address by label; one that is no web address and no file is shown as text.
        environment: Value by name; `started` and `finished`, where given, stand at the top.
        reasons: Why the run ended as it did, besides what `registered` says.
        extras: Records of the project's own steps.

    Returns:
        `path`.
    """
    run = _Run(
        config=config,
        validated=validated,
        cleaned=cleaned,
        parts=parts,
        fitted=fitted,
        evaluated=evaluated,
        registered=registered,
        reasons=tuple(reasons),
        extras=tuple(extras),
    )
    return store.write_text(path, _page(run, links, environment))


def _page(run: _Run, links: Mapping[str, str], environment: Mapping[str, str]) -> str:
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    blocks: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True}
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **blocks)
    jinja.filters.update(number=wording.number, signed=wording.signed)
    jinja.filters.update(share=wording.share, duration=wording.duration)
    classify = run.config.task == "classification"
    frame = answers.predictions(run.evaluated.folder) if run.evaluated else None
    data = answers.dataset(run.cleaned.folder) if run.cleaned else None
    files = run.validated.files if run.validated else ()
    worst = answers.worst(frame, run.config, data, files) if frame is not None else None
    reader = texts.reader(run.config, data, run.fitted.folder if run.fitted else None)
    shown = [example["row"] for example in (*worst["examples"], *worst["best"])] if worst else []
    return jinja.get_template("report.html").render(
        run=run,
        config=run.config,
        outcome=_outcome(run),
        facts=_facts(run),
        ladder=exhibits.ladder(run.evaluated) if run.evaluated else None,
        slices=exhibits.slices(run.evaluated, run.config) if run.evaluated and run.evaluated.slices else None,
        training=exhibits.training(run.fitted, run.config) if run.fitted and run.fitted.history else None,
        confusion=answers.confusion(frame) if frame is not None and classify else None,
        residuals=answers.residuals(frame, run.config.target) if frame is not None and not classify else None,
        worst=worst,
        filters=_filters(run, data),
        passages=reader.passages(shown) if reader else {},
        learned=reader.learned(run.parts.folder) if reader and run.parts else None,
        leaks=honesty.leaks(run.parts.folder) if run.parts else None,
        suspects=honesty.suspects(run.evaluated.folder, files) if run.evaluated else None,
        rows=_rows(run) if run.validated else None,
        warnings=_warnings(run),
        steps=_steps(run),
        settings=as_yaml(run.config),
        environment=environment,
        links=[(label, address, _is_link(address)) for label, address in links.items()],
    )


def _outcome(run: _Run) -> dict[str, Any]:
    """The headline, its word and colour, and the reasons that it does not already say."""
    registered = run.registered
    reasons = list(dict.fromkeys((*(registered.reasons if registered else ()), *run.reasons)))
    word = registered.outcome if registered else "stopped"
    if registered and registered.model and word == "registered":
        model = registered.model
        aliases = wording.listed(list(model.aliases)) or "without an alias"
        sentence = f"Registered as version {model.version} of {model.name}, {aliases}"
    else:
        sentence = word.capitalize() if registered else f"Stopped at {run.stopped}"
        if len(reasons) == 1 and len(reasons[0]) <= HEADLINE:
            sentence, reasons = f"{sentence}: {reasons[0]}", []
    tone = {"registered": "good", "rejected": "warm", "stopped": "bad"}.get(word, "calm")
    return {"word": word, "tone": tone, "sentence": sentence, "reasons": reasons, "evidence": _evidence(run)}


def _evidence(run: _Run) -> str:
    """What the test rows say about the candidate, in one sentence or two."""
    record = run.evaluated
    candidate = candidate_of(record)
    if record is None or candidate is None:
        return ""
    places = wording.decimals(candidate.value, candidate.low, candidate.high)
    interval = f"{wording.number(candidate.low, places)} to {wording.number(candidate.high, places)}"
    words: dict[str, list[str]] = {}
    for verdict in record.verdicts:
        words.setdefault(verdict.verdict, []).append(verdict.against)
    joins = {"better": "better than", "indistinguishable": "indistinguishable from", "worse": "worse than"}
    said = [
        f"{joins.get(word, 'not comparable with')} {wording.listed(names)}" for word, names in words.items()
    ]
    return (
        f"On {record.rows:,} test rows the candidate reaches {record.metric} "
        f"{wording.number(candidate.value, places)} (95 % interval {interval})"
        + (f": {'; '.join(said)}." if said else ".")
    )


def _facts(run: _Run) -> list[tuple[str, str, str]]:
    """(label, value, note) of what people look for first."""
    facts = []
    record, candidate, fitted = run.evaluated, candidate_of(run.evaluated), run.fitted
    if record and candidate:
        places = wording.decimals(candidate.value, candidate.low, candidate.high)
        low, high = wording.number(candidate.low, places), wording.number(candidate.high, places)
        facts.append((f"test {record.metric}", wording.number(candidate.value, places), f"{low} to {high}"))
    if run.validated:
        kept = run.cleaned.kept if run.cleaned else run.validated.kept
        facts.append(("rows kept", f"{kept:,}", f"of {run.validated.read:,} read"))
    if run.parts:
        rest = f"{run.parts.validation:,} validation, {run.parts.test:,} test"
        facts.append(("train rows", f"{run.parts.train:,}", rest))
    if fitted:
        best = f"best epoch {fitted.best_epoch} of {len(fitted.history)}"
        best += ", in an earlier run" if fitted.step.status == "reused" else ""
        facts += [
            ("training", wording.duration(fitted.train_seconds), best),
            ("device", fitted.device, fitted.precision),
            ("parameters", f"{fitted.parameters:,}", f"network {run.config.network.kind}"),
        ]
        if fitted.base:
            facts.append(("began with", fitted.base["name"], f"licence {fitted.base['licence']}"))
        files = [path for path in fitted.folder.glob("*") if path.name not in ("inputs.json", "record.json")]
        if files:
            total = wording.size(sum(path.stat().st_size for path in files))
            facts.append(("bundle", total, f"sha256 {fitted.digest[:10]}"))
    steps = [record.step for record in run.records if record is not None]
    reused = sum(step.status == "reused" for step in steps)
    note = f"{reused} of {len(steps)} steps reused" if reused else f"seed {run.config.seed}"
    facts.append(("whole run", wording.duration(sum(step.seconds for step in steps)), note))
    return facts


def _filters(run: _Run, data: Dataset | None) -> dict[str, Any] | None:
    """First-layer filters, where the network reads images; a table's tensors are no pictures."""
    if run.fitted is None or data is None or data.pixels is None:
        return None
    return answers.filters(run.fitted.folder, folded=getattr(run.config.network, "fold", False))


def _rows(run: _Run) -> dict[str, Any]:
    """Where every row that was read went, and whether the counts add up."""
    first, cleaned, parts = run.validated, run.cleaned, run.parts
    assert first is not None
    counts = cleaned or first
    dropped = cleaned.dropped if cleaned else 0
    fates = [("kept", counts.kept), ("dropped", dropped), ("quarantined", counts.quarantined)]
    dealt = [("train", parts.train), ("validation", parts.validation), ("test", parts.test)] if parts else []
    adds_up = counts.read == sum(count for _, count in fates)
    if parts:
        adds_up = adds_up and counts.kept == sum(count for _, count in dealt)
    return {"read": counts.read, "kept": counts.kept, "fates": fates, "dealt": dealt, "adds_up": adds_up}


def _warnings(run: _Run) -> list[tuple[str, str, str]]:
    """(step, what, where) of all that was noticed and carried on."""
    found = []
    for finding in run.validated.findings if run.validated else ():
        where = [f"column {finding.column}"] if finding.column else []
        where += [f"{finding.count:,} rows"] if finding.count is not None else []
        where += [f"first: row {', '.join(map(str, finding.rows))}"] if finding.rows else []
        found.append(("validate", finding.message, "; ".join(where)))
    for name, record in (("split", run.parts), ("fit", run.fitted), ("evaluate", run.evaluated)):
        found += [(name, text, "") for text in (record.warnings if record else ())]
    for score in run.evaluated.scores if run.evaluated else ():
        found += (
            [("evaluate", f"rung {score.name} could not be scored: {score.error}", "")] if score.error else []
        )
    return found


def _steps(run: _Run) -> list[tuple[Step, str]]:
    """Every step with its state: ran, reused, stopped here or not reached."""
    steps = []
    for name, record in zip(STEPS, run.records, strict=True):
        if record is not None:
            steps.append((record.step, record.step.status))
        else:
            steps.append((Step(name=name), "stopped here" if name == run.stopped else "not reached"))
    return steps


def _is_link(address: str) -> bool:
    return urlsplit(address).scheme in ("http", "https", "file")
