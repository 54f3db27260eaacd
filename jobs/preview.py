"""Draw the first rows of a run's first batch, as the encoder would see them, to a PNG."""

import argparse
from pathlib import Path

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError
from sparta_ray.base.paths import output_path
from sparta_ray.cli import DEMO, errors_in_words
from sparta_ray.figures.batch_preview import preview
from sparta_ray.run.settings import Run, with_absolute_paths


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
    with errors_in_words(continues=False):
        run = with_absolute_paths(load(Run, arguments.config, arguments.overrides))
        figure = preview(run, arguments.rows, arguments.variable)
        output = Path(output_path(arguments.output))
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(output, dpi=150)
        except OSError as error:
            raise ConfigError(f"cannot write the preview: {error}") from error
        print(f"preview: {output}")


if __name__ == "__main__":
    main()
