"""Result of the training of a network to zeros."""

from skproj.utils._docs import shared_docs


@shared_docs()
class SparsifyReport:
    """Result of `sparsify`: `print` shows the zeros before and after.

    Parameters
    ----------
    before, after : SparsityReport
        Zeros of each layer.
    method : str
        The method that was used.
    history : dict of str to ndarray
        Table of the epochs.
    l1 : float, dict of str to float, or None
        The l1 weight that was found.

    Attributes
    ----------
    before, after : SparsityReport
        Zeros of each layer, before and after the training.
    method : str
        The method that was used: that which "auto" stands for.
    history : dict of str to ndarray of shape (n_epochs_in_total,)
        The number of the `training` and its `epoch`, both counted from 1, the mean
        `loss`, and the number of weights that are not zero, `n_nonzero`, of each epoch.
    l1 : float, dict of str to float, or None
        The l1 weight, or that of each part of the network with a target; None if
        `method` is not "l1".
    n_trainings : int
        How often the network was trained for all epochs.

    See Also
    --------
    sparsify : Makes one.

    {l1_training_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn import sparsify
    >>> X, y = torch.eye(4), torch.arange(4)
    >>> model = torch.nn.Linear(4, 4)
    >>> loss = torch.nn.functional.cross_entropy
    >>> report = sparsify(model, loss, [(X, y)], target=0.75)
    >>> report.n_trainings, report.after.n_zeros
    (1, 12)
    """

    def __init__(self, before, after, method, history, l1=None):
        self.before = before
        self.after = after
        self.method = method
        self.history = history
        self.l1 = l1
        self.n_trainings = int(history["training"].max(initial=0))

    def __str__(self):
        return f"before\n{self.before}\n\nafter\n{self.after}"

    def __repr__(self):
        return (
            f"<{type(self).__name__}: {self.after.n_zeros} of {self.after.n_weights} "
            f"weights are zero, {self.before.n_zeros} before>"
        )
