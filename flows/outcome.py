"""What a finished run says: the JSON document of the command line, and the same for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tasks.config import Config
from tasks.records import (
    CleanRecord,
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
    validated: ValidateRecord,
    cleaned: CleanRecord,
    parts: SplitRecord,
    fitted: FitRecord,
    evaluated: EvaluateRecord,
    registered: RegisterRecord,
) -> dict[str, Any]:
    """The run as plain JSON data; the caller adds ids, links and the time taken.

    Numbers that are not finite become None, since JSON has no word for them.
    """
    made: dict[str, Any] = finite(
        {
            "project": config.name,
            "outcome": registered.outcome,
            "reasons": list(registered.reasons),
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
            },
            "metric": evaluated.metric,
            "higher_is_better": evaluated.higher_is_better,
            "scores": [_score(score) for score in evaluated.scores],
            "verdicts": to_json(evaluated.verdicts),
            "gate": to_json(evaluated.gate),
            "warnings": _warnings(validated, parts, fitted, evaluated),
            "steps": to_json([r.step for r in (validated, cleaned, parts, fitted, evaluated, registered)]),
        }
    )
    return made


def finite(value: Any) -> Any:
    """`value` with every number that is not finite replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def ladder(scores: Sequence[dict[str, Any]], verdicts: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows of the ladder as texts, from a document's `scores` and `verdicts`: best of the list last."""
    against = {verdict["against"]: verdict for verdict in verdicts}
    rows = []
    for score in sorted(scores, key=lambda score: score["name"] == "candidate"):
        verdict = against.get(score["name"])
        rows.append(
            {
                "rung": score["name"],
                "value": number(score["value"]),
                "interval": f"{number(score['low'])} … {number(score['high'])}",
                "candidate is": WORDS.get(verdict["verdict"], "") if verdict else "",
                "by": _difference(verdict) if verdict else "",
            }
        )
    return rows


def markdown(summary: dict[str, Any], links: dict[str, str]) -> str:
    """The ladder, the reasons and the links, for Prefect's artifact page."""
    rows = ladder(summary["scores"], summary["verdicts"])
    heads = list(rows[0]) if rows else []
    lines = [f"# {summary['project']}: {summary['outcome']}", ""]
    lines += [f"- {reason}" for reason in summary["reasons"]]
    if summary["model"]:
        lines += [f"- model {describe_model(summary['model'])}"]
    lines += ["", f"Metric: {summary['metric']} on {summary['split']['test']} test rows", ""]
    lines += ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)] if rows else []
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    lines += ["", *(f"- [{name}]({link})" for name, link in links.items())]
    return "\n".join(lines)


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
