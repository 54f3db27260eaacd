"""Run a study: variants x seeds of one run, or a sweep of its settings, compared at the end."""

from sparta_ray.studies.command import main

if __name__ == "__main__":
    main(__doc__ or "")
