"""A step that was not finite is written into the run folder, for `jobs/replay.py`."""

from sparta_ray.base.config import to_tree
from sparta_ray.base.distributed import gather_objects
from sparta_ray.base.folder import RunFolder
from sparta_ray.base.seeding import derive_seed
from sparta_ray.data.batches.builder import BatchBuilder
from sparta_ray.data.store.store import Store
from sparta_ray.run.replay import Failure, join_rows
from sparta_ray.run.settings import Run
from sparta_ray.training.finite import NonFiniteError
from sparta_ray.training.precision import Precision
from sparta_ray.training.state import StageState


def record_failed_step(
    run: Run,
    stage: int,
    state: StageState,
    builder: BatchBuilder,
    store: Store,
    precision: Precision,
    error: NonFiniteError,
) -> str:
    """Write a failed step, with all ranks' rows, into the run folder; all ranks take part.

    The batch is built again: by then it may be some steps ago, and only the first few batches ahead
    are kept in memory.

    Args:
        run: The run.
        stage: Index of the stage.
        state: With the weights that gave the failure.
        builder: Of this rank's batches.
        store: Which their days are of.
        precision: In which the networks ran.
        error: What was not finite, and at which step.

    Returns:
        What to tell the user.
    """
    recipe, position = builder.recipe, error.position
    parts = gather_objects(builder.build(position))
    days = store.days[builder.days(position)].astype(str).tolist()
    folder = RunFolder(run.path)
    name = f"failures/{state.module.stage.kind}-step{position}.pt"
    if builder.rank == 0:
        unit = recipe.schedule.batch_at(position)
        failure = Failure(
            error=str(error),
            run=to_tree(run),
            stage=stage,
            epoch=unit.epoch,
            training=unit.split == "train",
            seed=derive_seed(recipe.seed, "dropout", position),
            precision=precision,
            days=days,
            latitude=store.latitude.tolist(),
            weights=state.module.model.state_dict(),
            batch=join_rows(parts),
        )
        folder.write(name, failure.to_bytes())
    return (
        f"{error}. Its {len(days)} rows are of {', '.join(days[:3])} …; to see where it comes "
        f"from: python jobs/replay.py {folder.child(name)}"
    )
