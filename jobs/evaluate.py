"""Evaluate a trained run on its test days."""

from sparta_ray.cli import main

if __name__ == "__main__":
    main(__doc__ or "", links=("evaluate",))
