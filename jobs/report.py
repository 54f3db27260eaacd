"""Write the report of evaluated runs: of one configured, of run folders, or of a study's folder."""

import argparse
import sys

from sparta_ray.base.paths import output_path
from sparta_ray.cli import errors_in_words, main
from sparta_ray.report.build import write_pages


def report_of_folders(arguments: list[str]) -> None:
    """Write one page of all the run folders, or of the study folder, that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", metavar="RUN", help="a run's or a study's folder")
    parser.add_argument("--runs", nargs="+", default=[], metavar="RUN", help="the same")
    known = parser.parse_args(arguments)
    folders = [output_path(folder) for folder in (*known.folders, *known.runs)]
    with errors_in_words():
        print(f"report: {write_pages(folders)}", flush=True)


if __name__ == "__main__":
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first and (first == "--runs" or not first.startswith("-")):
        report_of_folders(sys.argv[1:])
    else:
        main(__doc__ or "", links=("report",))
