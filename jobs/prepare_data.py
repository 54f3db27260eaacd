"""Prepare the store of a run: select, check, average and write its fields."""

from sparta_ray.cli import main

if __name__ == "__main__":
    main(__doc__ or "", links=("prepare",))
