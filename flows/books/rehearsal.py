"""What would be refused only after minutes of training, asked before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.config import Config, Project
from tasks.dataset import Dataset
from tasks.records import CleanRecord, SplitRecord

if TYPE_CHECKING:
    from tasks.learning.encode import Encoder


def check_memory(project: Project) -> None:
    """Raises ConfigError for settings of `fit:` that need rows in memory, where they are read in pieces."""
    from tasks.tables import rowgroups  # noqa: PLC0415

    c = project.config
    rowgroups.check_settings(c.source, project.folder, c.columns, c.fit)


def check_slices(config: Config, cleaned: CleanRecord) -> None:
    """Raises ConfigError for a slice by a column that the cleaned rows lack."""
    from tasks.ladder import slices  # noqa: PLC0415

    slices.check(config.evaluate.slices, Dataset.load(cleaned.folder).rows)


def check_network(config: Config, cleaned: CleanRecord, split: SplitRecord, exclude: tuple[str, ...]) -> None:
    """Builds the network on what the train rows say, and throws it away.

    Raises:
        ConfigError: The network can't read such data, or no feature is left.
        DataRejected: The target can't be scaled as asked.
    """
    from tasks.fit import new_network  # noqa: PLC0415
    from tasks.splitting import parts  # noqa: PLC0415

    train = (parts.load(split.folder) == "train").to_numpy()
    encoder = encoder_of(config, Dataset.load(cleaned.folder).take(train), exclude)
    new_network(config.network, encoder, config.seed)


def encoder_of(config: Config, rows: Dataset, exclude: tuple[str, ...]) -> Encoder:
    """What a project fits on `rows` besides weights. Raises as `check_network` does."""
    from tasks.fit import fit_encoder  # noqa: PLC0415

    return fit_encoder(
        rows,
        target=config.target,
        kind=config.task,
        columns=config.columns,
        exclude=exclude,
        encode=config.encode,
        network=config.network,
    )
