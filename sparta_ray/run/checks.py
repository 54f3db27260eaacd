"""Whether a run fits its data: splits, masks, batches, models and downstream tasks."""

import numpy as np
import torch
from numpy.typing import NDArray

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.grids import Grid, closes_circle
from sparta_ray.data.plan.mask_shapes import Points, Variables
from sparta_ray.data.plan.masking import MaskConfig, check_mask
from sparta_ray.data.plan.sampling import anchors, check_split
from sparta_ray.data.plan.splits import Split, SplitName
from sparta_ray.run.settings import Run, downstream_splits, splits
from sparta_ray.training.stages import build_model


def check_run(run: Run, dates: NDArray[np.datetime64], grid: tuple[int, int]) -> None:
    """Refuse a run that does not fit its data, before anything is started.

    Args:
        run: The run.
        dates: Beginnings of its data's steps, in whole days or else hours, shape (T,).
        grid: Numbers of longitudes and latitudes.

    Raises:
        ConfigError: Names the setting, the numbers and the remedy.
    """
    parts = splits(run, len(dates))
    _check_climatology(run, dates[parts["train"].start : parts["train"].stop])
    _check_masks(run)
    _check_batches(run, parts)
    run.model.encoder.check_size(run.views.crop)
    with torch.device("meta"):  # checks sizes without computing anything
        for kind in run.models:
            build_model(kind, run.data.variables, grid, run.model)
    _check_forecasts(run, downstream_splits(run, len(dates)))


def check_region(run: Run, grid: Grid) -> None:
    """Refuse settings that take a region for the globe.

    Args:
        run: The run.
        grid: The centres of its data's cells.

    Raises:
        ConfigError: Names the setting, the region and the remedy.
    """
    ends = f"{grid.longitude[0]:g} … {grid.longitude[-1]:g}"
    joined = {"views.periodic": run.views.periodic, "model.periodic": run.model.periodic != "none"}
    wrong = [path for path, is_set in joined.items() if is_set]
    if wrong and not closes_circle(grid.longitude):
        raise ConfigError(
            f"{' and '.join(wrong)} would join the ends of longitude, but the data are a region "
            f"whose longitudes, {ends}, do not go round the globe; set views.periodic to false and "
            "model.periodic to none"
        )
    if grid.is_global:
        return
    for path, mask in _masks(run).items():
        if not isinstance(mask.shape, (Points, Variables)):
            raise ConfigError(
                f"{path}.shape: kind `{mask.shape.kind}` is laid out over the whole globe, but the "
                f"data are a region of longitudes {ends} and latitudes {grid.latitude[0]:g} … "
                f"{grid.latitude[-1]:g}; use kind `points` or `variables`"
            )


def _check_climatology(run: Run, training_times: NDArray[np.datetime64]) -> None:
    """Refuse training steps that leave some day of the year without a climatology."""
    days = training_times.astype("datetime64[D]")
    hours = (training_times - days).astype("timedelta64[h]").astype(int)
    farthest = max(_farthest_day_of_year(days[hours == hour]) for hour in np.unique(hours))
    if farthest >= run.evaluation.climatology_half_window:
        raise ConfigError(
            f"the train split has {len(training_times)} {run.data.length.nouns} and leaves a day "
            f"of the year {farthest} days from any of them: no climatology within "
            f"evaluation.climatology_half_window {run.evaluation.climatology_half_window}; train "
            f"on a whole year, or set it to at least {farthest + 1}"
        )


def _farthest_day_of_year(days: NDArray[np.datetime64]) -> int:
    """Return how many days the day of the year lies away that is farthest from some days."""
    year = 366
    known = np.unique((days - days.astype("datetime64[Y]")).astype(int))
    gaps = np.diff(np.append(known, known[0] + year))
    return int(gaps.max()) // 2


def _masks(run: Run) -> dict[str, MaskConfig]:
    return {
        "mask": run.mask,
        "downstream.mask": run.downstream.mask,
        "downstream.classification_mask": run.downstream.classification_mask,
    }


def _check_masks(run: Run) -> None:
    for path, mask in _masks(run).items():
        check_mask(mask, path, len(run.data.variables))


def _check_batches(run: Run, parts: dict[SplitName, Split]) -> None:
    """Refuse splits without enough days for a batch, and batches without enough rows."""
    training: tuple[SplitName, ...] = ("train", "validation")
    for name in training:
        check_split(parts[name], name, run.sampling, run.data.length)
    for name in training:
        last = len(anchors(parts[name], run.sampling)) % run.sampling.anchors_per_batch
        rows = (last or run.sampling.anchors_per_batch) * run.sampling.rows_per_anchor
        _check_rows(run, name, rows)


def _check_rows(run: Run, split: SplitName, rows: int) -> None:
    """Refuse more workers than the shortest batch has rows, and a batch of a single row.

    Batch norms are computed over all workers and need two rows.
    """
    workers = run.scaling.most_workers
    if rows < max(2, workers):
        fewer = f", or at most {rows} workers" if rows > 1 else ""
        raise ConfigError(
            f"the last {split} batch of an epoch has {rows} rows, too few for "
            f"scaling.num_workers {workers}; use another "
            f"sampling.rows_per_batch{fewer}"
        )


def _check_forecasts(run: Run, parts: dict[SplitName, Split]) -> None:
    """Refuse forecasts whose windows are longer than a downstream split, or whose steps misfit."""
    steps = run.data.length.nouns
    for name, setting in run.downstream.forecast.items():
        setting.check_step(run.data.length, f"downstream.forecast.{name}")
        horizons: dict[SplitName, int] = {
            "train": setting.training_horizon,
            "validation": setting.training_horizon,
            "test": setting.lead_days,
        }
        for split, horizon in horizons.items():
            length = len(parts[split])
            if setting.look_back + horizon > length:
                raise ConfigError(
                    f"downstream.forecast.{name}: look_back {setting.look_back} and {horizon} "
                    f"further {steps} do not fit into the {length} {steps} of the downstream "
                    f"{split} split; shorten look_back or lead_days, or enlarge that split"
                )


def check_targets(run: Run) -> None:
    """Refuse forecasters that learn from the fields themselves, of data that may lack values.

    Raises:
        ConfigError: Names both settings and the remedy.
    """
    if run.data.max_missing == 0:
        return
    for name, setting in run.downstream.forecast.items():
        if setting.needs_fields:
            raise ConfigError(
                f"downstream.forecast.{name}.target is fields, which must be complete, but "
                f"data.max_missing {run.data.max_missing:g} lets values be missing; set the target "
                "to embedding, or data.max_missing to 0"
            )
