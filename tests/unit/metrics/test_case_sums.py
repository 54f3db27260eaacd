import numpy as np
import pytest

from sparta_ray.metrics.case_sums import Cases, CaseSums, on_common_windows
from sparta_ray.metrics.catalogue import METRICS, metric_of, rule_of
from sparta_ray.metrics.metric import FORMS, CaseMetric, best
from sparta_ray.metrics.records import Score, Subject


def result(form, sums):
    return rule_of(form).result(np.array(sums))


def test_forms_by_hand():
    assert result("mean", [6.0, 3.0]) == 2
    assert result("root mean", [12.0, 3.0]) == 2
    assert result("decibel", [1.0, 100.0]) == pytest.approx(20)
    assert result("relative root mean", [2.0, 4.0, 2.0]) == 50
    sums = [[1 + 9, 1 + 3, 2.0], [4 + 4, 2 + 2, 2.0]]
    assert result("standard deviation", sums).tolist() == [1.0, 0.0]


def test_the_names_of_forms_are_those_of_saved_evaluations():
    assert list(FORMS) == [
        "mean", "root mean", "relative root mean", "decibel", "standard deviation",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_sums_over_nothing_have_no_score(form):
    nothing = np.zeros(2 if form in ("mean", "root mean", "decibel") else 3)
    assert np.isnan(result(form, nothing))
    assert rule_of(form).why_undefined(nothing) == "there is no true value to compare with"


def test_a_metric_with_a_rule_of_its_own_is_found_by_its_key(monkeypatch):
    class Largest(CaseMetric):
        key, label, better, meaning = "largest", "Largest", "lower", "Largest sum."

        def result(self, sums):
            return np.max(np.asarray(sums), axis=-1)

    monkeypatch.setitem(METRICS, "largest", Largest())
    found = Cases(Subject("forecast", "a"), np.arange(2.0)).score(Largest(), np.eye(2) * [[1], [5]])
    assert (found.form, found.score.value) == ("largest", 5)
    assert found.result(np.array([[1.0, 2.0], [4.0, 3.0]])).tolist() == [2, 4]
    with pytest.raises(ValueError, match="form 'guessing'"):
        rule_of("guessing")


def test_every_metric_is_known_by_its_key_and_others_by_their_own_name():
    assert all(metric.key == key for key, metric in METRICS.items())
    assert metric_of("season nmi k=12").label == "NMI k=12"
    unknown = metric_of("temporal distance std")
    assert (unknown.label, unknown.better, unknown.meaning) == ("Temporal distance std", None, "")


def test_the_best_is_in_the_direction_of_the_metric():
    assert best([3.0, -1.0, -4.0], "nearer zero") == -1
    assert (best([3.0, 1.0], "lower"), best([3.0, 1.0], "higher")) == (1, 3)


def test_scores_on_common_cases_are_made_again_where_they_have_one():
    def relative(days, truth):
        sums = np.stack([np.ones(len(days)), np.array(truth), np.ones(len(days))])
        score = Score("forecast", "a", "rrmse", 50.0)
        return CaseSums(score, "relative root mean", np.array(days), sums)

    ours, theirs = on_common_windows(
        [relative([1.0, 2.0, 3.0], [4.0, -1.0, -1.0])], [relative([2.0, 3.0, 4.0], [2.0, 2.0, 9.0])]
    )
    assert theirs[0].score.value == 50
    assert theirs[0].days.tolist() == [2, 3]
    assert "not above 0" in ours[0].why_undefined
