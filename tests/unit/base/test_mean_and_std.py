import csv
import io
import json
import math

import pytest

from sparta_ray.base.folder import RunFolder
from sparta_ray.base.mean_and_std import as_markdown, mean_and_std, write_table

HEADINGS = ("name", "of")
ROWS = [(("a", "x"), 1.0), (("b", "x"), 7.0), (("a", "x"), 3.0)]


def test_mean_and_std_by_hand():
    a, b = mean_and_std(HEADINGS, ROWS).to_dict("records")
    assert (a["name"], a["of"], b["name"]) == ("a", "x", "b")
    assert (a["mean"], a["std"], a["count"]) == (2, pytest.approx(2**0.5), 2)
    assert (b["mean"], b["count"]) == (7, 1)
    assert math.isnan(b["std"])


def test_the_files_hold_the_same_numbers(tmp_path):
    folder = RunFolder(str(tmp_path))
    markdown = write_table(folder, "summary", mean_and_std(HEADINGS, ROWS))
    assert folder.read("summary.md") == markdown + "\n"
    lines = markdown.splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert cells[2:] == [["a", "x", "2 ± 1.4 (2)"], ["b", "x", "7 (one)"]]
    assert len({len(line) for line in lines}) == 1
    (first, second) = csv.DictReader(io.StringIO(folder.read("summary.csv")))
    assert (first["name"], float(first["mean"]), first["count"]) == ("a", 2.0, "2")
    assert second["std"] == ""
    records = json.loads(folder.read("summary.json"))
    assert records[1] == {"name": "b", "of": "x", "mean": 7.0, "std": None, "count": 1}


def test_without_values_there_are_headings_alone():
    assert as_markdown(mean_and_std(HEADINGS, [])).splitlines()[0] == (
        "| name | of | mean ± std (n) |"
    )
