"""The table of a run, and the machine it ran on."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import Row

PACKAGES = ("numpy", "scipy", "torch", "ray", "zarr", "xarray")


def machine() -> dict[str, str]:
    """Return the processor, its cores, the memory and the versions that matter."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return {
        "CPU": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{gibibytes:.0f} GiB",
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def markdown(rows: Sequence[Row]) -> str:
    """Return the table, one line a row."""
    lines = [
        "| what | here | plain way | ratio | to reach | |",
        "|---|---:|---:|---:|---:|---|",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
    ]
    return "\n".join(lines)


def write(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``results.json`` and ``results.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    about = machine()
    record = {"machine": about, "rows": [asdict(row) for row in rows]}
    (folder / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    said = "\n".join(f"{name}: {value}  " for name, value in about.items())
    (folder / "results.md").write_text(f"{said}\n\n{markdown(rows)}\n")


def _cells(row: Row) -> list[str]:
    verdict = {None: "", True: "reached", False: "**missed**"}[row.reached]
    ratio = "" if row.ratio is None else number(row.ratio)
    ours, plain = (
        "" if value is None else f"{number(value)} {row.unit}" for value in (row.ours, row.plain)
    )
    return [row.what, ours, plain, ratio, row.target, verdict]


def number(value: float) -> str:
    """Return three digits that count, and all before the point.

    >>> number(0.012345), number(23.71), number(4271.2)
    ('0.0123', '23.7', '4,271')
    """
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.4f}" if "e" in text else text
