"""Every project that ships loads, judges columns that exist, and has a network that reads its data."""

from __future__ import annotations

import hashlib
import importlib
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
import yaml

from flows import cli
from tasks import config, sources
from tasks.checks import suite
from tasks.config import BASELINES, METRICS, Config, Split
from tasks.config.data import SOURCES
from tasks.dataset import Dataset
from tasks.errors import Unavailable
from tasks.fit import encode_examples, fit_encoder
from tasks.ladder import baselines, metrics
from tasks.learning import scoring
from tasks.reports import exhibits
from tasks.sources import Loaded

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("digits", "prices", "sentiment")
NAMES = [name for name in config.names(ROOT) if name in SHIPPED]  # a user's own projects are theirs
ROWS = 64


@pytest.fixture(scope="module", params=NAMES)
def project(request: pytest.FixtureRequest) -> config.Project:
    return config.load(ROOT, request.param)


@pytest.fixture(scope="module")
def loaded(project: config.Project) -> Loaded:
    c = project.config
    try:
        return sources.read(c.source, project.folder, c.target, c.columns)
    except Unavailable as error:
        pytest.skip(f"the package of the data can't be fetched here: {error.message}")


def some(data: Dataset, count: int = ROWS) -> Dataset:
    """Rows from all over the data, so that no class is left out."""
    step = max(1, len(data) // count)
    return data.take(np.arange(0, len(data), step)[:count])


def test_shipped_projects() -> None:
    assert set(NAMES) == set(SHIPPED)


def test_settings_survive_being_written_down(project: config.Project) -> None:
    tree = yaml.safe_load(config.as_yaml(project.config))
    assert Config.model_validate(tree) == project.config


def test_suite_judges_columns_that_exist(project: config.Project, loaded: Loaded) -> None:
    judged = suite.load(project.folder / project.config.validation.suite)
    assert judged.name == project.config.name
    known = {str(name) for name in loaded.dataset.rows.columns}
    for entry in judged.entries:
        assert set(entry.columns) <= known, entry.type
    assert any(entry.severity == "error" for entry in judged.entries)


def test_settings_name_columns_that_exist(project: config.Project, loaded: Loaded) -> None:
    c, known = project.config, set(loaded.dataset.rows.columns)
    named = {c.target, *c.columns.drop, *c.columns.numeric, *c.columns.categorical, *c.evaluate.slices}
    assert named <= known


def test_data_card(project: config.Project, loaded: Loaded) -> None:
    text = (project.folder / "README.md").read_text(encoding="utf-8")
    for word in ("Origin and licence", "Target", "Known faults", f"`{project.config.target}`"):
        assert word in text
    assert f"{len(loaded.dataset):,}" in text, "the card does not say how many rows there are"
    fetched = project.config.source.kind == "package"  # what is not committed, the sha256 in the YAML pins
    for path in [] if fetched else sorted((project.folder / "raw").glob("[!.]*")):
        assert f"raw/{path.name}" in text
        assert hashlib.sha256(path.read_bytes()).hexdigest() in text


def test_citation(project: config.Project) -> None:
    tree = yaml.safe_load((project.folder / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(tree)


def test_network_takes_a_batch(project: config.Project, loaded: Loaded) -> None:
    c, batch = project.config, some(loaded.dataset)
    encoder = fit_encoder(batch, target=c.target, kind=c.task, columns=c.columns, exclude=(), encode=c.encode)
    network = scoring.make_network(c.network.model_dump(mode="json"), encoder).train()
    examples = encode_examples(batch, encoder, c.target)
    answers = network(*examples.inputs)
    outputs = loaded.dataset.rows[c.target].nunique() if c.task == "classification" else 1
    assert answers.shape[-2:] == (len(batch), outputs)
    assert torch.isfinite(answers).all()
    answers.mean().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


# --- names ------------------------------------------------------------------------------------------


def test_every_metric_is_computed() -> None:
    named = {name for of_task in METRICS.values() for name in of_task}
    assert named == set(metrics._METRICS)


def test_every_rung_is_built_and_described() -> None:
    assert set(baselines._CLASSIFIERS) == set(BASELINES["classification"])
    assert set(baselines._REGRESSORS) == set(BASELINES["regression"])
    rungs = {*BASELINES["classification"], *BASELINES["regression"], "champion", "candidate"}
    assert rungs == set(exhibits.RUNGS)


def test_every_command_names_a_function() -> None:
    for path, _ in cli.COMMANDS.values():
        module, function = path.split(":")
        assert callable(getattr(importlib.import_module(f"flows.commands.{module}"), function))


KINDS = {
    "kind": set(SOURCES) | {*config.KINDS},
    "strategy": set(get_args(Split.model_fields["strategy"].annotation)),
    "metric": set(metrics._METRICS),
    "better_than": {*exhibits.RUNGS},
    "not_worse_than": {*exhibits.RUNGS},
    "task": set(METRICS),
}


def code_of(text: str) -> str:
    """What a Markdown page sets in code: its fenced blocks and its spans, a line each."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *spans])


@pytest.mark.parametrize(
    "page",
    [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("*/*.md")), *sorted(ROOT.glob("data/*/*.md"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_pages_name_what_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = code_of(text)
    for key, known in KINDS.items():
        named = set(re.findall(rf"(?<!\.)\b{key}: ([a-z_0-9]+)(?=[\s,}}]|$)", code))
        assert named <= known, key
    assert set(re.findall(r"^(?:\S*/)?modelyard ([a-z]+)\b", code, re.MULTILINE)) <= set(cli.COMMANDS)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)\b", code, re.MULTILINE)) <= targets
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    modules = set(re.findall(r"(?<![\w/])((?:flows|tasks|tests)/[a-z0-9_/]+\.py)\b", code))
    assert [module for module in sorted(modules) if not (ROOT / module).exists()] == []
