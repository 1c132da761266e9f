"""`modelyard up`, `down` and `status` on real servers."""

from __future__ import annotations

import os
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.servers import address, credentials, raising, standing
from flows.servers.credentials import header
from flows.servers.locks import exclusive
from flows.servers.prefect_server import Server, connected, prefect_server
from tasks.config.settings import FILE
from tasks.errors import RegistryConflict
from tasks.registry import backend

SERVICES = ["prefect", "mlflow", "dispatcher"]


def environ(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    text = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace")
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def family(root: Path) -> list[psutil.Process]:
    """Every process that has the root among its words."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(root) in process.cmdline() and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_what_up_says(raised: Any) -> None:
    document = raised.document
    assert document["started"] is True
    assert list(document["services"]) == SERVICES
    assert {each["state"] for each in document["services"].values()} == {"up"}
    assert document["credentials"] == str(credentials.place(raised.root))
    for name in ("prefect", "mlflow"):
        assert raised[name]["url"] in document["said"]
        assert raised[name]["host"] == "127.0.0.1"
    for each in document["services"].values():
        assert Path(each["log"]).exists()


def test_survives_the_terminal(raised: Any) -> None:
    keeper = raised.document["keeper"]["pid"]
    assert os.getsid(keeper) == keeper != os.getsid(0), "a session of its own, without a terminal"
    assert psutil.Process(keeper).ppid() != os.getpid()


def test_the_credential_is_shown_to_nobody(raised: Any) -> None:
    token = raised.credential.partition(":")[2]
    assert token not in str(raised.document)
    for process in family(raised.root):
        assert token not in " ".join(process.cmdline())
    for name in ("prefect", "mlflow"):
        assert token not in str(environ(raised[name]["pid"]))
    for log in (raised.root / ".state" / "logs").iterdir():
        assert token not in log.read_text(errors="replace")
    for path in (raised.root / ".state").rglob("*"):
        if path.is_dir():
            continue
        assert path.stat().st_uid == os.getuid()
    assert (raised.root / ".state").stat().st_mode & 0o077 == 0


def test_settings_that_hold_in_prefect(raised: Any) -> None:
    url = raised["prefect"]["url"]
    found = httpx.get(f"{url}/api/admin/settings", headers=header(raised.credential), timeout=30).json()
    api = found["server"]["api"]
    assert api["csrf_protection_enabled"] is True
    assert api["cors_allowed_origins"] == f"{url},http://localhost:{raised['prefect']['port']}"
    assert set(api["auth_string"]) == {"*"}
    assert found["server"]["analytics_enabled"] is False
    assert found["server"]["ephemeral"]["enabled"] is False
    assert found["server"]["services"]["task_run_recorder"]["batch_size"] == 100
    pages = httpx.get(f"{url}/ui-settings", headers=header(raised.credential), timeout=30).json()
    assert (pages["api_url"], pages["auth"]) == ("/api", None), "the browser is asked once, at the door"


def test_settings_that_hold_in_mlflow(raised: Any) -> None:
    port = raised["mlflow"]["port"]
    log = Path(raised["mlflow"]["log"]).read_text()
    for line in (
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=False",
        f"MLFLOW_SERVER_ALLOWED_HOSTS=127.0.0.1:{port},localhost:{port}",
        f"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS=http://127.0.0.1:{port},http://localhost:{port}",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION=False",
        "MLFLOW_DISABLE_TELEMETRY=True",
    ):
        assert line in log.splitlines()
    assert psutil.Process(raised["mlflow"]["pid"]).children() == [], "one worker, no runner of jobs"


def test_settings_that_hold_in_the_dispatcher(raised: Any) -> None:
    found = environ(raised["dispatcher"]["pid"])
    assert found["PREFECT_API_URL"] == f"{raised['prefect']['url']}/api"
    assert found["PREFECT_API_AUTH_STRING"] == raised.credential
    for name, value in {
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "true",
    }.items():
        assert found[name] == value


def test_mlflow_takes_no_source_from_elsewhere(raised: Any) -> None:
    client = httpx.Client(base_url=raised["mlflow"]["url"], headers=header(raised.credential), timeout=30)
    api = "/api/2.0/mlflow"
    client.post(f"{api}/registered-models/create", json={"name": "stolen"})
    for source in (
        "file:///etc",
        "/etc",
        "s3://elsewhere/x",
        f"file://{raised.root}/mlflow/artifacts/../../data",
    ):
        answer = client.post(f"{api}/model-versions/create", json={"name": "stolen", "source": source})
        assert answer.status_code == 400, source
        assert "Invalid model version source" in answer.text
    experiment = client.post(f"{api}/experiments/create", json={"name": "remote"}).json()["experiment_id"]
    place = client.get(f"{api}/experiments/get", params={"experiment_id": experiment}).json()["experiment"]
    assert place["artifact_location"].startswith("mlflow-artifacts:/"), "clients leave them with the server"
    path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/note.txt"
    assert client.put(path, content=b"hello").status_code == 200
    assert (raised.root / "mlflow" / "artifacts" / experiment / "note.txt").read_bytes() == b"hello"


def test_a_second_up_starts_nothing(raised: Any) -> None:
    again = raised.ground("up")
    assert again["started"] is False
    assert "already up; nothing was started" in again["said"]
    same = ("keeper", "services", "credentials")
    strip = [{k: {**d[k]} if k == "services" else d[k] for k in same} for d in (again, raised.document)]
    assert {n: s["pid"] for n, s in strip[0]["services"].items()} == {
        n: s["pid"] for n, s in strip[1]["services"].items()
    }
    assert again["keeper"] == raised.document["keeper"]


def test_status_and_ui(raised: Any) -> None:
    status = raised.ground("status")
    assert status["up"] is True
    assert [(each["name"], each["state"]) for each in status["servers"]] == [
        (name, "up") for name in SERVICES
    ]
    assert status["champions"] == [{"project": "rings", "version": None, "created": None}]
    assert status["problem"] is None
    assert raised["prefect"]["url"] in status["said"]
    champion = {"version": 1, "created": pytest.approx(time.time(), abs=300)}
    assert crown(raised, "rings") == {"project": "rings", **champion}
    pages = raised.ground("ui")
    assert (pages["mlflow"], pages["prefect"]) == (raised["mlflow"]["url"], raised["prefect"]["url"])
    assert "up already" in pages["said"]


def crown(raised: Any, model: str) -> dict[str, Any]:
    """Gives a model a champion, past all gates; returns what `status` then says of its project."""
    client = backend.client(backend.connect(raised.root))
    client.create_registered_model(model)
    client.create_model_version(model, str(raised.root / "nothing"))
    client.set_registered_model_alias(model, "champion", "1")
    return dict(raised.ground("status")["champions"][0])


def test_commands_use_it(raised: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY

    url = f"{raised['prefect']['url']}/api"
    wanted = Server(root=raised.root, url=url, credential=raised.credential)
    with prefect_server(raised.root) as server, connected(server) as connected_url:
        assert server == wanted
        assert connected_url == url
        with get_client(sync_client=True) as client:
            assert client.hello().status_code == 200
            assert client.read_flow_runs(limit=1) is not None
        assert PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() == 30
    monkeypatch.setenv("PREFECT_API_URL", url)
    with prefect_server(raised.root) as server:
        assert server == wanted, "its address in the environment is the same as none"


def test_life_on_postgres(ground: Any, postgres: Any) -> None:
    databases = {name: postgres.url(database=postgres.create(f"up_{name}")) for name in ("prefect", "mlflow")}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (ground.root / FILE).write_text(
        f"prefect: {{port: {port}, database: '{databases['prefect']}'}}\n"
        f"mlflow: {{database: '{databases['mlflow']}', artifacts: {ground.root}/elsewhere}}\n"
    )
    up = ground("up")
    services = up["services"]
    assert {each["state"] for each in services.values()} == {"up"}
    assert services["prefect"]["port"] == port
    assert int(postgres.sql("SELECT count(*) FROM deployment", "up_prefect")) > 0
    client = httpx.Client(headers=header(credentials.read(ground.root)), timeout=30)
    answer = client.post(
        f"{services['mlflow']['url']}/api/2.0/mlflow/experiments/create", json={"name": "through the server"}
    )
    assert answer.status_code == 200
    assert "through the server" in postgres.sql("SELECT name FROM experiments", "up_mlflow")
    assert not (ground.root / "mlflow" / "mlflow.db").exists()
    assert not (ground.root / ".state" / "prefect" / "prefect.db").exists()
    status = ground("status")
    assert (status["up"], status["problem"]) == (True, None)
    down = ground("down")
    assert down["stopped"] == SERVICES
    assert [p for p in family(ground.root) if p.status() != psutil.STATUS_ZOMBIE] == []
    for each in services.values():
        assert standing.process(each) is None
        if each["port"]:
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", each["port"])) != 0
    assert ground("down")["stopped"] == []
    assert ground("status")["up"] is False


def test_server_that_can_not_start(ground: Any) -> None:
    home = credentials.private(ground.root / ".state" / "prefect")
    (home / "prefect.db").write_text("no database")
    refused = ground("up", code=6)
    assert "the prefect did not come up" in refused["error"]["message"]
    assert "file is not a database" in refused["error"]["message"]
    assert not standing.stands(ground.root)
    assert ground("down")["stopped"] == []


def test_database_that_is_away(ground: Any) -> None:
    (ground.root / FILE).write_text("prefect: {database: 'postgresql://yard@127.0.0.1:1/prefect'}")
    assert "127.0.0.1:1" in ground("up", code=6)["error"]["message"]
    assert not standing.stands(ground.root)


def test_other_machines_only_when_asked(ground: Any) -> None:
    refused = ground("up", "--host", "0.0.0.0", code=2)
    assert "--expose" in refused["error"]["fix"]
    (ground.root / FILE).write_text("host: 10.0.0.4")
    assert "10.0.0.4 can be reached" in ground("up", code=2)["error"]["message"]


def test_configured_port_that_is_taken(ground: Any) -> None:
    with address.listen("127.0.0.1", None, 0) as taken:
        port = taken.getsockname()[1]
        (ground.root / FILE).write_text(f"mlflow: {{port: {port}}}")
        assert f"port {port} on 127.0.0.1 is taken" in ground("up", code=2)["error"]["message"]
    assert not standing.stands(ground.root)


def test_command_with_a_server_of_its_own(tmp_path: Path, isolated: None, monkeypatch: Any) -> None:
    home = credentials.private(tmp_path / ".state" / "prefect")
    monkeypatch.setattr(raising, "CROSSING_SECONDS", 0.1)
    with (
        closing(exclusive(home / "server.lock")),
        (home / "users.lock").open("ab"),
        pytest.raises(RegistryConflict, match=f"pid {os.getpid()}.*server of its own"),
    ):
        raising.up(tmp_path, host=None, expose=False, watch=lambda _: None)
    assert not standing.stands(tmp_path)


def test_down_and_status_with_nothing_up(ground: Any) -> None:
    standing.record(credentials.private(ground.root / ".state").parent).write_text("{}")
    assert ground("down")["stopped"] == []
    status = ground("status")
    assert (status["up"], status["servers"], status["runs"], status["problem"]) == (False, [], [], None)
    assert status["champions"] == [{"project": "rings", "version": None, "created": None}]
