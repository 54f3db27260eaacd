"""Sources: gridded data by path or URL, in any of the usual layouts, as steps of our variables."""

from sparta_ray.data.sources.assembly import open_source
from sparta_ray.data.sources.config import (
    SAMPLE,
    NetCDFSource,
    SampleSource,
    SourceConfig,
    ZarrSource,
    licence_text,
)
from sparta_ray.data.sources.describe import describe_source
from sparta_ray.data.sources.source import IncompleteSteps, OnRead, Source
from sparta_ray.data.sources.steps import step_length

__all__ = [
    "SAMPLE",
    "IncompleteSteps",
    "NetCDFSource",
    "OnRead",
    "SampleSource",
    "Source",
    "SourceConfig",
    "ZarrSource",
    "describe_source",
    "licence_text",
    "open_source",
    "step_length",
]
