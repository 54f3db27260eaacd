"""Evaluate a run whose models and downstream tasks are trained, on its test days."""

from sparta_ray.cli import main

if __name__ == "__main__":
    main(__doc__ or "", links=("evaluate",))
