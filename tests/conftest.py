"""What every test of the repository runs under."""

import gc
import importlib
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

# Before SciPy is imported: scikit-learn's checks of array API input run only with it.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# The same examples in every run: a red test is a change of the code, not of luck.
settings.register_profile(
    "skproj",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("skproj")


def pytest_sessionstart(session):
    """Let the garbage collector rest while modules and tests are made, which stay."""
    gc.disable()


def pytest_collection_finish(session):
    """Keep it from going through all of them again and again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Keep small networks on one thread, without importing PyTorch for it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def import_benchmark(monkeypatch):
    """Import a module of benchmarks/, which the next test imports again."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module
    for name, module in list(sys.modules.items()):
        if Path(getattr(module, "__file__", None) or "").parent == BENCHMARKS:
            del sys.modules[name]
