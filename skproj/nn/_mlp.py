"""Multilayer perceptrons at a prescribed sparsity: a classifier and a regressor."""

import copy
import numbers
from abc import abstractmethod
from functools import partial

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from skproj.nn._base import DOCS
from skproj.nn._estimator import OTHER_NETWORK, BaseNetwork
from skproj.nn._training._loop import EPS, SOLVERS, Penalty, torch_threads
from skproj.nn._training._network import (
    REGRESSION_LOSSES,
    PredictionObjective,
    compress,
    cross_entropy,
    logistic,
    make_mlp,
    weights_of,
)
from skproj.nn._training._sparse_training import SparseTraining, count_nonzero
from skproj.nn._training._targets import ClassTargets, NumericTargets
from skproj.utils._docs import shared_docs
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _fit_context,
    nothing_half_fitted,
)

MLP_DOCS = {
    "sparsity": """
        hidden_layer_sizes : int or array-like of int, default=(100,)
            Widths of the hidden layers; an empty tuple makes the model linear.
        target_sparsity : float or array-like of shape (n_layers,), default=0.9
            Share of the weights that are zero, between 0 and 1: of the whole network,
            or one for each layer, the output layer being the last. Biases do not
            count.
        alpha : float or array-like of shape (n_layers,), default=None
            A fixed l1 weight, or one for each layer, instead of `target_sparsity`,
            which is not used then.
        penalty : {"l1", "l12"}, default="l1"
            What `alpha` multiplies: the l1 norm of the weights, or the sum of the l2
            norms of groups. The group of an input feature or of a hidden neuron is
            the weights of all that it feeds; if they are zero, it is removed. With
            "l12" all sparsities are shares of groups.
        sparsity_tol : float, default=0.01
            How far the number of nonzero weights may be from the one wanted, relative
            to that.
        max_search_iter : int, default=20
            How many values of `alpha` the search tries at most.
        trim : bool, default=True
            Whether to set the smallest weights to zero where the search leaves more
            than are wanted. The search then ends with up to 10 % too many.
        debias : bool, default=True
            Whether to train the weights that are left for another `max_epochs` epochs
            without penalty, which had made them too small.
    """,
    "steps": """
        activation : {"silu", "relu", "gelu", "tanh", "logistic", "identity"}, \
default="relu"
            Activation after each hidden layer.
        solver : {"adam", "sgd"}, default="adam"
            What takes the steps: AdamW, or gradient descent with a momentum of 0.9
            whose steps are means of gradients. Each step ends with a soft threshold.
        max_epochs : int, default=100
            Number of epochs of the dense training, of each step of the search, and of
            the debiasing.
        batch_size : int or "auto", default="auto"
            Samples per optimiser step; "auto" is a sixth of the samples, but at least
            8 and at most 128.
        learning_rate_init : float or "auto", default="auto"
            Learning rate at the beginning of the dense training, of each step of the
            search, and of the debiasing; it falls to 0 like half a cosine. "auto" is
            0.004 for "adam" and 0.1 for "sgd". A training that diverges is repeated
            with half of it, up to three times. A `partial_fit` does not lower it.
        weight_decay : float, default=0.0
            Decoupled weight decay.
        early_stopping : bool, default=False
            Whether to hold back validation data and stop the dense training and the
            debiasing when their loss does not fall any more; they then end with their
            best weights. The steps of the search are never cut short: the number of
            weights falls during a training, and is only right at its end.
        validation_fraction : float, default=0.1
            Share of the distinct samples held back, stratified by class.
        n_iter_no_change : int, default=10
            Epochs without progress that end a training if `early_stopping`.
        tol : float, default=1e-4
            A smaller improvement of the validation loss is no progress.
    """,
    "running": """
        warm_start : bool, default=False
            Whether the dense training starts from the weights of the previous fit.
            Neurons that have lost all their weights stay lost then.
        device : str or torch.device, default="auto"
            Where to train; "auto" takes a CUDA device if there is one.
        n_threads : int or None, default=1
            Threads of PyTorch during `fit` and prediction; the old setting is restored
            afterwards. None leaves it as it is.
        random_state : int, RandomState instance or None, default=None
            Seed of the initial weights, the shuffling and the validation split.
            PyTorch's global generator is not used.
        verbose : bool, default=False
            Whether to print the loss of each epoch. For progress bars use
            ``set_callbacks(sklearn.callback.ProgressBar())``.
    """,
    "attributes": """
        alpha_ : float or ndarray of shape (n_layers,)
            The l1 weight of the network; a fit with this `alpha` gives the same
            network, but for what was trimmed. It is infinite for a sparsity of 1.
        sparsity_ : float
            Share of the weights, or groups, that are zero.
        layer_sparsities_ : ndarray of shape (n_layers,)
            The same for each layer.
        search_history_ : dict of ndarray
            One entry for each step of the search, or for the only one with a fixed
            `alpha`:

            - "alpha", of shape (n_steps,) or (n_steps, n_layers): the l1 weight;
            - "n_nonzero", of the same shape: how many weights or groups it left, in
              each layer if it belongs to one;
            - "loss": mean training loss, without the penalty;
            - "violation": how far the network is from the condition of optimality
              below, at the worst of the weights, in units of the gradient; to be
              compared with "alpha";
            - "mean_violation": the same on average.
        n_search_iter_ : int
            Number of steps of the search.
        coefs_ : list of ndarray of shape (n_inputs, n_outputs)
            Weights of each layer.
        intercepts_ : list of ndarray of shape (n_outputs,)
            Biases of each layer.
        n_layers_ : int
            Number of layers, input and output included.
        n_outputs_ : int
            Number of outputs of the network.
        out_activation_ : str
            What turns the outputs into predictions.
        loss_curve_ : list of float
            Mean training loss of each epoch: of the dense training, the training with
            `alpha_`, and the debiasing.
        validation_scores_ : list of float or None
            Minus the validation loss of epochs that may be the last; None without
            `early_stopping`.
        best_validation_score_ : float or None
            The best validation score of the last training that had one.
        n_iter_ : int
            Number of epochs in `loss_curve_`.
        module_ : torch.nn.Sequential
            The network, with all its units.
        n_features_in_ : int
            Number of features seen during `fit`.
        feature_names_in_ : ndarray of shape (n_features_in_,)
            Names of the features, if X had string column names.
    """,
    "notes": """
        A fit trains the dense network first. From its weights it trains again, with
        the same random numbers, for one :math:`\\alpha` after the other, until the
        number of nonzero weights is the one wanted [1]_; see
        :func:`~skproj.nn.find_l1_weight`. The best of these networks is debiased.

        Where the penalised training has converged without `weight_decay`, the gradient
        :math:`g` of the mean loss fulfils :math:`g = -\\alpha \\, \\text{sign}(w)` for
        the weights that are not zero, and :math:`|g| \\le \\alpha` for the others;
        `search_history_` tells how nearly. The debiased weights do not fulfil it, and
        are not meant to.

        Features should have unit variance: put a
        :class:`~sklearn.preprocessing.StandardScaler` before this estimator in a
        :class:`~sklearn.pipeline.Pipeline`. The network is trained in the precision of
        X.

        Predictions leave out features and neurons without effect, and multiply
        with sparse matrices where that is faster.
    """,
    "references": """
        .. [1] L. Shen, R. Wang, Y. Xu, M. Yan, "Sparse deep learning models
           with the l1 regularization", :arxiv:`2408.02801`.
    """,
    "merging": DOCS["merging"],
}


def has_fixed_alpha(estimator):
    """Whether a part of the data can be learned without a search."""
    if estimator.alpha is None:
        raise AttributeError(
            "partial_fit needs a fixed l1 weight: set alpha, as that of a "
            "target_sparsity can be found from all the data only."
        )
    return True


class BaseSparseMLP(BaseNetwork):
    """A multilayer perceptron with an l1 weight that makes it as sparse as asked."""

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseNetwork._parameter_constraints,
        "target_sparsity": [Interval(numbers.Real, 0, 1, closed="both"), "array-like"],
        "alpha": [Interval(numbers.Real, 0, None, closed="both"), "array-like", None],
        "penalty": [StrOptions({"l1", "l12"})],
        "sparsity_tol": [Interval(numbers.Real, 0, None, closed="left")],
        "max_search_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "trim": ["boolean"],
        "debias": ["boolean"],
        "solver": [StrOptions(set(SOLVERS))],
        "learning_rate_init": [
            Interval(numbers.Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
    }
    _network_attributes = (
        *BaseNetwork._network_attributes,
        "_smaller_",
        "alpha_",
        "coefs_",
        "intercepts_",
        "layer_sparsities_",
        "n_layers_",
        "n_outputs_",
        "out_activation_",
        "sparsity_",
    )
    # A `partial_fit` does not search.
    _optional_attributes = (
        *BaseNetwork._optional_attributes,
        "n_search_iter_",
        "search_history_",
    )

    @abstractmethod
    def _loss(self, problem):
        """Return the loss of the network, as a `PredictionObjective` takes it."""

    @abstractmethod
    def _out_activation(self, problem):
        """Say what turns the outputs of the network into predictions."""

    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def fit(self, X, y, sample_weight=None):
        """Train the network, and find the l1 weight that makes it as sparse as asked.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, float32 or float64, preferably of unit variance. A sparse
            matrix is used in CSR format, and only batches of it become dense.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Class labels, at least two different ones; or the values of a regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a sample of weight zero counts as absent.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, if there is only one class, or
            if the training still diverges (then scale X or lower `learning_rate_init`).

        Warns
        -----
        ConvergenceWarning
            If the search ends at another sparsity; the fitted network is the closest,
            trimmed if `trim`.
        UserWarning
            If a layer has lost all its weights without being asked to: the network is
            constant then.
        """
        X, y = self._validate_data(X, y)
        target, alpha = self._checked_sparsity()
        context = self._init_callback_context(max_subtasks=None)
        problem, trainer = self._prepare(X, y, sample_weight, context)
        context.call_on_fit_task_begin(**trainer.callback_arguments)
        with torch_threads(self.n_threads):
            training = SparseTraining(
                trainer,
                is_continued=self.warm_start and hasattr(self, "module_"),
                max_epochs=self.max_epochs,
                by_group=self.penalty == "l12",
                show=partial(self._show_to_callbacks, problem),
            )
            if alpha is None:
                training.reach(
                    target,
                    tol=self.sparsity_tol,
                    max_iter=self.max_search_iter,
                    trim=self.trim,
                )
            else:
                training.train_at(alpha)
            if self.debias:
                training.debias()
            self._set_state(self._fitted_state(problem, training.trainer))
        self.alpha_ = training.alpha
        self.search_history_ = training.history()
        self.n_search_iter_ = len(self.search_history_["loss"])
        vars(self).pop("_stream_", None)
        context.call_on_fit_task_end(**training.trainer.callback_arguments)
        training.warn()
        return self

    def _learn(self, X, problem):
        """Train one epoch on a part of the data: a `partial_fit`."""
        _, alpha = self._checked_sparsity()
        stream, trainer = self._resume(X, problem)
        if not isinstance(stream.optimizer, SOLVERS[self.solver]):
            stream.optimizer = trainer.make_optimizer()
        n_layers = len(weights_of(stream.module))
        stream.optimizer.penalty = Penalty(
            tuple(np.broadcast_to(alpha, n_layers)), by_group=self.penalty == "l12"
        )
        # No threshold is longer than the learning rate then, however small gradients.
        finite = np.where(np.isinf(alpha), 0.0, alpha)
        stream.optimizer.eps = max(EPS, float(np.max(finite)))
        with torch_threads(self.n_threads):
            trainer.train_epoch(stream.optimizer)
            self._set_state(self._fitted_state(problem, trainer))
        self.alpha_ = alpha
        stream.is_learning = False
        self._stream_ = stream

    def _checked_sparsity(self):
        """Return target and l1 weight as floats or arrays; one of them is not used."""
        n_layers = len(self._hidden_sizes()) + 1
        checked = []
        for name, largest in (("target_sparsity", 1.0), ("alpha", np.inf)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, numbers.Real):
                value = np.array(value, dtype=np.float64)
                in_range = (value >= 0.0) & (value <= largest)
                if value.shape != (n_layers,) or not in_range.all():
                    bounds = "non-negative" if largest > 1 else "between 0 and 1"
                    raise ValueError(
                        f"{name} must be a number, or one for each of the {n_layers} "
                        f"layers, {bounds}, got {getattr(self, name)!r}."
                    )
            checked.append(value)
        return checked

    def _first_learning_rate(self):
        if self.learning_rate_init == "auto":
            return SOLVERS[self.solver].default_learning_rate
        return self.learning_rate_init

    def _trainer_settings(self, problem):
        return {
            "objective": PredictionObjective(self._loss(problem)),
            "solver": self.solver,
            "anneals": True,
        }

    def _new_module(self, sizes, dtype, generator):
        return make_mlp(sizes, self.activation, dtype=dtype, generator=generator)

    def _take_weights(self, module, fitted, problem):
        """Make a new network continue the previous fit."""
        if (
            str(fitted) != str(module)
            or weights_of(fitted)[0].dtype != weights_of(module)[0].dtype
            or not self._has_same_targets(problem)
        ):
            raise ValueError(OTHER_NETWORK)
        module.load_state_dict(fitted.state_dict())

    def _fitted_state(self, problem, trainer):
        module = copy.deepcopy(trainer.module)
        smaller, columns = compress(module)
        linear = module[::2]
        sizes, counts = count_nonzero(module, by_group=self.penalty == "l12")
        return {
            **problem.attributes,
            "module_": module,
            "_smaller_": smaller,
            "_columns_": columns,
            "coefs_": [
                layer.weight.detach().cpu().numpy().T.copy() for layer in linear
            ],
            "intercepts_": [
                layer.bias.detach().cpu().numpy().copy() for layer in linear
            ],
            "n_layers_": len(linear) + 1,
            "n_outputs_": linear[-1].out_features,
            "out_activation_": self._out_activation(problem),
            "sparsity_": float(1.0 - counts.sum() / sizes.sum()),
            "layer_sparsities_": 1.0 - counts / sizes,
            "loss_curve_": list(trainer.loss_curve),
            "n_iter_": len(trainer.loss_curve),
            "validation_scores_": list(trainer.validation_scores) or None,
            "best_validation_score_": trainer.best_validation_score,
        }

    @property
    def _dtype(self):
        return self.coefs_[0].dtype

    def _prediction_module(self):
        return self._smaller_

    def _output(self, X):
        return self._apply(lambda module, rows: module(rows), X)


@shared_docs(**MLP_DOCS)
class SparseMLPClassifier(ClassifierMixin, ClassTargets, BaseSparseMLP):
    r"""Multilayer perceptron classifier with as many zero weights as one asks for.

    The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \, \text{CrossEntropy}(y_i, z_i) +
        \alpha \sum_k \|W_k\|_1

    where :math:`z_i` is the output of the network for a sample, :math:`w_i` the weight
    of the sample, :math:`W_k` the weights of a layer, and :math:`\alpha` is found such
    that the share `target_sparsity` of all weights is exactly zero.

    Parameters
    ----------
    {sparsity}
    {steps}
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied into the sample weights.
    {running}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels. Two classes have one output in common, others one each.
    {attributes}

    See Also
    --------
    SparseMLPRegressor : The same for a regression.
    find_l1_weight : The search for any model.
    SparseSupervisedAutoencoder : Selects features by a projection.

    Notes
    -----
    {notes}

    {merging}

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseMLPClassifier
    >>> X, y = make_classification(
    ...     n_samples=400, n_features=50, n_informative=4, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseMLPClassifier(target_sparsity=0.95, random_state=0).fit(X, y)
    >>> round(model.sparsity_, 3)
    0.95
    >>> model.score(X, y) > 0.9
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _fitted_attributes = (
        (*BaseSparseMLP._network_attributes, *ClassTargets._target_attributes),
    )

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        target_sparsity=0.9,
        alpha=None,
        penalty="l1",
        sparsity_tol=0.01,
        max_search_iter=20,
        trim=True,
        debias=True,
        activation="relu",
        solver="adam",
        max_epochs=100,
        batch_size="auto",
        learning_rate_init="auto",
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        warm_start=False,
        device="auto",
        n_threads=1,
        random_state=None,
        verbose=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.target_sparsity = target_sparsity
        self.alpha = alpha
        self.penalty = penalty
        self.sparsity_tol = sparsity_tol
        self.max_search_iter = max_search_iter
        self.trim = trim
        self.debias = debias
        self.activation = activation
        self.solver = solver
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    @available_if(has_fixed_alpha)
    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on a part of the data, with a fixed `alpha`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Some samples.
        y : array-like of shape (n_samples,)
            Their class labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that can occur; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The estimator, ready to predict.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, or if `classes` is missing in
            the first call or changes in a later one.

        Notes
        -----
        Nothing is held back, no samples are merged, and nothing is debiased.
        """
        self._learn(*self._part(X, y, classes, sample_weight))
        return self

    def _n_network_outputs(self, problem):
        return 1 if problem.n_outputs == 2 else problem.n_outputs

    def _loss(self, problem):
        return logistic if problem.n_outputs == 2 else cross_entropy

    def _out_activation(self, problem):
        return "logistic" if problem.n_outputs == 2 else "softmax"

    def decision_function(self, X):
        """Compute the logits of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The output of the network; for two classes it is positive where the second
            one is predicted.
        """
        output = self._output(X)
        return output.ravel() if len(self.classes_) == 2 else output

    def predict_proba(self, X):
        """Estimate the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        output = self._output(X)
        if len(self.classes_) == 2:
            return np.hstack([expit(-output), expit(output)])
        return softmax(output, axis=1)

    def predict(self, X):
        """Predict the class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        decision = self.decision_function(X)
        if decision.ndim == 1:
            return self.classes_[(decision > 0).astype(int)]
        return self.classes_[decision.argmax(axis=1)]


@shared_docs(**MLP_DOCS)
class SparseMLPRegressor(
    RegressorMixin, MultiOutputMixin, NumericTargets, BaseSparseMLP
):
    r"""Multilayer perceptron regressor with as many zero weights as one asks for.

    The weights minimise

    .. math::

        \frac{1}{n} \sum_i w_i \, \text{loss}(y_i, z_i) + \alpha \sum_k \|W_k\|_1

    where the targets :math:`y_i` have been scaled to mean 0 and variance 1,
    :math:`z_i` is the output of the network for a sample, :math:`w_i` the weight of
    the sample, :math:`W_k` the weights of a layer, and :math:`\alpha` is found such
    that the share `target_sparsity` of all weights is exactly zero.

    Parameters
    ----------
    {sparsity}
    loss : {"squared_error", "huber"}, default="squared_error"
        Loss of the prediction, summed over the targets; the Huber loss changes from
        square to absolute value at one standard deviation of the target.
    {steps}
    {running}

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        What the targets were centred and divided by; a `partial_fit` keeps those of
        its first call.
    {attributes}

    See Also
    --------
    SparseMLPClassifier : The same for a classification.
    find_l1_weight : The search for any model.
    SparseSupervisedAutoencoderRegressor : Selects features by a projection.

    Notes
    -----
    {notes}

    {merging}

    References
    ----------
    {references}

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseMLPRegressor
    >>> X, y = make_regression(
    ...     n_samples=400, n_features=50, n_informative=4, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseMLPRegressor(target_sparsity=0.95, random_state=0).fit(X, y)
    >>> round(model.sparsity_, 3)
    0.95
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseSparseMLP._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION_LOSSES))],
    }
    _fitted_attributes = (
        (*BaseSparseMLP._network_attributes, *NumericTargets._target_attributes),
    )

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        target_sparsity=0.9,
        alpha=None,
        penalty="l1",
        sparsity_tol=0.01,
        max_search_iter=20,
        trim=True,
        debias=True,
        loss="squared_error",
        activation="relu",
        solver="adam",
        max_epochs=100,
        batch_size="auto",
        learning_rate_init="auto",
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        device="auto",
        n_threads=1,
        random_state=None,
        verbose=False,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.target_sparsity = target_sparsity
        self.alpha = alpha
        self.penalty = penalty
        self.sparsity_tol = sparsity_tol
        self.max_search_iter = max_search_iter
        self.trim = trim
        self.debias = debias
        self.loss = loss
        self.activation = activation
        self.solver = solver
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    @available_if(has_fixed_alpha)
    @_fit_context(prefer_skip_nested_validation=True)
    @nothing_half_fitted
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch on a part of the data, with a fixed `alpha`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Some samples.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The estimator, ready to predict.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable.

        Notes
        -----
        Nothing is held back, no samples are merged, and nothing is debiased.
        """
        self._learn(*self._part(X, y, sample_weight))
        return self

    def _loss(self, problem):
        return REGRESSION_LOSSES[self.loss]

    def _out_activation(self, problem):
        return "identity"

    def predict(self, X):
        """Predict the target values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The predictions, in the units of the targets.
        """
        return self._in_target_units(self._output(X))
