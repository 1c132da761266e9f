"""One YAML per project, one strict frozen schema.

`load` reads `data/NAME/project.yaml`, applies `--source` and `--set`, and reports every error at
once: file, key, value, what was expected and the nearest known key. Nothing else reads the file;
a step is handed only the part that it needs.
"""

from tasks.config.base import BASELINES, METRICS, Strict, Task
from tasks.config.cleaning import (
    OPERATIONS,
    Case,
    Keep,
    Missing,
    Normalise,
    Only,
    Operation,
    Rename,
    Scale,
    Trim,
    Types,
)
from tasks.config.data import (
    Columns,
    IdxSource,
    ImagesSource,
    PackageSource,
    Source,
    Split,
    TableSource,
    TextsSource,
    Validate,
)
from tasks.config.judging import BetterThan, Criterion, Evaluate, Limit, NotWorseThan, Register
from tasks.config.learning import (
    KINDS,
    Augment,
    Cnn,
    Custom,
    Encode,
    Fit,
    Mlp,
    Network,
    Neuron,
    Pretrained,
    Rnn,
    WideDeep,
    Words,
)
from tasks.config.project import MAX_YAML_BYTES, Project, as_yaml, load, names, source_at
from tasks.config.retraining import Retrain
from tasks.config.schema import Config
from tasks.config.settings import Settings, root_settings

__all__ = [
    "BASELINES",
    "KINDS",
    "MAX_YAML_BYTES",
    "METRICS",
    "OPERATIONS",
    "Augment",
    "BetterThan",
    "Case",
    "Cnn",
    "Columns",
    "Config",
    "Criterion",
    "Custom",
    "Encode",
    "Evaluate",
    "Fit",
    "IdxSource",
    "ImagesSource",
    "Keep",
    "Limit",
    "Missing",
    "Mlp",
    "Network",
    "Neuron",
    "Normalise",
    "NotWorseThan",
    "Only",
    "Operation",
    "PackageSource",
    "Pretrained",
    "Project",
    "Register",
    "Rename",
    "Retrain",
    "Rnn",
    "Scale",
    "Settings",
    "Source",
    "Split",
    "Strict",
    "TableSource",
    "Task",
    "TextsSource",
    "Trim",
    "Types",
    "Validate",
    "WideDeep",
    "Words",
    "as_yaml",
    "load",
    "names",
    "root_settings",
    "source_at",
]
