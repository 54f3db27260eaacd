"""The kinds of source that a configuration can name."""

from typing import Annotated

from pydantic import Discriminator

from sparta_ray.data.sources.netcdf import NetCDFSource
from sparta_ray.data.sources.sample import SampleSource
from sparta_ray.data.sources.zarr_store import ZarrSource

SourceConfig = Annotated[SampleSource | NetCDFSource | ZarrSource, Discriminator("kind")]
