"""Run benchmarks and write their table: ``python -m benchmarks [NAME …]``."""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks import (
    batches,
    fits,
    forecast,
    fusion,
    losses,
    prepare,
    ranks,
    readbacks,
    regrid,
    report,
    steps,
    stores,
    streaming,
    streams,
)
from benchmarks.harness import Benchmark, Row, Setting

BENCHMARKS: dict[str, Benchmark] = {
    "batches": batches.measure,
    "streams": streams.measure,
    "streaming": streaming.measure,
    "fits": fits.measure,
    "stores": stores.measure,
    "regrid": regrid.measure,
    "prepare": prepare.measure,
    "losses": losses.measure,
    "steps": steps.measure,
    "fusion": fusion.measure,
    "ranks": ranks.measure,
    "readbacks": readbacks.measure,
    "forecast": forecast.measure,
}


def main() -> None:
    """Run what the command line names, one after another, and tell each as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--out", default="runs/benchmarks", help="folder of the results")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of timings")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: to see that all of it works"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - BENCHMARKS.keys()):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        setting = Setting(Path(folder), arguments.repeats, arguments.quick)
        for name in arguments.names or BENCHMARKS:
            began = time.monotonic()
            found = list(BENCHMARKS[name](setting))
            print(
                f"\n{name}, {time.monotonic() - began:.0f} s\n{report.markdown(found)}", flush=True
            )
            rows += found
    report.write(Path(arguments.out), rows)
    print(f"\nwritten to {arguments.out}/results.md and results.json")


if __name__ == "__main__":
    main()
