"""What a training would do is said before, truly, and nothing is done for it."""

import json

import pytest

from tasks.registry import tracking


def answers(document):
    return {line["step"]: line["answer"] for line in document["steps"]}


def reasons(document):
    return {line["step"]: line["why"] for line in document["steps"]}


@pytest.fixture(scope="module")
def planned(busy, make_project):
    """A project whose champion is set by hand, trained once."""
    folder = make_project(busy.root, "planned", register="register: {name: planned, champion: manual}")
    answer = busy("train", "planned", "--json")
    assert answer.code == 0, answer.err
    return folder


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_before_the_first_run_all_waits_for_validate(fresh):
    document = fresh("plan", "rings", "--json").document
    assert reasons(document) == {"validate": "first run"} | dict.fromkeys(
        ("clean", "split", "fit", "evaluate"), "depends on validate"
    )
    assert not (fresh.root / "data" / "rings" / "work").exists()
    assert not (fresh.root / "mlflow" / "mlflow.db").exists()


def test_unchanged_is_a_hit_and_nothing_is_written(busy, planned):
    before = everything(planned)
    answer = busy("plan", "planned")
    assert answer.code == 0, answer.err
    assert answer.out.count(" hit ") == 5
    assert everything(planned) == before


def test_a_champion_that_is_the_candidate_itself_is_no_reason_to_judge_again(yard, trained):
    """As `train` has it, which answers from the last run's record then."""
    lines = yard("plan", "rings", "--json").document["steps"]
    assert [line["answer"] for line in lines] == ["hit"] * 5
    assert lines[-1]["why"] == "the champion is this candidate itself"
    forced = yard("plan", "rings", "--force", "evaluate", "--json").document["steps"]
    assert forced[-1]["answer"] == "miss"


@pytest.mark.parametrize(
    ("setting", "expected", "why"),
    [
        ("fit.epochs=4", "hit hit hit miss depends", {"fit": "fit.epochs 25 → 4"}),
        ("split.test=0.25", "hit hit miss depends depends", {"split": "split.test 0.3 → 0.25"}),
        ("gate=[{better_than: majority}]", "hit hit hit hit miss", {}),
        ("clean=[{trim: [colour]}, {case: {colour: upper}}]", "hit miss depends miss depends", {}),
        ("register.champion=auto", "hit hit hit hit hit", {}),
    ],
)
def test_a_setting_misses_in_the_steps_that_it_belongs_to(setting, expected, why, busy, planned):
    document = busy("plan", "planned", "--set", setting, "--json").document
    assert list(answers(document).values()) == expected.split()
    assert reasons(document) | why == reasons(document)


def test_a_cell_of_the_data_misses_where_raw_rows_are_read(busy, planned, tmp_path):
    table = tmp_path / "rings.csv"
    table.write_text((planned / "raw" / "rings.csv").read_text().replace("outer", "inner", 1))
    document = busy("plan", "planned", "--source", table, "--json").document
    assert list(answers(document).values()) == ["miss", "depends", "depends", "miss", "miss"]
    assert [reasons(document)[step] for step in ("validate", "fit")] == ["data", "raw"]
    assert document["steps"][1]["depends_on"] == ["validate"]


def test_a_deleted_file_is_noticed_and_a_forced_step_told(busy, planned):
    (output,) = (planned / "work" / "split").glob("*/parts.parquet")
    content = output.read_bytes()
    output.unlink()
    document = busy("plan", "planned", "--json").document
    assert reasons(document)["split"] == "its output was damaged: parts.parquet is gone"
    assert answers(document) | {"fit": "depends"} == answers(document)
    output.write_bytes(content)
    document = busy("plan", "planned", "--force", "split", "--json").document
    assert list(answers(document).values()) == ["hit", "hit", "miss", "depends", "depends"]
    assert reasons(document)["split"] == "it was asked for"


def bundle(busy):
    run = tracking.recent_runs(tracking.connect(busy.root), "planned", 1)[0]
    (fitted,) = (busy.root / "data" / "planned" / "work" / "fit").iterdir()
    stored = json.loads((fitted / "record.json").read_text())
    kept = {k: v for k, v in stored["files"].items() if k != "inputs.json"}
    return run["run_id"], fitted.stat().st_ino, kept


def test_forced_and_reused_runs_give_the_same_bits(busy, planned):
    first, made, files = bundle(busy)
    steps = ["validate", "clean", "split", "fit", "evaluate"]
    answer = busy("train", "planned", *(word for step in steps for word in ("--force", step)), "--json")
    assert answer.code == 0, answer.err
    told = {step["name"]: (step["status"], step["why"]) for step in answer.document["steps"]}
    assert [told[step] for step in steps] == [("ran", "it was asked for")] * 5
    second, again, same = bundle(busy)
    assert (second != first, again != made) == (True, True), "it was built anew"
    assert same == files
    assert {"weights.safetensors", "encoder.json", "manifest.json"} <= set(files)
