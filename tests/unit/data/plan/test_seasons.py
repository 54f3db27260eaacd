import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparta_ray.data.plan.seasons import SEASONS, season_of


@pytest.mark.parametrize(
    ("date", "season"),
    [
        ("1979-11-30", "SON"),
        ("1979-12-01", "DJF"),
        ("1979-12-31T18:00", "DJF"),
        ("1980-01-01", "DJF"),
        ("1980-02-29", "DJF"),
        ("1980-03-01", "MAM"),
        ("1980-05-31", "MAM"),
        ("1980-06-01", "JJA"),
        ("1980-08-31", "JJA"),
        ("1980-09-01", "SON"),
        ("1959-01-01", "DJF"),
        ("1959-11-30", "SON"),
        ("1959-12-01", "DJF"),
    ],
)
def test_boundaries(date, season):
    assert SEASONS[season_of(np.array([date], dtype="datetime64[ns]"))[0]] == season


def test_all_months():
    months = np.arange("1999-01", "2000-01", dtype="datetime64[M]").astype("datetime64[D]")
    seasons = season_of(months)
    assert_array_equal(seasons, [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0])
    assert seasons.dtype == np.int64


def test_a_missing_date_is_an_error():
    with pytest.raises(ValueError, match="1 of 2 dates"):
        season_of(np.array(["2000-01-01", "NaT"], dtype="datetime64[D]"))
