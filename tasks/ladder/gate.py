"""The gate: a candidate passes when every criterion holds, and nothing that is unknown ever holds.

A rung that is missing or failed, a metric that is undefined, a slice that is too small: each fails
its criterion, because a comparison that could not be made has not been won. The one exception is a
champion that does not exist yet; the first model has nothing to be measured against. One criterion holds
whatever a project declares: the candidate is better than the dummy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan

from tasks.config import CRITERIA, BetterThan, Criterion, Limit, NotWorseThan, Task, dummy
from tasks.ladder.comparison import CANDIDATE
from tasks.own.extension import short
from tasks.records import GateResult, Score, SliceScore, Verdict
from tasks.wording import number

CHAMPION = "champion"


def required(task: Task, criteria: Sequence[Criterion]) -> tuple[Criterion, ...]:
    """What a candidate has to show: it is better than the dummy, and all that the project asks for."""
    floor = dummy(task)
    if any(isinstance(each, BetterThan) and each.better_than == floor for each in criteria):
        return tuple(criteria)
    return (BetterThan(better_than=floor), *criteria)


def judge(
    criteria: Sequence[Criterion],
    *,
    metric: str,
    scores: Sequence[Score],
    verdicts: Sequence[Verdict],
    slices: Mapping[str, Sequence[SliceScore]],
) -> tuple[GateResult, ...]:
    """Every criterion with its outcome and the numbers that decided it, in the order given.

    Args:
        criteria: From the configuration.
        metric: The project's metric, which differences are measured in.
        scores: The ladder; the candidate's row is called "candidate". A champion that could not be
            scored is a row with an error; without such a row there is no champion yet.
        verdicts: The candidate against each other rung.
        slices: The candidate's slices, by the metric that they are scored in.
    """
    rungs = {score.name: score for score in scores}
    against = {verdict.against: verdict for verdict in verdicts}
    results = []
    for criterion in map(_as_shown, criteria):
        if isinstance(criterion, Limit):
            results.append(_limit(criterion, rungs.get(CANDIDATE), slices.get(criterion.metric, ())))
        else:
            results.append(_relative(criterion, metric, rungs, against))
    return tuple(results)


def _as_shown(criterion: Criterion) -> Criterion:
    """The criterion by the names that records have: a project's own parts have short ones."""
    named = {key: short(name) for key, name in criterion if key in CRITERIA}
    return criterion.model_copy(update=named)


# --- against a rung ---------------------------------------------------------------------------------


def _relative(
    criterion: BetterThan | NotWorseThan,
    metric: str,
    rungs: Mapping[str, Score],
    against: Mapping[str, Verdict],
) -> GateResult:
    if isinstance(criterion, BetterThan):
        rung, margin, text = criterion.better_than, criterion.by, f"better_than: {criterion.better_than}"
    else:
        rung, margin, text = criterion.not_worse_than, 0.0, f"not_worse_than: {criterion.not_worse_than}"
    text += f" by {margin:g}" if margin else ""
    if rung == CHAMPION and CHAMPION not in rungs:
        return GateResult(criterion=text, passed=True, reason="no champion yet")
    if problem := _incomparable(metric, rung, rungs, against):
        return GateResult(criterion=text, passed=False, reason=problem)
    verdict = against[rung]
    if isinstance(criterion, BetterThan):
        passed = verdict.verdict == "better" and verdict.low > margin
    else:
        passed = verdict.verdict in ("better", "indistinguishable") and not verdict.high < 0
    return GateResult(criterion=text, passed=passed, reason=_difference(metric, rungs, verdict, margin))


def _incomparable(
    metric: str, rung: str, rungs: Mapping[str, Score], against: Mapping[str, Verdict]
) -> str | None:
    """Why the candidate can't be held against the rung; None when it can."""
    for name in (CANDIDATE, rung):
        if name not in rungs:
            return f"{name} is not in the ladder, so nothing can be compared with it"
        if rungs[name].error is not None:
            return f"{name} failed, so nothing can be compared with it: {rungs[name].error}"
        if not isfinite(rungs[name].value):
            return f"{metric} of {name} is undefined on the test rows"
    if not _is_known(against.get(rung)):
        return f"the difference between candidate and {rung} in {metric} is undefined"
    return None


def _is_known(verdict: Verdict | None) -> bool:
    """Whether the difference and its interval are defined, or every row is answered alike."""
    if verdict is None or verdict.verdict == "undefined":
        return False
    return _alike(verdict) or all(map(isfinite, (verdict.difference, verdict.low, verdict.high)))


def _alike(verdict: Verdict) -> bool:
    """Whether both answer every row alike, so that no interval could be made."""
    same = verdict.verdict == "indistinguishable" and verdict.difference == 0
    return same and isnan(verdict.low) and isnan(verdict.high)


def _difference(metric: str, rungs: Mapping[str, Score], verdict: Verdict, margin: float) -> str:
    """`candidate 0.981 is better than logistic 0.919 in accuracy by 0.062 [0.045, 0.080]`."""
    one, other = rungs[CANDIDATE], rungs[verdict.against]
    fewer = 0 < other.rows < one.rows
    # Values on other rows can't be compared; the difference is that on the rows of both.
    ours, theirs = ("", "") if fewer else (f" {number(one.value)}", f" {number(other.value)}")
    between = f"[{number(verdict.low)}, {number(verdict.high)}]"
    if _alike(verdict):
        text = f"candidate{ours} and {other.name}{theirs} answer every row alike in {metric}"
    elif verdict.verdict == "indistinguishable":
        text = (
            f"candidate{ours} is indistinguishable from {other.name}{theirs} in {metric}: "
            f"difference {number(verdict.difference)} {between}"
        )
    else:
        size = number(abs(verdict.difference))
        if verdict.verdict == "worse":
            between = f"[{number(-verdict.high)}, {number(-verdict.low)}]"
        text = (
            f"candidate{ours} is {verdict.verdict} than {other.name}{theirs} in {metric} by {size} {between}"
        )
    text += f", on {other.rows:,} of the {one.rows:,} test rows" if fewer else ""
    return text + (f"; asked for more than {margin:g}" if margin else "")


# --- absolute ---------------------------------------------------------------------------------------


def _limit(criterion: Limit, candidate: Score | None, slices: Sequence[SliceScore]) -> GateResult:
    bound = (
        f"at_least {criterion.at_least:g}"
        if criterion.at_least is not None
        else f"at_most {criterion.at_most:g}"
    )
    text = f"{criterion.metric} {bound}" + (
        f" in every slice of {criterion.slice}" if criterion.slice else ""
    )
    if candidate is None or candidate.error is not None:
        return GateResult(criterion=text, passed=False, reason="the candidate has no score")
    if criterion.slice is not None:
        passed, reason = _slice_floor(criterion, bound, slices)
        return GateResult(criterion=text, passed=passed, reason=reason)
    value = candidate.metrics.get(criterion.metric, float("nan"))
    if not isfinite(value):
        reason = f"{criterion.metric} of the candidate is undefined on the test rows"
        return GateResult(criterion=text, passed=False, reason=reason)
    passed = _holds(criterion, value)
    verb = "keeps to" if passed else "breaks"
    reason = f"candidate {criterion.metric} {number(value)} {verb} {bound}"
    return GateResult(criterion=text, passed=passed, reason=reason)


def _slice_floor(criterion: Limit, bound: str, slices: Sequence[SliceScore]) -> tuple[bool, str]:
    judged = [s for s in slices if s.column == criterion.slice and s.rows >= criterion.min_rows]
    if not judged:
        return (
            False,
            f"no slice of {criterion.slice} has {criterion.min_rows} test rows, so none could be judged",
        )
    undefined = [s for s in judged if not isfinite(s.score)]
    if undefined:
        return False, f"{criterion.metric} is undefined where {_where(undefined[0])}"
    worst = (min if criterion.at_least is not None else max)(judged, key=lambda s: s.score)
    broken = sum(not _holds(criterion, s.score) for s in judged)
    found = f"{criterion.metric} {number(worst.score)} where {_where(worst)}"
    if broken:
        return False, f"{broken} of {len(judged)} slices break {bound}; the worst: {found}"
    return True, f"all {len(judged)} slices keep to {bound}; the worst: {found}"


def _holds(criterion: Limit, value: float) -> bool:
    """Whether the bound holds; never for NaN."""
    if criterion.at_least is not None:
        return bool(value >= criterion.at_least)
    return criterion.at_most is not None and bool(value <= criterion.at_most)


def _where(part: SliceScore) -> str:
    return f"{part.column} is {part.value} ({part.rows} rows)"
