"""Do a step again whose loss or gradient was not finite, and say where it goes wrong."""

import argparse

from sparta_ray.cli import errors_in_words
from sparta_ray.run.replay import Failure, replay


def main() -> None:
    """Read a failed step's file and print what its replay finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="the file that the run's error names")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16", "float64"), help="instead of the run's"
    )
    arguments = parser.parse_args()
    with errors_in_words(continues=False):
        for line in replay(Failure.read(arguments.file), arguments.precision):
            print(line, flush=True)


if __name__ == "__main__":
    main()
