"""The published tables, row by row, of a study whose scores are the published numbers."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from sparta_ray.base.config import from_tree
from sparta_ray.base.errors import ConfigError
from sparta_ray.evaluation.published_results import (
    published_results,
    published_variant,
)
from sparta_ray.figures.display import PUBLISHED_NAMES
from sparta_ray.metrics.config import BootstrapConfig
from sparta_ray.report.paper_tables import PAPER_TABLES, paper_table
from sparta_ray.report.published_layout import published_layout
from sparta_ray.report.study import Study, _checked, _variants, variant_name
from sparta_ray.report.study_scores import Question, StudyScores
from sparta_ray.report.table_files import of_paper_table
from sparta_ray.run.settings import Run
from tests.published import SHIFT, SWITCHES, member, run_of


def reference():
    """Return the reference file beside the checkout where there is one, else the package's own."""
    for parent in Path(__file__).parents:
        path = parent / "shared" / "reference_results.json"
        if path.exists():
            return json.loads(path.read_text())
    return published_results()


def test_the_packages_numbers_are_the_references():
    ours, theirs = published_results(), reference()
    assert {k: v for k, v in ours.items() if k != "source"} == {
        k: v for k, v in theirs.items() if k != "source"
    }


def test_the_layout_is_the_references_row_by_row(study_scores):
    theirs, layout = reference(), published_layout(study_scores)
    assert set(layout) == {
        "forecast_rrmse_percent", "diffusion", "classification_test_cross_entropy",
        "smoothness_mean_std", "contrastive_methods_table_3_1",
    }  # fmt: skip

    def check(ours, published, variant):
        assert ours["published"] == published
        if variant == "sparta_late_graph":
            assert (ours["ours"], ours["reason"]) == (None, "failed: no memory")
        else:
            assert ours["ours"] == pytest.approx(published + SHIFT)
            assert ours["difference"] == pytest.approx(SHIFT)
            assert ours["low"] == pytest.approx(ours["ours"])  # all windows are alike

    forecasts = theirs["forecast_rrmse_percent"]
    assert list(layout["forecast_rrmse_percent"]) == list(forecasts)
    for setting, rows in forecasts.items():
        assert list(layout["forecast_rrmse_percent"][setting]) == list(rows)
        for variant, leads in rows.items():
            ours = layout["forecast_rrmse_percent"][setting][variant]
            assert list(ours) == list(leads)
            for lead, value in leads.items():
                check(ours[lead], value, variant)
    for name in set(layout) - {"forecast_rrmse_percent"}:
        rows = {k: v for k, v in theirs[name].items() if k not in ("columns", "note")}
        assert [k for k in layout[name] if k != "columns"] == list(rows)
        assert layout[name].get("columns") == theirs[name].get("columns")
        for variant, row in rows.items():
            values = row["values"] if isinstance(row, dict) else row
            values = values if isinstance(values, list) else [values]
            cells = layout[name][variant]
            cells = cells if isinstance(cells, list) else [cells]
            for cell, value in zip(cells, values, strict=True):
                check(cell, value, variant)


def test_every_published_number_stands_in_a_table_of_its_number(study_scores):
    tables = {spec.number: paper_table(spec, study_scores) for spec in PAPER_TABLES}
    assert list(tables) == [*map(str, range(1, 16)), "3.1"]
    for number, table in tables.items():
        assert [row.variant for row in table.rows] == ROWS[number]
        for row in table.rows:
            shown = [c.published for c in row.cells if c.published is not None]
            assert shown == pytest.approx(published_row(number, row.variant))


BENCHMARK = ["sparta_early_hn_cycle", "autoencoder"]
ABLATION = ["sparta_early", "sparta_early_cycle", "sparta_early_hn", "sparta_early_hn_cycle"]
LATE = ["sparta_late_attention", "sparta_late_graph"]
FUSION = ["sparta_early_hn_cycle", *LATE]
ROWS = {
    **dict.fromkeys(("1", "2", "3", "5"), BENCHMARK),
    "4": BENCHMARK[::-1],
    **dict.fromkeys(("6", "7", "8", "9", "10"), ABLATION),
    **dict.fromkeys(("11", "12", "13", "14"), FUSION),
    "15": LATE,
    "3.1": ["barlow_twins", "simclr", "supcon"],
}
"""The documents' rows, in their order."""

FORECASTS = {
    **dict.fromkeys(("1", "6", "11"), "lookback30_stride1"),
    **dict.fromkeys(("2", "7", "12"), "lookback5_stride5"),
    **dict.fromkeys(("3", "8", "13"), "lookback5_stride10"),
}


def published_row(number, variant):
    """Return a row's numbers out of the file of published ones."""
    results = reference()
    if number in FORECASTS:
        return list(results["forecast_rrmse_percent"][FORECASTS[number]][variant].values())[-4:]
    if number == "3.1":
        return results["contrastive_methods_table_3_1"][variant]["values"]
    if number in ("4", "10", "15"):
        return results["smoothness_mean_std"][variant]
    return [
        *results["diffusion"][variant],
        results["classification_test_cross_entropy"][variant],
    ]


def test_numbers_of_other_data_have_no_difference(study_scores):
    tables = {spec.number: paper_table(spec, study_scores) for spec in PAPER_TABLES}
    assert {number for number, table in tables.items() if table.other_data} == {"3.1"}
    assert "80/20 split" in tables["3.1"].other_data
    rows = [
        dict(zip(file.header, row, strict=True))
        for file in [of_paper_table(tables["3.1"], True)]
        for row in file.rows
    ]
    assert {row["difference"] for row in rows} == {None}
    assert {row["reason"] for row in rows} == {"other data than the paper's"}


def test_what_was_not_run_is_a_cell_that_says_why(study_scores):
    graph = paper_table(PAPER_TABLES[10], study_scores).rows[2]
    assert graph.variant == "sparta_late_graph"
    assert {cell.ours.reason for cell in graph.cells} == {"failed: no memory"}
    study = Study("one", "runs", study_scores.study.members[:1], {})
    alone = StudyScores(study, BootstrapConfig())
    table = paper_table(PAPER_TABLES[0], alone)
    assert [cell.ours.reason for cell in table.rows[1].cells] == ["not run"] * 4
    assert table.rows[0].cells[0].ours.value == pytest.approx(15.71 + SHIFT)


def test_reasons_tell_a_shortened_run():
    shortened = {
        "forecast": {"lookback30_stride1": {"lead_days": 30}},
        "classification": None,
    }
    short = member("sparta_early_hn_cycle", downstream=shortened)
    short.results.windows = [w for w in short.results.windows if w.score.lead_days == 25][:1]
    short.results.scores = [w.score for w in short.results.windows]
    found = StudyScores(Study("one", "runs", (short,), {}), BootstrapConfig())

    def reason(task, metric, *more):
        return found.answer("sparta_early_hn_cycle", Question(task, metric, *more)).reason

    assert reason("forecast", "rrmse", "lookback30_stride1", 50) == "forecast 30 days only"
    assert reason("forecast", "rrmse", "lookback5_stride5", 50) == "setting not run"
    assert reason("forecast", "rrmse", "lookback30_stride1", 2).endswith("report_leads")
    assert reason("classification", "cross-entropy") == "classification was left out"
    assert reason("diffusion", "std") == "not scored"


@pytest.mark.parametrize("variant", SWITCHES)
def test_a_run_is_known_by_its_settings(variant):
    assert published_variant(run_of(variant), "sparta") == variant
    assert published_variant(run_of(variant), "autoencoder") == "autoencoder"
    assert variant in PUBLISHED_NAMES


def test_late_fusion_without_cycle_loss_has_no_published_row():
    tree = {
        "model": {"fusion": {"kind": "graph"}},
        "training": {"contrastive": {"cycle_weight": 0}},
    }
    assert published_variant(from_tree(Run, tree, "test"), "sparta") is None


def test_names_of_a_study_are_the_published_ones_where_they_are_meant():
    assert variant_name("early-hn-cycle") == "sparta_early_hn_cycle"
    assert variant_name("late-graph") == "sparta_late_graph"
    assert variant_name("autoencoder") == "autoencoder"
    assert variant_name("supervised") == "supcon"
    assert variant_name("with-mask-channel") == "with-mask-channel"


def test_runs_that_differ_elsewhere_keep_their_own_names():
    plain = run_of("sparta_early_hn_cycle")
    again = replace(plain, name="again", seed=5)
    wide = run_of("sparta_early_hn_cycle", model={"width": 0.5}, name="wide")
    assert _variants([plain, again]) == ["sparta_early_hn_cycle"] * 2
    assert _variants([plain, wide]) == ["sparta_early_hn_cycle", "wide"]
    assert _variants([run_of("sparta_late_graph"), plain]) == [
        "sparta_late_graph", "sparta_early_hn_cycle"
    ]  # fmt: skip


def test_mixed_data_or_splits_are_refused():
    first = member("sparta_early_hn_cycle")
    other = replace(member("sparta_early"), fingerprint="another")
    with pytest.raises(ConfigError, match="data fingerprint is print and another"):
        _checked(Study("mixed", "runs", (first, other), {}))
    split = {"split": {"train": 0.5, "validation": 0.1}}
    other = member("sparta_early", downstream=split)
    with pytest.raises(ConfigError, match=r"downstream\.split"):
        _checked(Study("mixed", "runs", (first, other), {}))
    other = member("sparta_early", evaluation={"smoothness_days": 100})
    with pytest.raises(ConfigError, match=r"evaluation\.smoothness_days is 256 and 100"):
        _checked(Study("mixed", "runs", (first, other), {}))
    with pytest.raises(ConfigError, match="no evaluated run"):
        _checked(Study("none", "runs", (), {"early": "not started"}))


def test_files_hold_every_number_and_no_difference_from_other_data(study_scores):
    table = paper_table(PAPER_TABLES[1], study_scores)
    plain = of_paper_table(table, comparable=True)
    files = dict(plain.files())
    assert list(files) == ["table-2.md", "table-2.csv"]
    assert len(files["table-2.md"].splitlines()) == 4 + 8
    records = list(csv.DictReader(io.StringIO(files["table-2.csv"])))
    assert len(records) == len(plain.records) == 8
    assert float(records[1]["published"]) == plain.records[1]["published"] == 17.30
    assert float(records[1]["difference"]) == pytest.approx(SHIFT)
    other = of_paper_table(table, comparable=False).records
    assert {record["difference"] for record in other} == {None}
    assert "other data" in other[0]["reason"]
