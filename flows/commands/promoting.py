"""`modelyard promote`, `rollback`, `history` and `register`: who is champion, and who was."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators
from rich.markup import escape

from flows import outcome, terminal
from flows.commands.options import DEFAULT, Common
from tasks import config
from tasks.errors import ConfigError, quoted
from tasks.records import to_json

if TYPE_CHECKING:
    from tasks.registry.ledger import Entry
    from tasks.registry.promotion import Decision

Number = Annotated[int, Parameter(validator=validators.Number(gte=1))]


def promote(
    project: str,
    version: Number,
    *,
    why: str = "",
    force: Annotated[bool, Parameter(negative="")] = False,
    common: Common = DEFAULT,
) -> None:
    """Make a version the champion.

    Parameters
    ----------
    project
        Folder name below data/.
    version
        Number of the version; its files are verified first.
    why
        What the history keeps as the reason.
    force
        Also a version that is worse than the champion on the same test rows.
    """
    from tasks.registry import promotion, tracking  # noqa: PLC0415

    root = common.place
    name = config.load(root, project).config.register_as.name
    made = promotion.promote(tracking.connect(root), root, name, version, why=why, force=force)
    _tell(common, project, made)


def rollback(project: str, *, to: Number | None = None, why: str = "", common: Common = DEFAULT) -> None:
    """Go back to the champion before the present one.

    Parameters
    ----------
    project
        Folder name below data/.
    to
        An earlier champion, instead of the one before.
    why
        What the history keeps as the reason.
    """
    from tasks.registry import promotion, tracking  # noqa: PLC0415

    root = common.place
    name = config.load(root, project).config.register_as.name
    _tell(common, project, promotion.rollback(tracking.connect(root), root, name, to=to, why=why))


def history(
    project: str,
    *,
    at: str | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 20,
    common: Common = DEFAULT,
) -> None:
    """Show every move of a project's aliases, and why.

    Parameters
    ----------
    project
        Folder name below data/.
    at
        A date or a moment (ISO 8601, UTC unless it says otherwise): who was champion then. A date
        alone means its end.
    limit
        How many of the latest moves.
    """
    from tasks.registry import promotion, tracking, versions  # noqa: PLC0415
    from tasks.registry.ledger import Ledger  # noqa: PLC0415

    moment = None if at is None else _moment(at)
    root = common.place
    name = config.load(root, project).config.register_as.name
    uri, ledger = tracking.connect(root), Ledger(root, name)
    champion = versions.alias(uri, name, versions.CHAMPION)
    problems = promotion.examine(uri, root, name)
    entries = _shown(ledger.entries, moment)[-limit:]
    then = None if moment is None else ledger.at(moment)
    out = common.console()
    if entries:
        out.print(terminal.table(f"{name}: moves of its aliases", [_row(entry) for entry in entries]))
    for problem in problems:
        out.print(f"[yellow]![/] {escape(problem)}", soft_wrap=True)
    out.print(_champion_line(champion, moment, then), soft_wrap=True)
    document: dict[str, Any] = {"project": project, "model": name, "champion": champion, "problems": problems}
    if moment is not None:
        version = then.moves[versions.CHAMPION][1] if then else None
        document["at"] = {"moment": moment.isoformat(), "version": version, "entry": to_json(then)}
    common.answer(document | {"entries": to_json(entries)})


def register(*, from_run: str, common: Common = DEFAULT) -> None:
    """Register the model of a run that passed its gate.

    Parameters
    ----------
    from_run
        The run whose registration failed: the beginning of its id, or a project's name for its latest.
    """
    from flows import past, recover  # noqa: PLC0415
    from tasks.registry import tracking  # noqa: PLC0415

    root = common.place
    uri = tracking.connect(root)
    document = recover.recover(uri, root, past.find(uri, root, from_run))
    out = common.console()
    model = f"  {outcome.describe_model(document['model'])}" if document["model"] else ""
    word = document["outcome"]
    out.print(f"[bold {terminal.COLOURS.get(word, 'white')}]{word}[/]{escape(model)}", soft_wrap=True)
    for reason in document["reasons"]:
        out.print(f"  {escape(reason)}", soft_wrap=True)
    common.answer(document)


def _tell(common: Common, project: str, made: Decision) -> None:
    model, entry = made.model, made.entry
    left = None if entry is None else entry.moves["champion"][0]
    if entry is None:
        line = f"{model.name} version {model.version} is already champion"
    else:
        before = f"version {left} was" if left else "there was none before"
        line = f"{model.name} version {model.version} is champion; {before}"
    common.console().print(escape(line), soft_wrap=True)
    described = {"name": model.name, "version": model.version, "aliases": sorted(model.aliases)}
    moved = entry is not None
    common.answer(
        {"project": project, "model": described, "moved": moved, "from": left, "entry": to_json(entry)}
    )


def _moment(text: str) -> datetime:
    """When `text` is; a date alone is its last moment, a time without zone is UTC."""
    try:
        return datetime.combine(date.fromisoformat(text), time.max, UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"--at {quoted(text)}: no date or time", fix="write 2026-03-01 or 2026-03-01T14:30"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _shown(entries: list[Entry], moment: datetime | None) -> list[Entry]:
    """Moves up to `moment`, each once: an intent only as long as nothing followed it."""
    return [
        entry
        for entry in entries
        if (entry.phase != "intent" or entry is entries[-1])
        and (moment is None or datetime.fromisoformat(entry.time) <= moment)
    ]


def _row(entry: Entry) -> dict[str, str]:
    from tasks.registry.promotion import evidence_words  # noqa: PLC0415

    words = {"intent": " (open)", "abandoned": " (abandoned)", "superseded": " (superseded)"}
    moves = [f"{alias} {old or '–'} → {new or '–'}" for alias, (old, new) in entry.moves.items()]
    evidence = entry.evidence
    return {
        "time (UTC)": entry.time[:19].replace("T", " "),
        "action": entry.action + words.get(entry.phase, ""),
        "version": str(entry.version or "–"),
        "moved": "\n".join(moves),
        "metric": f"{evidence.metric} {evidence_words(evidence)}" if evidence else "",
        "who": entry.who,
        "why": entry.why,
    }


def _champion_line(champion: int | None, moment: datetime | None, then: Entry | None) -> str:
    if moment is None:
        return f"champion: version {champion}" if champion else "no version is champion"
    version: Any = then.moves["champion"][1] if then else None
    if then is None or version is None:
        return f"no version was champion at {moment:%Y-%m-%d %H:%M:%S %Z}"
    since = then.time[:19].replace("T", " ")
    return f"version {version} was champion at {moment:%Y-%m-%d %H:%M:%S %Z}, since {since} UTC"
