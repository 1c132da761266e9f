"""A study proposes by seed, outlives its process, prunes, and speaks a project's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.config import KINDS, Config
from tasks.errors import ConfigError
from tasks.records import Epoch
from tasks.tuning import space
from tasks.tuning.study import Proposal, Study, Trial

SPACE = {
    "fit.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "network.hidden": [[64], [256, 256]],
    "fit.epochs": {"low": 3, "high": 9},
    "network.dropout": {"low": 0, "high": 0.5, "step": 0.25},
}


def project(network: str = "mlp", **sections: Any) -> Config:
    return Config.model_validate(
        {
            "name": "demo",
            "task": "regression",
            "source": {"kind": "table", "path": "x.csv"},
            "target": "y",
            "network": {"kind": network},
            "evaluate": {"metric": "rmse", "baselines": ["ridge"]},
            "register": {"name": "demo"},
            "sweep": {"space": SPACE},
            **sections,
        }
    )


def study(folder: Path, config: Config | None = None, **identity: Any) -> Study:
    config = config or project()
    return Study(
        folder / "study.jsonl",
        config,
        space.space_of(config),
        higher_is_better=False,
        identity=identity or {"data": "d"},
    )


def epochs(value: float, count: int = 8) -> list[Epoch]:
    """A metric that falls to `value`."""
    some: dict[str, Any] = {"train_loss": 1.0, "validation_loss": 1.0, "learning_rate": 1.0, "seconds": 1.0}
    return [Epoch(epoch=i, validation_metric=value + 1 / i, **some) for i in range(1, count + 1)]


def judge(there: Study, proposal: Proposal) -> Trial:
    """Makes a trial whose metric is the distance of its learning rate from 0.02."""
    value, heard = abs(proposal.settings["fit.learning_rate"] - 0.02), 0
    for epoch in epochs(value):
        heard = epoch.epoch
        if there.prunes(epoch, 8):
            return there.tell("pruned", value=value, epochs=heard, reason="p", seconds=0, run_id="r")
    return there.tell("complete", value=value, epochs=heard, reason="", seconds=0, run_id="r")


def test_trial_0_is_the_present_configuration(tmp_path: Path) -> None:
    first = study(tmp_path).ask()
    assert (first.number, first.changes) == (0, {})
    assert first.settings == {
        "fit.learning_rate": 0.002, "network.hidden": [256, 256], "fit.epochs": 50, "network.dropout": 0.2,
    }  # fmt: skip


def test_proposals_lie_in_the_space_and_are_short_numbers(tmp_path: Path) -> None:
    there = study(tmp_path)
    judge(there, there.ask())
    for _ in range(15):
        proposal = there.ask()
        rate, hidden, count, dropout = (proposal.settings[key] for key in SPACE)
        assert 1e-4 <= rate <= 1e-1
        assert float(f"{rate:.3g}") == rate
        assert hidden in ([64], [256, 256])
        assert count in range(3, 10)
        assert type(count) is int
        assert dropout in (0.0, 0.25, 0.5)
        judge(there, proposal)


def test_the_same_seed_searches_the_same_however_often_it_was_killed(tmp_path: Path) -> None:
    whole = study(tmp_path / "whole")
    expected = [judge(whole, whole.ask()) for _ in range(14)]
    assert {trial.state for trial in expected} == {"complete", "pruned"}
    for number in range(14):
        left = study(tmp_path / "cut").ask()
        there = study(tmp_path / "cut")  # the process died in the trial; another takes over
        for epoch in epochs(0.5, 1):
            there_left = there.ask()
            assert there_left == left
            assert not there.prunes(epoch, 8)
        again = study(tmp_path / "cut")
        assert judge(again, again.ask()).number == number
    assert [(t.settings, t.state) for t in study(tmp_path / "cut").trials()] == [
        (t.settings, t.state) for t in expected
    ]
    other = study(tmp_path / "other", project(seed=1))
    assert [judge(other, other.ask()).settings for _ in range(3)][1:] != [t.settings for t in expected[1:3]]


def test_half_a_line_and_a_lock_of_a_killed_process_are_no_obstacle(tmp_path: Path) -> None:
    there = study(tmp_path)
    judge(there, there.ask())
    path = tmp_path / "study.jsonl"
    with path.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    (tmp_path / "study.jsonl.lock").symlink_to(path)
    again = study(tmp_path)
    assert [trial.number for trial in again.trials()] == [0]
    assert judge(again, again.ask()).number == 1
    assert len(study(tmp_path).trials()) == 2


def test_what_is_no_study_or_another_is_refused(tmp_path: Path) -> None:
    study(tmp_path / "a", data="d", code="c")
    with pytest.raises(ConfigError, match=r"sweep 'a': what its trials were made of has changed: code; "):
        study(tmp_path / "a", data="d", code="other")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "study.jsonl").write_text("nonsense\nmore\n")
    with pytest.raises(ConfigError, match=r"study.jsonl: no study that can be gone on with"):
        study(tmp_path / "b")


def test_the_present_configuration_is_never_pruned_and_none_before_a_quarter(tmp_path: Path) -> None:
    there = study(tmp_path)
    for _ in range(7):
        there.ask()
        for epoch in epochs(0.0):
            there.prunes(epoch, 8)
        there.tell("complete", value=0.0, epochs=8, reason="", seconds=0, run_id="r")
    there.ask()
    assert [there.prunes(epoch, 8) for epoch in epochs(9.0, 3)] == [False, True, True]
    fresh = study(tmp_path / "fresh", project(sweep={"space": SPACE, "pruner": "halving"}))
    fresh.ask()
    assert not any(fresh.prunes(epoch, 8) for epoch in epochs(9.0))
    none = study(tmp_path / "none", project(sweep={"space": SPACE, "pruner": "none"}))
    for value in (0.0,) * 7 + (9.0,):
        none.ask()
        assert not any(none.prunes(epoch, 8) for epoch in epochs(value))
        none.tell("complete", value=value, epochs=8, reason="", seconds=0, run_id="r")


def test_a_failed_trial_keeps_its_reason(tmp_path: Path) -> None:
    there = study(tmp_path)
    there.ask()
    there.tell("failed", value=None, epochs=2, reason="TRAINING_DIVERGED: x", seconds=1.25, run_id="abc")
    [trial] = study(tmp_path).trials()
    assert (trial.state, trial.value, trial.reason, trial.seconds) == (
        "failed", None, "TRAINING_DIVERGED: x", 1.25,
    )  # fmt: skip
    assert there.ask().number == 1


@pytest.mark.parametrize("kind", [*KINDS, "mine:net"])
def test_every_kind_of_network_has_a_space_that_its_settings_accept(kind: str, tmp_path: Path) -> None:
    config = project(kind, sweep={})
    found = space.space_of(config)
    assert {"fit.learning_rate", "fit.weight_decay", "fit.batch_size"} <= found.keys()
    dumped = {key: values.model_dump(exclude_defaults=True) for key, values in found.items()}
    assert space.space_of(project(kind, sweep={"space": dumped})) == found
    there = study(tmp_path, config)
    assert there.ask().changes == {}
    there.tell("complete", value=1.0, epochs=1, reason="", seconds=0, run_id="r")
    assert there.ask().changes


def test_the_default_space_lies_around_what_is_set() -> None:
    found = space.space_of(project("mlp", sweep={}, fit={"learning_rate": 0.04, "batch_size": 100}))
    assert (found["fit.learning_rate"].low, found["fit.learning_rate"].high) == (0.005, 0.16)
    assert found["fit.batch_size"].choices == (50, 100, 200)
    assert found["network.hidden"].choices == ([128, 128], [256, 256], [512, 512], [256, 256, 256])
    assert "network.bins" not in found  # plain numbers are fed: nothing to scale
