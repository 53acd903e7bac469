"""Training of a network to a prescribed share of zeros."""

import numbers
from functools import partial

from sklearn.utils import check_scalar

from skproj.nn._sparsify._blocks import targeted_weights
from skproj.nn._sparsify._l1 import gradients_at_random_weights, reach_by_l1
from skproj.nn._sparsify._methods import (
    GradualMagnitude,
    InducedHoyer,
    ProjectedTraining,
)
from skproj.nn._sparsify._run import (
    DOCS,
    check_optimizer,
    check_step,
    run_trainings,
)
from skproj.nn._sparsify._sparsifier import Sparsifier
from skproj.nn._training._l1_training import least_eps
from skproj.utils._choices import check_choice
from skproj.utils._docs import shared_docs

METHODS = {
    "gradual": GradualMagnitude,
    "hoyer": InducedHoyer,
}
AUTO = "projected"


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
    target : float, dict of str to float, or str
        Share of the weights that shall be zero, between 0 and 1. A dict has a share for
        each of some layers, or parts of the network with all layers in them, by their
        names as in `module.named_modules`; others are not pruned. A pattern such as
        "2:4" leaves 2 of each 4 consecutive weights of a neuron, in the linear layers
        whose number of inputs is a multiple of 4.
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
    {optimizer}
        With "l1" it has to make a `ProximalAdam`, which is the default, or a
        `ProximalSGD`.
    {step}
    max_iter : int, default=8
        Largest number of trainings of the search with "l1".
    {session}

    {report}
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
    sparsify_units : Makes all weights of neurons and filters zero, to save time.
    skproj.nn.functional.projection_n_of_m : Makes patterns such as "2:4".
    skproj.nn.prune.single_shot : Prunes without training.
    skproj.nn.prune.shrink : Removes neurons and filters without effect.
    SparseMLPClassifier : The same for multilayer perceptrons, with the API of
        scikit-learn.

    Notes
    -----
    The share of zeros grows as :math:`1 - (1 - t)^3`, to the target after 40 % of the
    epochs ("projected") or two thirds of them ("gradual"). The zeros are fixed after
    80 % and two thirds of the epochs. A pattern such as "2:4" has all its zeros from
    the beginning.

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
    check_choice("method", method, ("auto", AUTO, *METHODS, "l1"))
    method = AUTO if method == "auto" else method
    if isinstance(target, str) and method != AUTO:
        raise ValueError(
            f"method must be 'auto' or {AUTO!r} for a pattern, got {method!r}."
        )
    blocks = targeted_weights(module, target, layers)
    step = check_step(loss, step, loader)
    check_scalar(max_iter, "max_iter", numbers.Integral, min_val=1)
    make_optimizer, kind = check_optimizer(optimizer, module, proximal=method == "l1")

    def train(make_trainer):
        if method == "projected":
            make = partial(Sparsifier, module, target=target, layers=layers)
            make = partial(make, n_steps=n_epochs * len(loader))
            return make_trainer(make_optimizer).run(ProjectedTraining(make))
        if method != "l1":
            return make_trainer(make_optimizer).run(METHODS[method](blocks))
        gradients = gradients_at_random_weights(module, blocks, step, loader)
        make = make_optimizer
        if optimizer is None:
            make = partial(make, eps=least_eps(gradients))
        trainer = make_trainer(make)
        alphas = reach_by_l1(module, blocks, trainer, gradients, max_iter=max_iter)
        if blocks[0].name == "":
            return alphas[0]
        return {block.name: alpha for block, alpha in zip(blocks, alphas, strict=True)}

    settings = {
        "method": method,
        "optimizer": kind,
        "target": target
        if isinstance(target, str)
        else [[block.name, block.size, block.n_kept] for block in blocks],
    }
    return run_trainings(
        module,
        loader,
        step,
        train,
        settings=settings,
        n_epochs=n_epochs,
        callback=callback,
        checkpoint=checkpoint,
        verbose=verbose,
    )
