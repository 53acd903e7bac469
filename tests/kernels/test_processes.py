"""Threads, forked processes and memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
from joblib import cpu_count

from skproj._kernels._openmp import openmp_enabled
from skproj.projection._threads import effective_n_threads


def test_effective_n_threads():
    """None is at least one, negative numbers count from all CPUs, never below one."""
    if not openmp_enabled():
        assert {effective_n_threads(n) for n in (None, 1, 7, -1)} == {1}
        return
    assert 1 <= effective_n_threads(None) <= cpu_count()
    assert effective_n_threads(np.int64(7)) == 7
    assert effective_n_threads(-1) == cpu_count()
    assert effective_n_threads(-cpu_count()) == 1
    assert effective_n_threads(-1000) == 1
    assert effective_n_threads(10**12) <= 1024


# A process that used threads has others project, which have to come to an end by
# themselves: an alarm ends them otherwise.
FORKING = """
import signal
import numpy as np
from skproj.projection import projection_l1_ball

X = np.random.default_rng(7).normal(size=(400, 400))

def project(n_threads):
    signal.alarm(60)
    return projection_l1_ball(X, 3.0, axis=0, n_threads=n_threads)

expected = project(2)
N_THREADS = [None, 2, 1, 3]

def is_right(n_threads):
    return np.array_equal(project(n_threads), expected)
"""
FORKS = {
    "os": """
import os
pid = os.fork()
if pid == 0:
    os._exit(0 if all(map(is_right, N_THREADS)) else 1)
assert os.waitpid(pid, 0) == (pid, 0)
""",
    "joblib": """
from joblib import Parallel, delayed
with Parallel(n_jobs=2, backend="multiprocessing") as parallel:
    assert all(parallel(map(delayed(is_right), N_THREADS)))
""",
    "torch": """
from torch.utils.data import DataLoader
class Projected:
    def __len__(self):
        return len(N_THREADS)
    def __getitem__(self, i):
        return is_right(N_THREADS[i])
loader = DataLoader(Projected(), num_workers=2, multiprocessing_context="fork")
assert [bool(batch) for batch in loader] == [True] * len(N_THREADS)
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")
@pytest.mark.parametrize("fork", FORKS)
def test_forked_process_does_not_wait_for_threads_of_its_parent(fork):
    code = FORKING + FORKS[fork] + "assert all(map(is_right, N_THREADS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked")
def test_forked_process_has_one_thread_by_default():
    """Whatever it is asked for by name."""
    code = """
import os
from skproj.projection._threads import effective_n_threads
before = effective_n_threads(-1)
pid = os.fork()
if pid == 0:
    os._exit(effective_n_threads(None) != 1 or effective_n_threads(-1) != before)
assert os.waitpid(pid, 0) == (pid, 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("n_threads", "error"),
    [(0, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)],
)
def test_effective_n_threads_refuses(n_threads, error):
    """The message names the argument."""
    with pytest.raises(error, match="n_threads must"):
        effective_n_threads(n_threads)


MEASURE_MEMORY = """
import resource
import numpy as np
from skproj.projection import BALLS, projection_simplex

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB on Linux

rng = np.random.default_rng(0)
X = rng.random((2000, 6000), dtype=np.float32)
functions = {name: ball.projection for name, ball in BALLS.items()}
functions["simplex"] = projection_simplex
for name, project in functions.items():
    for axis in (0, 1, None):
        project(X[:100, :100].copy(), 1.0, axis=axis)
        for radius in (1e5, 1.0):
            before = peak()
            project(X, radius, axis=axis, out=X, n_threads=2)
            print(name, axis, radius, peak() - before)
            rng.random(out=X, dtype=np.float32)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
def test_projection_in_place_needs_little_memory():
    """A fixed workspace, whatever the size of the matrix (46 MiB here)."""
    output = subprocess.run(
        [sys.executable, "-c", MEASURE_MEMORY],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    grown = {
        line.rsplit(" ", 1)[0]: float(line.split()[-1]) for line in output.splitlines()
    }
    assert len(grown) == 54
    assert max(grown.values()) < 32.0, max(grown.items(), key=lambda item: item[1])
