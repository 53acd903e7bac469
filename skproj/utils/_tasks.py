"""Parallel work, and its progress."""

import contextlib

from sklearn.utils.parallel import Parallel


@contextlib.contextmanager
def subtask(parent, name, arguments, *, max_subtasks=0):
    """Run a block as a task that callbacks see."""
    context = parent.subcontext(task_name=name, max_subtasks=max_subtasks)
    context.call_on_fit_task_begin(**arguments)
    yield context
    context.call_on_fit_task_end(**arguments)


def run_tasks(calls, n_jobs, context, task_name, arguments):
    """Run calls in parallel, and yield the results in order, with a task for each.

    Callbacks are told of the tasks here, not where the work is done: that may be
    another computer. The calls are made by `sklearn.utils.parallel.delayed`, `context`
    is that of the fit, and `arguments` are those of the hooks.
    """
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # not every backend of joblib gives results one by one
        parallel = Parallel(n_jobs=n_jobs)
    return report_tasks(parallel(calls), context, task_name, arguments)


def report_tasks(results, context, task_name, arguments):
    """Yield results, with a task for each that callbacks see."""
    for result in results:
        with subtask(context, task_name, arguments):
            yield result
