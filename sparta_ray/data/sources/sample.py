"""The simulated years that come with the package."""

from dataclasses import replace
from importlib.resources import files
from typing import Literal

from pydantic.dataclasses import dataclass

from sparta_ray.base.config import STRICT
from sparta_ray.data.sources.kind import Opened, SourceKind
from sparta_ray.data.sources.netcdf import NetCDFSource

SAMPLE = "simulated_daily_64x32_1979-1982.nc"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SampleSource(SourceKind):
    """The four simulated years that come with the package."""

    kind: Literal["sample"] = "sample"

    def open(self) -> list[Opened]:
        """Open the file in the package."""
        path = files("sparta_ray.data").joinpath("sample", SAMPLE)
        opened = NetCDFSource(kind="netcdf", paths=str(path)).open()
        # Each job and node unpacks the package for itself, so place and time say nothing.
        return [replace(each, stamp=lambda *_: "of the package") for each in opened]

    @property
    def is_simulated(self) -> bool:
        """No day of the sample is a real day."""
        return True

    @property
    def licence(self) -> str:
        """The notice that comes with the sample."""
        return files("sparta_ray.data").joinpath("sample/NOTICE").read_text()
