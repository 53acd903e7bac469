"""Progress of a fit in a few lines, however many tasks it has."""

import numbers
import threading
from types import SimpleNamespace

from sklearn.callback import ProgressBar
from sklearn.utils import check_scalar

from skproj.utils._docs import shared_docs
from skproj.utils._optional import import_optional
from skproj.utils._validation import close_listener, open_listener, send

# Tasks whose names say little outside of the estimator; others are shown as they are.
TASK_NAMES = {
    "search": "cross-validation",
    "refit-with-best-params": "fit with the best parameters",
    "path": "path with all samples",
    "stage": "training stage",
}

# The displays of the fits of this process, by the id of the outermost task. They cannot
# be pickled, which a callback has to be.
_displays = {}

DOCS = {
    "hook": """
    Parameters
    ----------
    estimator : estimator object
        The estimator that runs the task.
    context : sklearn.callback.CallbackContext
        The task; the outermost one for the whole fit.
    """
}


@shared_docs(**DOCS)
class CompactProgressBar(ProgressBar):
    """Progress of a fit in one line per level of its tasks.

    The first line is the whole fit, the second the part of it that is running, such as
    the cross-validation of a search. The lines are reused: their number does not grow
    with that of the folds, the candidates or the networks. At the end the first is
    left.

    Parameters
    ----------
    max_bars : int, default=2
        Largest number of lines, which is the number of levels of tasks that are shown.
    description : str, default=None
        Text of the first line; None names the estimator.
    max_propagation_depth : int or None, default=1
        How deep the callback is passed on to estimators within estimators; None is no
        limit, 0 is the outermost estimator only.

    Raises
    ------
    ModuleNotFoundError
        If rich is not installed.
    TypeError
        If `max_bars` or `max_propagation_depth` is not an integer.
    ValueError
        If `max_bars` is not positive, or `max_propagation_depth` is negative.

    See Also
    --------
    sklearn.callback.ProgressBar : A line for each task that has parts.

    Notes
    -----
    The parts of a task count the same, though they may differ in length. A task whose
    number of parts is not known in advance shows how many are done. Fits in other
    processes are counted as well.

    References
    ----------
    The progress is reported by the callbacks of scikit-learn [1]_.

    .. [1] scikit-learn developers, "Callbacks",
       https://scikit-learn.org/stable/modules/generated/sklearn.callback.FitCallback.html

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skproj.callback import CompactProgressBar
    >>> from skproj.feature_selection import ProjectionFeatureSelectorCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> selector = ProjectionFeatureSelectorCV(8, cv=3)
    >>> selector.set_callbacks(CompactProgressBar(max_bars=1)).fit(X, y)
    Fit of ProjectionFeatureSelectorCV ... 4 of 4 ...
    ProjectionFeatureSelectorCV(cv=3, etas=8)
    """

    def __init__(self, max_bars=2, *, description=None, max_propagation_depth=1):
        import_optional("rich", extra="progress")
        super().__init__(max_propagation_depth)
        self.max_bars = check_scalar(max_bars, "max_bars", numbers.Integral, min_val=1)
        self.description = description
        self._listeners = {}

    def setup(self, estimator, context):
        """Open the display before the fit.

        {hook}
        """
        display = _displays[context.root_uuid] = _Display()
        self._listeners[context.root_uuid] = open_listener(display.receive)
        display.start()

    def on_fit_task_begin(self, estimator, context):
        """Show a task that begins, if it has parts and a line of its own.

        {hook}
        """
        path = _path_of(context)
        if len(path) > self.max_bars or (context.max_subtasks == 0 and len(path) > 1):
            return
        label = _describe(context)
        if len(path) == 1 and self.description is not None:
            label = self.description
        message = ("begin", path, label, context.max_subtasks)
        send(self._listeners[context.root_uuid], message)

    def on_fit_task_end(self, estimator, context):
        """Move the lines that a task is a part of.

        {hook}
        """
        path = _path_of(context)
        if len(path) <= self.max_bars + 1:
            send(self._listeners[context.root_uuid], ("end", path))

    def teardown(self, estimator, context):
        """Close the display after the fit.

        {hook}
        """
        _displays.pop(context.root_uuid).stop()
        close_listener(self._listeners.pop(context.root_uuid))


def _path_of(context):
    """Return the ids of a task and of those that it is a part of, outermost first."""
    path = []
    while context is not None:
        path.append(context.task_id)
        context = context.parent
    return tuple(reversed(path))


def _describe(context):
    """Return a few words on a task."""
    if context.source_task_name in TASK_NAMES:
        return TASK_NAMES[context.source_task_name]
    if context.task_name == "fit":
        return f"fit of {context.estimator_name}"
    name = context.task_name
    return TASK_NAMES.get(name, name.replace("-", " "))


class _Display:
    """Lines of a terminal or notebook, one per level."""

    def __init__(self):
        rich = import_optional("rich.progress", extra="progress")
        self._lock = threading.Lock()  # messages of other processes come in threads
        self._lines = {}  # of tasks by their paths, one for each level
        self._progress = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(),
            rich.TaskProgressColumn(),
            rich.TextColumn("{task.fields[count]}"),
            rich.TimeElapsedColumn(),
        )

    def start(self):
        self._progress.start()

    def stop(self):
        for path, line in self._lines.items():
            if len(path) > 1:
                self._progress.remove_task(line.bar)
        self._progress.stop()

    def receive(self, message):
        event, path, *task = message
        with self._lock:
            (self._begin if event == "begin" else self._end)(path, *task)
            self._draw()

    def _begin(self, path, label, total):
        """Give the line of a level to a task."""
        for other in [other for other in self._lines if len(other) == len(path)]:
            self._progress.remove_task(self._lines.pop(other).bar)
        text = "  " * (len(path) - 1) + label[:1].upper() + label[1:]
        bar = self._progress.add_task(text, total=total, count="")
        line = SimpleNamespace(bar=bar, total=total, n_done=0, is_finished=False)
        self._lines[path] = line

    def _end(self, path):
        """Count a task that has ended, as a part of another."""
        if path in self._lines:
            self._lines[path].is_finished = True
        if path[:-1] in self._lines:
            self._lines[path[:-1]].n_done += 1

    def _draw(self):
        """Move the bars; that of a task moves with the part that is shown below it."""
        running = {}  # share of a part that is done, by the path of the task
        for path in sorted(self._lines, key=len, reverse=True):
            line = self._lines[path]
            total, completed = line.total, line.n_done + running.get(path, 0.0)
            count = str(line.n_done) if line.n_done else ""
            if total:
                count = f"{line.n_done} of {total}"
            if line.is_finished:
                total = completed = 1
            elif total is not None:
                completed = min(completed, total)
                running[path[:-1]] = completed / total if total else 0.0
            self._progress.update(
                line.bar, total=total, completed=completed, count=count
            )
