"""A table, and the files that the command line writes of it."""

import pytest
from cli_helpers import make_frame, select


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "table.csv"
    make_frame().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def result(data):
    """Return a folder that `skproj select` has written."""
    folder = data.parent / "deep" / "result"
    assert select(data, "--out", folder, plots=True) == 0
    return folder
