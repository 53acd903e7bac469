"""Work in child processes that may crash or hang."""

import faulthandler
import multiprocessing
import os
import signal
from typing import NamedTuple
from unittest import mock

ENVIRONMENT = {
    # Threads that wait would take the cores from those that work.
    "OMP_WAIT_POLICY": "passive",
    # A large array comes from memory that an earlier one has left, which holds numbers
    # instead of zeros, and takes no time of the system to be made anew (glibc only).
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
}


# Seconds until a child makes its first announcement: it has to import everything.
START_LIMIT = 300.0


class Lost(NamedTuple):
    """What is known of work whose process ended before the result."""

    reason: str
    last_words: str  # the last announcement


def _serve(sender, work, tasks):
    faulthandler.enable()
    for task in tasks:
        sender.send(work(task, sender.send))


def _reason(exit_code):
    if exit_code < 0:
        return f"ended by {signal.Signals(-exit_code).name}"
    return f"ended with exit status {exit_code}"


def in_children(work, tasks, limit):
    """Do work in a child process, and in a new one whenever that ends too early.

    Parameters
    ----------
    work : callable
        ``work(task, announce)``, which a new process can import, returns anything but
        a str. It announces what it is about to do, as a str.
    tasks : iterable
    limit : float
        Seconds without an announcement or a result after which a child is ended, if
        it has begun.

    Yields
    ------
    task : object
    result : object
        What `work` returned, or a `Lost`.
    """
    context = multiprocessing.get_context("spawn")
    tasks = list(tasks)
    while tasks:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_serve, args=(sender, work, tasks), daemon=True)
        with mock.patch.dict(os.environ, ENVIRONMENT):
            child.start()
        sender.close()
        last_words = None
        try:
            while tasks:
                seconds = limit if last_words else START_LIMIT
                if not receiver.poll(seconds):
                    reason = f"no answer for {seconds:g} s"
                    yield tasks.pop(0), Lost(reason, last_words)
                    break
                message = receiver.recv()
                if isinstance(message, str):
                    last_words = message
                else:
                    yield tasks.pop(0), message
        except EOFError:
            child.join()
            if last_words is None:
                raise RuntimeError("A child ended before its first case.") from None
            yield tasks.pop(0), Lost(_reason(child.exitcode), last_words)
        finally:
            child.kill()
            child.join()
            receiver.close()
