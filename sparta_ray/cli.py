"""The command line that all jobs share, and the command ``sparta-ray``."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sparta_ray.base.config import load
from sparta_ray.base.errors import ConfigError, FailedError
from sparta_ray.base.schema import json_schema
from sparta_ray.chain import LINKS, describe, run_chain
from sparta_ray.run.ownership import Allowed
from sparta_ray.run.settings import Run, with_absolute_paths
from sparta_ray.studies.config import StudyConfig, load_study
from sparta_ray.studies.estimate import describe_study
from sparta_ray.studies.run_study import run_study
from sparta_ray.studies.trial import trials_of

DEMO = "conf/demo.yaml"
SMALL = "conf/study/small.yaml"

_ALLOWANCES = {
    "changed-config": "continue a run under settings that change what its weights become",
    "changed-data": "continue a run on another store",
    "older-checkpoint": "if the last checkpoint is damaged, continue from the one before",
}
"""What a user may allow when a run is continued, in the order of `Allowed`."""


def main(description: str, links: Sequence[str] = LINKS) -> None:
    """Read a run from the command line and do some links of its chain, or describe them."""
    parser = job_parser(description, DEMO)
    if len(links) > 1:
        parser.add_argument("--until", choices=links, default=links[-1], help="the last link to do")
        for flag, meaning in _ALLOWANCES.items():
            parser.add_argument(f"--allow-{flag}", action="store_true", help=meaning)
    arguments = parser.parse_args()
    wanted = tuple(links)
    if len(links) > 1:
        wanted = wanted[: wanted.index(arguments.until) + 1]
    with errors_in_words():
        run = with_absolute_paths(load(Run, arguments.config, arguments.overrides))
        if arguments.dry_run:
            print(describe(run, wanted))
        else:
            flags = [f"allow_{flag.replace('-', '_')}" for flag in _ALLOWANCES]
            run_chain(run, wanted, Allowed(*(getattr(arguments, f, False) for f in flags)))


def study_main(description: str) -> None:
    """Read a study from the command line and do it, or describe what it would cost."""
    arguments = job_parser(description, SMALL).parse_args()
    with errors_in_words():
        study = load_study(arguments.config, tuple(arguments.overrides))
        trials = trials_of(study, arguments.config)
        if arguments.dry_run:
            for line in describe_study(study, trials):
                print(line, flush=True)
        else:
            run_study(study, trials)


def job_parser(description: str, default: str) -> argparse.ArgumentParser:
    """Return a parser of the arguments that every job takes; `default` is the config file."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", default=default, help=f"a YAML file; without it, {default}")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="a.b=c",
        help="change one setting; may be repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )
    return parser


@contextmanager
def errors_in_words(continues: bool = True) -> Iterator[None]:
    """Print a user's error in a few lines instead of a traceback, and exit.

    The exit code is 2 for what cannot be done as configured, 1 for what failed, and 130 for an
    interruption.

    Args:
        continues: Whether the same command continues where it was interrupted.
    """
    try:
        yield
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except FailedError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"interrupted{'; the same command continues' * continues}", file=sys.stderr)
        sys.exit(130)


@dataclass(frozen=True)
class Command:
    """A subcommand of ``sparta-ray``.

    Attributes:
        help: What it does, in one line.
        add_arguments: Adds its arguments to its parser.
        run: Does it.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def _add_schema_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", action="store_true", help="the schema of a study's file instead")


def _print_schema(arguments: argparse.Namespace) -> None:
    schema = json_schema(StudyConfig if arguments.study else Run)
    print(json.dumps(schema, indent=2, ensure_ascii=False))


COMMANDS = {
    "schema": Command(
        "print the JSON schema of a run's YAML file, for editors",
        _add_schema_arguments,
        _print_schema,
    ),
}
"""The subcommands of ``sparta-ray``, by name."""


def app(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand of ``sparta-ray``; None takes the arguments from the command line."""
    parser = argparse.ArgumentParser(prog="sparta-ray", description="SPARTA weather embeddings")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, command in COMMANDS.items():
        command.add_arguments(subparsers.add_parser(name, help=command.help))
    chosen = parser.parse_args(arguments)
    with errors_in_words():
        COMMANDS[chosen.command].run(chosen)
