"""Configuration: every kind of mistake with its exact line, all at once, and nothing that runs code."""

# ruff: noqa: E501 - a mistake and the line that it earns stand side by side

import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tasks import config
from tasks.config import strict_yaml
from tasks.config.strict_yaml import parse
from tasks.errors import ConfigError, ModelyardError, UnsafeInput

ROOT = Path(__file__).parents[2]

BASE = """name: toy
task: regression
source: {kind: table, path: raw/toy.csv}
target: y
network: {kind: mlp}
evaluate: {metric: rmse, baselines: [median, ridge], slices: [town]}
gate: [{better_than: ridge}, {not_worse_than: champion}, {metric: rmse, at_most: 3}]
register: {name: toy}
"""


@pytest.fixture
def load(tmp_path):
    def write_and_load(*settings, text=BASE, source=None):
        folder = tmp_path / "data" / "toy"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "project.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load(tmp_path, "toy", source=source, settings=settings)

    return write_and_load


def lines(caught):
    """The single problems of a configuration error, without the file's name and their count."""
    first, *others = str(caught.value).splitlines()
    found = others or [first.partition("project.yaml: ")[2] or first]
    return [line.strip().removeprefix("--set ") for line in found]


# --- what is right --------------------------------------------------------------------------------------


def test_a_gate_may_name_the_dummy_where_no_baseline_does(load):
    settings = ("evaluate.baselines=[ridge]", "gate=[{better_than: median, by: 2}]")
    project = load(*settings)
    assert project.settings == settings
    assert config.with_dummy("regression", project.config.evaluate.baselines) == ("median", "ridge")
    assert config.with_dummy("classification", ("svm", "majority")) == ("svm", "majority")


def test_a_base_model_in_the_project_is_named_by_its_whole_path(load, tmp_path):
    (tmp_path / "data" / "toy" / "tiny").mkdir(parents=True)
    named = {
        model: load(f"network={{kind: encoder, model: '{model}'}}").config.network.model
        for model in ("tiny", "./tiny", "other", "hub:a/b")
    }
    inside = str(tmp_path / "data" / "toy" / "tiny")
    assert named == {"tiny": inside, "./tiny": inside, "other": "other", "hub:a/b": "hub:a/b"}


def test_a_short_project_loads_with_every_default(load, tmp_path):
    project = load()
    assert project.folder == tmp_path / "data" / "toy"
    assert project.work == project.folder / "work"
    assert project.config.split == config.Split(strategy="random", validation=0.15, test=0.2)
    assert project.config.validation.quarantine == 0.01
    assert not project.config.higher_is_better


@pytest.mark.parametrize("name", config.names(ROOT))
def test_every_shipped_project_loads_and_its_full_text_means_the_same(name):
    shipped = config.load(ROOT, name).config
    assert config.Config.model_validate(parse(config.as_yaml(shipped), "as_yaml")) == shipped


def test_projects_are_listed_by_folder(load, tmp_path):
    load()
    (tmp_path / "data" / "empty").mkdir()
    assert config.names(tmp_path) == ["toy"]
    with pytest.raises(ConfigError, match=r"no project 'tyo' below .*; did you mean 'toy'"):
        config.load(tmp_path, "tyo")


def test_a_config_cannot_be_changed(load):
    with pytest.raises(Exception, match="frozen"):
        load().config.seed = 1


# --- --set and --source -----------------------------------------------------------------------------------


def test_settings_replace_add_and_are_read_as_yaml(load):
    changed = load(
        "seed=7", "fit.learning_rate=1e-3", "fit.minutes=null", "split.strategy=column", "split.column=part"
    ).config
    assert (changed.seed, changed.fit.learning_rate, changed.fit.minutes) == (7, 0.001, None)
    assert (changed.split.strategy, changed.split.column) == ("column", "part")
    assert load("network={kind: 'my.nets:make', options: {width: 3}}").config.network == config.Custom(
        kind="my.nets:make", options={"width": 3}
    )
    assert load("clean=[{trim: [a]}, {keep: {a: [1, null]}}]").config.clean == (
        config.Trim(trim=("a",)),
        config.Keep(keep={"a": (1.0, None)}),
    )


def test_where_new_data_arrives_counts_only_when_retraining(load, tmp_path):
    arrivals = tmp_path / "arrivals.csv"
    arrivals.write_text("y\n1\n")
    text = BASE + f"retrain: {{source: {arrivals}}}\n"
    assert load(text=text).config.source.path == "raw/toy.csv"
    again = config.load(tmp_path, "toy", retraining=True).config
    assert again.source == config.TableSource(kind="table", path=str(arrivals))
    given = config.load(tmp_path, "toy", source=tmp_path, retraining=True).config
    assert given.source.path == str(tmp_path)


def test_a_place_of_new_data_that_is_not_there_is_named(load, tmp_path):
    load(text=BASE + "retrain: {source: arrivals.csv}\n")
    with pytest.raises(ConfigError, match=r"^retrain\.source .*toy/arrivals\.csv: no such file or folder"):
        config.load(tmp_path, "toy", retraining=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "--set 'seed': expected dotted.key=value"),
        ("=3", "--set '=3': expected dotted.key=value"),
        ("target.x=3", "--set 'target.x=3': 'target' holds no keys; set it as a whole"),
        ("target.x.z=3", "--set 'target.x.z=3': 'target' holds no keys; set it as a whole"),
        ("gate.0.at_most=3", "--set 'gate.0.at_most=3': 'gate' holds no keys; set it as a whole"),
        ("seed=[1", "--set seed:1:3: not YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_a_setting_that_cannot_be_placed_or_read(load, setting, message):
    with pytest.raises(ConfigError) as caught:
        load(setting)
    assert str(caught.value) == message


def test_a_source_replaces_the_projects_own_and_may_lie_anywhere(load, tmp_path):
    table = tmp_path / "elsewhere.csv"
    table.write_text("y\n1\n")
    assert load(source=table).config.source == config.TableSource(kind="table", path=str(table))
    images = tmp_path / "mnist"
    images.mkdir()
    assert load(source=images).config.source.kind == "table"
    (images / "train-images-idx3-ubyte.gz").touch()
    assert load(source=images).config.source == config.IdxSource(kind="idx", path=str(images))
    with pytest.raises(ConfigError, match=r"--source .*nowhere: no such file or folder"):
        load(source=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("own", "size", "mode"),
    [
        ("{kind: table, path: raw/toy.csv}", (32, 32), "colour"),
        ("{kind: idx, path: raw}", (28, 28), "grey"),
        ("{kind: package, package: a, member: b, shape: [8, 9]}", (8, 9), "grey"),
        ("{kind: images, path: raw, size: [20, 30], mode: grey, label: kind}", (20, 30), "grey"),
    ],
)
def test_pictures_elsewhere_are_brought_to_the_size_of_the_projects_own(load, tmp_path, own, size, mode):
    text = BASE.replace("{kind: table, path: raw/toy.csv}", own)
    place = tmp_path / "pictures"
    (place / "train" / "cat").mkdir(parents=True)
    (place / "train" / "cat" / "one.JPG").touch()
    found = load(text=text, source=place).config.source
    assert found == config.ImagesSource(
        kind="images", path=str(place), size=size, mode=mode, label="kind" if "label" in own else "label"
    )
    larger = load("source.size=[40, 50]", text=text, source=place).config.source if "size" in own else None
    assert larger is None or larger.size == (40, 50)


@pytest.mark.parametrize("name", ["more.jsonl", "more.ndjson", "more.jsonl.gz", "classes/good/one.txt"])
def test_texts_elsewhere_are_known_by_their_names(load, tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    named = tmp_path / Path(name).parts[0]
    text = BASE + "columns: {text: words}\n"
    assert load(text=text, source=named).config.source == config.TextsSource(kind="texts", path=str(named))


def test_in_a_project_of_pictures_a_table_is_a_manifest(load, tmp_path):
    text = BASE.replace("{kind: table, path: raw/toy.csv}", "{kind: images, path: raw, file: image}")
    (tmp_path / "list.csv").touch()
    found = load(text=text, source=tmp_path / "list.csv").config.source
    assert (found.kind, found.file) == ("images", "image")
    with pytest.raises(UnsafeInput, match="leads out of"):
        load(text=text.replace("path: raw", "path: ../../raw"))


# --- what is wrong: one line each ---------------------------------------------------------------------------

WRONG = {
    "sead=1": "sead: unknown key; did you mean 'seed'?",
    "validation.quarantine=0.1": "validation: unknown key; did you mean 'validate'?",
    "fit.leraning_rate=1": "fit.leraning_rate: unknown key; did you mean 'learning_rate'?",
    "fit.augment.shfit=2": "fit.augment.shfit: unknown key; did you mean 'shift'?",
    "fit.augment.mirror=often": "fit.augment.mirror: got 'often'; input should be a valid boolean, unable to interpret input",
    "network.hiden=[2]": "network.hiden: unknown key; did you mean 'hidden'?",
    "network={kind: cnn, width: [1]}": "network.width: unknown key; did you mean 'widths'?",
    "network={kind: cnn, fold: 3}": "network.fold: got 3; input should be a valid boolean, unable to interpret input",
    "network={kind: cnn, miror: true}": "network.miror: unknown key; did you mean 'mirror'?",
    "source.pth=x": "source.pth: unknown key; did you mean 'path'?",
    "clean=[{trim: [a], case: {a: lower}}]": "clean.0.case: unknown key; known: trim",
    "gate=[{better_than: ridge, bye: 2}]": "gate.0.bye: unknown key; did you mean 'by'?",
    "register.nam=x": "register.nam: unknown key; did you mean 'name'?",
    "fit={bagging: true, refit: true}": "fit: bagging leaves nothing to refit: set refit to false",
    "fit.epochs=0": "fit.epochs: got 0; input should be greater than or equal to 1",
    "fit.epochs=1.5": "fit.epochs: got 1.5; input should be a valid integer, got a number with a fractional part",
    "fit.epochs=1000000000000": "fit.epochs: got 1000000000000; input should be less than or equal to 100000",
    "fit.learning_rate=.nan": "fit.learning_rate: got nan; input should be a finite number",
    "fit.learning_rate=.inf": "fit.learning_rate: got inf; input should be a finite number",
    "fit.learning_rate=0": "fit.learning_rate: got 0; input should be greater than 0",
    "fit.learning_rate=fast": "fit.learning_rate: got 'fast'; input should be a valid number, unable to parse string as a number",
    "fit=3": "fit: got 3; input should be a mapping",
    "fit.device=no": "fit.device: got 'no'; known: auto, cpu, cuda, mps",
    "seed=-1": "seed: got -1; input should be greater than or equal to 0",
    "seed=12:30:45": "seed: got '12:30:45'; input should be a valid integer, unable to parse string as an integer",
    "target=1.10": "target: got 1.1; input should be a valid string",
    "split.test=1": "split.test: got 1; input should be less than 1",
    "split.test=0.9": "split: validation 0.15 + test 0.9 leave no rows to train on",
    "split.strategy=group": "split: strategy 'group' needs split.column, the name of a column",
    "split.near=0.1": "split.near: is called split.max_near_duplicates now; rename the key",
    "split.apart=who": "split.apart: is called split.disjoint_by now; rename the key",
    "split.trusted=[x]": "split.trusted: is called split.allow_leaky now; rename the key",
    "split.strategy=grop": "split.strategy: got 'grop'; did you mean 'group'?",
    "clean=[{tirm: [a]}]": "clean.0: got a mapping; expected one operation of: types, trim, case, missing, scale, rename, keep, only, normalise or package.module:function",
    "clean=[trim]": "clean.0: got 'trim'; expected one operation of: types, trim, case, missing, scale, rename, keep, only, normalise or package.module:function",
    "clean=[null]": "clean.0: got None; expected one operation of: types, trim, case, missing, scale, rename, keep, only, normalise or package.module:function",
    "clean=[{trim: a}]": "clean.0.trim: got 'a'; input should be a list",
    "clean=[{types: {trim: numbr}}]": "clean.0.types.trim: got 'numbr'; did you mean 'number'?",
    "clean=[{keep: {a: [5, 1]}}]": "clean.0.keep: a: low 5.0 lies above high 1.0",
    "gate=[{better_then: ridge}]": "gate.0: got a mapping; expected one criterion of: better_than, not_worse_than, metric",
    "gate=[3]": "gate.0: got 3; expected one criterion of: better_than, not_worse_than, metric",
    "gate=[{better_than: rigde}]": "gate.0.better_than: unknown name 'rigde'; did you mean 'ridge'?",
    "gate=[{metric: rsme, at_most: 1}]": "gate.0.metric: unknown name 'rsme'; did you mean 'rmse'?",
    "gate=[{metric: rmse}]": "gate.0.metric: expected exactly one of at_least and at_most",
    "gate=[{metric: rmse, at_most: 1, slice: twon}]": "gate.0.slice: unknown name 'twon'; did you mean 'town'?",
    "evaluate.metric=accuracy": "evaluate.metric: unknown name 'accuracy'; known: rmse, mae, rmsle, r2",
    "fit.metric=maee": "fit.metric: unknown name 'maee'; did you mean 'mae'?",
    "network.kind=mpl": "network.kind: got 'mpl'; expected kind: neuron, mlp, cnn, rnn, wide, wide_deep, encoder or package.module:factory",
    "source={kind: tabel, path: x}": "source.kind: got 'tabel'; expected kind: table, idx, images, texts, package or package.module:function",
    "source={kind: 'mine:load', optoins: {}}": "source.optoins: unknown key; did you mean 'options'?",
    "steps=[{run: 'mine:look'}]": "steps.0: expected exactly one of after and before",
    "steps=[{run: 'mine:look', atfer: fit}]": "steps.0.atfer: unknown key; did you mean 'after'?",
    "steps=[{run: look, after: fit}]": r"steps.0.run: got 'look'; string should match pattern '^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$'",
    "evaluate={metric: rmse, baselines: ['mine:ridge', ridge]}": "evaluate.baselines: two would be called 'ridge'; give yours another name",
    "evaluate={metric: 'mine:mae', baselines: [ridge]}": "evaluate.metric: two would be called 'mae'; give yours another name",
    "source={kind: package}": "source.package: required, but absent",
    "retrain.max_age=3": "retrain.max_age: unknown key; did you mean 'max_age_days'?",
    "retrain.drift=0": "retrain.drift: got 0; input should be greater than 0",
    "retrain.cool_down_hours=-1": "retrain.cool_down_hours: got -1; input should be greater than or equal to 0",
    "sweep.trails=9": "sweep.trails: unknown key; known: space, pruner",
    "sweep.pruner=medain": "sweep.pruner: got 'medain'; did you mean 'median'?",
    "sweep.space={fit.leraning_rate: [1, 2]}": "sweep.space.fit.leraning_rate: no setting that a sweep can change; did you mean 'fit.learning_rate'?",
    "sweep.space={network.widths: [[1], [2]]}": "sweep.space.network.widths: no setting that a sweep can change; did you mean 'network.bin_width'?",
    "sweep.space={fit.metric: [mae, rmse]}": "sweep.space.fit.metric: stays as it is in a sweep",
    "sweep.space={fit.bagging: [true, false]}": "sweep.space.fit.bagging: stays as it is in a sweep",
    "sweep.space={network.dropout: [0.0, 1.5]}": "sweep.space.network.dropout: got 1.5; input should be less than 1",
    "sweep.space={network.members: {low: 1.0, high: 8.0}}": "sweep.space.network.members: got 3.228169203286535; input should be a valid integer, got a number with a fractional part",
    "sweep.space={fit.learning_rate: {low: 0.1, hihg: 1}}": "sweep.space.fit.learning_rate.hihg: unknown key; did you mean 'high'?",
    "sweep.space={fit.learning_rate: {low: 0.1, high: 0.1}}": "sweep.space.fit.learning_rate: expected a low and a higher high, or a list of values",
    "sweep.space={fit.weight_decay: {low: 0, high: 0.1, log: true}}": "sweep.space.fit.weight_decay: log needs a low above zero, and takes no step",
    "sweep.space={fit.epochs: 3}": "sweep.space.fit.epochs: got 3; expected a list of values, or {low: …, high: …}",
    "sweep.space={fit.epochs: [3]}": "sweep.space.fit.epochs: expected at least two values",
    "register.name=a/b": "register.name: got 'a/b'; string should match pattern '^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$'",
}


@pytest.mark.parametrize("setting", WRONG)
def test_each_mistake_has_its_line(load, setting):
    with pytest.raises(ConfigError) as caught:
        load(setting)
    assert lines(caught)[0] == WRONG[setting]
    assert caught.value.exit_code == 2


def test_a_mistake_of_the_command_line_is_told_as_such(load):
    with pytest.raises(ConfigError, match=r"^--set fit\.epochs: got 0; "):
        load("fit.epochs=0")
    with pytest.raises(ConfigError, match=r"^--set fit\.epoch: unknown key; did you mean 'epochs'\?$"):
        load("fit={epoch: 3}")
    with pytest.raises(ConfigError) as caught:
        load("fit.epochs=0", text=BASE + "fit: {epoch: 3}\n")
    first, *others = str(caught.value).splitlines()
    assert first.endswith("project.yaml: 2 errors")
    assert [line.split(":")[0].strip() for line in others] == ["--set fit.epochs", "fit.epoch"]


def test_all_mistakes_are_told_at_once(load):
    text = BASE.replace("name: toy\n", "name: Toy!\n", 1) + "fit: {epochs: 0, leraning_rate: 1}\nseed: -1\n"
    with pytest.raises(ConfigError) as caught:
        load(text=text)
    assert str(caught.value).splitlines()[0].endswith("project.yaml: 4 errors")
    assert [line.split(":")[0] for line in lines(caught)] == [
        "name",
        "seed",
        "fit.epochs",
        "fit.leraning_rate",
    ]
    with pytest.raises(ConfigError) as caught:
        load("evaluate.metric=rsme", "gate=[{better_than: x}, {metric: y, at_least: 1}]")
    assert [line.split(":")[0] for line in lines(caught)] == [
        "evaluate.metric",
        "gate.0.better_than",
        "gate.1.metric",
    ]


def test_of_very_many_mistakes_twenty_are_shown_with_the_count(load):
    with pytest.raises(ConfigError) as caught:
        load(text=BASE + "".join(f"k{i}: 1\n" for i in range(40)))
    assert str(caught.value).splitlines()[0].endswith("40 errors")
    assert len(lines(caught)) == 20


def test_what_is_absent_is_named(load):
    with pytest.raises(ConfigError) as caught:
        load(text="name: toy\n")
    assert lines(caught) == [
        f"{key}: required, but absent"
        for key in ("task", "source", "target", "network", "evaluate", "register")
    ]


def test_the_name_is_the_folders(load):
    with pytest.raises(ConfigError, match="name is 'other', but the folder is called 'toy'"):
        load("name=other")


# --- YAML -------------------------------------------------------------------------------------------------

BAD_YAML = {
    "tab": (b"name:\ttoy\n\tx: 1\n", ":1:6: not YAML: found character"),
    "quote": (b"name: 'toy\ntask: x\n", ":3:1: not YAML: found unexpected end of stream"),
    "nul": (b"name: toy\ntask: \x00\n", ":2: not YAML: byte or character 0x0 is not text"),
    "latin-1": (b"name: toy\n\ntask: caf\xe9\n", ":3: not YAML: byte or character 0xe9 is not text"),
    "two documents": (BASE.encode() + b"---\na: 1\n", ":9:1: not YAML: but found another document"),
    "a word": (b"hello", ": expected keys and values, got str"),
    "a list": (b"- a\n", ": expected keys and values, got list"),
    "nothing": (b"", ": expected keys and values, got NoneType"),
    "nested brackets": (b"a: " + b"[" * 5000, ": not YAML that a person wrote: nested too deeply"),
    "alias bomb": (b"a: &a [x, x]\nb: &b [*a, *a]\n", ":2:8: aliases are not accepted"),
    "duplicate key": (BASE.encode() + b"seed: 1\nseed: 2\n", ":10:1: the key 'seed' stands here twice"),
    "a duplicate key that spells tag": (b"stage: 1\nstage: 2\n", ":2:1: the key 'stage' stands here twice"),
    "duplicate key inside": (
        BASE.encode() + b"fit: {epochs: 1, epochs: 2}\n",
        ":9:18: the key 'epochs' stands here twice",
    ),
    "a list as a key": (BASE.encode() + b"? [a, b]\n: 2\n", ":9:3: a key must be one word"),
    "too large": (b"#" * 300_000, ": larger than 262144 bytes"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_what_is_not_plain_yaml_is_refused_with_its_place(load, case):
    text, message = BAD_YAML[case]
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(text=text)
    assert f"project.yaml{message}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [echo]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!binary gASVHAAAAAAAAACMBXBvc2l4",
        "!include ../secret.yaml",
        "!!set {a, b}",
    ],
)
def test_tags_are_unsafe_in_files_and_settings(load, tag):
    for arguments in ({"text": BASE + f"seed: {tag}\n"}, {}):
        with pytest.raises(UnsafeInput, match=r"the tag .* is not accepted") as caught:
            load(*([] if arguments else [f"seed={tag}"]), **arguments)
        assert caught.value.exit_code == 9


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("true", True),
        ("12:30:45", "12:30:45"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2020-13-45", "2020-13-45"),
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("-7", -7),
        ("~", None),
        ("", None),
        ("<<", "<<"),
        ("=", "="),
        ("'1'", "1"),
    ],
)
def test_words_mean_what_they_look_like(text, value):
    found = parse(text, "here")
    assert (type(found), found) == (type(value), value)


@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)))
def test_no_text_escapes_the_error_hierarchy(text):
    try:
        parse(text, "here")
    except ModelyardError as error:
        assert "\n" not in str(error)


# PyYAML leaves some texts without quotes that are numbers for us: 0E0 is one in YAML 1.2.
TEXTS = st.text().filter(
    lambda text: not any(re.fullmatch(known, text) for known in strict_yaml._SCALARS.values())
)


@given(
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.floats(allow_nan=False), TEXTS
        ),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
        max_leaves=6,
    )
)
def test_what_yaml_writes_is_read_back(value):
    text = yaml.safe_dump(value, allow_unicode=False)
    assert parse(text, "here") == value


# --- paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["source.path", "validate.suite"])
@pytest.mark.parametrize("path", ["../other/raw.csv", "/etc/passwd", "raw/../../../x", "link/x.csv"])
def test_no_path_leads_out_of_the_project(load, tmp_path, key, path):
    load()
    (tmp_path / "data" / "toy" / "link").symlink_to(tmp_path)
    with pytest.raises(
        UnsafeInput, match=r"leads out of .*toy; keep it inside, or give the place with --source"
    ):
        load(f"{key}={path}")
    assert load(f"{key}=raw/../raw/a.csv").config.name == "toy"
