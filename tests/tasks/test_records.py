"""Records are plain data: what goes to JSON comes back the same, of every kind."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks import records
from tasks.records import from_json, to_json

KINDS = [kind for kind in vars(records).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]

words = st.text(max_size=6)
st.register_type_strategy(Path, st.text("abc", min_size=1, max_size=5).map(Path))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_record_comes_back_from_json(kind, data):
    record = data.draw(st.from_type(kind))
    back = from_json(kind, json.loads(json.dumps(to_json(record))))
    assert repr(back) == repr(record)  # repr, because NaN differs from itself
    assert type(back) is kind


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_records_are_frozen(kind):
    assert kind.__dataclass_params__.frozen


def test_whole_numbers_in_json_become_floats_where_a_float_is_meant():
    back = from_json(records.Step, {"name": "clean", "status": "ran", "seconds": 3, "why": ""})
    assert isinstance(back.seconds, float)


def test_a_missing_field_is_an_error_not_a_default():
    with pytest.raises(KeyError):
        from_json(records.Step, {"name": "clean"})


def evaluated(*gate):
    return records.EvaluateRecord(
        step=records.Step(name="evaluate"),
        folder=Path("f"),
        metric="rmse",
        higher_is_better=False,
        rows=3,
        scores=(records.Score(name="candidate", value=1.0, low=0.0, high=2.0, metrics={}),),
        verdicts=(),
        slices=(),
        gate=gate,
    )


def test_a_gate_passes_when_every_criterion_does_and_tells_why_not():
    good = records.GateResult(criterion="a", passed=True, reason="fine")
    bad = records.GateResult(criterion="b", passed=False, reason="worse than ridge")
    assert evaluated(good).passed
    assert not evaluated(good, bad).passed
    assert evaluated(good, bad).reasons == ("worse than ridge",)
    assert evaluated().score("candidate").value == 1.0
    with pytest.raises(KeyError):
        evaluated().score("champion")
