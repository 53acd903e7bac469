"""What every test of the repository runs under."""

import gc
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

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
