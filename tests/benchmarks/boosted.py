"""Gradient boosting by other libraries, as `prices.py` compares with it: by default, and tuned by hand.

All learn the logarithm of the target, and categories as such. Tuned means: of two or three settings written
down here, that with the smallest squared error on 15 % of the known rows, each stopped early by them; then
trained anew on all known rows, for as many trees as were best. CatBoost is as it comes. One thread each.

None is needed by the project: `pip install xgboost-cpu lightgbm catboost`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

VALIDATION = 0.15
TREES, PATIENCE = 4_000, 100

XGBOOST: tuple[dict[str, Any], ...] = (
    {"learning_rate": 0.03, "max_depth": 4, "min_child_weight": 2, "subsample": 0.8, "colsample_bytree": 0.4},
    {"learning_rate": 0.03, "max_depth": 6, "min_child_weight": 5, "subsample": 0.8, "colsample_bytree": 0.7},
    {"learning_rate": 0.03, "max_depth": 9, "min_child_weight": 9, "subsample": 0.8, "colsample_bytree": 0.8},
)
LIGHTGBM: tuple[dict[str, Any], ...] = (
    {"num_leaves": 12, "min_child_samples": 10, "subsample": 0.8, "colsample_bytree": 0.3},
    {"num_leaves": 31, "min_child_samples": 20, "subsample": 0.8, "colsample_bytree": 0.6},
    {"num_leaves": 95, "min_child_samples": 20, "subsample": 0.8, "colsample_bytree": 0.8},
)

Fitted = tuple[Any, float, int]
"""A model, its squared error on validation rows, and its trees."""
Trainer = Callable[
    [dict[str, Any], pd.DataFrame, np.ndarray, "tuple[pd.DataFrame, np.ndarray] | None"], Fitted
]


def xgboost(
    settings: dict[str, Any],
    rows: pd.DataFrame,
    goal: np.ndarray,
    held: tuple[pd.DataFrame, np.ndarray] | None,
) -> Fitted:
    """XGBoost's histogram trees."""
    import xgboost as library  # type: ignore[import-not-found]

    stops = {"early_stopping_rounds": PATIENCE} if held else {}
    model = library.XGBRegressor(enable_categorical=True, n_jobs=1, random_state=0, **settings, **stops)
    model.fit(rows, goal, eval_set=[held] if held else None, verbose=False)
    return (model, model.best_score, model.best_iteration + 1) if held else (model, 0.0, 0)


def lightgbm(
    settings: dict[str, Any],
    rows: pd.DataFrame,
    goal: np.ndarray,
    held: tuple[pd.DataFrame, np.ndarray] | None,
) -> Fitted:
    """LightGBM."""
    import lightgbm as library  # type: ignore[import-not-found]

    bagged = {"subsample_freq": 1} if "subsample" in settings else {}
    model = library.LGBMRegressor(n_jobs=1, random_state=0, verbose=-1, **bagged, **settings)
    stops = [library.early_stopping(PATIENCE, verbose=False)] if held else None
    judged = {"eval_X": held[0], "eval_y": held[1]} if held else {}
    model.fit(rows, goal, callbacks=stops, **judged)
    return (model, model.best_score_["valid_0"]["l2"], model.best_iteration_) if held else (model, 0.0, 0)


def catboost(
    settings: dict[str, Any],
    rows: pd.DataFrame,
    goal: np.ndarray,
    held: tuple[pd.DataFrame, np.ndarray] | None,
) -> Fitted:
    """CatBoost."""
    import catboost as library  # type: ignore[import-not-found]

    del held
    texts = [name for name in rows if rows[name].dtype == object]
    how = {"thread_count": 1, "random_seed": 0, "verbose": False, "allow_writing_files": False}
    model = library.CatBoostRegressor(cat_features=texts, **how, **settings)
    return model.fit(rows, goal), 0.0, 0


PEERS: dict[str, tuple[Trainer, tuple[dict[str, Any], ...]]] = {
    "xgboost": (xgboost, ()),
    "lightgbm": (lightgbm, ()),
    "catboost": (catboost, ()),
    "xgboost tuned": (xgboost, XGBOOST),
    "lightgbm tuned": (lightgbm, LIGHTGBM),
}


def answers(name: str, known: pd.DataFrame, test: pd.DataFrame, target: str, seed: int) -> np.ndarray:
    """The peer's answers (n,) for the test rows.

    Raises:
        ImportError: Its library is not installed.
    """
    train, settings = PEERS[name]
    goal = np.log(known[target].to_numpy(dtype=np.float64))
    rows, asked = _readable(known.drop(columns=target), test.drop(columns=target), texts=train is catboost)
    best = _tuned(train, settings, rows, goal, seed) if settings else {}
    model, _, _ = train(best, rows, goal, None)
    return np.asarray(np.exp(model.predict(asked)))


def _tuned(
    train: Trainer, tried: tuple[dict[str, Any], ...], rows: pd.DataFrame, goal: np.ndarray, seed: int
) -> dict[str, Any]:
    """The best of the settings, and how many trees were best with them."""
    at, out = train_test_split(np.arange(len(rows)), test_size=VALIDATION, random_state=seed)
    found = []
    for settings in tried:
        growing = {"learning_rate": 0.03, **settings, "n_estimators": TREES}
        _, error, trees = train(growing, rows.iloc[at], goal[at], (rows.iloc[out], goal[out]))
        found.append((error, {**growing, "n_estimators": trees}))
    return min(found, key=lambda pair: pair[0])[1]


def _readable(known: pd.DataFrame, test: pd.DataFrame, *, texts: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both with their categories as pandas' own, known from the first alone; or as texts."""
    names = [name for name in known if not pd.api.types.is_numeric_dtype(known[name])]
    if texts:
        both = (
            rows.assign(**{n: rows[n].astype(object).fillna("") for n in names}) for rows in (known, test)
        )
        first, second = both
        return first, second
    kinds = {name: pd.CategoricalDtype(sorted(known[name].dropna().unique())) for name in names}
    return known.astype(kinds), test.astype(kinds)
