from sparta_ray.base.config import from_tree
from sparta_ray.metrics.records import Score
from sparta_ray.report.build import _in_tables, _mask_note
from sparta_ray.run.settings import Run


def run_with(**downstream):
    return from_tree(Run, {"downstream": downstream}, "test")


def test_the_published_masks_leave_the_field_determined():
    assert _mask_note(Run(), (64, 32)) == (
        "Masks are applied to the 144x72 view, after resizing, as published. With 70 % hidden, "
        "3,110 values of each variable are left, which still determine its 64x32 field of 2,048 "
        "values. Reconstruction from sparser observations is a harder task."
    )


def test_sparser_masks_are_said_to_lose_something():
    note = _mask_note(run_with(mask={"ratio": [0.9, 0.9]}), (64, 32))
    assert note.endswith(
        "With 90 % hidden, 1,037 of each variable's 10,368 values are left; its 64x32 field has "
        "2,048."
    )
    note = _mask_note(run_with(mask={"ratio": [0.5, 0.9]}), (64, 32))
    assert "With 50 to 90 % hidden, as few as 1,037 of each" in note
    assert "as few as" in _mask_note(run_with(mask={"ratio": [0.5, 0.9]}), (96, 64))


def test_masks_of_the_grid_and_of_shapes_are_called_what_they_are():
    grid = _mask_note(run_with(mask={"ratio": [0.7, 0.7], "on": "grid"}), (64, 32))
    assert grid == (
        "Masks are applied to the data's own 64x32 grid, before resizing, which is not as "
        "published: 70 % of each variable's 2,048 values are hidden."
    )
    swath = _mask_note(run_with(mask={"ratio": [0.7, 0.7], "shape": {"kind": "swath"}}), (64, 32))
    assert "after resizing (shape: swath). With 70 % hidden, 3,110 of each" in swath
    assert "determine" not in swath


def test_tables_leave_out_leads_between():
    runs = [run_with(forecast={"short": {"lead_days": 30}}), run_with(forecast={"long": {}})]

    def in_tables(lead, setting):
        score = Score("forecast", "sparta", "rrmse", 1.0, "%", lead, setting=setting)
        return _in_tables(runs, score)

    assert [lead for lead in range(1, 31) if in_tables(lead, "short")] == [1, 25, 30]
    assert [lead for lead in range(1, 101) if in_tables(lead, "long")] == [1, 25, 50, 75, 100]
    assert _in_tables(runs, Score("reconstruction", "sparta", "rrmse", 1.0, "%"))
