import pytest

from tasks.config import Config
from tasks.records import Epoch, EvaluateRecord, FitRecord, Score, SliceScore, Step, Verdict
from tasks.reports import exhibits, plots


@pytest.fixture
def config():
    return Config.model_validate(
        {
            "name": "demo",
            "task": "regression",
            "source": {"kind": "table", "path": "x.csv"},
            "target": "y",
            "network": {"kind": "mlp"},
            "evaluate": {"metric": "mae", "baselines": ["median"], "slices": ["area", "kind"]},
            "gate": [{"metric": "mae", "at_most": 9, "slice": "area", "min_rows": 30}],
            "register": {"name": "demo"},
        }
    )


def evaluated(folder, **fields):
    scores = [Score(name=n, value=v, low=v - 1, high=v + 1, metrics={"mae": v}) for n, v in SCORES.items()]
    verdict = Verdict(against="median", verdict="better", difference=50.0, low=40.0, high=60.0)
    known = {"metric": "mae", "higher_is_better": False, "rows": 9, "scores": tuple(scores), "gate": ()}
    known |= {"verdicts": (verdict,), "slices": (), "folder": folder, "step": Step(name="evaluate")}
    return EvaluateRecord(**(known | fields))


SCORES = {"candidate": 12.0, "median": 62.0, "boosting": 11.0, "broken": float("nan")}


def fitted(folder, losses):
    history = tuple(
        Epoch(epoch=i + 1, train_loss=a, validation_loss=b, validation_metric=b, learning_rate=0.1, seconds=1)
        for i, (a, b) in enumerate(losses)
    )
    return FitRecord(
        step=Step(name="fit"), folder=folder, digest="d", state_hash="s", device="cpu", precision="float32",
        parameters=1, best_epoch=2, train_seconds=1, stopped="epochs", history=history,
    )  # fmt: skip


def test_the_best_rung_stands_first_even_when_it_is_not_the_candidate(tmp_path):
    ladder = exhibits.ladder(evaluated(tmp_path))
    assert [score.name for score, _, _ in ladder["rungs"]] == ["boosting", "candidate", "median", "broken"]
    assert "boosting 11.0, candidate 12.0, median 62.0, broken undefined" in ladder["figure"]


def test_a_champion_of_fewer_rows_stands_below_the_others_and_says_so(tmp_path):
    scores = (
        *(score(name, value, 9) for name, value in (("candidate", 12.0), ("median", 62.0))),
        score("champion", 3.0, 4),
    )
    ladder = exhibits.ladder(evaluated(tmp_path, scores=scores))
    assert [score.name for score, _, _ in ladder["rungs"]] == ["candidate", "median", "champion"]
    assert "candidate 12.0, median 62.0, champion (4 rows) 3.0" in ladder["figure"]
    assert [score.name for score in ladder["fewer"]] == ["champion"]


def score(name, value, rows):
    return Score(name=name, value=value, low=value - 1, high=value + 1, metrics={"mae": value}, rows=rows)


def test_where_higher_is_better_the_highest_stands_first(tmp_path):
    ladder = exhibits.ladder(evaluated(tmp_path, higher_is_better=True))
    assert ladder["rungs"][0][0].name == "median"


def test_slices_go_from_the_weakest_and_know_which_are_not_judged(tmp_path, config):
    rows = (("area", "a", 40, 5.0), ("area", "b", 10, 8.0), ("kind", "x" * 60, 40, 1.0))
    scores = tuple(
        SliceScore(column=c, value=v, rows=n, score=s, low=s - 1, high=s + 1) for c, v, n, s in rows
    )
    groups = exhibits.slices(evaluated(tmp_path, slices=scores), config)["groups"]
    assert [(column, least) for column, _, least, _ in groups] == [("area", 30), ("kind", 0)]
    assert [entry.value for entry in groups[0][1]] == ["b", "a"]
    assert f"{'x' * 23}…<" in groups[1][3]


def test_training_says_the_gap_and_when_it_overfitted(tmp_path, config):
    words = exhibits.training(fitted(tmp_path, [(2.0, 2.0), (1.0, 1.5), (0.5, 1.9)]), config)["words"]
    assert "Best epoch 2 of 3 by validation mae, 1.5" in words[0]
    assert "the validation loss, 1.5, lies 0.5 above the train loss, 1" in words[1]
    assert "rose by 0.4: training on would have overfitted" in words[2]


def test_a_small_rise_is_not_called_overfitting(tmp_path, config):
    words = exhibits.training(fitted(tmp_path, [(2.0, 2.0), (1.0, 1.5), (0.9, 1.51)]), config)["words"]
    assert len(words) == 2


def test_a_long_history_has_a_short_table(tmp_path, config):
    shown = exhibits.training(fitted(tmp_path, [(1.0, 1.0)] * 950), config)
    assert len(shown["epochs"]) <= exhibits.EPOCHS


def test_a_chart_in_the_page_has_a_name_that_cannot_break_out():
    svg = plots.intervals([plots.Panel("x", (plots.Dot("a", 1.0, 0.0, 2.0),))])
    markup = exhibits.inline(svg, 'a "quoted" <b>')
    assert 'aria-label="a &#34;quoted&#34; &lt;b&gt;"' in markup
    assert "<b>" not in markup
    assert "http://" not in markup
