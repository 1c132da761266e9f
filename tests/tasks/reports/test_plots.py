import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from tasks.records import Epoch
from tasks.reports import plots
from tasks.reports.plots import Dot, Panel


def parsed(svg):
    """The chart as XML; fails where it is not a whole document of its own."""
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return root


def texts(svg):
    return ["".join(node.itertext()) for node in parsed(svg).iter("{http://www.w3.org/2000/svg}text")]


def history(n, **changes):
    base = {
        "train_loss": 0.5,
        "validation_loss": 0.6,
        "validation_metric": 0.9,
        "learning_rate": 0.01,
        "seconds": 1.0,
    }
    return [Epoch(epoch=i + 1, **{**base, **changes}) for i in range(n)]


LADDER = Panel(
    "accuracy",
    (
        Dot("candidate", 0.98, 0.97, 0.99, True),
        Dot("svm", 0.96, 0.95, 0.97),
        Dot("majority", 0.1, 0.09, 0.11),
    ),
)


def test_intervals_names_every_row_and_puts_the_far_one_at_the_edge():
    words = texts(plots.intervals([LADDER]))
    assert {"candidate", "svm", "majority", "0.1"} <= set(words)
    low, high = plots._limits(LADDER.dots, None)
    assert 0.9 < low < 0.95
    assert 0.99 < high < 1


def test_a_far_candidate_stays_on_the_scale():
    dots = (
        Dot("candidate", 0.1, 0.09, 0.11, True),
        Dot("svm", 0.96, 0.95, 0.97),
        Dot("logistic", 0.95, 0.94, 0.96),
    )
    low, high = plots._limits(dots, None)
    assert low < 0.09
    assert high > 0.97


def test_intervals_survives_undefined_values_and_missing_intervals():
    dots = (
        Dot("a", math.nan, math.nan, math.nan),
        Dot("b", 1.0, math.nan, math.nan),
        Dot("c", 1.0, 1.0, 1.0),
    )
    assert "undefined" in "".join(texts(plots.intervals([Panel("x", dots), Panel("y", dots, 0.0)])))
    assert "undefined" in "".join(texts(plots.intervals([Panel("x", dots[:1])])))


def test_names_are_text_not_markup_not_formulas():
    names = ("<script>alert(1)</script>", "$x^2$ & $y$", "数字")
    words = texts(plots.intervals([Panel("$a$", tuple(Dot(name, 1.0, 0.5, 1.5) for name in names))]))
    assert set(names) <= set(words)
    assert "$a$" in words


def test_two_rows_of_the_same_name_stay_two_rows():
    svg = plots.intervals([Panel("x", (Dot("same", 1.0, 0.0, 2.0), Dot("same", 5.0, 4.0, 6.0)))])
    assert texts(svg).count("same") == 2


@pytest.mark.parametrize("n", [1, 2, 40])
def test_curves_of_any_length(n):
    words = texts(plots.curves(history(n), n, "accuracy"))
    assert {"loss", "validation accuracy", "learning rate", "epoch"} <= set(words)


def test_curves_with_undefined_and_falling_values():
    entries = history(3, validation_metric=math.nan)
    entries += [
        Epoch(
            epoch=4,
            train_loss=1e-4,
            validation_loss=1e-4,
            validation_metric=math.nan,
            learning_rate=5e-5,
            seconds=1,
        )
    ]
    assert "loss (log scale)" in texts(plots.curves(entries, 4, "f1_macro"))


@pytest.mark.parametrize("n", [1, 200, 2000, 20_000])
def test_residuals_stay_small(n):
    rng = np.random.default_rng(0)
    truth = rng.lognormal(12, 0.4, n)
    svg = plots.residuals(truth, truth * rng.normal(1, 0.1, n), "Sale_Price")
    assert "true Sale_Price" in texts(svg)
    assert len(svg) < 150_000
    assert ("data:image/png" in svg) == (n > plots.VECTOR_POINTS)


def test_labels_keep_their_digits_while_coordinates_lose_theirs():
    svg = plots.curves(history(5, learning_rate=0.00025), 3, "mae")
    assert any("0.00025" in word for word in texts(svg))


def test_colours_follow_the_page_and_have_a_fallback():
    svg = plots.intervals([LADDER])
    assert f"var(--accent, {plots.ACCENT})" in svg
    assert svg.count(plots.ACCENT) == svg.count(f"var(--accent, {plots.ACCENT})")


def test_the_same_numbers_give_the_same_bytes():
    assert plots.intervals([LADDER]) == plots.intervals([LADDER])


def test_drawing_leaves_no_global_state():
    code = (
        "import sys, matplotlib\n"
        "def state():\n"  # asking for the backend would load pyplot
        "    return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'}\n"
        "before = state()\n"
        "from tasks.reports import plots\n"
        "plots.intervals([plots.Panel('x', (plots.Dot('a', 1.0, 0.0, 2.0),))])\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot'\n"
        "assert state() == before, 'rcParams'\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_does_not_load_matplotlib():
    code = "import sys, tasks.reports.report; assert 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
