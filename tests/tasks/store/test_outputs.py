"""The store: files whole or absent, steps not done twice, damage noticed, reasons told."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import store
from tasks.records import Step
from tasks.store import keys
from tasks.store.source import Reached

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Made:
    step: Step
    folder: Path
    lines: int


class Builder:
    """Builds a folder of one file and counts how often it had to."""

    def __init__(self, text="a\nb\n"):
        self.text, self.calls = text, 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "deep").mkdir()
        (folder / "out.txt").write_text(self.text)
        (folder / "deep" / "more.txt").write_text("more")
        return Made(step=Step(name="made"), folder=folder, lines=self.text.count("\n"))


def remember(work, build, **inputs):
    return store.remember(work, "made", inputs=inputs, record=Made, build=build)


def outputs(work):
    return sorted(path.name for path in (work / "made").iterdir())


# --- one file -------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "a.json"
    store.write_json(path, {"n": 1, "ü": [Path("x")]})
    store.write_json(path, {"n": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"n": 2}
    assert [found.name for found in path.parent.iterdir()] == ["a.json"]


def test_who_reads_the_old_file_reads_it_to_the_end(tmp_path):
    path = store.write_text(tmp_path / "a.txt", "old")
    with path.open() as reading:
        store.write_text(path, "new text")
        assert reading.read() == "old"
    assert path.read_text() == "new text"


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = store.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), store.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_kill_between_write_and_rename_leaves_the_old_file(tmp_path):
    path = store.write_text(tmp_path / "a.txt", "old")
    code = (
        "import os, sys, signal; from pathlib import Path; from tasks import store\n"
        "with store.replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


# --- digests --------------------------------------------------------------------------------------------

plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(plain)
def test_a_digest_survives_json_and_ignores_the_order_of_keys(value):
    assert store.digest(value) == store.digest(json.loads(json.dumps(value)))
    if isinstance(value, dict):
        assert store.digest(dict(reversed(value.items()))) == store.digest(value)
    assert store.digest([value]) != store.digest(value)


def test_code_and_library_versions_are_known():
    assert len(store.code_digest()) == 64
    assert store.code_digest() != store.code_digest("tasks.testkit.networks")
    assert store.library_versions()["pandas"]


# --- remembering ----------------------------------------------------------------------------------------


def test_the_same_inputs_are_built_once(tmp_path):
    build = Builder()
    first = remember(tmp_path, build, seed=0)
    again = remember(tmp_path, build, seed=0)
    assert build.calls == 1
    assert (first.step.status, first.step.why) == ("ran", "first run")
    assert (again.step.status, again.step.why) == ("reused", "same data, settings and code")
    assert (first.folder, first.lines) == (again.folder, again.lines)
    assert first.folder.parent == tmp_path / "made"
    assert sorted(p.name for p in first.folder.iterdir()) == ["deep", "inputs.json", "out.txt", "record.json"]


def test_why_names_what_changed(tmp_path):
    remember(tmp_path, Builder(), data="d1", fit={"epochs": 5, "rate": 0.1}, seed=0)
    why = remember(tmp_path, Builder(), data="d2", fit={"epochs": 6, "rate": 0.1}, seed=0).step.why
    assert why == "changed: data, fit.epochs"
    assert remember(tmp_path, Builder(), data="d2", fit={"epochs": 6}, seed=0).step.why == "changed: fit.rate"


def test_changed_code_or_libraries_build_again(tmp_path, monkeypatch):
    remember(tmp_path, Builder(), seed=0)
    reached = {"modules": {"tasks.made": "a"}, "libraries": ("numpy",)}
    monkeypatch.setattr(keys, "reached", lambda *roots: Reached(**reached))
    assert remember(tmp_path, Builder(), seed=0).step.why == "changed: libraries.numpy, source.tasks.made"
    reached["modules"] = {"tasks.made": "b"}
    assert remember(tmp_path, Builder(), seed=0).step.why == "changed: source.tasks.made"
    monkeypatch.setattr(keys, "_version", lambda name: "9")
    assert remember(tmp_path, Builder(), seed=0).step.why == "changed: libraries.numpy"


def _change(folder):
    (folder / "out.txt").write_text("tampered")


def _cut_record(folder):
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text[: len(text) // 2])


def _odd_record(folder):
    (folder / "record.json").write_text('{"files": [], "record": 3}')


def _list_record(folder):
    (folder / "record.json").write_text("[]")


def _other_fields(folder):
    stored = json.loads((folder / "record.json").read_text())
    del stored["record"]["lines"]
    (folder / "record.json").write_text(json.dumps(stored))


@pytest.mark.parametrize(
    "damage",
    [
        _change,
        _cut_record,
        _odd_record,
        _list_record,
        _other_fields,
        lambda folder: (folder / "deep" / "more.txt").unlink(),
        lambda folder: (folder / "record.json").unlink(),
        lambda folder: (folder / "inputs.json").write_text("{}"),
    ],
)
def test_a_damaged_output_is_built_again(tmp_path, damage):
    first = remember(tmp_path, Builder(), seed=0)
    damage(first.folder)
    build = Builder()
    again = remember(tmp_path, build, seed=0)
    assert (build.calls, again.step.status) == (1, "ran")
    assert (again.folder / "out.txt").read_text() == "a\nb\n"
    assert remember(tmp_path, build, seed=0).step.status == "reused"


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def build(folder):
        (folder / "half.txt").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        remember(tmp_path, build, seed=0)
    assert outputs(tmp_path) == []


def test_a_moved_work_folder_still_serves(tmp_path):
    remember(tmp_path / "here", Builder(), seed=0)
    (tmp_path / "here").rename(tmp_path / "there")
    again = remember(tmp_path / "there", Builder(), seed=0)
    assert again.step.status == "reused"
    assert (again.folder / "out.txt").exists()


CHILD = """
import os, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
from tasks import store
from tasks.records import Step

@dataclass(frozen=True, kw_only=True)
class Made:
    step: Step
    folder: Path
    lines: int

def build(folder):
    (folder / "out.txt").write_text("x" * 1000)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return Made(step=Step(name="made"), folder=folder, lines=0)

made = store.remember(Path(sys.argv[1]), "made", inputs={"seed": 0}, record=Made, build=build)
print(made.folder.name, made.step.status, len((made.folder / "out.txt").read_text()))
"""


def child(work, how):
    command = [sys.executable, "-c", CHILD, str(work), how]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_build_is_not_believed_and_its_leavings_are_swept(tmp_path):
    killed = child(tmp_path, "kill")
    assert killed.wait(60) == -signal.SIGKILL
    killed.communicate()
    (left,) = outputs(tmp_path)
    assert left.startswith(".building-")
    built = child(tmp_path, "build")
    out, err = built.communicate(timeout=60)
    assert (built.returncode, out.split()[1:]) == (0, ["ran", "1000"]), err
    assert outputs(tmp_path) == [out.split()[0]]


def test_concurrent_builds_of_one_step_all_succeed_and_leave_one_output(tmp_path):
    children = [child(tmp_path, "build") for _ in range(4)]
    answers = [(one.communicate(timeout=60), one.returncode) for one in children]
    assert [code for _, code in answers] == [0, 0, 0, 0], answers
    assert {out.split()[0] for (out, _), _ in answers} == set(outputs(tmp_path))
    assert all(out.split()[2] == "1000" for (out, _), _ in answers)


# --- forced, and only planned -----------------------------------------------------------------------------


def test_a_forced_step_runs_again_and_takes_the_place_of_its_output(tmp_path):
    first = remember(tmp_path, Builder(), seed=0)
    build = Builder("other\n")
    with store.forcing(["made"]):
        again = remember(tmp_path, build, seed=0)
    assert (build.calls, again.step.why, again.folder) == (1, "it was asked for", first.folder)
    assert (first.folder / "out.txt").read_text() == "other\n"
    assert remember(tmp_path, build, seed=0).step.status == "reused"
    with store.forcing(["another"]):
        assert remember(tmp_path, build, seed=0).step.status == "reused"


def test_a_forced_step_that_fails_leaves_its_last_output(tmp_path):
    first = remember(tmp_path, Builder(), seed=0)

    def build(folder):
        raise RuntimeError

    with pytest.raises(RuntimeError), store.forcing(["made"]):
        remember(tmp_path, build, seed=0)
    assert store.recall(first.folder, Made) is not None


def everything(folder):
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in folder.rglob("*")
    }


def test_a_plan_builds_and_writes_nothing_and_says_what_differs(tmp_path):
    build = Builder()
    with store.planning(), pytest.raises(store.Missed) as first:
        remember(tmp_path, build, seed=0)
    assert (first.value.why, first.value.latest, list(tmp_path.iterdir())) == ("first run", None, [])
    made = remember(tmp_path, Builder(), seed=0, fit={"epochs": 5}, data="a" * 64)
    before = everything(tmp_path)
    with store.planning():
        assert remember(tmp_path, build, seed=0, fit={"epochs": 5}, data="a" * 64).folder == made.folder
        with pytest.raises(store.Missed) as missed:
            remember(tmp_path, build, seed=0, fit={"epochs": 6}, data="b" * 64)
    assert missed.value.latest == made.folder
    assert [str(change) for change in missed.value.changes] == ["data", "fit.epochs 5 → 6"]
    assert (build.calls, everything(tmp_path)) == (0, before)


def test_a_plan_notices_what_is_damaged(tmp_path):
    made = remember(tmp_path, Builder(), seed=0)
    (made.folder / "deep" / "more.txt").unlink()
    with store.planning(), pytest.raises(store.Missed, match=r"damaged: deep/more\.txt is gone"):
        remember(tmp_path, Builder(), seed=0)
    _change(made.folder)
    (made.folder / "deep" / "more.txt").write_text("more")
    with store.planning(), pytest.raises(store.Missed, match=r"damaged: out\.txt was changed"):
        remember(tmp_path, Builder(), seed=0)
    _cut_record(made.folder)
    with store.planning(), pytest.raises(store.Missed, match=r"record\.json can't be read"):
        remember(tmp_path, Builder(), seed=0)
