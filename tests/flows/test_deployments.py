"""prefect.yaml: a deployment for each shipped project, by module, with parameters that the flow takes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import yaml

from tasks import config


def test_every_project_has_a_deployment(root: Path) -> None:
    from prefect import Flow

    tree = yaml.safe_load((root / "prefect.yaml").read_text())
    deployed = {deployment["parameters"]["project"] for deployment in tree["deployments"]}
    assert {"digits", "prices"} <= deployed <= set(config.names(root))
    for deployment in tree["deployments"]:
        module, name = deployment["entrypoint"].split(":")
        flow = getattr(import_module(module), name)
        assert isinstance(flow, Flow)
        assert flow.validate_parameters(deployment["parameters"])["project"] == deployment["name"]


def test_entrypoint_by_path_works_too(root: Path) -> None:
    from prefect.flows import load_flow_from_entrypoint

    assert load_flow_from_entrypoint(f"{root / 'flows' / 'train.py'}:train").name == "train"
