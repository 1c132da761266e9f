from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tasks import fit
from tasks.config import Columns, Config
from tasks.dataset import Dataset
from tasks.features.schema import types_of
from tasks.learning import scoring, training

OPINIONS = {"good": ("great", "lovely", "warm"), "poor": ("dull", "awful", "cold")}
REST = ("film", "story", "actor", "scene", "song", "ending")


def films(n=240):
    """Made reviews: one telling word each among words that tell nothing."""
    rng = np.random.default_rng(0)
    labels = [("good", "poor")[i % 2] for i in range(n)]
    words = [[*rng.choice(REST, 3), rng.choice(OPINIONS[label])] for label in labels]
    texts = [" ".join(rng.permutation(each)).capitalize() + "." for each in words]
    return pd.DataFrame({"review": texts, "label": labels}, index=pd.RangeIndex(n, name="row"))


def text_config(network, **more):
    """The settings of a project of such reviews."""
    return Config.model_validate(
        {
            "name": "films",
            "task": "classification",
            "source": {"kind": "table", "path": "rows.csv"},
            "target": "label",
            "columns": {"text": "review"},
            "network": network,
            "fit": {"epochs": 8, "learning_rate": 0.005, "batch_size": 16},
            "evaluate": {"metric": "accuracy", "baselines": ["majority"]},
            "register": {"name": "films"},
            **more,
        }
    )


def trained(folder, config, rows=None):
    """Trains on all rows and writes the bundle into `folder`."""
    data = Dataset(films() if rows is None else rows)
    how = {"target": config.target, "kind": config.task}
    encoder = fit.fit_encoder(data, columns=Columns(text="review"), exclude=(), encode=config.encode, **how)
    network = fit.new_network(config.network, encoder, 0)
    examples = fit.encode_examples(data, encoder, config.target)
    metric = config.evaluate.metric
    what = fit.make_task(encoder, data.rows[config.target], config.fit, metric, config.task)
    done = training.train(
        network, examples, examples, what, config.fit,
        seed=0, device="cpu", precision="float32", checkpoint=folder / "checkpoint",
    )  # fmt: skip
    bundle = fit.describe(data, types_of(data.rows), config.network, (), unused=[config.target], **how)
    scoring.save(folder, bundle, encoder, done.weights, data.rows)
    return folder


@pytest.fixture(scope="session")
def reviews():
    """Made reviews, the words that tell their label, settings of a project of them, and a training."""
    return SimpleNamespace(films=films, opinions=OPINIONS, config=text_config, trained=trained)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """Bundles of text models by kind of network."""
    kinds = {"rnn": {"embedding": 8, "hidden": 8}, "wide": {}}
    made = {kind: tmp_path_factory.mktemp(kind) for kind in kinds}
    for kind, options in kinds.items():
        trained(made[kind], text_config({"kind": kind, **options}))
    return made
