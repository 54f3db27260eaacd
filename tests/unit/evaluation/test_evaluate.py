import math
import re

import numpy as np
import pytest

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.plan.seasons import SEASONS
from sparta_ray.evaluation.results import load_results
from sparta_ray.evaluation.seasons import majority_accuracy
from sparta_ray.tasks.classification import Classification
from sparta_ray.tasks.evaluate import evaluate
from sparta_ray.tasks.trials import trials


def test_seasons_are_counted_by_the_true_one(setup, save_random, value_of):
    trial = save_random("autoencoder", "classification")
    results = Classification().evaluate(setup, trial)
    counts = results.arrays[f"confusion-{trial.name}"]
    assert counts.dims == ("season", "guess")
    spring = SEASONS.index("MAM")  # every test day lies in April and May
    assert counts.sum("guess").values.tolist() == [40 * (i == spring) for i in range(4)]
    assert counts[spring, spring] < 40  # some are wrong, so that rows differ from columns
    assert value_of(results.scores, "accuracy") == float(counts[spring, spring]) / 40
    assert math.isfinite(value_of(results.scores, "cross-entropy"))
    assert majority_accuracy(setup) == 1.0


def test_a_run_is_evaluated_once_and_says_what_it_does(linear_run, save_random, capsys):
    folder = RunFolder(linear_run.path)
    unfinished = trials(linear_run)[-1]
    for trial in trials(linear_run)[:-1]:
        save_random(trial.model, trial.task, trial.setting)
    if not folder.exists(f"{unfinished.folder}/trial.json"):
        with pytest.raises(ConfigError, match="1 downstream trials are not finished"):
            evaluate(linear_run)
        save_random(unfinished.model, unfinished.task, unfinished.setting)
    history = [
        {"event": "epoch", "stage": stage, "epoch": epoch, "validation_nt_xent": loss}
        for stage, losses in {"pretrain": (9.0, 8.0), "joint": (7.0, 7.5)}.items()
        for epoch, loss in enumerate(losses)
    ]
    folder.append_records("metrics.jsonl", history)

    evaluate(linear_run)
    lines = capsys.readouterr().out.splitlines()
    parts = 2 + 2 * (5 + 2 + 1) + 2 + 1 + len(trials(linear_run))
    starts = [re.match(rf"evaluate (\d+)/{parts} ", line) for line in lines]
    assert [int(start[1]) for start in starts] == list(range(parts + 1))
    assert lines[1].startswith(f"evaluate 1/{parts} reconstruction | eta ")
    assert lines[-1].startswith(f"evaluate {parts}/{parts} done in ")

    results = load_results(folder)
    scores = results.scores
    assert [found.score.value for found in results.windows] == pytest.approx(
        [float(found.result(found.sums.sum(axis=1))) for found in results.windows]
    )
    published = {s.model: s.published for s in scores if s.metric == "rrmse" and s.lead_days == 25}
    assert published["sparta"] == 15.71
    assert published["climatology"] is None
    nmi = {f"season nmi k={k}" for k in (4, 8, 12, 16, 24, 32)}
    assert {absent.metric for absent in results.absent} == nmi  # every test day is in one season
    assert results.costs["sparta"].steps > results.costs["autoencoder"].steps > 0
    losses = {(s.model, s.metric): s.value for s in scores if s.task == "contrastive"}
    guessing = math.log(2 * linear_run.sampling.rows_per_full_batch - 1)
    assert losses == {
        ("sparta after pretrain", "nt_xent"): 4.0,
        ("sparta after pretrain", "guessing"): pytest.approx(guessing),
        ("sparta after joint", "nt_xent"): 3.75,
        ("sparta after joint", "guessing"): pytest.approx(guessing),
    }
    models = {s.model for s in scores if s.task == "forecast"}
    bounds = {"perfect-forecast bound of sparta", "perfect-forecast bound of autoencoder"}
    assert models == {"sparta", "autoencoder", "persistence", "climatology"} | bounds
    assert np.isfinite([score.value for score in scores]).all()

    evaluate(linear_run)
    assert capsys.readouterr().out == ""
