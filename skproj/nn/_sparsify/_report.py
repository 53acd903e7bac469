"""Result of the training of a network to zeros."""

from skproj.utils._docs import shared_docs


@shared_docs()
class SparsifyReport:
    """Result of `sparsify`: `print` shows the zeros before and after.

    Parameters
    ----------
    before, after : SparsityReport
        Zeros of each layer, before and after the training.
    history : dict of str to ndarray of shape (n_epochs,)
        The number of the `epoch`, counted from 1, the mean `loss`, and the number of
        weights that are not zero, `n_nonzero`, of each epoch.

    See Also
    --------
    sparsify : Makes one.

    {gradual_reference}

    Examples
    --------
    >>> import torch
    >>> from skproj.nn import sparsify
    >>> X, y = torch.eye(4), torch.arange(4)
    >>> model = torch.nn.Linear(4, 4)
    >>> loss = torch.nn.functional.cross_entropy
    >>> report = sparsify(model, loss, [(X, y)], target=0.75)
    >>> report.after.n_zeros
    12
    """

    def __init__(self, before, after, history):
        self.before = before
        self.after = after
        self.history = history

    def __str__(self):
        return f"before\n{self.before}\n\nafter\n{self.after}"

    def __repr__(self):
        return (
            f"<{type(self).__name__}: {self.after.n_zeros} of {self.after.n_weights} "
            f"weights are zero, {self.before.n_zeros} before>"
        )
