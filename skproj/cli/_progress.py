"""Progress bars that stay few."""

from sklearn.callback import ProgressBar

# Of a pipeline the steps, and how many parts of each are done; but no bar for each of
# the hundreds of tasks in the training of a network.
DEEPEST_BAR = 1


class FewProgressBars(ProgressBar):
    """Progress bars of the outermost tasks."""

    def on_fit_task_begin(self, estimator, context):
        """Make a bar for a task, unless it is a part of one with a bar only."""
        if depth(context) <= DEEPEST_BAR:
            super().on_fit_task_begin(estimator, context)

    def on_fit_task_end(self, estimator, context):
        """Move the bars that a task is a part of."""
        if depth(context) <= DEEPEST_BAR + 1:
            super().on_fit_task_end(estimator, context)


def depth(context):
    """Return how many tasks a task is a part of."""
    n_ancestors = 0
    while (context := context.parent) is not None:
        n_ancestors += 1
    return n_ancestors
