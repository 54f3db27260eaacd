"""Run the whole chain: prepare, train SPARTA, train downstream tasks, evaluate, report."""

from sparta_ray.cli import main

if __name__ == "__main__":
    main(__doc__ or "")
