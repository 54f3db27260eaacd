"""How a run's downstream trials ended: each task's last losses, over its seeds."""

from collections.abc import Iterator

from sparta_ray.downstream.trial import is_finished, trials
from sparta_ray.run import Run
from sparta_ray.run_folder import RunFolder
from sparta_ray.spread import Key, as_csv, as_json, as_markdown, spreads

_HEADINGS = ("model", "task", "setting", "loss")


def write_summary(run: Run, folder: RunFolder) -> str:
    """Write ``downstream/summary.md``, ``.csv`` and ``.json``; return the table as Markdown."""
    rows = spreads(_last_losses(run, folder))
    table = as_markdown(_HEADINGS, rows)
    folder.write("downstream/summary.md", table + "\n")
    folder.write("downstream/summary.csv", as_csv(_HEADINGS, rows))
    folder.write("downstream/summary.json", as_json(_HEADINGS, rows))
    return table


def _last_losses(run: Run, folder: RunFolder) -> Iterator[tuple[Key, float]]:
    """Yield the last epoch's losses of every finished trial."""
    for trial in trials(run):
        if is_finished(folder, trial):
            last = folder.read_records(f"{trial.folder}-history.jsonl")[-1]
            for name, value in last.items():
                if name.endswith("loss"):
                    yield (trial.model, trial.task, trial.setting, name), value
