"""A training command as a user gives it, whose processes can be found and killed."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE = 300.0
"""Seconds that anything may take on a busy machine."""

Record = dict[str, Any]


@dataclass
class Job:
    """One training command, which may be given again and again.

    Attributes:
        folder: Of its runs and its store.
        name: Of its run.
        settings: Changes to ``conf/smoke.yaml``.
        environment: Of the command and all processes that come of it.
    """

    folder: Path
    name: str
    settings: tuple[str, ...]
    environment: dict[str, str]
    process: "subprocess.Popen[str] | None" = field(default=None)

    def start(self, *more: str) -> None:
        changes = (
            f"name={self.name}",
            f"folder={self.folder}/runs",
            f"data.store={self.folder}/store.zarr",
            *self.settings,
        )
        command = [sys.executable, "jobs/train_sparta.py", "--config", "conf/smoke.yaml"]
        command += [part for change in changes for part in ("--set", change)]
        self.process = subprocess.Popen(
            [*command, "--until", "train", *more], cwd=ROOT, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def end(self) -> tuple[int, str]:
        """Wait for the command; return its status and what it printed."""
        assert self.process is not None
        output, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output

    def run(self, *more: str) -> tuple[int, str]:
        self.start(*more)
        return self.end()

    def history(self) -> list[Record]:
        """Return the whole records that training has written so far."""
        file = self.folder / "runs" / self.name / "metrics.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def steps(self) -> list[Record]:
        return [record for record in self.history() if record["event"] == "step"]

    def wait_for(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Return whether something came to be before the command ended."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < deadline, f"waited in vain; history: {self.history()[-3:]}"
            time.sleep(0.01)
        return True

    def processes(self, named: str) -> list[int]:
        """Return the processes that came of the command and bear a name."""
        mark, found = self.environment["JOB_MARK"].encode(), []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                ours = mark in (process / "environ").read_bytes()
                if ours and named.encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:  # it has ended meanwhile
                continue
        return sorted(found)
