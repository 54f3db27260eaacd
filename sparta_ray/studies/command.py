"""The command line of a study."""

from sparta_ray.cli import errors_in_words, job_parser
from sparta_ray.studies.config import load_study
from sparta_ray.studies.estimate import describe_study
from sparta_ray.studies.run_study import run_study
from sparta_ray.studies.trial import trials_of

SMALL = "conf/study/small.yaml"


def main(description: str) -> None:
    """Read a study from the command line and do it, or say what it would cost."""
    arguments = job_parser(description, SMALL).parse_args()
    with errors_in_words():
        study = load_study(arguments.config, tuple(arguments.overrides))
        trials = trials_of(study, arguments.config)
        if arguments.dry_run:
            for line in describe_study(study, trials):
                print(line, flush=True)
        else:
            run_study(study, trials)
