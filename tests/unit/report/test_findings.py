from sparta_ray.metrics.records import Score
from sparta_ray.report.findings import findings

SETTING = "lookback5_stride5"


def forecasts(**by_model):
    """Return RRMSE by model: a value at 1, 2, … days."""
    return [
        Score("forecast", model, "rrmse", value, "%", lead_days=lead, setting=SETTING)
        for model, values in by_model.items()
        for lead, value in enumerate(values, start=1)
    ]


def test_the_contrastive_loss_is_told_after_every_stage():
    scores = [
        Score("contrastive", "sparta after pretrain", "nt_xent", 3.1),
        Score("contrastive", "sparta after pretrain", "guessing", 5.5),
        Score("contrastive", "sparta after joint", "nt_xent", 3.7),
        Score("contrastive", "sparta after joint", "guessing", 5.4),
    ]
    assert findings(scores) == [
        "Contrastive pretraining: the validation NT-Xent, with the chance level in brackets, is "
        "3.10 (5.50) for SPARTA after pretrain, 3.70 (5.40) for SPARTA after joint."
    ]


def test_any_contrastive_loss_is_told_under_its_name():
    scores = [
        Score("contrastive", "sparta after pretrain", "barlow_twins", 3.1),
        Score("contrastive", "sparta after pretrain", "one_of_ones_own", 0.5),
    ]
    assert findings(scores) == [
        "Contrastive pretraining: the validation loss (Barlow Twins) is 3.10 for SPARTA after "
        "pretrain.",
        "Contrastive pretraining: the validation loss (One_of_ones_own) is 0.50 for SPARTA after "
        "pretrain.",
    ]


def test_reconstructions_are_ranked_best_first():
    def error(model, value):
        return Score("reconstruction", model, "standardised error", value)

    rest = [error("climatology", 2.0), error("autoencoder", 1.5), error("mean field", 3.0)]
    (sentence,) = findings([error("sparta", 2.5), *rest])
    assert sentence.endswith(
        "best first: autoencoder 1.50, climatology 2.00, SPARTA 2.50, mean field 3.00."
    )


def test_a_forecast_that_never_beats_both_baselines_is_said_to():
    scores = forecasts(sparta=[2.0, 3.5], persistence=[1.0, 4.0], climatology=[3.0, 3.5])
    (sentence,) = findings(scores)
    assert sentence == (
        "Forecast (look-back 5 days, training windows starting every 5 days): SPARTA has an RRMSE "
        "of 2.00 % at 1 day and 3.50 % at 2 days; persistence 1.00 and 4.00 %, climatology 3.00 "
        "and 3.50 %. It is not below both baselines at any lead time."
    )


def test_a_forecast_that_beats_both_baselines_is_said_where():
    baselines = {"persistence": [2.0, 4.0, 5.0], "climatology": [3.0, 3.5, 3.5]}
    (later,) = findings(forecasts(sparta=[2.5, 3.0, 3.0], **baselines))
    assert later.endswith("It is below both baselines at 2 of 3 lead times, first at 2 days.")
    (first,) = findings(forecasts(sparta=[1.5, 3.6, 3.6], **baselines))
    assert first.endswith("It is below both baselines at 1 of 3 lead times, first at 1 day.")


def test_many_models_share_a_sentence():
    baselines = {"persistence": [2.0, 4.0], "climatology": [3.0, 3.5]}
    (sentence,) = findings(forecasts(a=[2.5, 3.0], b=[1.0, 3.0], c=[3.0, 5.0], **baselines))
    assert sentence == (
        "Forecast (look-back 5 days, training windows starting every 5 days), RRMSE at 1 day and "
        "2 days: a 2.50 and 3.00 %, b 1.00 and 3.00 %, c 3.00 and 5.00 %, persistence 2.00 and "
        "4.00 %, climatology 3.00 and 3.50 %. Below both baselines: a at 1 of 2 lead times, b at "
        "2 of 2 lead times."
    )


def test_seeds_are_averaged_and_every_model_has_its_sentence():
    baselines = {"persistence": [2.0, 4.0], "climatology": [3.0, 3.5]}
    seeds = forecasts(sparta=[1.0, 3.0]) + forecasts(sparta=[2.0, 5.0])
    sparta, autoencoder = findings(seeds + forecasts(autoencoder=[1.0, 2.0], **baselines))
    assert "SPARTA has an RRMSE of 1.50 % at 1 day and 4.00 % at 2 days" in sparta
    assert sparta.endswith("It is below both baselines at 1 of 2 lead times, first at 1 day.")
    assert autoencoder.endswith("It is below both baselines at 2 of 2 lead times, first at 1 day.")


def test_generation_seasons_and_smoothness():
    def embeddings(model, raw, relative):
        yield Score("latent space", model, "temporal distance", raw)
        yield Score("latent space", model, "relative temporal distance", relative)

    generated = [
        Score("diffusion", model, "rrmse", value, "%")
        for model, value in (("sparta", 4.321), ("climatology", 3.0))
    ]
    assert findings(generated) == [
        "Generation from masked days: the RRMSE of the decoded mean sample is 4.32 % for SPARTA."
    ]
    seasons = [
        Score("classification", "sparta", "accuracy", 0.6, seed=0),
        Score("classification", "sparta", "accuracy", 0.8, seed=1),
        Score("classification", "majority", "accuracy", 0.26),
    ]
    (sentence,) = findings(seasons)
    assert "classified correctly is 70 % for SPARTA." in sentence
    assert "correct for 26 %" in sentence
    assert findings(seasons[2:]) == []
    disagree = [*embeddings("sparta", 1.0, 0.5), *embeddings("autoencoder", 9.0, 0.2)]
    (sentence,) = findings(disagree)
    assert sentence.endswith(
        "smallest for SPARTA. Divided by the variance of the embeddings, they are smallest for "
        "autoencoder."
    )
    assert findings(disagree[:2]) == []
    assert findings([]) == []
