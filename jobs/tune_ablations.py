"""Run a study: variants x seeds of one run, or a sweep of its settings, compared at the end."""

from sparta_ray.cli import study_main

if __name__ == "__main__":
    study_main(__doc__ or "")
