"""Draw the first rows of a run's first batch, as the encoder would see them, to a PNG."""

import argparse
import sys
from pathlib import Path

from sparta_ray.cli import DEMO
from sparta_ray.config import ConfigError, load
from sparta_ray.evaluation.preview import preview
from sparta_ray.paths import kept
from sparta_ray.run import Run, located


def main() -> None:
    """Draw what the command line asks for; the run's store must be prepared, Ray is not used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=DEMO, help=f"a YAML file; without it, {DEMO}")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="a.b=c")
    parser.add_argument(
        "--rows", type=int, default=3, choices=range(1, 25), metavar="N", help="rows, 1 to 24"
    )
    parser.add_argument(
        "--variable", action="append", default=[], help="a label; may be repeated; else the first"
    )
    parser.add_argument("--output", default="preview.png", help="the file to write")
    arguments = parser.parse_args()
    try:
        run = located(load(Run, arguments.config, arguments.overrides))
        output = Path(kept(arguments.output))
        output.parent.mkdir(parents=True, exist_ok=True)
        preview(run, arguments.rows, arguments.variable).savefig(output, dpi=150)
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"preview: {output}")


if __name__ == "__main__":
    main()
