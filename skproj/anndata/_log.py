"""Lines of progress, through the logging of scanpy if that is in use.

They follow ``scanpy.settings.verbosity``. Without scanpy there are none.
"""

import sys


def _logging():
    """Return the module of scanpy, or None if nobody has imported it."""
    scanpy = sys.modules.get("scanpy")
    return None if scanpy is None else scanpy.logging


def log_info(message, *, since=None, details=None):
    """Show a line from verbosity 2 on, with `details` from 3 on; return the time."""
    logging = _logging()
    return logging and logging.info(message, time=since, deep=details)


def log_hint(message):
    """Show a line from verbosity 3 on."""
    logging = _logging()
    if logging is not None:
        logging.hint(message)
