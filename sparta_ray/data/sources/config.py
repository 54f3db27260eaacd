"""Where the fields come from."""

from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Discriminator, Field
from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.data.retry import RetryConfig

SAMPLE = "simulated_daily_64x32_1979-1982.nc"

COPERNICUS = (
    "Contains modified Copernicus Climate Change Service information (ERA5, Hersbach et al. 2020, "
    "doi:10.1002/qj.3803). Neither the European Commission nor ECMWF is responsible for any use "
    "that may be made of it."
)

ERA5_BUCKETS = ("weatherbench2/datasets/era5", "gcp-public-data-arco-era5")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampleSource:
    """The four simulated years that come with the package."""

    kind: Literal["sample"] = "sample"

    @property
    def simulated(self) -> bool:
        """No day of the sample is a real day."""
        return True

    @property
    def files(self) -> "NetCDFSource":
        """The same as files like any others."""
        path = files("sparta_ray.data").joinpath("sample", SAMPLE)
        return NetCDFSource(kind="netcdf", paths=str(path), simulated=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Gridded:
    """What sources by path or URL have in common.

    Attributes:
        simulated: Whether the fields come from a free-running model; the report then says so.
        names: The source's own names of quantities that are not recognised by name, such as
            ``{2m_temperature: TEMP_2M}``.
        anonymous: Whether to read a bucket without credentials; False uses those of the
            environment.
        options: Options of the fsspec file system, such as ``endpoint_url``. They are recorded in
            the run folder, so they must not hold secrets.
        retry: Timeouts and retries of remote reads.
    """

    simulated: bool = False
    names: dict[str, str] = Field(default_factory=dict)
    anonymous: bool = True
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    retry: RetryConfig = Field(default_factory=RetryConfig)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetCDFSource(_Gridded):
    """NetCDF files that together cover a time range, and together hold the variables.

    Attributes:
        paths: A path, a glob pattern or an fsspec URL, or a list of these.
    """

    kind: Literal["netcdf"]
    paths: str | Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def patterns(self) -> tuple[str, ...]:
        """The paths, patterns or URLs, one or more."""
        return (self.paths,) if isinstance(self.paths, str) else self.paths


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ZarrSource(_Gridded):
    """A Zarr store, format 2 or 3, by path or any fsspec URL, such as ``gs://weatherbench2/…``.

    Attributes:
        url: Path or fsspec URL of the store.
        missing_chunks: How to treat a chunk that the store lacks: as an ``error``, or as full of
            the array's ``fill`` value. Some writers leave such chunks out, but they are also
            missing from an incomplete copy.
    """

    kind: Literal["zarr"]
    url: str
    missing_chunks: Literal["error", "fill"] = "error"


SourceConfig = Annotated[SampleSource | NetCDFSource | ZarrSource, Discriminator("kind")]


def licence_text(config: SourceConfig) -> str:
    """Return the attribution to keep with data from this source; empty if the user's own."""
    match config:
        case SampleSource():
            return files("sparta_ray.data").joinpath("sample/NOTICE").read_text()
        case ZarrSource():
            return COPERNICUS if any(name in config.url for name in ERA5_BUCKETS) else ""
        case NetCDFSource():
            return ""
