"""The embedding space itself: smoothness, size and rank on consecutive masked test days."""

import numpy as np
import xarray as xr

from sparta_ray.data.splits import Split
from sparta_ray.evaluation.latent_space import effective_rank, smoothness
from sparta_ray.evaluation.reconstruction import STREAM
from sparta_ray.evaluation.results import Results
from sparta_ray.evaluation.setup import Setup
from sparta_ray.evaluation.truth import Subject
from sparta_ray.training.stages import ModelKind


def evaluate_embeddings(setup: Setup, kind: ModelKind) -> Results:
    """Measure how smoothly a model's embeddings move from day to day (Table 4)."""
    test = setup.parts["test"]
    days = min(setup.run.evaluation.smoothness_days, len(test))
    part = Split(test.start, test.start + days)
    h_TD = setup.latents(kind).masked(part, setup.run.downstream.mask, STREAM).numpy()
    subject = Subject("latent space", kind)
    raw = smoothness(h_TD)
    relative = raw.relative()
    scores = [
        subject.score("temporal distance", raw.temporal_mean),
        subject.score("cycle distance", raw.cycle_mean),
        subject.score("relative temporal distance", relative.temporal_mean),
        subject.score("relative cycle distance", relative.cycle_mean),
        subject.score("temporal distance std", raw.temporal_std),
        subject.score("cycle distance std", raw.cycle_std),
        subject.score("total variance", raw.total_variance),
        subject.score("effective rank", effective_rank(h_TD)),
    ]
    times = setup.store.days[np.arange(part.start, part.stop)].astype("datetime64[ns]")
    embeddings = xr.DataArray(h_TD, dims=("time", "component"), coords={"time": times})
    return Results(scores, {f"embeddings-{kind}": embeddings})
