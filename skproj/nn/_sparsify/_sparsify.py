"""Training of a network to a prescribed share of zeros."""

import numbers
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from sklearn.utils import check_scalar

from skproj.nn._sparsify._blocks import make_blocks
from skproj.nn._sparsify._checkpoint import Checkpoint
from skproj.nn._sparsify._l1 import gradients_at_random_weights, reach_by_l1
from skproj.nn._sparsify._loop import (
    Trainer,
    clone_state,
    loss_of,
    random_state,
    restore_state,
    set_random_state,
)
from skproj.nn._sparsify._methods import (
    GradualMagnitude,
    InducedHoyer,
    ProjectedTraining,
)
from skproj.nn._training._l1_training import least_eps
from skproj.nn.optim import ProximalAdam, ProximalSGD
from skproj.nn.prune._sparsity_report import sparsity_report
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

METHODS = {
    "projected": ProjectedTraining,
    "gradual": GradualMagnitude,
    "hoyer": InducedHoyer,
}
AUTO = "projected"
PROXIMAL_OPTIMIZERS = (ProximalAdam, ProximalSGD)

LEARNING_RATE = 3e-3

DOCS = {
    "data": """
        loss : callable
            ``loss(module(inputs), target)`` is the mean loss of a batch, for instance
            `torch.nn.functional.cross_entropy`. Not used, and may be None, if `step` is
            given.
        loader : iterable of pair (inputs, target)
            The batches of an epoch, with a length: a `torch.utils.data.DataLoader`, or
            a list. Tensors are moved to the device of the module.
    """,
    "step": """
        step : callable, default=None
            ``step(module, batch)`` returns the loss of a batch of any form. None calls
            the module and `loss`.
    """,
    "layers": """
        layers : iterable of str, default=None
            Names, as in `module.named_modules`, of the layers, or of parts of the
            network with all layers in them, to which `{number}` applies. None takes all
            of `skproj.nn.prune.prunable_parameters`.
    """,
}


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


@shared_docs(**DOCS)
def sparsify(
    module,
    loss,
    loader,
    *,
    target,
    layers=None,
    method="auto",
    n_epochs=30,
    optimizer=None,
    step=None,
    max_iter=8,
    callback=None,
    checkpoint=None,
    verbose=False,
):
    r"""Train a network until a share of its weights is zero.

    The network should have been trained before. It is changed in place and keeps plain
    weights, exactly as many of which are zero as `target` says.

    Parameters
    ----------
    module : torch.nn.Module
        Any network without masks. It is trained in the mode that it is in, usually
        ``module.train()``, and on its device.
    {data}
    target : float or dict of str to float
        Share of the weights that shall be zero, between 0 and 1. A dict has a share for
        each of some layers, or parts of the network with all layers in them, by their
        names as in `module.named_modules`; others are not pruned.
    layers : iterable of str, default=None
        Names of layers or parts of the network to which a single `target` applies. None
        takes all that `skproj.nn.prune.sparsity_report` lists.
    method : {"auto", "projected", "gradual", "hoyer", "l1"}, default="auto"
        How the weights become zero:

        - "projected": the gradient is computed at the projected weights, of which the
          largest are kept, and changes all weights, so that removed ones can return
          [2]_; weights of different layers are compared by a score, see the notes;
        - "gradual": the smallest weights are removed little by little, and stay zero
          [3]_;
        - "hoyer": the layers are projected to a Hoyer sparsity of 0.8 after each epoch
          [4]_, and the smallest weights are removed after two thirds of the epochs;
        - "l1": a search for the l1 weight that leaves the right number of weights, or
          for one of each part that has a target [1]_; then a training without penalty.
          This trains the network several times;
        - "auto": "projected".
    n_epochs : int, default=30
        Length of a training.
    optimizer : callable, default=None
        Makes the optimizer from parameters, for instance
        ``functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)``. Its learning rate
        decreases to zero along a half cosine. None is `torch.optim.Adam` with a
        learning rate of 0.003. With "l1" it has to make a `ProximalAdam`, which is the
        default, or a `ProximalSGD`.
    {step}
    max_iter : int, default=8
        Largest number of trainings of the search with "l1".
    callback : callable, default=None
        Called after each epoch with a dict of `training`, `epoch`, `loss` and
        `n_nonzero`; the weights are the sparse ones meanwhile. If it returns True,
        training ends, and the smallest weights beyond the target are removed.
    checkpoint : str or pathlib.Path, default=None
        File that is written after each epoch. If it is there, training goes on from it,
        with the same result as without interruption, as long as the batches depend on
        nothing but PyTorch's global generator or that of the loader.
    verbose : bool, default=False
        Whether to print a line for each epoch.

    Returns
    -------
    report : SparsifyReport
        Zeros of each layer before and after, and the history of the training.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range, if a named layer has no weights to prune, or if
        the loss becomes infinite or NaN. Then, and after any other error, the module is
        as it was.

    Warns
    -----
    ConvergenceWarning
        If the search with "l1" ends with another number of weights. It is trimmed.

    See Also
    --------
    check_l1_optimality : Judges the result of "l1" at its l1 weight.
    skproj.nn.prune.single_shot : Prunes without training.
    skproj.nn.prune.shrink : Removes neurons and filters without effect.
    SparseMLPClassifier : The same for multilayer perceptrons, with the API of
        scikit-learn.

    Notes
    -----
    The share of zeros grows as :math:`1 - (1 - t)^3`, to the target after 40 % of the
    epochs ("projected") or two thirds of them ("gradual"). The zeros are fixed after
    80 % and two thirds of the epochs.

    "projected" compares weights of different layers by

    .. math::

        s_i = w_i^2 \Big/ \Big( \sum_{|w_j| \ge |w_i|} w_j^2 \Big)^{3/4}

    with a sum over the layer of the weight. An exponent of 0 would compare magnitudes,
    which removes too many weights of layers whose weights are small; 1 is the score of
    layer-adaptive pruning [5]_. The others compare magnitudes.

    Further training would change the zeros;
    `torch.nn.utils.prune.custom_from_mask` with the mask ``weight != 0`` fixes them.

    {l1_training_reference}
    .. [2] T. Lin, S. U. Stich, L. Barba, D. Dmitriev, M. Jaggi, "Dynamic model pruning
       with feedback", :arxiv:`2006.07253`.
    .. [3] M. Zhu, S. Gupta, "To prune, or not to prune: exploring the efficacy of
       pruning for model compression", :arxiv:`1710.01878`.
    .. [4] R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. K. Potluru, S. Plis, "Explicit
       group sparse projection with applications to deep learning and NMF",
       :arxiv:`1912.03896`.
    .. [5] J. Lee, S. Park, S. Mo, S. Ahn, J. Shin, "Layer-adaptive sparsity for the
       magnitude-based pruning", :arxiv:`2010.07611`.

    Examples
    --------
    >>> import torch
    >>> from torch.nn import functional as F
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> from skproj.nn import sparsify
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(500, 20)
    >>> y = (X[:, 0] * X[:, 1] > 0).long()
    >>> loader = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(20, 50), torch.nn.ReLU(), torch.nn.Linear(50, 2)
    ... )
    >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    >>> for _ in range(20):
    ...     for inputs, target in loader:
    ...         optimizer.zero_grad()
    ...         F.cross_entropy(model(inputs), target).backward()
    ...         optimizer.step()
    >>> report = sparsify(model, F.cross_entropy, loader, target=0.9)
    >>> report
    <SparsifyReport: 990 of 1100 weights are zero, 0 before>
    >>> float((model(X).argmax(dim=1) == y).float().mean()) > 0.9
    True
    """
    check_choice("method", method, ("auto", *METHODS, "l1"))
    method = AUTO if method == "auto" else method
    blocks = make_blocks(module, target, layers)
    step = check_step(loss, step, loader)
    check_scalar(n_epochs, "n_epochs", numbers.Integral, min_val=1)
    check_scalar(max_iter, "max_iter", numbers.Integral, min_val=1)
    settings = {
        "method": method,
        "n_epochs": n_epochs,
        "target": [[block.name, block.size, block.n_kept] for block in blocks],
        "module": [[name, list(W.shape)] for name, W in module.named_parameters()],
    }
    start = {"module": clone_state(module), "random": random_state(loader)}
    saved = Checkpoint(_check_path(checkpoint), settings, start)
    make_optimizer = _check_optimizer(optimizer, module, proximal=method == "l1")
    report_epoch = _reporter(callback, n_epochs, verbose)

    alphas = None
    try:
        restore_state(module, saved.start["module"])
        set_random_state(saved.start["random"], loader)
        before = sparsity_report(module)
        options = (loader, n_epochs, saved, report_epoch)
        if method == "l1":
            gradients = gradients_at_random_weights(module, blocks, step, loader)
            if optimizer is None:
                make_optimizer = partial(make_optimizer, eps=least_eps(gradients))
            trainer = Trainer(module, step, make_optimizer, *options)
            alphas = reach_by_l1(module, blocks, trainer, gradients, max_iter=max_iter)
        else:
            trainer = Trainer(module, step, make_optimizer, *options)
            trainer.run(METHODS[method](blocks))
    except BaseException:
        restore_state(module, start["module"])
        raise
    finally:
        module.zero_grad()
    history = trainer.history
    return SparsifyReport(
        before,
        sparsity_report(module),
        method,
        {name: np.array([row[name] for row in history]) for name in history[0]},
        _named(alphas, blocks),
    )


def check_step(loss, step, loader):
    """Return the function that computes the loss of a batch."""
    if step is None:
        if not callable(loss):
            raise TypeError(
                f"loss must be callable unless step is given, got {loss!r}."
            )
        step = partial(loss_of, loss)
    elif not callable(step):
        raise TypeError(f"step must be callable or None, got {step!r}.")
    try:
        n_batches = len(loader)
    except TypeError:
        raise TypeError(
            "loader must be an iterable of batches with a length, got "
            f"{type(loader).__name__} without one."
        ) from None
    if n_batches == 0:
        raise ValueError("loader must have a batch, got none.")
    return step


def _check_optimizer(optimizer, module, *, proximal):
    """Return a function that makes optimizers, after a try."""
    if optimizer is None:
        kind = ProximalAdam if proximal else torch.optim.Adam
        return partial(kind, lr=LEARNING_RATE)
    made = callable(optimizer) and optimizer(
        [W for W in module.parameters() if W.requires_grad]
    )
    if not isinstance(made, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must make an optimizer from parameters, such as "
            f"functools.partial(torch.optim.SGD, lr=0.1), got {optimizer!r}."
        )
    if proximal and not isinstance(made, PROXIMAL_OPTIMIZERS):
        raise ValueError(
            "optimizer must make a ProximalAdam or ProximalSGD for method='l1', "
            f"got {type(made).__name__}."
        )
    return optimizer


def _check_path(checkpoint):
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, str | PathLike):
        raise TypeError(f"checkpoint must be a path or None, got {checkpoint!r}.")
    path = Path(checkpoint)
    if path.is_dir():
        raise ValueError(f"checkpoint must be a file, got the folder {path}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"checkpoint: there is no folder {path.parent}.")
    return path


def _reporter(callback, n_epochs, verbose):
    """Return what is called after each epoch."""
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, got {callback!r}.")

    def report(row):
        if verbose:
            print(
                f"Training {row['training']}, epoch {row['epoch']} of {n_epochs}, "
                f"loss {row['loss']:.6f}, {row['n_nonzero']} nonzero weights"
            )
        return callback is not None and callback(row)

    return report


def _named(alphas, blocks):
    """Return the l1 weight of a network, or those of its parts by their names."""
    if alphas is None or blocks[0].name == "":
        return alphas and alphas[0]
    return {block.name: alpha for block, alpha in zip(blocks, alphas, strict=True)}
