"""Sources: gridded data by path or URL, in any of the usual layouts, as steps of our variables."""

from sparta_ray.data.sources.assembly import open_source
from sparta_ray.data.sources.config import SourceConfig
from sparta_ray.data.sources.describe import describe_source
from sparta_ray.data.sources.kind import Opened, SourceKind
from sparta_ray.data.sources.netcdf import NetCDFSource
from sparta_ray.data.sources.sample import SAMPLE, SampleSource
from sparta_ray.data.sources.source import IncompleteSteps, OnRead, Source
from sparta_ray.data.sources.storage import StoredSource
from sparta_ray.data.sources.zarr_store import ZarrSource

__all__ = [
    "SAMPLE",
    "IncompleteSteps",
    "NetCDFSource",
    "OnRead",
    "Opened",
    "SampleSource",
    "Source",
    "SourceConfig",
    "SourceKind",
    "StoredSource",
    "ZarrSource",
    "describe_source",
    "open_source",
]
