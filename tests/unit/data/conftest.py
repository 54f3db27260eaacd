"""Datasets written as files or stores and opened as sources."""

import tempfile
from pathlib import Path

import pytest

from sparta_ray.data.sources import NetCDFSource, ZarrSource, open_source
from tests.sources import VARIABLES


@pytest.fixture
def opened(tmp_path):
    """Write datasets as files and open them as one source."""

    def opened(*datasets, variables=VARIABLES, first_day=None, last_day=None, **settings):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        for number, dataset in enumerate(datasets):
            dataset.to_netcdf(folder / f"{number}.nc", engine="h5netcdf")
        names = settings.pop("names", {})
        config = NetCDFSource(kind="netcdf", paths=f"{folder}/*.nc", names=names)
        return open_source(config, variables, first_day, last_day, **settings)

    return opened


@pytest.fixture
def zarred(tmp_path):
    """Write a dataset as a Zarr store and open it; returns the source and the store's path."""

    def zarred(dataset, zarr_format=3, variables=VARIABLES, encoding=None, **settings):
        path = Path(tempfile.mkdtemp(dir=tmp_path)) / "source.zarr"
        dataset.to_zarr(path, zarr_format=zarr_format, consolidated=True, encoding=encoding)
        config = ZarrSource(kind="zarr", url=str(path), **settings)
        return open_source(config, variables), path

    return zarred
