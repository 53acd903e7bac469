"""Memory of the process."""

import ctypes
import sys

ON_LINUX = sys.platform == "linux"


def give_back_memory():
    """Return freed memory to the system, where glibc keeps it.

    It has a heap for each thread, and what one has freed is of no use to the next.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if ON_LINUX else None
    if trim is not None:
        trim(0)
