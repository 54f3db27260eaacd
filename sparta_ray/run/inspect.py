"""What a run's data are like, and whether the run fits them; asked before anything is started."""

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.data.preparation.recipe import DataConfig, check_settings
from sparta_ray.data.preparation.shards import plan_store
from sparta_ray.data.preparation.streaming import check_stream
from sparta_ray.data.store.layout import StoreLayout
from sparta_ray.data.store.store import Store, read_meta
from sparta_ray.run.checks import check_run
from sparta_ray.run.ownership import NOTHING, Allowed, check_owner
from sparta_ray.run.settings import Run


def check_before(
    run: Run, layout: StoreLayout, links: tuple[str, ...], allowed: Allowed = NOTHING
) -> str | None:
    """Refuse what cannot work, before anything is started or spent.

    Data may be prepared for other runs, on a grid or for days that this one could not train on.

    Returns:
        Where data alone is prepared, what this run could not do with it.

    Raises:
        ConfigError: See `check_fits`.
    """
    try:
        check_fits(run, layout, allowed)
    except ConfigError as error:
        if links != ("prepare",):
            raise
        return f"prepare: the data can be prepared, but not trained on as configured: {error}"
    return None


def layout_of(data: DataConfig) -> StoreLayout:
    """Return what a run's data will be like.

    A finished store is all that a run needs: its source is not opened again.

    Raises:
        ConfigError: The store is another recipe's, or the source cannot be read or does not fit.
    """
    meta = read_meta(data.store)
    if meta is not None:
        check_settings(meta, data)
    finished = meta is not None and meta["complete"]
    return Store(data.store).layout if finished else plan_store(data).layout


def check_fits(run: Run, layout: StoreLayout, allowed: Allowed = NOTHING) -> None:
    """Refuse a run that its data cannot carry, or whose folder is another's.

    Raises:
        ConfigError: Names the setting, the numbers and the remedy.
    """
    check_run(run, layout.days, (len(layout.longitude), len(layout.latitude)))
    if run.data.mode == "stream":
        check_stream(run.data.cache, run.sampling, layout)
    meta = read_meta(run.data.store)
    fingerprint = None if meta is None else meta.get("fingerprint")
    check_owner(RunFolder(run.path), run, fingerprint, allowed)
