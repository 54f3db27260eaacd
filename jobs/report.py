"""Write the report of an evaluated run."""

from sparta_ray.cli import main

if __name__ == "__main__":
    main(__doc__ or "", links=("report",))
