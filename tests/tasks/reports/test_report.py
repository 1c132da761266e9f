import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tasks import config, store
from tasks.dataset import Dataset
from tasks.records import (
    CleanRecord,
    Epoch,
    EvaluateRecord,
    FileRecord,
    Finding,
    FitRecord,
    GateResult,
    ModelVersion,
    RegisterRecord,
    Score,
    SliceScore,
    SplitRecord,
    Step,
    Suggestion,
    ValidateRecord,
    Verdict,
)
from tasks.reports import report

ADDRESS = "http://127.0.0.1:5000/#/runs/1"
NASTY = "<img src=x onerror=alert(1)> & 'q'"
VOID = {"meta", "img", "br", "link", "input", "hr"}
STEPS = ("validated", "cleaned", "parts", "fitted", "evaluated", "registered")


class Page(HTMLParser):
    """What a test asks of a page: ids, text by section, addresses that it loads, balanced tags."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.loads, self.hrefs, self.tags, self.words = [], [], [], [], []
        self.images, self.captions, self.tables, self.open = [], 0, 0, []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.loads += [attrs[name] for name in ("src", "srcset", "data", "poster") if name in attrs]
        self.loads += [attrs["href"]] if tag == "link" else []
        self.hrefs += [attrs["href"]] if tag == "a" else []
        self.images += [attrs] if tag == "img" else []
        self.captions += tag == "caption"
        self.tables += tag == "table"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def step(name, status="ran"):
    return Step(name=name, status=status, seconds=1.5, why=f"why {name} went so")


def settings(kind, **changes):
    tree = {
        "name": "demo",
        "task": kind,
        "source": {"kind": "table", "path": "raw/rows.csv"},
        "target": "label",
        "network": {"kind": "mlp"},
        "evaluate": {"metric": "accuracy", "baselines": ["majority"]},
        "register": {"name": "demo"},
    }
    if kind == "regression":
        tree["evaluate"] = {"metric": "mae", "baselines": ["median"]}
    return config.Config.model_validate(tree | changes)


def ladder(kind):
    metric = "accuracy" if kind == "classification" else "mae"
    dummy = "majority" if kind == "classification" else "median"
    values = {"candidate": (0.9, 0.85, 0.95), dummy: (0.1, 0.05, 0.15)}
    return {
        "metric": metric,
        "higher_is_better": kind == "classification",
        "scores": tuple(
            Score(
                name=n,
                value=v,
                low=lo,
                high=hi,
                metrics={metric: v, "other": 2 * v},
                intervals={metric: (lo, hi)},
            )
            for n, (v, lo, hi) in values.items()
        ),
        "verdicts": (Verdict(against=dummy, verdict="better", difference=0.8, low=0.7, high=0.9),),
    }


def records(folder, kind="classification", n=40):
    """Records of a finished run and the files that they name; images where `kind` is classification."""
    for name in ("clean", "fit", "evaluate"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"label": np.arange(n) % 4, "secret": "hidden-value"}, index=pd.RangeIndex(n, name="row")
    )
    pixels = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8) if kind == "classification" else None
    Dataset(rows, pixels).save(folder / "clean")
    frame = pd.DataFrame({"truth": rows["label"], "candidate": rows["label"]}).iloc[: n // 2]
    if kind == "classification":
        frame.loc[[2, 6], "candidate"] = 1
        frame = frame.assign(candidate_confidence=0.75, candidate_loss=np.arange(len(frame)) / 10)
    else:
        frame = frame.astype(float)
        frame["candidate"] += np.linspace(-1, 1, len(frame))
    frame.to_parquet(folder / "evaluate" / "predictions.parquet")
    weights = {"z.weight": np.ones((2, 2), np.float32)}
    if kind == "classification":
        weights["a.weight"] = rng.normal(size=(4, 1, 3, 3)).astype(np.float32)
    save_file(weights, folder / "fit" / "weights.safetensors")
    file = FileRecord(name="rows.csv", rows=n + 3, sha256="ab" * 32)
    epochs = tuple(
        Epoch(
            epoch=i,
            train_loss=1 / i,
            validation_loss=1.2 / i,
            validation_metric=i / 9,
            learning_rate=0.01,
            seconds=1,
        )
        for i in range(1, 6)
    )
    return {
        "validated": ValidateRecord(
            step=step("validate"),
            folder=folder,
            fingerprint="f1" * 32,
            files=(file,),
            read=n + 3,
            kept=n + 1,
            quarantined=2,
            reasons={"target is missing": 2},
            expectations=7,
            columns=("label", "secret"),
            types={"label": "category", "secret": "number"},
            findings=(
                Finding(
                    rule="nulls", severity="warn", message="many nulls", column="secret", count=5, rows=(1, 2)
                ),
            ),
        ),
        "cleaned": CleanRecord(
            step=step("clean"),
            folder=folder / "clean",
            digest="c" * 64,
            read=n + 3,
            kept=n,
            dropped=1,
            quarantined=2,
            operations=(("trim secret", 3),),
        ),
        "parts": SplitRecord(
            step=step("split", "reused"),
            folder=folder,
            hash="d" * 64,
            train=n // 4,
            validation=n // 4,
            test=n // 2,
            warnings=("one feature tells all",),
        ),
        "fitted": FitRecord(
            step=step("fit"),
            folder=folder / "fit",
            digest="e" * 64,
            state_hash="s",
            device="cpu",
            precision="float32",
            parameters=12345,
            best_epoch=4,
            train_seconds=75.0,
            stopped="early",
            history=epochs,
            warnings=("clipped often",),
        ),
        "evaluated": EvaluateRecord(
            step=step("evaluate"),
            folder=folder / "evaluate",
            rows=n // 2,
            **ladder(kind),
            slices=tuple(
                SliceScore(column="label", value=str(i), rows=5, score=0.9, low=0.8, high=1.0)
                for i in range(4)
            ),
            gate=(
                GateResult(criterion="better than dummy", passed=True, reason="its interval excludes zero"),
            ),
            warnings=("a slice is small",),
        ),
        "registered": RegisterRecord(
            step=step("register"),
            outcome="registered",
            reasons=(),
            model=ModelVersion(name="demo", version=3, aliases=("challenger", "champion")),
        ),
    }


def written(folder, kind="classification", *, upto=6, changes=None, edit=None, **more):
    """The page of a run up to a step; `changes` go to the settings, `edit` returns changed records."""
    known = records(folder, kind)
    known.update(edit(known) if edit else {})
    known.update(dict.fromkeys(STEPS[upto:]))
    extras = {
        "links": {"MLflow run": ADDRESS},
        "environment": {"python": "3.11", "started": "2026-01-02 03:04"},
        "reasons": (),
    }
    path = report.write(
        folder / "report.html", config=settings(kind, **(changes or {})), **known, **(extras | more)
    )
    return path.read_text(encoding="utf-8")


def changed(known, step, **fields):
    """An edit: one record with other fields."""
    return {step: dataclasses.replace(known[step], **fields)}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The page of a finished run by kind of task."""
    return {kind: written(tmp_path_factory.mktemp(kind), kind) for kind in ("classification", "regression")}


ALWAYS = {"facts", "warnings", "steps", "configuration", "environment", "links"}
FULL = ALWAYS | {"ladder", "gate", "slices", "training", "worst", "rows"}


@pytest.mark.parametrize(
    ("kind", "own"), [("classification", {"confusion", "filters"}), ("regression", {"residuals"})]
)
def test_a_finished_run_has_every_section(finished, kind, own):
    page = Page(finished[kind])
    sections = {name for name in page.ids if f"{name}-title" in page.ids}
    assert sections == FULL | own
    assert "Registered as version 3 of demo, challenger and champion" in page.text
    assert {f"#{name}" for name in sections} == {href for href in page.hrefs if href.startswith("#")}
    for words in (
        "12,345",
        "1 min 15 s",
        "best epoch 4 of 5",
        "its interval excludes zero",
        "many nulls",
        "one feature tells all",
        "clipped often",
        "a slice is small",
        "why fit went so",
        "batch_size: 64",
        "started 2026-01-02 03:04",
        "the validation metric no longer improved",
    ):
        assert words in page.text, words


@pytest.mark.parametrize(
    ("network", "folded"),
    [({"kind": "cnn"}, True), ({"kind": "cnn", "fold": False}, False), ({"kind": "mlp"}, False)],
)
def test_filters_over_folded_pixels_are_unfolded(tmp_path, monkeypatch, network, folded):
    asked = []
    monkeypatch.setattr(report.answers, "filters", lambda folder, *, folded: asked.append(folded))
    written(tmp_path, changes={"network": network})
    assert asked == [folded]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_page_loads_nothing_and_runs_nothing(finished, kind):
    html = finished[kind]
    page = Page(html)
    assert all(address.startswith("data:image/png;base64,") for address in page.loads)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(page.tags)
    assert (
        re.findall(r"https?://[^\"<\s]+", html) == ["http://127.0.0.1:5000/#/runs/1"] * 2
    )  # the link and its text
    assert not re.search(r"@import|url\((?!#)", html)
    assert len(html) < 600_000


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_page_can_be_read_without_eyes(finished, kind):
    html = finished[kind]
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tables == page.captions > 5
    assert all(image.get("alt") for image in page.images)
    assert html.count("<svg") == html.count('role="img" aria-label="', html.index("<figure")) - html.count(
        'class="bar"'
    )
    assert page.tags.count("h1") == 1


def test_rows_are_accounted_for(finished):
    text = Page(finished["classification"]).text
    assert "43 read = 40 kept + 1 dropped + 2 quarantined" in text
    assert "40 kept = 10 train + 10 validation + 20 test" in text
    assert "do not add up" not in text


def test_rows_that_do_not_add_up_are_said(tmp_path):
    html = written(tmp_path, edit=lambda known: changed(known, "cleaned", dropped=5))
    assert "do not add up" in Page(html).text


@pytest.mark.parametrize("upto", range(6))
def test_a_run_that_stopped_shows_how_far_it_came(tmp_path, upto):
    names = ("validate", "clean", "split", "fit", "evaluate", "register")
    page = Page(written(tmp_path, upto=upto, reasons=("column Yr is not in the data",)))
    assert f"Stopped at {names[upto]}: column Yr is not in the data" in page.text
    assert page.text.count("not reached") == 2 * (5 - upto)
    sections = {name for name in page.ids if f"{name}-title" in page.ids}
    assert sections >= ALWAYS
    assert ("training" in sections) == (upto > 3)
    assert ("ladder" in sections) == (upto > 4)


def test_a_rejected_run_says_why(tmp_path):
    fields = {"outcome": "rejected", "reasons": ("mae too high", "slice 3 too low"), "model": None}
    page = Page(written(tmp_path, edit=lambda known: changed(known, "registered", **fields)))
    assert "Rejected mae too high slice 3 too low" in page.text
    assert "Next steps" not in page.text


def test_a_rejected_run_says_what_to_do_next(tmp_path):
    advice = (
        Suggestion(command="modelyard train demo --set 'network={kind: neuron}'", why="ridge is the best"),
        Suggestion(command=None, why="give more rows"),
    )
    fields = {"outcome": "rejected", "reasons": ("mae too high",), "model": None, "next": advice}
    page = Page(written(tmp_path, edit=lambda known: changed(known, "registered", **fields)))
    assert "modelyard train demo --set 'network={kind: neuron}' : ridge is the best" in page.text
    assert "give more rows" in page.text


@pytest.mark.parametrize("rows", [20, 12])
def test_the_same_rows_are_claimed_only_where_they_are(tmp_path, rows):
    champion = Score(name="champion", value=0.99, low=0.9, high=1.0, metrics={}, rows=rows)

    def edit(known):
        scores = tuple(dataclasses.replace(s, rows=20) for s in known["evaluated"].scores)
        return changed(known, "evaluated", rows=20, scores=(*scores, champion), method="exact")

    page = Page(written(tmp_path, edit=edit))
    assert ("Every rung answered the same 20 test rows" in page.text) == (rows == 20)
    assert ("All rungs but champion answered the same 20 test rows" in page.text) == (rows == 12)
    assert ("champion was judged, and the candidate compared with it, on 12 of them" in page.text) == (
        rows == 12
    )
    assert ("champion (12 rows)" in page.text) == (rows == 12)
    assert "Intervals: exact." in page.text


def test_a_long_reason_follows_the_headline(tmp_path):
    fields = {"outcome": "skipped", "reasons": ("same " * 40,), "model": None}
    html = written(tmp_path, edit=lambda known: changed(known, "registered", **fields))
    assert re.search(r"<h1>Skipped</h1>", html)
    assert "same same" in html


def test_everything_is_escaped(tmp_path):
    file = FileRecord(name=NASTY, rows=43, sha256="a")
    slices = (SliceScore(column=NASTY, value=NASTY, rows=5, score=0.9, low=0.8, high=1.0),)
    html = written(
        tmp_path,
        edit=lambda known: {
            **changed(known, "validated", files=(file,), reasons={NASTY: 2}),
            **changed(known, "parts", warnings=(NASTY,)),
            **changed(known, "evaluated", slices=slices),
        },
        links={NASTY: "javascript:alert(1)", "x": 'http://h/"><script>'},
        environment={NASTY: NASTY},
        reasons=(NASTY,),
    )
    page = Page(html)
    assert "<img src=x" not in html
    assert "script" not in page.tags
    assert page.text.count(NASTY) > 8
    assert not any(href.startswith("javascript") for href in page.hrefs)


def test_worst_pictures_come_with_truth_prediction_and_confidence(finished):
    page = Page(finished["classification"])
    pictures = [image for image in page.images if "truth" in image["alt"]]
    assert len(pictures) == 20
    assert pictures[0]["alt"] == "rows.csv row 20: truth 3, predicted 3"
    assert "truth 2 , said 1 75.0 % sure, row 6" in page.text


def test_feature_values_stay_in_unless_allowed(finished, tmp_path):
    assert "hidden-value" not in finished["regression"]
    html = written(tmp_path, "regression", changes={"validate": {"show_values": True}})
    assert html.count("hidden-value") == 12


@pytest.fixture
def text_page(bundles, reviews, tmp_path):
    """The page of a run of made reviews, whose last quarter is the test part; `show` quotes them."""

    def made(kind, *, show=True):
        rows = reviews.films()
        part = pd.Series("train", index=rows.index, name="part")
        part.iloc[180:] = "test"
        test = rows.iloc[180:]
        said = test["label"].where(test.index % 7 > 0, "good")
        frame = pd.DataFrame({"truth": test["label"], "candidate": said, "candidate_confidence": 0.75})
        frame["candidate_loss"] = (frame["truth"] != said) + test.index / 1e6

        def edit(known):
            part.to_frame().to_parquet(tmp_path / "parts.parquet")
            (known["cleaned"].folder / "pixels.npy").unlink()
            Dataset(rows.assign(text_tokens=4, film="hidden-value")).save(known["cleaned"].folder)
            frame.to_parquet(known["evaluated"].folder / "predictions.parquet")
            return changed(known, "fitted", folder=bundles[kind])

        changes = {
            "columns": {"text": "review"},
            "network": {"kind": kind},
            "validate": {"show_values": show},
        }
        return Page(written(tmp_path, edit=edit, changes=changes))

    return made


def test_a_page_of_texts_shows_words_and_marked_texts(text_page, reviews):
    page = text_page("rnn")
    assert {"learned", "worst", "confusion"} <= set(page.ids)
    assert "each in at least 5 of 180 train texts" in page.text
    assert "Words that it takes for alike" in page.text
    assert page.tags.count("mark") > 10
    assert "truth poor , said good" in page.text
    assert "without " in page.text
    assert "hidden-value" not in page.text
    assert page.open == []
    assert page.tables == page.captions


def test_a_page_quotes_no_text_unless_values_may_be_shown(text_page, reviews):
    page = text_page("rnn", show=False)
    assert "learned" in page.ids
    assert "mark" not in page.tags
    assert "Texts are not shown" in page.text
    assert not any(text in page.text for text in reviews.films()["review"])


def test_a_page_of_a_wide_network_has_words_and_no_map(text_page):
    page = text_page("wide")
    assert "Words that tell most" in page.text
    assert "Words that it takes for alike" not in page.text


def test_outputs_that_are_gone_leave_their_part_out(tmp_path):
    gone = tmp_path / "gone"
    steps = ("cleaned", "fitted", "evaluated")
    html = written(
        tmp_path, edit=lambda known: {n: dataclasses.replace(known[n], folder=gone) for n in steps}
    )
    page = Page(html)
    assert {"ladder", "training", "gate"} <= set(page.ids)
    assert not {"confusion", "worst", "filters"} & set(page.ids)


def test_pairs_that_leak_and_labels_to_look_at_have_sections(finished, tmp_path):
    plain = finished["classification"]
    assert 'id="leaks"' not in plain
    assert 'id="labels"' not in plain

    def found(known):
        pair = {"kind": "near", "row": 12, "part": "train", "other": 77, "other_part": "test"}
        pairs = [{**pair, "similarity": 0.97}, {**pair, "row": 13, "similarity": None}]
        store.write_json(known["parts"].folder / "leaks.json", {"near": 0.01, "leaks": [], "pairs": pairs})
        odd = {"given": ["<cat>"], "suggested": ["dog"], "score": [0.875]}
        index = pd.Index([4], name="row")
        pd.DataFrame(odd, index=index).to_parquet(known["evaluated"].folder / "labels.parquet")
        return {}

    page = written(tmp_path, edit=found)
    assert '<td>row 12 (train)</td><td>row 77 (test)</td><td class="n">0.970</td>' in page
    assert "row 13 (train)" in page
    assert '&lt;cat&gt;</td><td>dog</td><td class="n">0.875</td>' in page


def test_a_rung_that_failed_is_named_with_its_error(tmp_path):
    nan = float("nan")
    failed = Score(name="svm", value=nan, low=nan, high=nan, metrics={}, error="it ran out of memory")

    def edit(known):
        return changed(known, "evaluated", scores=(*known["evaluated"].scores, failed))

    page = Page(written(tmp_path, edit=edit))
    assert "rung svm could not be scored: it ran out of memory" in page.text


def test_the_same_run_gives_the_same_page(finished, tmp_path):
    assert written(tmp_path) == finished["classification"]
