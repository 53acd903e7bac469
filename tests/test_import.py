"""What importing skproj costs and leaves alone."""

import subprocess
import sys

import pytest


def run(code):
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("package", ["torch", "matplotlib"])
def test_import_leaves_out_heavy_package(package):
    """Users of the array functions do not wait for PyTorch or Matplotlib."""
    code = f"import sys, skproj, skproj.projection; print({package!r} in sys.modules)"
    assert run(code) == "False"


def test_import_keeps_subnormal_numbers():
    """No library linked with -ffast-math has switched the processor to flushing."""
    code = (
        "import numpy as np, skproj.projection as p\n"
        "p.projection_l1inf_ball(np.eye(300), 1.0, n_threads=2)\n"
        "print((np.full(9, 5e-324) * np.ones(9) > 0).all())"
    )
    assert run(code) == "True"
