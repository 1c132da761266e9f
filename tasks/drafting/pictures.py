"""A project from pictures: files in class folders or in a list, or IDX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import sources
from tasks.config import Columns, IdxSource, ImagesSource
from tasks.dataset import Dataset
from tasks.drafting import leaking, outcome, suite
from tasks.drafting.guesses import Draft, Guess, flow
from tasks.errors import DataRejected
from tasks.sources import images
from tasks.sources.images import decoding

LARGEST = 64
"""Longest side, in pixels, that pictures are brought to; a larger one costs its square in time."""

SMALLEST = 8
LOOKED_AT = 1000
"""Files that are decoded to tell size and mode; then all are, once."""

GREY = ("1", "L", "LA", "I", "I;16", "F")
"""Pillow's names of modes without colour."""

NEAR = 16
"""Steps of 255 by which a pixel of the same colour may differ."""

MARGIN = 2
"""Pixels at each edge that are looked at, and by which pictures may be shifted in training."""

EXAMPLES = 270_000
"""Pictures of 28 x 28 grey pixels that a training sees: about a minute on one core."""

NETWORK: dict[bool, dict[str, Any]] = {
    True: {"kind": "cnn", "fold": True},
    False: {"kind": "cnn", "widths": [24, 64, 128], "fold": False, "residual": 1},
}
"""By whether the network folds 2x2 pixels into channels first: enough for signs, and the cheapest; for richer
pictures what was the best at equal cost of seven (on validation rows of Fashion-MNIST)."""

QUICK: dict[bool, tuple[float, dict[str, Any]]] = {
    True: (0.25, {}),
    False: (0.6, {"network": {"widths": [16, 48, 96]}}),
}
"""Share of `EXAMPLES` that the preset `quick` shows, and what else it sets."""

PLAIN = 2 / 3
"""Share of pixels in the colour of the ground from which pictures are taken for signs drawn on it: it is
0.82 of MNIST's digits and 0.54 of the clothes of Fashion-MNIST."""

COMPARED = 3000
"""Pictures of which half are compared with the other half, to see what mirroring does to them."""

KEPT = 0.6
"""Share of what is recognised that must still be so in a mirror: 0.4 of digits, 0.7 of clothes."""

BUDGET = ("epochs", "max_examples")
"""Settings of `fit` that say how long a training goes on."""


def draft(source: Mapping[str, Any], place: Path, kind: Guess) -> Draft:
    """The project.

    Args:
        source: The section `source`, without size and mode.
        place: Where the data is.
        kind: Why it was taken for pictures.

    Raises:
        DataError, ResourceLimit, Unavailable, UnsafeInput: As `sources.read`.
    """
    project = place.parent
    if source["kind"] == "idx":
        section = dict(source)
        loaded = sources.read(IdxSource(**section), project, "label", Columns())
        sized: list[Guess] = []
    else:
        section, sized = _fitted(dict(source), _some(ImagesSource(**source), place))
        loaded = sources.read(ImagesSource(**section), project, "label", Columns())
    sound = loaded.dataset.take(~loaded.dataset.rows.index.isin(list(loaded.bad)))
    judged = outcome.of(sound.rows["label"], "classification")
    shift, said = _shift(sound)
    fold, network = _fold(sound)
    mirror, seen = _mirror(sound)
    fit = _fit(sound, judged.balanced, shift, fold=fold)
    share, set_ = QUICK[fold]
    near, alike = leaking.alike(sound.take(~sound.rows.duplicated(["digest", "label"]).to_numpy()), [])
    rows, quarantine = (
        len(loaded.dataset),
        outcome.raised(judged.quarantine, len(loaded.bad), len(loaded.dataset)),
    )
    return Draft(
        tree={
            "task": "classification",
            "source": section,
            "target": "label",
            "validate": {"quarantine": quarantine},
            "split": {"strategy": "stratified", "max_near_duplicates": near},
            "network": {**NETWORK[fold], "mirror": mirror},
            "fit": fit,
            "presets": {
                "quick": {**set_, "fit": {key: round(fit[key] * share) for key in BUDGET}},
                "best": {"fit": {key: fit[key] * 4 for key in BUDGET}},
            },
            **outcome.bar(judged, ("logistic", "svm")),
        },
        guesses=(
            kind,
            *sized,
            *_damaged(loaded.bad, quarantine),
            *judged.guesses,
            *alike,
            network,
            said,
            seen,
        ),
        expectations=(
            suite.size(rows),
            suite.complete("label"),
            *judged.expectations,
            *_described(sound.rows),
        ),
        rows=rows,
        facts=(("Features", "the pixels of each picture"), ("Classes", f"{len(judged.classes)}")),
    )


def _some(source: ImagesSource, place: Path) -> pd.DataFrame:
    """Height, width and mode of files from all over the folder; those that can't be decoded are left out."""
    found = images.find(source, place.parent, labelled=True)
    paths = [found.root / path for path in found.rows["path"]][:: max(1, len(found.rows) // LOOKED_AT)]
    decoded = decoding.decode(paths, (SMALLEST, SMALLEST), "grey")
    seen = pd.DataFrame({"height": decoded.heights, "width": decoded.widths, "mode": decoded.modes})
    if len(decoded.errors) == len(seen):
        raise DataRejected(
            f"{place.name}: none of {len(seen)} files that were looked at is a picture: {decoded.errors[0]}",
            fix="name a folder of pictures",
        )
    return seen.drop(index=list(decoded.errors))


def _fitted(section: dict[str, Any], rows: pd.DataFrame) -> tuple[dict[str, Any], list[Guess]]:
    """Size and mode that suit the pictures."""
    height, width = (float(rows[side].median()) for side in ("height", "width"))
    factor = min(1.0, LARGEST / max(height, width))
    size = tuple(max(SMALLEST, 2 * round(side * factor / 2)) for side in (height, width))
    alike = len(rows[["height", "width"]].drop_duplicates()) == 1
    told = f"{'all' if alike else 'in the median'} {height:.0f} x {width:.0f} pixels"
    told += f", brought to at most {LARGEST}" if factor < 1 else ""
    other_size = [round(height), round(width)] if factor < 1 else [max(4, side // 2) for side in size]
    grey = bool(rows["mode"].isin(GREY).all())
    other = "colour" if grey else "grey"
    coloured = int((~rows["mode"].isin(GREY)).sum())
    why = f"{coloured or 'none'} of {len(rows):,} files that were looked at hold{'s' * grey} colour"
    mode = "grey" if grey else "colour"
    guesses = [
        Guess(
            what="source.size",
            guess=f"{size[0]} x {size[1]}",
            evidence=told,
            override=f"source.size={flow(other_size)}",
        ),
        Guess(what="source.mode", guess=mode, evidence=why, override=f"source.mode={other}"),
    ]
    return {**section, "size": size, "mode": mode}, guesses


def _damaged(bad: Mapping[int, str], share: float) -> list[Guess]:
    if not bad:
        return []
    told = f"{len(bad):,} file{'s' * (len(bad) > 1)} can't be read as pictures: {next(iter(bad.values()))}"
    return [
        Guess(
            what="validate.quarantine",
            guess=f"at most {share:g}",
            evidence=told,
            override=f"validate.quarantine={outcome.BUDGET}",
            open=True,
        )
    ]


def _shift(data: Dataset) -> tuple[int, Guess]:
    """Whether pictures have a margin of one colour, so that shifting them makes no new edges."""
    wide = _some_pixels(data, 1000)
    ring = np.ones(wide.shape[1:3], dtype=bool)
    ring[MARGIN:-MARGIN, MARGIN:-MARGIN] = False
    edges = wide[:, ring].astype(np.int16)
    share = float((np.abs(edges - edges[:, :1]).max(axis=2) <= NEAR).mean())
    shift = MARGIN if share >= 0.9 else 0
    told = f"{share:.0%} of the outer {MARGIN} pixels have the colour of the corner"
    words = f"shifted by up to {MARGIN} pixels" if shift else "none"
    other = 0 if shift else MARGIN
    return shift, Guess(what="fit.augment", guess=words, evidence=told, override=f"fit.augment.shift={other}")


def _fold(data: Dataset) -> tuple[bool, Guess]:
    """Whether pictures are signs on a ground, of which a network may look at 2x2 pixels at once."""
    wide = _some_pixels(data, 1000).astype(np.int16)
    share = float((np.abs(wide - wide[:, :1, :1]).max(axis=3) <= NEAR).mean())
    fold = share >= PLAIN
    words = "2x2 pixels at once" if fold else "every pixel is convolved"
    told = f"{share:.0%} of all pixels have the colour of their picture's corner"
    override = f"network.fold={'false' if fold else 'true'}"
    return fold, Guess(what="network.fold", guess=words, evidence=told, override=override)


def _mirror(data: Dataset) -> tuple[bool, Guess]:
    """Whether a mirror image still belongs to its picture's class, by the most similar of other pictures.

    A mirrored digit is another sign or none, and its neighbours say so; a mirrored shoe has shoes around it.
    """
    known, asked = (_flat(data, rows) for rows in _halves(len(data)))
    classes = [data.rows["label"].astype(str).to_numpy()[rows] for rows in _halves(len(data))]
    plain, mirrored = (
        float((classes[0][_nearest(known, pictures)] == classes[1]).mean())
        for pictures in (asked, asked[:, :, ::-1])
    )
    chance = float(pd.Series(classes[0]).value_counts(normalize=True).iloc[0])
    told = f"the most similar of {len(known):,} others tells the class of {plain:.0%} of pictures"
    if plain < chance + 0.1:
        words, mirror, told = "no", False, f"{told}, which is too few to try it on their mirror images"
    else:
        mirror = mirrored - chance >= KEPT * (plain - chance)
        words = "yes" if mirror else "no"
        told += f", and of {mirrored:.0%} of their mirror images"
    override = f"network.mirror={'false' if mirror else 'true'}"
    return mirror, Guess(what="network.mirror", guess=words, evidence=told, override=override, open=mirror)


def _some_pixels(data: Dataset, most: int) -> np.ndarray:
    """Pictures from all over the data, uint8 (n, height, width, channels)."""
    assert data.pixels is not None, "pictures have pixels"
    some = data.pixels[:: max(1, len(data) // most)]
    return some if some.ndim == 4 else some[..., None]


def _halves(rows: int) -> tuple[slice, slice]:
    """Every other of some pictures from all over the data, and those between them."""
    step = max(1, rows // COMPARED)
    return slice(0, None, 2 * step), slice(step, None, 2 * step)


def _flat(data: Dataset, rows: slice) -> np.ndarray:
    """Grey pictures of at most 32 pixels a side, float32 (n, height, width)."""
    assert data.pixels is not None, "pictures have pixels"
    some = data.pixels[rows]
    grey = some.mean(axis=3, dtype=np.float32) if some.ndim == 4 else some.astype(np.float32)
    step = -(-max(grey.shape[1:]) // 32)
    return grey[:, ::step, ::step]


def _nearest(known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Position of the known picture that is most like each that is asked for, by squared differences."""
    flat, other = (pictures.reshape(len(pictures), -1) for pictures in (known, asked))
    nearest: np.ndarray = ((flat**2).sum(axis=1) - 2 * (other @ flat.T)).argmin(axis=1)
    return nearest


def _fit(data: Dataset, balanced: bool, shift: int, *, fold: bool) -> dict[str, Any]:
    assert data.pixels is not None, "pictures have pixels"
    cost = int(np.prod(data.pixels.shape[1:3])) / 28**2
    return {
        "epochs": int(np.clip(60_000 // len(data), 16, 60)),
        "max_examples": int(max(50_000, round(EXAMPLES / max(cost, 1), -4))),
        "batch_size": 128 if len(data) >= 4_000 else 32,
        "learning_rate": 0.01,
        "weight_decay": 0.01 if fold else 0.05,
        "schedule": "one_cycle",
        "metric": "log_loss",
        "class_weights": "balanced" if balanced else "none",
        "augment": {"shift": shift},
    }


def _described(rows: pd.DataFrame) -> list[suite.Expectation]:
    """What describes a picture: its size, its brightness, its mode, whether it is there twice."""
    made = [suite.span(rows[name]) for name in ("height", "width") if name in rows]
    made += [suite.complete("luminance", "Computed from the pixels."), suite.span(rows["luminance"])]
    if "mode" in rows:
        notes, modes = "Modes of the files now.", sorted(rows["mode"].dropna().unique())
        made.append(
            suite.expectation("column_values_to_be_in_set", "warning", notes, column="mode", value_set=modes)
        )
    notes = "The same picture twice; cleaning keeps the first."
    made.append(suite.expectation("column_values_to_be_unique", "warning", notes, column="digest"))
    return made
