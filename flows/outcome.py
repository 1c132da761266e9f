"""What a finished run says: the JSON document of the command line, and the same for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tasks.config import Config
from tasks.own.extension import short
from tasks.records import (
    CleanRecord,
    DecideRecord,
    EvaluateRecord,
    FitRecord,
    ModelVersion,
    RegisterRecord,
    Score,
    SplitRecord,
    ValidateRecord,
    to_json,
)
from tasks.wording import number

WORDS = {"better": "better", "worse": "worse", "indistinguishable": "≈ the same", "undefined": "undefined"}


def document(
    config: Config,
    decided: DecideRecord | None,
    validated: ValidateRecord,
    cleaned: CleanRecord,
    parts: SplitRecord,
    fitted: FitRecord,
    evaluated: EvaluateRecord,
    registered: RegisterRecord,
) -> dict[str, Any]:
    """A training as plain JSON data; the caller adds ids, links and the time taken.

    Numbers that are not finite become None, since JSON has no word for them. `decision` is there where
    something was to be decided.
    """
    steps = (validated, cleaned, parts, fitted, evaluated, registered)
    made: dict[str, Any] = finite(
        {
            "project": config.name,
            "preset": config.preset,
            "outcome": registered.outcome,
            "reasons": list(registered.reasons),
            "next": to_json(registered.next),
            "device": fitted.device,
            "model": _model(registered.model) if registered.outcome == "registered" else None,
            "data": {
                "fingerprint": validated.fingerprint,
                "rows": {
                    "read": cleaned.read,
                    "kept": cleaned.kept,
                    "dropped": cleaned.dropped,
                    "quarantined": cleaned.quarantined,
                },
            },
            "split": {
                "hash": parts.hash,
                "train": parts.train,
                "validation": parts.validation,
                "test": parts.test,
                "judged": evaluated.rows,
            },
            "metric": evaluated.metric,
            "higher_is_better": evaluated.higher_is_better,
            "intervals": evaluated.method,
            "scores": [_score(score) for score in evaluated.scores],
            "verdicts": to_json(evaluated.verdicts),
            "gate": to_json(evaluated.gate),
            "warnings": _warnings(validated, parts, fitted, evaluated),
            "steps": to_json([r.step for r in ((decided, *steps) if decided else steps)]),
            **({"decision": _decision(decided)} if decided else {}),
        }
    )
    return made


def skipped(config: Config, decided: DecideRecord) -> dict[str, Any]:
    """A run that decided against training, with the keys of one that trained: no row was read."""
    made: dict[str, Any] = finite(
        {
            "project": config.name,
            "preset": config.preset,
            "outcome": "skipped",
            "reasons": list(decided.reasons),
            "next": [],
            "device": None,
            "model": None,
            "data": {
                "fingerprint": decided.fingerprint,
                "rows": {"read": 0, "kept": 0, "dropped": 0, "quarantined": 0},
            },
            "split": {"hash": None, "train": 0, "validation": 0, "test": 0, "judged": 0},
            "metric": short(config.evaluate.metric),
            "higher_is_better": config.higher_is_better,
            "intervals": None,
            "scores": [],
            "verdicts": [],
            "gate": [],
            "warnings": list(decided.warnings),
            "steps": to_json([decided.step]),
            "decision": _decision(decided),
        }
    )
    return made


def judged(summary: dict[str, Any]) -> int:
    """Test rows that the ladder was judged on: all, or the sampled ones of a table beyond memory."""
    split = summary["split"]
    return int(split.get("judged", split["test"]))  # summaries of older runs do not tell


def _decision(decided: DecideRecord) -> dict[str, Any]:
    facts: dict[str, Any] = to_json(decided)
    facts.pop("step")
    if facts["champion"] is not None:
        facts["champion"] = {key: facts["champion"][key] for key in ("name", "version", "created")}
    return facts


def finite(value: Any) -> Any:
    """`value` with every number that is not finite replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def ladder(scores: Sequence[dict[str, Any]], verdicts: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows of the ladder as texts, from a document's `scores` and `verdicts`: best of the list last.

    Where a model was judged on fewer rows than the candidate, each row says on how many.
    """
    against = {verdict["against"]: verdict for verdict in verdicts}
    differ = len({score.get("rows", 0) for score in scores} - {0}) > 1
    rows = []
    for score in sorted(scores, key=lambda score: score["name"] == "candidate"):
        verdict = against.get(score["name"])
        rows.append(
            {
                "rung": score["name"],
                **({"rows": f"{score['rows']:,}" if score["rows"] else ""} if differ else {}),
                "value": number(score["value"]),
                "interval": f"{number(score['low'])} … {number(score['high'])}",
                "candidate is": WORDS.get(verdict["verdict"], "") if verdict else "",
                "by": _difference(verdict) if verdict else "",
            }
        )
    return rows


def advice(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What could be done next after a rejection, as (command, why); the command is empty where none helps."""
    return [(each["command"] or "", each["why"]) for each in summary.get("next", [])]


def markdown(summary: dict[str, Any], links: dict[str, str]) -> str:
    """The ladder, the reasons and the links, for Prefect's artifact page."""
    rows = ladder(summary["scores"], summary["verdicts"])
    heads = list(rows[0]) if rows else []
    lines = [f"# {summary['project']}: {summary['outcome']}", ""]
    lines += [f"- {reason}" for reason in summary["reasons"]]
    lines += [f"- next: {f'`{command}`: ' if command else ''}{why}" for command, why in advice(summary)]
    if summary["model"]:
        lines += [f"- model {describe_model(summary['model'])}"]
    lines += ["", f"Metric: {summary['metric']} on {judged(summary)} test rows", ""]
    lines += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)] if rows else []
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    lines += ["", *(f"- [{name}]({link})" for name, link in links.items())]
    return "\n".join(lines)


def decision(summary: dict[str, Any]) -> str:
    """What was decided before training, and why, for Prefect's artifact page."""
    made = summary["decision"]
    lines = [f"# {summary['project']}: {'train' if made['train'] else 'skip'}", ""]
    lines += [f"- {reason}" for reason in made["reasons"]]
    lines += [f"- not measured, or only in part: {warning}" for warning in made["warnings"]]
    if made["drift"] is not None:
        lines += ["", "| column | PSI | by chance |", "| --- | --- | --- |"]
        shifts = made["drift"]["columns"]
        lines += [f"| {_cell(s['column'])} | {number(s['psi'])} | {number(s['chance'])} |" for s in shifts]
    lines += ["", *(f"- [{name}]({link})" for name, link in summary["links"].items())]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def describe_model(model: dict[str, Any]) -> str:
    """`digits version 3 (champion, challenger)`."""
    aliases = f" ({', '.join(model['aliases'])})" if model["aliases"] else ""
    return f"{model['name']} version {model['version']}{aliases}"


def _difference(verdict: dict[str, Any]) -> str:
    low, high = number(verdict["low"]), number(verdict["high"])
    return f"{number(verdict['difference'])} ({low} … {high})"


def _model(model: ModelVersion | None) -> dict[str, Any] | None:
    if model is None:
        return None
    return {"name": model.name, "version": model.version, "aliases": sorted(model.aliases)}


def _score(score: Score) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": score.name,
        "value": score.value,
        "low": score.low,
        "high": score.high,
        "rows": score.rows,
        "metrics": dict(score.metrics),
    }
    if score.note:
        row["note"] = score.note
    if score.error:
        row["error"] = score.error
    return row


def _warnings(
    validated: ValidateRecord, parts: SplitRecord, fitted: FitRecord, evaluated: EvaluateRecord
) -> list[str]:
    findings = [f"{f.rule}: {f.message}" for f in validated.findings]
    return [*findings, *parts.warnings, *fitted.warnings, *evaluated.warnings]
