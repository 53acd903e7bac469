"""What importing skproj costs and leaves alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest


def run(code):
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_import_leaves_out_heavy_packages():
    """Users of the array functions do not wait for PyTorch or Matplotlib."""
    imports = (
        "sys, skproj, skproj.anndata, skproj.blocks, skproj.cli, skproj.decomposition, "
        "skproj.inspection, skproj.persistence, skproj.projection"
    )
    heavy = "{'torch', 'matplotlib'} & {*sys.modules}"
    assert run(f"import {imports}; print({heavy})") == "set()"


# Arithmetic on numbers that come out as zero where the processor flushes them: by
# NumPy, whose loops are vectorised, and by Python. The imports happen in between.
SUBNORMALS = """
import sys
import threading

import numpy as np

def kept():
    smallest, smallest_normal = np.full(9, 5e-324), np.full(9, sys.float_info.min)
    return bool(
        (smallest * np.ones(9) > 0).all()
        and (smallest_normal / 2 > 0).all()
        and (np.full(9, 1e-45, dtype=np.float32) * np.float32(1) > 0).all()
        and 5e-324 * float("1") > 0
        and sys.float_info.min / float("2") > 0
    )

def in_new_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results == [True]
"""


@pytest.mark.parametrize(
    "code",
    [
        "import skproj, skproj.projection",
        "import skproj._kernels._groups, skproj._kernels._thresholds",
        "import skproj.projection as p\n"
        "p.projection_l1inf_ball(np.eye(300), 1.0, n_threads=2)",
    ],
    ids=["package", "kernels", "kernels in two threads"],
)
def test_import_keeps_subnormal_numbers(code):
    """Nothing linked with -ffast-math has switched the processor to flushing."""
    code = f"{SUBNORMALS}\n{code}\nprint(kept(), in_new_thread(kept))"
    assert run(code) == "True True"


def test_subnormal_check_notices_flushing():
    """The arithmetic above does come out as zero in a thread that flushes."""
    code = "import torch\nprint(torch.set_flush_denormal(True) and kept())"
    assert run(f"{SUBNORMALS}\n{code}") == "False"


ROOT = Path(__file__).parents[1]
# The folders of the package, in the order of CONTRIBUTING.md.
FOLDERS = re.findall(
    r"(?m)^  (\w+)/  ", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
)


def imported(path):
    """Name the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_only_go_down_the_list(folder):
    """And PyTorch is imported where contributors are told."""
    above = {f"skproj.{name}." for name in FOLDERS[: FOLDERS.index(folder)]}
    for path in (ROOT / "skproj" / folder).rglob("*.py"):
        names = [f"{name}." for name in imported(path)]
        assert not [name for name in names if name.startswith(tuple(above))], path
        if folder != "nn" and path.name != "_weights.py":
            assert not [name for name in names if name.startswith("torch.")], path


def test_list_has_every_folder():
    assert set(FOLDERS) == {path.parent.name for path in ROOT.glob("skproj/*/*.py")}
