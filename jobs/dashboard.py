"""Show runs in TensorBoard while they train: losses, waits, embedding health, scores."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from sparta_ray.base.errors import ConfigError
from sparta_ray.base.folder import RunFolder
from sparta_ray.cli import errors_in_words
from sparta_ray.report.tensorboard import EventFiles


def main() -> None:
    """Follow the named run folders until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", help="run folders: paths or URLs, such as runs/demo")
    parser.add_argument("--port", type=int, default=6006, help="port on this machine only")
    parser.add_argument("--every", type=float, default=15, help="seconds between updates")
    parser.add_argument("--logdir", help="keep the event files here; otherwise they are deleted")
    arguments = parser.parse_args()
    with errors_in_words(continues=False), tempfile.TemporaryDirectory() as temporary:
        logdir = Path(arguments.logdir or temporary)
        files = [
            EventFiles(RunFolder(folder), logdir / name)
            for folder, name in zip(arguments.folders, names(arguments.folders), strict=True)
        ]
        follow(files, logdir, arguments.port, arguments.every)


def names(folders: Sequence[str]) -> list[str]:
    """Return each run's name in TensorBoard: its folder's name, or its path if names repeat."""
    last = [folder.rstrip("/").rpartition("/")[2] for folder in folders]
    if len(set(last)) == len(last):
        return last
    return [RunFolder(folder).url.rpartition("://")[2].strip("/") for folder in folders]


def follow(files: list[EventFiles], logdir: Path, port: int, every: float) -> None:
    """Serve TensorBoard on this machine only and keep the event files up to date."""
    if find_spec("tensorboard") is None:
        raise ConfigError("TensorBoard is not installed; pip install tensorboard")
    for run in files:
        run.update()
    command = [
        sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir),
        "--host", "127.0.0.1", "--port", str(port), "--reload_interval", str(every),
    ]  # fmt: skip
    with subprocess.Popen(command) as server:
        try:
            while server.poll() is None:
                time.sleep(every)
                for run in files:
                    run.update()
        finally:
            server.terminate()
            for run in files:
                run.close()
    raise ConfigError(f"TensorBoard stopped; if port {port} is in use, choose another with --port")


if __name__ == "__main__":
    main()
