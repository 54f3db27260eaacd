"""The command line that all jobs share."""

import argparse
import sys
from collections.abc import Sequence

from sparta_ray.chain import LINKS, describe, run_chain
from sparta_ray.config import ConfigError, load
from sparta_ray.run import Run, located
from sparta_ray.run_folder import Allowed

DEMO = "conf/demo.yaml"

_ALLOWANCES = {
    "changed-config": "continue a run under settings that change what its weights become",
    "changed-data": "continue a run on another store",
    "older-checkpoint": "if the last checkpoint is damaged, continue from the one before",
}
"""What a user may say of a run that is continued, in the order of `Allowed`."""


def main(description: str, links: Sequence[str] = LINKS) -> None:
    """Read a run from the command line and do some links of its chain.

    Exits with 2 after one clear line if the run cannot be done as it is configured, and with 130
    after an interruption, which the same command continues.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", default=DEMO, help=f"a YAML file; without it, {DEMO}")
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
    if len(links) > 1:
        parser.add_argument("--until", choices=links, default=links[-1], help="the last link to do")
        for flag, meaning in _ALLOWANCES.items():
            parser.add_argument(f"--allow-{flag}", action="store_true", help=meaning)
    arguments = parser.parse_args()
    wanted = tuple(links)
    if len(links) > 1:
        wanted = wanted[: wanted.index(arguments.until) + 1]
    try:
        run = located(load(Run, arguments.config, arguments.overrides))
        if arguments.dry_run:
            print(describe(run))
        else:
            flags = [f"allow_{flag.replace('-', '_')}" for flag in _ALLOWANCES]
            run_chain(run, wanted, Allowed(*(getattr(arguments, f, False) for f in flags)))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)
