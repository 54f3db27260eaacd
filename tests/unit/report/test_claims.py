"""Claims and their verdicts, on the published numbers and on made-up ones."""

from dataclasses import replace

import numpy as np

from sparta_ray.base.durations import DAY
from sparta_ray.base.folder import RunFolder
from sparta_ray.evaluation.results import Results
from sparta_ray.figures.display import PUBLISHED_NAMES, setting_name
from sparta_ray.metrics.case_sums import Cases, on_common_windows
from sparta_ray.metrics.config import BootstrapConfig
from sparta_ray.metrics.records import BASELINES, Subject
from sparta_ray.metrics.uncertainty import compare
from sparta_ray.report.claims import read_claims
from sparta_ray.report.study import Member, Study
from sparta_ray.report.study_scores import StudyScores
from sparta_ray.report.table_files import of_verdicts
from sparta_ray.report.verdicts import all_verdicts
from tests.published import SWITCHES, member, run_of, study_scores_of


def test_verdicts_follow_the_published_numbers(study_scores):
    found = {j.claim.statement: j for j in all_verdicts(study_scores)}
    forecasts = found["SPARTA forecasts better than the autoencoder"]
    assert forecasts.outcome == "mixed"  # Table 2 has it worse from 50 days on
    assert forecasts.explanation == "Of 12 comparisons, better in 9, worse in 3."
    assert (
        found["SPARTA's embeddings are smoother than the autoencoder's, in plain distances"].outcome
        == "holds"
    )
    seasons = found["SPARTA classifies seasons better than the autoencoder"]
    assert (seasons.outcome, seasons.explanation) == ("holds", "Better in the one comparison.")
    untested = found["Graph fusion gives better forecasts than self-attention"]
    assert untested.outcome == "not tested"
    assert "failed: no memory" in untested.explanation
    lines = of_verdicts(list(found.values())).rows
    assert sum(row[0] == forecasts.claim.statement for row in lines) == 12


def test_what_the_paper_says_in_its_text_is_what_its_tables_say():
    whole = study_scores_of(*SWITCHES)
    found = {j.claim.statement: j for j in all_verdicts(whole) if j.claim.source}
    assert len(found) == 31
    untested = {name for name, j in found.items() if j.outcome == "not tested"}
    assert untested == {  # a measure of ours
        "SPARTA's embeddings are smoother than the autoencoder's, relative to their variance"
    }
    mixed = {
        "SPARTA forecasts better than the autoencoder": 3,  # Table 2, from 50 days on
        "Hard negatives and the cycle loss together give better forecasts than "
        "SPARTA early fusion, HN": 3,  # Table 7, likewise
        "Self-attention gives better forecasts than early fusion": 4,  # Table 11
        "Graph fusion gives better forecasts than early fusion": 4,
        "Graph fusion gives better forecasts than self-attention": 1,  # Table 11, at 50 days
    }
    for name, verdict in found.items():
        if name in mixed:
            assert verdict.outcome == "mixed", name
            verdicts = [comparison.verdict for _, comparison in verdict.comparisons]
            assert verdicts.count("worse") == mixed[name], name
        elif name not in untested:
            assert verdict.outcome == "holds", name
    alike = next(j for j in found.values() if j.claim.margin)
    assert alike.explanation == "Alike in the one comparison."


def test_another_form_of_forecast_is_judged_at_every_lead_beside_baselines_and_the_published():
    def scored(model, setting, days, by_lead):
        windows = [Cases(Subject("forecast", model, setting, 0), days, lead) for lead in by_lead]
        values = by_lead.values()
        return [
            each.mean("rrmse", np.full(len(days), v))
            for each, v in zip(windows, values, strict=True)
        ]

    every, later = np.arange(300.0), np.arange(20.0, 300.0)  # the published form looks further back
    results = Results()
    for setting, days in (("lookback30_stride1", later), ("anomalies", every)):
        results.add(scored("persistence", setting, days, {1: 1.0, 5: 4.0, 25: 5.0}))
        results.add(scored("climatology", setting, days, {1: 3.0, 5: 3.0, 25: 3.0}))
    results.add(scored("sparta", "lookback30_stride1", later, {1: 2.5, 5: 3.5, 25: 4.0}))
    results.add(scored("sparta", "anomalies", every, {1: 2.0, 5: 2.0, 25: 3.5}))
    run = run_of(
        "sparta_early", downstream={"forecast": {"anomalies": {"kind": "anomaly_regression"}}}
    )
    own = Member("sparta_early", run, RunFolder("runs/a"), "print", results)
    study = StudyScores(Study("own", "runs", (own,), {}), BootstrapConfig())
    found = {j.claim.statement: j for j in all_verdicts(study)}
    whose = "Forecasts of SPARTA early fusion (anomalies) beat"
    assert found[f"{whose} persistence"].explanation == "Of 3 comparisons, better in 2, worse in 1."
    assert found[f"{whose} climatology"].outcome == "mixed"
    published = found[f"{whose} those with {setting_name('lookback30_stride1', DAY)}"]
    assert published.outcome == "holds"
    assert [round(c.difference, 6) for _, c in published.comparisons] == [-0.5, -1.5, -0.5]


def test_every_claim_of_the_file_names_scores_that_are_defined():
    file = read_claims()
    single = (
        file.beside_baselines,
        file.own_setting_beside_baselines,
        file.own_setting_beside_published,
    )
    named = {claim.scores for claim in (*file.paper, *file.own_variants, *single)}
    assert named == set(file.scores)
    for claim in file.paper:
        assert {claim.ours, claim.theirs} <= set(PUBLISHED_NAMES), claim.statement
        assert claim.source.startswith("Table")
    assert file.reference in PUBLISHED_NAMES
    assert set(file.baselines) <= set(BASELINES)


def test_forms_of_forecast_without_common_windows_are_not_compared():
    sides = [
        [Cases(Subject("forecast", "sparta", setting, 0), days, 1).mean("rrmse", np.ones(9))]
        for setting, days in (("a", np.arange(9.0)), ("b", np.arange(9.0) + 50))
    ]
    found = compare(*on_common_windows(*sides), "lower", BootstrapConfig())
    assert (found.verdict, found.difference) == ("not compared", None)


def test_a_studys_own_variants_are_compared_with_sparta():
    wide = member("sparta_early_hn_cycle", model={"width": 0.5}, name="wide")
    scores = wide.results.scores
    lower = [replace(score, value=score.value - 1) for score in scores]
    windows = [
        replace(found, score=better, sums=found.sums - np.array([[1.0], [0.0]]))
        for found, better in zip(wide.results.windows, lower, strict=True)
    ]
    wide = replace(wide, variant="wide", results=Results(scores=lower, windows=windows))
    study = Study("two", "runs", (member("sparta_early_hn_cycle"), wide), {})
    found = {
        j.claim.statement: j.outcome for j in all_verdicts(StudyScores(study, BootstrapConfig()))
    }
    assert found["wide forecasts better than SPARTA early fusion, HN + cycle"] == "holds"
    assert found["wide reconstructs better than SPARTA early fusion, HN + cycle"] == "not tested"
    assert found["Forecasts of wide beat climatology"] == "not tested"
