"""Clusters of processes, whose tests cannot wait forever."""

import contextlib
import faulthandler
import signal

import dask
from distributed import Client, LocalCluster

# A cluster that has lost something can wait for it forever.
LONGEST_SECONDS = 180


def give_up(signal_number, frame):
    """Interrupt whatever the main thread waits for."""
    raise TimeoutError(f"This took longer than {LONGEST_SECONDS} seconds.")


@contextlib.contextmanager
def time_limit():
    """Bound the time of a block, and then of every clean-up that waits as well."""
    if not hasattr(signal, "SIGALRM"):  # on Windows: nothing less ends a wait
        faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS, 10.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def start_cluster(n_workers=2):
    """Start a cluster of processes with a thread each, and return its client."""
    with contextlib.ExitStack() as stack:
        settings = {
            # Every two seconds dask would drop copies that it thinks superfluous.
            "distributed.scheduler.active-memory-manager.start": False,
            # So long after each death of a worker, one that is just being replaced is
            # given up: also the victim of the next test.
            "distributed.deploy.lost-worker-timeout": "1h",
        }
        stack.enter_context(dask.config.set(settings))
        with time_limit():
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                )
            )
            client = stack.enter_context(Client(cluster))
        yield client
        with time_limit():
            stack.close()
