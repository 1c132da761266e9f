"""Going on with a run that failed: with what it had, if that is still so."""

import pytest

from flows.books import provenance
from flows.reuse import resuming
from tasks import evaluate
from tasks.errors import ResourceLimit
from tasks.registry import backend, tracking


@pytest.fixture
def failed(busy, make_project, monkeypatch):
    """Fails a run of a project of its own in evaluate; answers the project's folder and the run."""

    def fail(name):
        folder = make_project(busy.root, name)

        def full(*_):
            raise ResourceLimit("no memory")

        with monkeypatch.context() as patch:
            patch.setattr(evaluate, "read_rows", full)
            answer = busy("train", name, "--set", "fit.epochs=3", "--set", "register.champion=manual")
        assert answer.code == ResourceLimit.exit_code, answer.err
        return folder, latest(busy, name)

    return fail


def latest(busy, name):
    return tracking.recent_runs(tracking.connect(busy.root), name, 1)[0]


def test_a_run_that_went_on_and_failed_goes_on_in_its_turn(busy, failed, monkeypatch):
    _, first = failed("twice")

    def full(*_):
        raise ResourceLimit("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "read_rows", full)
        assert busy("resume", first["run_id"]).code == ResourceLimit.exit_code
    second = latest(busy, "twice")
    assert second["tags"]["modelyard.resumes"] == first["run_id"]
    answer = busy("resume", "twice", "--json")
    assert answer.code == 0, answer.err
    assert latest(busy, "twice")["params"]["fit.epochs"] == "3"


def test_a_failed_run_goes_on_by_its_own_settings(busy, failed, monkeypatch):
    _, run = failed("goes-on")
    compared, changes = [], resuming.changes
    monkeypatch.setattr(resuming, "changes", lambda *given: compared.append(given) or changes(*given))
    answer = busy("resume", run["run_id"][:10], "--json")
    assert answer.code == 0, answer.err
    steps = {step["name"]: step["status"] for step in answer.document["steps"]}
    assert [steps[name] for name in ("validate", "clean", "split", "fit")] == ["reused"] * 4
    assert steps["evaluate"] == "ran"
    assert len(compared) == 1, "the data was read for it again"
    after = latest(busy, "goes-on")
    assert after["params"]["fit.epochs"] == "3"
    assert after["tags"]["modelyard.resumes"] == run["run_id"]
    before = backend.client(tracking.connect(busy.root)).get_run(run["run_id"])
    assert before.info.status == "FAILED"
    assert before.data.tags["modelyard.resumed_by"] == after["run_id"]
    for word, why in (("goes-on", "came to its end"), (run["run_id"], "was gone on with by run")):
        refused = busy("resume", word)
        assert (refused.code, why in refused.err) == (2, True), refused.err


def test_what_changed_since_is_named_and_refused(busy, failed, monkeypatch):
    folder, run = failed("stale")
    text = (folder / "project.yaml").read_text()
    (folder / "project.yaml").write_text(text.replace("batch_size: 32", "batch_size: 16"))
    table = (folder / "raw" / "rings.csv").read_text()
    (folder / "raw" / "rings.csv").write_text(table.replace("outer", "inner", 1))
    refused = busy("resume", "stale")
    assert refused.code == 2
    assert "settings changed: fit.batch_size 32 → 16" in refused.err
    assert "the data changed" in refused.err
    assert "the code" not in refused.err
    (folder / "project.yaml").write_text(text)
    (folder / "raw" / "rings.csv").write_text(table)
    suite = (folder / "expectations.json").read_text()
    (folder / "expectations.json").write_text(suite.replace("10", "9"))
    refused = busy("resume", "stale")
    assert (refused.code, "the suite of expectations" in refused.err) == (2, True), refused.err
    (folder / "expectations.json").write_text(suite)
    monkeypatch.setattr(provenance, "code_digest", lambda config: "other")
    refused = busy("resume", "stale")
    assert (refused.code, "the code or a library changed" in refused.err) == (2, True), refused.err
    assert latest(busy, "stale")["run_id"] == run["run_id"], "a refused one begins no run"
    allowed = busy("resume", "stale", "--allow-changed", "--json")
    assert allowed.code == 0, allowed.err


def test_a_run_that_came_to_its_end_is_not_gone_on_with(busy, busy_trained):
    refused = busy("resume", busy_trained["run_id"])
    assert (refused.code, "came to its end: registered" in refused.err) == (2, True)
