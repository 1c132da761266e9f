"""Parts by import path: found where they are, told where they are not, known by what they are made of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import config, sources
from tasks.clean import clean
from tasks.config import Columns, OwnOperation, OwnSource
from tasks.config.own import require
from tasks.dataset import Dataset
from tasks.errors import ConfigError, DataRejected, UnsafeInput
from tasks.features.schema import types_of
from tasks.ladder import metrics
from tasks.own import extension
from tasks.predictions import Predictions
from tasks.records import CleanRecord, Step, ValidateRecord
from tasks.tables import table as table_of


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A root that is looked in; what was imported from it is forgotten afterwards."""
    known, path = set(sys.modules), list(sys.path)
    extension.look_in(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- finding ----------------------------------------------------------------------------------------


def test_a_part_is_found_in_the_root_and_hides_no_library(place: Path) -> None:
    write(place / "found_of_x.py", "def part():\n    return 1\n")
    write(place / "numpy.py", "raise RuntimeError('a file of the root must not hide a library')")
    assert extension.resolve("found_of_x:part", "k")() == 1
    with pytest.raises(UnsafeInput, match=r"k: 'numpy' lies in .*site-packages.*write plugins: \[numpy\]"):
        extension.resolve("numpy:mean", "k")
    assert sys.path.count(str(place)) == 1
    extension.look_in(place, ["numpy"])
    assert sys.path.count(str(place)) == 1
    assert extension.resolve("numpy:mean", "k") is np.mean


MARK = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\ndef part(): pass\n"


@pytest.mark.parametrize(
    "name",
    [
        "data.evil_of_x:part", "data.p.raw.evil_of_x:part", "elsewhere_of_x:part", "elsewhere_of_x.sub:part",
        "linked_of_x:part", "tasks.store.files:replacing", "flows.cli:main", "tasks:networks", "os:system",
        "subprocess:run", "shutil:rmtree", "builtins:exec", "sklearn.dummy:DummyClassifier",
        "pip._internal:main",
    ],
)  # fmt: skip
def test_what_settings_may_not_name_is_refused_before_it_is_imported(
    name: str, place: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.syspath_prepend(elsewhere)
    written = [
        write(place / "data" / "evil_of_x.py", MARK),
        write(place / "data" / "p" / "raw" / "evil_of_x.py", MARK),
        write(elsewhere / "elsewhere_of_x" / "__init__.py", MARK),
        write(elsewhere / "elsewhere_of_x" / "sub.py", MARK),
        write(elsewhere / "target_of_x.py", MARK),
    ]
    (place / "linked_of_x.py").symlink_to(elsewhere / "target_of_x.py")
    for ask in (lambda: extension.resolve(name, "k"), lambda: extension.files(name.partition(":")[0])):
        with pytest.raises((ConfigError, UnsafeInput)):
            ask()
    assert not [file for file in written if file.with_suffix(".ran").exists()]


def test_an_import_is_announced_to_whoever_only_reads(place: Path) -> None:
    write(place / "told_of_x.py", "def part(): pass")
    told: list[str] = []
    extension.announce(told.append)
    extension.resolve("told_of_x:part", "source.kind")
    extension.resolve("told_of_x:part", "source.kind")
    assert told == ["imports told_of_x, which source.kind names"]


@pytest.mark.parametrize(
    ("name", "told"),
    {
        "nowhere_of_x:part": r"^k: no module 'nowhere_of_x'; looked in .*, .* and the installed packages$",
        "told_of_x:prat": r"^k: no 'prat' in .*told_of_x\.py; did you mean 'part'\?$",
        "torn_of_x:part": r"^k: 'torn_of_x' can't be imported: ZeroDivisionError: division by zero$",
        "needy_of_x:part": r"^k: 'needy_of_x' can't be imported: No module named 'missing_of_x'$",
        "told_of_x.deep:part": r"^k: no module 'told_of_x.deep'",
        "subprocess:run": "Python's own",
    }.items(),
)
def test_what_is_not_there_is_told(name: str, told: str, place: Path) -> None:
    write(place / "told_of_x.py", "def part():\n    return 1\n")
    write(place / "torn_of_x.py", "1 / 0")
    write(place / "needy_of_x.py", "import missing_of_x")
    with pytest.raises(ConfigError, match=told):
        extension.resolve(name, "k")


def test_an_error_of_a_part_is_told_as_its_own(place: Path) -> None:
    write(
        place / "bad_of_x.py",
        "from tasks.errors import DataRejected\n"
        "def f(name):\n    return name.x\n"
        "def g():\n    raise DataRejected('no rows')\n",
    )
    with pytest.raises(ConfigError, match="k: 'bad_of_x:f' raised AttributeError: 'int' object has no"):
        extension.call("bad_of_x:f", "k", name=3)
    with pytest.raises(DataRejected, match="no rows"):
        extension.call("bad_of_x:g", "k")


# --- what the code is -------------------------------------------------------------------------------


def test_the_digest_sees_every_file_that_is_imported_beside_it(place: Path) -> None:
    write(place / "one_of_x.py", "def f():\n    from two_of_x import g\n    return g\nimport numpy")
    two = write(place / "two_of_x.py", "def g():\n    return 1\n")
    other = write(place / "three_of_x.py", "")
    assert list(extension.files("one_of_x")) == ["one_of_x.py", "two_of_x.py"]
    first = extension.digests(["one_of_x:f", "cnn", None])
    assert list(first) == ["one_of_x"]
    other.write_text("changed = True")
    assert extension.digests(["one_of_x:f"]) == first
    two.write_text("def g():\n    return 2\n")
    assert extension.digests(["one_of_x:f"]) != first


def test_what_a_part_uses_of_ours_is_named(place: Path) -> None:
    write(place / "one_of_y.py", "def f():\n    from two_of_y import g\n    return g\nimport numpy")
    write(place / "two_of_y.py", "from tasks.networks.mlp import Mlp\ndef g():\n    return Mlp\n")
    found = extension.ours(["one_of_y:f", "tasks.testkit.networks:Linear", "cnn", None])
    assert found == ["tasks.networks.mlp", "tasks.networks.mlp.Mlp", "tasks.testkit.networks"]


def test_of_a_package_every_module_counts(place: Path) -> None:
    for name in ("__init__", "nets", "deep/__init__", "deep/more"):
        write(place / "pack_of_x" / f"{name}.py", "")
    write(place / "pack_of_x" / "data.csv", "")
    known = ["__init__", "deep/__init__", "deep/more", "nets"]
    extension.look_in(place, ["scikit-learn"])
    assert list(extension.files("pack_of_x.nets")) == [f"pack_of_x/{name}.py" for name in known]
    assert extension.digests(["sklearn.dummy:DummyClassifier", "tasks.networks.mlp:Mlp"]).keys() == {
        "sklearn"
    }


# --- what is asked of a project's parts -------------------------------------------------------------

BASE = """
name: toy
task: regression
source: {kind: table, path: raw/toy.csv}
target: price
network: {kind: neuron}
evaluate: {metric: rmse, baselines: [median]}
register: {name: toy}
"""
PARTS = """
import numpy as np
def pairs(truth, predictions): return np.abs(truth - predictions.values)
pairs.higher_is_better = False
def blind(truth, predictions): return np.abs(truth - predictions.values)
def net(spec, width=3): pass
def seeded(seed): pass
class Half:
    higher_is_better = True
    def statistics(self, truth, predictions): pass
half = Half()
"""


@pytest.mark.parametrize(
    ("setting", "told"),
    {
        "evaluate.metric=req_of_x:pairs": None,
        "network={kind: 'req_of_x:net', options: {width: 4}}": None,
        "evaluate.baselines=['req_of_x:seeded']": None,
        "evaluate.metric=req_of_x:blind": "'req_of_x:blind' has no attribute higher_is_better",
        "fit.metric=req_of_x:half": "fit.metric: 'req_of_x:half' has statistics, but no function value",
        "evaluate.baselines=['req_of_x:pairs']": r"baselines.0: .*\(seed\): missing a required",
        "network={kind: 'req_of_x:net', options: {depth: 4}}": r"network.kind: .*\(spec, depth=…\): got an",
        "clean=[{'req_of_x:nte': {}}]": "clean.0: no 'nte' in .*req_of_x.py; did you mean 'net'",
        "steps=[{run: 'req_of_x:stride', after: fit}]": "steps.0.run: no 'stride'",
    }.items(),
)
def test_parts_are_required_by_their_contracts(setting: str, told: str | None, place: Path) -> None:
    write(place / "req_of_x.py", PARTS)
    write(place / "data" / "toy" / "project.yaml", BASE)
    loaded = config.load(place, "toy", settings=(setting,)).config
    if told is None:
        require(loaded)
    else:
        with pytest.raises(ConfigError, match=told):
            require(loaded)


# --- loaders, operations and metrics at work --------------------------------------------------------


def test_a_loader_is_read_as_strictly_as_a_file(place: Path) -> None:
    code = "import pandas as pd\ndef load(project, n): return pd.DataFrame({'a': range(n), 'b': ['x'] * n})"
    write(place / "load_of_x.py", code)
    source = OwnSource(kind="load_of_x:load", options={"n": 3})
    found = sources.read(source, place, "b", Columns())
    assert found.dataset.rows.index.tolist() == [0, 1, 2]
    assert found.fingerprint == sources.fingerprint(source, place)
    assert (found.files[0].name, found.files[0].rows) == ("load", 3)
    other = source.model_copy(update={"options": {"n": 4}})
    assert sources.fingerprint(other, place) != found.fingerprint
    with pytest.raises(DataRejected, match="no column 'c', the target"):
        sources.read(source, place, "c", Columns())


def cleaned(folder: Path, rows: pd.DataFrame, name: str) -> CleanRecord:
    types = types_of(rows)
    (folder / "raw").mkdir(exist_ok=True)
    table_of.save(folder / "raw", Dataset(rows), types, len(rows))
    raw = ValidateRecord(
        step=Step(name="validate"), folder=folder / "raw", fingerprint="", files=(), read=len(rows),
        kept=len(rows), quarantined=0, reasons={}, findings=(), expectations=0, columns=tuple(types),
        types=types,
    )  # fmt: skip
    return clean.fn(raw, (OwnOperation({name: {}}),), "price", 0.01, folder / "work")


def test_an_operation_is_not_shown_the_target_and_may_not_learn(
    place: Path, houses: pd.DataFrame, tmp_path: Path
) -> None:
    write(
        place / "clean_of_x.py",
        "def double(rows):\n    assert 'price' not in rows\n    return rows.assign(area=2 * rows['area'])\n"
        "def centred(rows):\n    return rows.assign(area=rows['area'] - rows['area'].mean())\n"
        "def price(rows):\n    return rows.assign(price=0.0)\n"
        "def fewer(rows):\n    return rows.head(3)\n",
    )
    record = cleaned(tmp_path, houses, "clean_of_x:double")
    rows = Dataset.load(record.folder).rows
    assert np.allclose(rows["area"], 2 * houses["area"])
    assert rows["price"].tolist() == houses["price"].tolist()
    assert list(rows.columns) == list(houses.columns)
    assert record.operations[0] == ("double", len(houses))
    for name, told in {
        "centred": "clean: 'area' of row 0 depends on the rows beside it: an operation of yours learns",
        "price": "clean.0: 'clean_of_x:price' answered 'price', which it is not shown",
        "fewer": "answered 3 rows, not the 300",
    }.items():
        with pytest.raises(ConfigError, match=told):
            cleaned(tmp_path, houses, f"clean_of_x:{name}")


def test_own_metrics_are_computed_like_ours(place: Path) -> None:
    write(
        place / "metric_of_x.py",
        "import numpy as np\n"
        "def gap(t, p): return np.abs(t - p.values)\n"
        "gap.higher_is_better = False\n"
        "class Root:\n"
        "    higher_is_better = False\n"
        "    def statistics(self, t, p): return ((t - p.values) ** 2).reshape(-1, 1)\n"
        "    def value(self, means): return np.sqrt(means[..., 0])\n"
        "root = Root()\n"
        "def one(t, p): return 1.0\n"
        "one.higher_is_better = True\n",
    )
    truth, answers = np.array([1.0, 2.0, 4.0]), Predictions(np.array([1.5, 2.0, 1.0]))
    for own, ours in {"metric_of_x:gap": "mae", "metric_of_x:root": "rmse"}.items():
        assert metrics.compute(own, truth, answers) == metrics.compute(ours, truth, answers)
        assert not config.higher_is_better("regression", own)
    with pytest.raises(ConfigError, match=r"answered shape \(\) for 3 rows"):
        metrics.compute("metric_of_x:one", truth, answers)
