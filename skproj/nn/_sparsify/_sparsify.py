"""Training of a network to a prescribed share of zeros."""

from functools import partial

from skproj.nn._sparsify._blocks import targeted_weights
from skproj.nn._sparsify._loop import DOCS, run_training
from skproj.nn._sparsify._sparsifier import Sparsifier
from skproj.utils._docs import shared_docs


@shared_docs(**DOCS)
def sparsify(
    module,
    loss,
    loader,
    *,
    target,
    layers=None,
    n_epochs=30,
    optimizer=None,
    step=None,
    callback=None,
    verbose=False,
):
    r"""Train a network until a share of its weights is zero.

    This is a training loop around a :class:`Sparsifier`. The network should have been
    trained before. It is changed in place and keeps plain weights, exactly as many of
    which are zero as `target` says.

    Parameters
    ----------
    module : torch.nn.Module
        Any network without masks. It is trained in the mode that it is in, usually
        ``module.train()``, and on its device.
    {data}
    target : float, dict of str to float, or str
        Share of the weights that shall be zero, between 0 and 1. A dict has a share for
        each of some layers, or parts of the network with all layers in them, by their
        names as in `module.named_modules`; others are not pruned. A pattern such as
        "2:4" leaves 2 of each 4 consecutive weights of a neuron, in the linear layers
        whose number of inputs is a multiple of 4.
    layers : iterable of str, default=None
        Names of layers or parts of the network to which a single `target` applies. None
        takes all that `skproj.nn.prune.sparsity_report` lists.
    {training}

    {report}
        If an argument is out of range, if a named layer has no weights to prune, or if
        the loss becomes infinite or NaN. Then, and after any other error, the module is
        as it was.

    See Also
    --------
    Sparsifier : The same in a training loop of your own; says how weights are chosen.
    sparsify_units : Makes all weights of neurons and filters zero, to save time.
    skproj.nn.functional.projection_n_of_m : Makes patterns such as "2:4".
    SparseMLPClassifier : The same for multilayer perceptrons, with the API of
        scikit-learn.

    Notes
    -----
    Further training would change the zeros;
    `torch.nn.utils.prune.custom_from_mask` with the mask ``weight != 0`` fixes them.

    References
    ----------
    .. [1] T. Lin, S. U. Stich, L. Barba, D. Dmitriev, M. Jaggi, "Dynamic model pruning
       with feedback", :arxiv:`2006.07253`.

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
    targeted_weights(module, target, layers)  # an error comes before training
    return run_training(
        module,
        loss,
        loader,
        partial(Sparsifier, module, target=target, layers=layers),
        n_epochs=n_epochs,
        optimizer=optimizer,
        step=step,
        callback=callback,
        verbose=verbose,
    )
