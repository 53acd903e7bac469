"""A table, and the files that the command line writes of it."""

import pytest
from cli_helpers import make_frame, select

from skproj.cli import _selection


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


@pytest.fixture
def no_baselines(monkeypatch):
    """Fit no models to compare a selection with, which take long where it has many."""
    monkeypatch.setattr(_selection, "baselines", lambda *_: [])
