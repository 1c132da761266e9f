"""What a step is made of: the definitions that it reaches, and of these what they mean."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tasks import store
from tasks.store import source
from tasks.store.source import Reader

ROOT = Path(__file__).parents[3]

FILES = {
    "__init__.py": '"""A house."""\n',
    "step.py": '''
        """A step."""
        from __future__ import annotations
        import numpy as np
        from pack import room
        from pack.ground import Shape, double as twice

        LIMIT = 3
        """How many."""

        def run(rows: Shape) -> int:
            """Runs."""
            from pack.late import later  # a comment
            return room.helper(twice(later(rows))) + np.int64(LIMIT)
    ''',
    "ground.py": """
        import pandas
        class Shape:
            size: int = 1
        class Other:
            frame = pandas.DataFrame
        def double(value):
            return value * _TWO
        _TWO = 2
        _THREE = 3
    """,
    "late.py": "def later(x):\n    return x\n",
    "unused.py": "import torch\ndef unused():\n    return 1\n",
    "room/__init__.py": "from pack.room.inner import helper\n",
    "room/inner.py": "def helper(x):\n    return TABLE[x]\nTABLE = {}\nTABLE[0] = 1\nTABLES = 5\n",
    "room/aside.py": "def aside():\n    return 'unused'\n",
    "room/page.html": "<p>",
}


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip())
    return tmp_path / "pack"


def reach(package, root="pack.step"):
    return Reader(package).reach([root])


def change(package, name, old, new):
    path = package / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def differs(package, *changes):
    """Modules whose digest differs once the changes are made."""
    before = reach(package).modules
    for name, old, new in changes:
        change(package, name, old, new)
    after = reach(package).modules
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_names_are_followed_and_nothing_else(package):
    found = reach(package)
    assert set(found.modules) == {
        "pack.step",
        "pack.ground",
        "pack.late",
        "pack.room.inner",
        "pack/room/page.html",
    }
    assert "numpy" in found.libraries
    assert not {"torch", "pandas"} & set(found.libraries), "neither is used by what is reached"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("step.py", "  # a comment", ""),
        ("step.py", '"""Runs."""', '"""Goes."""'),
        ("step.py", '"""How many."""', ""),
        ("step.py", "twice(later(rows))", "twice(\n        later(rows)\n    )"),
        ("step.py", "LIMIT = 3", "\n\n\nLIMIT = 3"),
        ("unused.py", "return 1", "return 2"),
        ("ground.py", "_THREE = 3", "_THREE = 4"),
        ("ground.py", "class Other:", "class New:\n    pass\nclass Other:"),
        ("room/aside.py", "'unused'", "'other'"),
        ("room/inner.py", "TABLES = 5", "TABLES = 6"),
    ],
)
def test_what_has_no_effect_changes_nothing(name, old, new, package):
    assert differs(package, (name, old, new)) == set()


@pytest.mark.parametrize(
    ("name", "old", "new", "module"),
    [
        ("step.py", "LIMIT = 3", "LIMIT = 4", "pack.step"),
        ("step.py", "import numpy as np", "import jax as np", "pack.step"),
        ("ground.py", "_TWO = 2", "_TWO = 3", "pack.ground"),
        ("ground.py", "size: int = 1", "size: int = 2", "pack.ground"),
        ("late.py", "return x", "return x + 1", "pack.late"),
        ("room/inner.py", "TABLE[0] = 1", "TABLE[0] = 2", "pack.room.inner"),
        ("room/page.html", "<p>", "<b>", "pack/room/page.html"),
        ("room/inner.py", "TABLES = 5", "TABLES = 5\nprint('import')", "pack.room.inner"),
        ("__init__.py", '"""A house."""', "import os\nos.umask(0)", "pack"),
    ],
)
def test_what_may_have_an_effect_changes_its_module_alone(name, old, new, module, package):
    assert differs(package, (name, old, new)) == {module}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("room.helper(", "vars(room)['helper']("),  # a module as an object
        ("room.helper(", "room.unknown("),
        ("from pack import room", "import pack.room as room"),
        ("room.helper(", "__import__('x').load('pack.room.inner')("),  # a path in a text
    ],
)
def test_what_can_not_be_told_by_name_is_taken_whole(old, new, package):
    change(package, "step.py", old, new)
    if new.startswith("import"):
        change(package, "step.py", "room.helper(", "vars(room)['helper'](")
    assert differs(package, ("room/inner.py", "return TABLE[x]", "return TABLE.get(x)")) == {
        "pack.room.inner"
    }


def test_a_function_that_is_named_like_its_module_hides_it(package):
    change(package, "room/__init__.py", "import helper", "import helper\nfrom pack.room.aside import aside")
    change(package, "step.py", "room.helper(", "room.aside(")
    assert differs(package, ("room/aside.py", "'unused'", "'used'")) == {"pack.room.aside"}


def test_modules_that_import_each_other_end(package):
    change(package, "late.py", "return x", "from pack import step\n    return vars(step)")
    assert "pack.step" in reach(package, "pack.late").modules


def test_a_decorator_of_our_own_may_enter_it_somewhere(package):
    change(package, "late.py", "def later", "ALL = []\n@ALL.append\ndef entered():\n    return 1\ndef later")
    assert differs(package, ("late.py", "return 1", "return 2")) == {"pack.late"}


# --- of this house ----------------------------------------------------------------------------------------


def test_each_step_reaches_its_own_room_and_no_other_step():
    found = {step: source.reached(f"tasks.{step}").modules for step in ("validate", "clean", "split", "fit")}
    assert "tasks.checks.judging" in found["validate"]
    assert "tasks/checks/templates/validation.html" in found["validate"]
    assert "tasks.sources.images.decoder" in found["validate"]
    assert "tasks.cleaning.operations" in found["clean"]
    assert "tasks.splitting.assign" in found["split"]
    assert {"tasks.networks.cnn", "tasks.learning.training"} <= set(found["fit"])
    assert "tasks.registry.versions" not in found["fit"]
    assert not any(module.startswith(("tasks.networks", "tasks.checks")) for module in found["clean"])
    assert not any("tasks.reports" in module for modules in found.values() for module in modules)


def test_libraries_are_those_that_a_step_reaches():
    libraries = {
        step: set(store.versions(source.reached(f"tasks.{step}").libraries))
        for step in ("validate", "clean", "fit")
    }
    assert {"great-expectations", "pandas", "numpy", "pyarrow", "pillow"} <= libraries["validate"]
    assert "torch" not in libraries["validate"]
    assert libraries["clean"] == {"numpy", "pandas", "pyarrow"}
    assert {"torch", "numpy"} <= libraries["fit"]
    assert "great-expectations" not in libraries["fit"]


PROBE = """
from tasks.store import source
print(source.reached("tasks.clean").modules["tasks.cleaning.texts"], source._kept.fresh)
source.keep()
"""


def test_what_was_reached_is_known_to_the_next_process_until_a_file_changes(tmp_path):
    """On a copy of the package, which may be written to."""
    shutil.copytree(ROOT / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))

    def ask():
        done = subprocess.run(
            [sys.executable, "-c", PROBE], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split()

    first, fresh = ask()
    assert (fresh, ask()) == ("True", [first, "False"])
    texts = tmp_path / "tasks" / "cleaning" / "texts.py"
    texts.write_text(texts.read_text().replace('"\\t\\n\\r"', '"\\t\\n"') + "# more\n")
    changed, fresh = ask()
    assert (changed != first, fresh) == (True, "True")
