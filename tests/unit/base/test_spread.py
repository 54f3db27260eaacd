import csv
import io
import json

import pytest

from sparta_ray.base.spread import as_csv, as_json, as_markdown, spreads

ROWS = [(("a", "x"), 1.0), (("b", "x"), 7.0), (("a", "x"), 3.0)]


def test_mean_and_spread_by_hand():
    found = spreads(ROWS)
    assert list(found) == [("a", "x"), ("b", "x")]
    a, b = found.values()
    assert (a.mean, a.std, a.count) == (2, pytest.approx(2**0.5), 2)
    assert (b.mean, b.std, b.count) == (7, None, 1)
    assert (str(a), str(b)) == ("2 ± 1.4 (2)", "7 (one)")


def test_tables_hold_the_same():
    headings, found = ("name", "of"), spreads(ROWS)
    lines = as_markdown(headings, found).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["a", "x", "2 ± 1.4 (2)"]
    assert len({len(line) for line in lines}) == 1
    (first, second) = csv.DictReader(io.StringIO(as_csv(headings, found)))
    assert (first["name"], float(first["mean"]), first["count"]) == ("a", 2.0, "2")
    assert second["std"] == ""
    records = json.loads(as_json(headings, found))
    assert records[1] == {"name": "b", "of": "x", "mean": 7.0, "std": None, "count": 1}
