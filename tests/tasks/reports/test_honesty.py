"""The page's sections on leaks and labels: what the files say, and nothing where there is nothing."""

import pandas as pd

from tasks import store
from tasks.records import FileRecord
from tasks.reports import honesty


def test_pairs_are_shown_and_nothing_where_there_are_none(tmp_path):
    assert honesty.leaks(tmp_path) is None
    store.write_json(tmp_path / "leaks.json", {"near": 0.0, "leaks": [], "pairs": []})
    assert honesty.leaks(tmp_path) is None
    store.write_json(tmp_path / "leaks.json", {"near": 0.1, "leaks": [], "pairs": [{"row": 1}]})
    assert honesty.leaks(tmp_path)["pairs"] == [{"row": 1}]


def test_the_first_twenty_labels_are_shown_by_file_and_row(tmp_path):
    assert honesty.suspects(tmp_path, ()) is None
    frame = pd.DataFrame({"given": "a", "suggested": "b", "score": 0.5}, index=pd.RangeIndex(30, name="row"))
    frame.head(0).to_parquet(tmp_path / "labels.parquet")
    assert honesty.suspects(tmp_path, ()) is None
    frame.to_parquet(tmp_path / "labels.parquet")
    files = (FileRecord(name="one.csv", rows=5, sha256=""), FileRecord(name="two.csv", rows=40, sha256=""))
    shown = honesty.suspects(tmp_path, files)
    assert (shown["count"], len(shown["rows"])) == (30, 20)
    assert shown["rows"][5] == {"place": "two.csv row 1", "given": "a", "suggested": "b", "score": 0.5}
