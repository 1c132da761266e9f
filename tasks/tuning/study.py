"""A study on disk: Optuna proposes, and what came of each trial is there after any crash.

One trial is at work at a time. Each draws from a sampler that is seeded by its number, so what it tries
follows from the seed and the trials before it, however often the search was stopped: a trial that was at
work when a process died is proposed again, with the same settings under the same number.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from tasks.config import Config, Values
from tasks.errors import ConfigError, quoted
from tasks.records import Epoch
from tasks.tuning.space import drawn, present, whole

State = Literal["complete", "pruned", "failed"]

PATIENCE = 0.25
"""Share of the planned epochs that every trial gets: earlier, a slow start says little about the end."""

_STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that is to be made.

    Attributes:
        number: 0 for the present configuration.
        settings: Value of each searched setting, by dotted key.
        changes: Those of them that differ from the present configuration.
    """

    number: int
    settings: dict[str, Any]
    changes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that came to its end.

    Attributes:
        value: The metric on validation rows at its best epoch; None unless it is complete.
        epochs: Epochs that it trained.
        reason: Why it was pruned or failed.
        seconds: Time of its last process.
        run_id: Its MLflow run.
    """

    number: int
    state: State
    value: float | None
    settings: dict[str, Any]
    epochs: int = 0
    reason: str = ""
    seconds: float = 0.0
    run_id: str = ""


class Study:
    """The trials of one search.

    Args:
        path: The journal that holds them; made where it is new. No other process has it open.
        config: The present configuration: its settings are trial 0, its seed is the sampler's.
        space: What is searched.
        higher_is_better: Direction of the metric.
        identity: What makes trials comparable; a study whose own differs is not gone on with.

    Raises:
        ConfigError: The file is no study, or one about something else.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        space: Mapping[str, Values],
        *,
        higher_is_better: bool,
        identity: Mapping[str, Any],
    ) -> None:
        optuna.logging.disable_default_handler()
        self.path, self.config, self.space = path, config, dict(space)
        self.higher_is_better = higher_is_better
        self._asked: optuna.Trial | None = None
        self._distributions = {key: _distribution(key, v, config) for key, v in space.items()}
        try:
            _mend(path)
            # A tenth of the cost of Optuna's SQLite storage, which takes 40 ms to note an epoch.
            storage = JournalStorage(JournalFileBackend(str(path)))
            self._study = optuna.create_study(
                study_name="sweep",
                storage=storage,
                direction="maximize" if higher_is_better else "minimize",
                pruner=_pruner(config.sweep.pruner),
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}: no study that can be gone on with: {error}",
                fix="remove its folder, or choose another --name",
            ) from None
        known = self._study.user_attrs.get("identity")
        plain = json.loads(json.dumps(dict(identity)))
        if known is None:
            self._study.set_user_attr("identity", plain)
        elif known != plain:
            changed = ", ".join(sorted(key for key in plain if known.get(key) != plain[key]))
            raise ConfigError(
                f"sweep {quoted(path.parent.name)}: what its trials were made of has changed: {changed}",
                fix="choose another --name, or leave it out",
            )

    def trials(self) -> list[Trial]:
        """Those that came to their end, by number."""
        return [self._told(trial) for trial in self._study.get_trials() if trial.state.is_finished()]

    def ask(self) -> Proposal:
        """The next trial: the one that was left at work, or a new one."""
        left = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        begun = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING, *_STATES.values()))
        number = left[0].number if left else len(begun)
        seed = (self.config.seed * 1_000_003 + number) % 2**32
        with warnings.catch_warnings(category=optuna.exceptions.ExperimentalWarning, action="ignore"):
            self._study.sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, group=True, constant_liar=False
            )
        if number == 0 and not left:
            self._study.enqueue_trial(self._present(), skip_if_exists=True)
        self._asked = optuna.Trial(self._study, left[0]._trial_id) if left else self._study.ask()
        keys = self._present() if number == 0 else self._distributions
        for key in keys:
            self._asked._suggest(key, self._distributions[key])
        settings = self._settings(number, self._asked.params)
        return Proposal(number=number, settings=settings, changes=self.changes(settings))

    def changes(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a trial's settings that differ from the present configuration."""
        now = self._settings(0, {})
        return {key: value for key, value in settings.items() if value != now[key]}

    def prunes(self, epoch: Epoch, total: int) -> bool:
        """Whether the trial at work is to end after this epoch of `total`; its metric is noted."""
        assert self._asked is not None
        if math.isfinite(epoch.validation_metric):
            with warnings.catch_warnings(action="ignore"):  # an epoch that a former process had told
                self._asked.report(epoch.validation_metric, epoch.epoch)
        heard = epoch.epoch >= max(1, PATIENCE * total) and epoch.epoch < total
        return heard and self._asked.number > 0 and self._asked.should_prune()

    def tell(
        self, state: State, *, value: float | None, epochs: int, reason: str, seconds: float, run_id: str
    ) -> Trial:
        """How the trial at work ended."""
        assert self._asked is not None
        trial, self._asked = self._asked, None
        facts = {"epochs": epochs, "reason": reason, "seconds": round(seconds, 3), "run_id": run_id}
        trial.set_user_attr("facts", facts)
        told = self._study.tell(trial, value if state == "complete" else None, state=_STATES[state])
        return self._told(told)

    def _present(self) -> dict[str, Any]:
        """What trial 0 is known by to Optuna: those present settings that lie in the space."""
        found = {}
        for key, distribution in self._distributions.items():
            value = _plain(present(self.config, key), distribution)
            try:
                inside = distribution._contains(distribution.to_internal_repr(value))
            except ValueError:
                inside = False
            if inside:
                found[key] = value
        return found

    def _settings(self, number: int, params: Mapping[str, Any]) -> dict[str, Any]:
        if number == 0:
            return {key: _listed(present(self.config, key)) for key in self.space}
        return {key: _value(params[key], values) for key, values in self.space.items()}

    def _told(self, trial: FrozenTrial) -> Trial:
        state = next(name for name, theirs in _STATES.items() if theirs == trial.state)
        return Trial(
            number=trial.number,
            state=state,
            value=trial.value if state == "complete" else None,
            settings=self._settings(trial.number, trial.params),
            **trial.user_attrs["facts"],
        )


def _mend(path: Path) -> None:
    """Takes away what a process left that was killed while it wrote: half a line, and the lock of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    if path.exists() and not (text := path.read_bytes()).endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(text.rfind(b"\n") + 1)


def _pruner(kind: str) -> optuna.pruners.BasePruner:
    if kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5)
    if kind == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3)
    return optuna.pruners.NopPruner()


def _distribution(key: str, values: Values, config: Config) -> BaseDistribution:
    if values.choices is not None:
        return CategoricalDistribution([json.dumps(choice) for choice in values.choices])
    assert values.low is not None
    assert values.high is not None
    if whole(key, values, config):
        low, high = int(values.low), int(values.high)
        return IntDistribution(low, high, log=values.log, step=int(values.step or 1))
    return FloatDistribution(float(values.low), float(values.high), log=values.log, step=values.step)


def _plain(value: Any, distribution: BaseDistribution) -> Any:
    """A setting as its distribution spells it."""
    return json.dumps(value) if isinstance(distribution, CategoricalDistribution) else value


def _value(param: Any, values: Values) -> Any:
    """A setting as a project spells it."""
    return json.loads(param) if values.choices is not None else drawn(param, values)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
