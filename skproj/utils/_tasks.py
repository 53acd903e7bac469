"""Progress of parallel work."""


def show_tasks(results, context, task_name, arguments):
    """Yield results that come from elsewhere, with a task of its own for each.

    Callbacks hear of the tasks here, not where the work is done: that may be another
    computer, which a progress bar does not reach.

    Parameters
    ----------
    results : iterable
        For instance what ``Parallel(return_as="generator")`` gives.
    context : CallbackContext
        That of the fit.
    task_name : str
    arguments : dict
        What the hooks of callbacks are given.

    Yields
    ------
    result : object
    """
    for result in results:
        task = context.subcontext(task_name=task_name)
        task.call_on_fit_task_begin(**arguments)
        yield result
        task.call_on_fit_task_end(**arguments)
