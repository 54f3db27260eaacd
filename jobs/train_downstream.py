"""Train the downstream tasks of a trained run: forecast, diffusion, classification."""

from sparta_ray.cli import main

if __name__ == "__main__":
    main(__doc__ or "", links=("downstream",))
