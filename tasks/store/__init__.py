"""Files that are whole or absent, and steps that are not done twice.

A step's output is a folder `work/STEP/KEY` that holds its files, `inputs.json` (what the key was
made of) and `record.json` (what the step returned, with the digest of every file; written last).
It is built under a temporary name and renamed, so a folder that exists is complete; before it is
believed its digests are verified. The key covers the content of the inputs, the slice of the
configuration, the seed, the source that the step reaches and the versions of the libraries in there.
"""

from tasks.store.files import digest, flush, replacing, sha256_file, write_json, write_text
from tasks.store.keys import LIBRARIES, Change, changes, code_digest, key, library_versions, versions
from tasks.store.outputs import (
    Missed,
    discard,
    forcing,
    latest,
    left_behind,
    outputs,
    planning,
    recall,
    remember,
    sweep,
)

__all__ = [
    "LIBRARIES",
    "Change",
    "Missed",
    "changes",
    "code_digest",
    "digest",
    "discard",
    "flush",
    "forcing",
    "key",
    "latest",
    "left_behind",
    "library_versions",
    "outputs",
    "planning",
    "recall",
    "remember",
    "replacing",
    "sha256_file",
    "sweep",
    "versions",
    "write_json",
    "write_text",
]
