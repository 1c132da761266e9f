"""Types of columns: one file for each, which knows everything about its values.

A reader gives cells; the schema gives each column a type; `read` makes canonical values of cells, whatever
they came in: text of a CSV file, any physical type of Parquet, any pandas dtype, JSON. What a cell becomes
depends on that cell and the type alone. numpy, pandas and pyarrow only: this room travels inside the model.
"""

from tasks.features.base import TYPES, Cells, FeatureType, feature_type
from tasks.features.boolean import Boolean
from tasks.features.category import Category, Key, Text
from tasks.features.date import Date
from tasks.features.integer import Integer
from tasks.features.number import Number
from tasks.features.reading import read
from tasks.features.schema import Rows, Schema

__all__ = [
    "TYPES",
    "Boolean",
    "Category",
    "Cells",
    "Date",
    "FeatureType",
    "Integer",
    "Key",
    "Number",
    "Rows",
    "Schema",
    "Text",
    "feature_type",
    "read",
]
