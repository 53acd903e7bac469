"""Settings of the training of an autoencoder, from dense to sparse."""

from __future__ import annotations

import numbers

from sklearn.base import BaseEstimator

from skproj._typing import Integer, Number
from skproj.utils._doc_link import DocumentationLink
from skproj.utils._state import store_parameters
from skproj.utils._validation import Interval, StrOptions

KINDS = ("consensus", "double", "single")

_NOISE = [Interval(numbers.Real, 0, None, closed="left"), StrOptions({"auto"})]


class SparsificationSchedule(DocumentationLink, BaseEstimator):
    r"""Order and settings of the training stages and projections of an autoencoder.

    It is passed as `schedule` to the autoencoders, where its name alone stands for its
    defaults: ``schedule="double"`` is ``schedule=SparsificationSchedule("double")``.
    :class:`~sklearn.model_selection.GridSearchCV` reaches its parameters by names such
    as ``schedule__keep_fraction``.

    Parameters
    ----------
    kind : {"consensus", "double", "single"}, default="consensus"
        Order of training stages and projections:

        - "consensus": train several networks side by side, which share the hidden
          units; then repeat: rank the features by the norms of their columns in all of
          them, project such that a share `keep_fraction` of the features is kept, and
          train these, until the wanted radius (or number of features) is reached. The
          fitted network is the mean of the networks.
        - "double": train, project, then train the kept weights further, without a
          bound on their size, as in [1]_.
        - "single": train, then project.
    keep_fraction : float, default=0.7
        Share of the features that each intermediate projection of "consensus" keeps; at
        most half, while there are more than four features per sample.
    rewind : bool, default=False
        Whether the kept weights of "double" restart from their initial values, as
        lottery tickets do [2]_.
    batch_size : int or "auto", default="auto"
        Samples per optimizer step; "auto" is a sixth of the samples, but at least 8 and
        at most 128, or 2048 for very many sparse samples in blocks.
    learning_rate_init : float, default=0.004
        Learning rate of Adam. It is divided by the standard deviation of the noise on
        the input where that is above 1.
    input_noise : float or "auto", default="auto"
        Standard deviation of Gaussian noise added to the input of the encoder while
        training [3]_; a reconstruction is compared with the clean input. "auto" is
        meant for features of unit variance: 1, but 0.3 for a regression, whose
        predictions noise makes smaller.
    final_noise : float or "auto", default="auto"
        Standard deviation of the noise in the last stage, unless `input_noise` is
        smaller: few features can be trusted more. "auto" is 0.5, but 0.1 for a
        regression. Not used by "single".
    reconstruction_weight : float, default=0.0
        Weight :math:`\alpha` of the reconstruction loss in the stages of "double" and
        "single", as in [1]_. With 0, and by "consensus", the decoder is fitted in a
        last stage of its own, which leaves the predictions as they are.

    References
    ----------
    .. [1] M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
       projection; application to the sparsification of auto-encoders neural
       networks", :arxiv:`2407.16293`.
    .. [2] J. Frankle, M. Carbin, "The lottery ticket hypothesis: finding sparse,
       trainable neural networks", ICLR 2019, :arxiv:`1803.03635`.
    .. [3] P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and
       composing robust features with denoising autoencoders", ICML 2008,
       :doi:`10.1145/1390156.1390294`.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skproj import SparseSupervisedAutoencoder
    >>> from skproj.nn import SparsificationSchedule
    >>> model = SparseSupervisedAutoencoder(
    ...     schedule=SparsificationSchedule("double", rewind=True)
    ... )
    >>> search = GridSearchCV(model, {"schedule__rewind": [False, True]})
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "kind": [StrOptions(set(KINDS))],
        "keep_fraction": [Interval(numbers.Real, 0, 1, closed="neither")],
        "rewind": ["boolean"],
        "batch_size": [
            Interval(numbers.Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "learning_rate_init": [Interval(numbers.Real, 0, None, closed="neither")],
        "input_noise": _NOISE,
        "final_noise": _NOISE,
        "reconstruction_weight": [Interval(numbers.Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        kind: str = "consensus",
        *,
        keep_fraction: Number = 0.7,
        rewind: bool = False,
        batch_size: Integer | str = "auto",
        learning_rate_init: Number = 0.004,
        input_noise: Number | str = "auto",
        final_noise: Number | str = "auto",
        reconstruction_weight: Number = 0.0,
    ) -> None:
        store_parameters(**locals())

    def _resolved(self, input_noise, final_noise):
        """Return a schedule with numbers, for the noise that "auto" stands for.

        Raises
        ------
        ValueError
            If a parameter is unsuitable.
        """
        self._validate_params()
        given = self.get_params()
        for name, auto in (("input_noise", input_noise), ("final_noise", final_noise)):
            if given[name] == "auto":
                given[name] = auto
        return SparsificationSchedule(**given)
