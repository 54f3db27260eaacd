"""What tests of sources ask for, and what they should get."""

import numpy as np

from sparta_ray.base.variables import parse

VARIABLES = tuple(map(parse, ("2m_temperature", "geopotential@850")))

CHUNKS = {
    "2m_temperature": {"chunks": (4, 4, 5)},
    "geopotential": {"chunks": (4, 1, 4, 5)},
}
"""Of a store that `zarred` writes: several times, and all of the grid, in a chunk."""


def expected(dataset):
    """Return (time, 2, X, Y) of an ascending dataset."""
    channels = dataset["2m_temperature"], dataset["geopotential"].sel(level=850)
    return np.stack([channel.values for channel in channels], axis=1)
