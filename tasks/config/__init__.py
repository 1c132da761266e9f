"""One YAML per project, one strict frozen schema.

`load` reads `data/NAME/project.yaml`, applies `--source` and `--set`, and reports every error at
once: file, key, value, what was expected and the nearest known key. Nothing else reads the file;
a step is handed only the part that it needs.
"""

from tasks.config.base import BASELINES, METRICS, Strict, Task
from tasks.config.cleaning import OPERATIONS, Case, Keep, Missing, Operation, Rename, Scale, Trim, Types
from tasks.config.data import Columns, IdxSource, PackageSource, Source, Split, TableSource, Validate
from tasks.config.judging import BetterThan, Criterion, Evaluate, Limit, NotWorseThan, Register
from tasks.config.learning import Augment, Cnn, Custom, Encode, Fit, Mlp, Network, Neuron
from tasks.config.project import MAX_YAML_BYTES, Project, as_yaml, load, names, source_at
from tasks.config.retraining import Retrain
from tasks.config.schema import Config
from tasks.config.settings import Settings, root_settings

__all__ = [
    "BASELINES",
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
    "Keep",
    "Limit",
    "Missing",
    "Mlp",
    "Network",
    "Neuron",
    "NotWorseThan",
    "Operation",
    "PackageSource",
    "Project",
    "Register",
    "Rename",
    "Retrain",
    "Scale",
    "Settings",
    "Source",
    "Split",
    "Strict",
    "TableSource",
    "Task",
    "Trim",
    "Types",
    "Validate",
    "as_yaml",
    "load",
    "names",
    "root_settings",
    "source_at",
]
