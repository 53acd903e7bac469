"""Parallel work, and its progress."""

from sklearn.utils.parallel import Parallel


def run_tasks(calls, n_jobs, context, task_name, arguments):
    """Run calls in parallel, and yield the results, with a task of its own for each.

    Callbacks hear of the tasks here, not where the work is done: that may be another
    computer, which a progress bar does not reach.

    Parameters
    ----------
    calls : iterable
        Of what `sklearn.utils.parallel.delayed` makes.
    n_jobs : int or None
    context : CallbackContext
        That of the fit.
    task_name : str
    arguments : dict
        What the hooks of callbacks are given.

    Yields
    ------
    result : object
        In the order of the calls.
    """
    for result in _make_parallel(n_jobs)(calls):
        task = context.subcontext(task_name=task_name)
        task.call_on_fit_task_begin(**arguments)
        yield result
        task.call_on_fit_task_end(**arguments)


def _make_parallel(n_jobs):
    """Ask for results one by one, which not every backend of joblib can give."""
    try:
        return Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:
        return Parallel(n_jobs=n_jobs)
