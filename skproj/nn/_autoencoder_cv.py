"""Sparse supervised autoencoder that chooses its radius by cross-validation."""

import contextlib
import functools
import numbers

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.parallel import delayed

from skproj.blocks import RowBlocks
from skproj.linear_model._block_matrix import substitutes_of
from skproj.nn._autoencoder import SparseSupervisedAutoencoder
from skproj.nn._autoencoder_folds import (
    Candidates,
    as_indices,
    clone_of,
    fit_fold,
    train_alone,
    train_side_by_side,
)
from skproj.nn._block_input import validate_blocks
from skproj.nn._docs import AUTOENCODER_DOCS
from skproj.nn._targets import relative_weights
from skproj.utils._docs import shared_docs
from skproj.utils._path_search import SELECTION_RULES, choose_row, tabulate_scores
from skproj.utils._splits import make_splits
from skproj.utils._stability import (
    STABILITY_ATTRIBUTES,
    STABILITY_DOCS,
    describe_selection,
)
from skproj.utils._state import store_parameters
from skproj.utils._tasks import run_tasks, subtask
from skproj.utils._validation import (
    Interval,
    StrOptions,
    _fit_context,
    atomic_fit,
)

# Schedules that never train with `final_noise`.
SCHEDULES_WITHOUT_LAST_STAGE = ("projected", "single")


@shared_docs(**AUTOENCODER_DOCS, stability=STABILITY_DOCS)
class SparseSupervisedAutoencoderCV(SparseSupervisedAutoencoder):
    r"""Sparse supervised autoencoder that chooses its radius by cross-validation.

    A run from dense to sparse passes every radius, so one run scores all of them: the
    networks of all the samples and of the folds are trained side by side. The radius
    is chosen by the scores of the folds.

    Parameters
    ----------
    {layers}
    etas : array-like of shape (n_etas,), default=None
        Radii to choose from. By default those that the run of all the samples passes,
        from all the features, with an infinite radius, down to one.
    cv : int, cross-validation generator or iterable, default=None
        How to split the samples, as in :class:`~sklearn.model_selection.GridSearchCV`.
        A number of folds, None for five, shuffles the samples with `random_state`; the
        folds are stratified, and keep groups together if `groups` are passed to `fit`.
        Others are used as they are.
    scoring : str or callable, default=None
        Criterion of the choice: the name of a scorer or a scorer. None is minus
        the log loss of probabilities that have been calibrated over all the folds: it
        sees a loss of features earlier than the accuracy does.
    selection_rule : str, default="parsimonious"
        One of {"parsimonious", "best", "one-standard-error"}. "best" takes
        the radius with the best mean score, "one-standard-error" the smallest one whose
        mean score is at most one standard error worse.
        "parsimonious" smooths the mean scores over similar numbers of features, and
        takes the best one less 0.6 / sqrt(n_samples) for each factor of e by which
        there are more than 30 features: twice as many must raise the score by 0.042 of
        100 samples.
    n_jobs : int, default=None
        Number of folds to run in parallel, as in joblib; None means 1. Not used with
        ``schedule="consensus"``, where all folds are one run.
    {ball}
    {feature_structure}
    {network}
    {schedule}
    {steps}
    input_noise : float or array-like, default=1.0
        Standard deviation of Gaussian noise added to the input of the encoder while
        training [2]_; the reconstruction is compared with the clean input. The
        default is meant for features of unit variance. Of several the best one is
        chosen together with the radius.
    final_noise : float or array-like, default=0.5
        Standard deviation of the noise in the last stage, unless `input_noise` is
        smaller: few features can be trusted more. Of several the best one is chosen;
        those that are not below the input noise are left out, but one. With
        ``schedule="consensus"``, the networks of the chosen radius are trained for one
        more stage with this noise, and replaced if that makes the score of the folds
        better. Not used by the schedules "single" and "projected".
    {training}
    {class_weight}
    calibrate : bool, default=True
        Whether to fit the temperature [3]_ of the class probabilities with the
        predictions of the folds for their test samples.
    {device}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels, in the order of the latent code.
    input_noise_ : float
        The chosen noise on the input.
    final_noise_ : float
        The chosen noise in the last stage; that of the input if the stage with less
        noise was no better.
    best_index_ : int
        The row of `cv_results_` that was chosen.
    best_score_ : float
        Its mean score.
    cv_results_ : dict of ndarray
        A table with a row for each radius and pair of noises, in the form of
        :class:`~sklearn.model_selection.GridSearchCV`, with the mean number of
        selected features of the folds in ``"mean_n_features"``. With
        ``schedule="consensus"`` the last rows are those with less noise at the end.
    etas_ : ndarray of shape (n_etas,)
        The radii that were tried with the chosen noises, from dense to sparse.
    path_rows_ : ndarray of int of shape (n_etas,)
        Their rows in `cv_results_`. One with less noise at the end may be chosen yet.
    n_features_path_ : ndarray of int of shape (n_etas,)
        Number of features selected at these radii with all the samples.
    importances_path_ : ndarray of shape (n_etas, n_features)
        Importances at these radii with all the samples.
    temperature_ : float
        Divisor of the latent code in the softmax of `predict_proba`; 1 unless it was
        calibrated.
    {stability}
    {attributes}

    See Also
    --------
    SparseSupervisedAutoencoder : One radius, or one number of features.
    sklearn.model_selection.GridSearchCV : A search over any other parameter.

    Notes
    -----
    With ``schedule="progressive"``, a fit of :class:`SparseSupervisedAutoencoder` at
    one radius is the same run, stopped there: with the same `scoring`, `cv` and an
    integer `random_state`, a grid search over `eta` finds the same scores. It takes far
    longer. With ``schedule="consensus"`` the folds keep as many features as the run of
    all the samples at the same step, whatever their own radius; and for few
    samples the folds are the parts that rank the features.

    Samples whose class is missing in the training part of a split do not count for
    the default score, nor for the calibration.

    {notes}

    Within each fit, equal samples are merged and their weights added up. The splits are
    made of the samples as they come: their order matters, and so does repeating a
    sample instead of giving it a weight.

    Callbacks see the path of all the samples, and the folds that have a run of their
    own, but cannot end a search.

    {references}
    {calibration_reference}

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skproj import SparseSupervisedAutoencoderCV
    >>> X, y = make_classification(
    ...     n_samples=300, n_features=50, n_informative=4, n_redundant=0, random_state=0
    ... )
    >>> X = StandardScaler().fit_transform(X)
    >>> model = SparseSupervisedAutoencoderCV(max_epochs=10, cv=3, random_state=0)
    >>> model.fit(X, y).n_selected_features_ < 20
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **SparseSupervisedAutoencoder._parameter_constraints,
        "etas": ["array-like", None],
        "input_noise": [Interval(numbers.Real, 0, None, closed="left"), "array-like"],
        "final_noise": [Interval(numbers.Real, 0, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "selection_rule": [StrOptions({"parsimonious", *SELECTION_RULES})],
        "n_jobs": [numbers.Integral, None],
    }
    for _name in ("eta", "n_features_to_select", "warm_start"):
        _parameter_constraints.pop(_name)

    _of_every_version = (
        *SparseSupervisedAutoencoder._network_attributes,
        *SparseSupervisedAutoencoder._target_attributes,
        "best_index_",
        "best_score_",
        "cv_results_",
        "etas_",
        "final_noise_",
        "importances_path_",
        "input_noise_",
        "n_features_path_",
    )
    _optional_attributes = ("path_rows_",)  # of later versions
    # Files of the first versions do not know what the folds have kept.
    _fitted_attributes = (
        (*_of_every_version, *STABILITY_ATTRIBUTES),
        _of_every_version,
    )
    _feature_attributes = (
        "feature_importances_",
        "importances_path_",
        "selection_frequency_",
    )
    __metadata_request__fit = {"groups": UNUSED}  # noqa: RUF012

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        *,
        etas=None,
        cv=None,
        scoring=None,
        selection_rule="parsimonious",
        n_jobs=None,
        projection="l12",
        feature_weights=None,
        always_keep=None,
        never_keep=None,
        feature_groups=None,
        activation="silu",
        reconstruction_loss="huber",
        reconstruction_weight=0.0,
        schedule="consensus",
        keep_fraction=0.7,
        max_epochs=20,
        batch_size="auto",
        learning_rate_init=0.004,
        input_noise=1.0,
        final_noise=0.5,
        weight_decay=0.0,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        class_weight=None,
        calibrate=True,
        device="auto",
        n_threads=1,
        random_state=None,
        verbose=False,
    ):
        super().__init__()
        store_parameters(**locals())

    @shared_docs(**AUTOENCODER_DOCS)
    @_fit_context(prefer_skip_nested_validation=True)
    @atomic_fit
    def fit(self, X, y, sample_weight=None, *, groups=None):
        """Choose the radius, train the network and select features.

        Data that do not fit into memory are passed as
        :class:`~skproj.blocks.RowBlocks` in place of an array. The folds are read as
        the samples are, see :meth:`SparseSupervisedAutoencoder.fit`, and each model of
        a fold is scored in a pass. Splits are used in the order of the rows.

        Parameters
        ----------
        {fit_data}
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, in training and in the scores. A sample of weight
            zero counts as absent, but not when the samples are split.
        groups : array-like of shape (n_samples,), default=None
            Groups, such as patients or batches, whose samples stay on the same side of
            each split. Metadata routing need not be enabled.

        {fit_results}

        Warns
        -----
        UserWarning
            If no feature is selected.
        """
        in_blocks = isinstance(X, RowBlocks)
        if in_blocks:
            X, y = validate_blocks(self, X, y)
            in_blocks = isinstance(X, RowBlocks)  # or few enough for the memory
        else:
            X, y = self._validate_data(X, y)
        if sample_weight is not None:
            sample_weight = relative_weights(sample_weight, X)
        etas = self._checked_etas()
        noises = self._checked_noises()
        models = [self._single_model(noise) for noise in noises]
        splits = make_splits(
            self.cv,
            np.zeros(len(y)) if in_blocks else X,
            y,
            classifier=True,
            groups=groups,
            random_state=models[0].random_state,
        )
        if in_blocks:  # which are read from the first row to the last
            splits = [tuple(np.sort(as_indices(p)) for p in split) for split in splits]
        side_by_side = self.schedule == "consensus"
        n_runs = 1 if side_by_side else 1 + len(splits)
        context = self._init_callback_context(max_subtasks=len(models) * n_runs)
        # Arguments of the hooks: a search has no network of its own until the end.
        arguments = {"estimator": self, "X": X, "y": y, "metadata": {}}
        if sample_weight is not None:
            arguments["metadata"]["sample_weight"] = sample_weight
        context.call_on_fit_task_begin(**arguments)
        data = {"y": y, "sample_weight": sample_weight, "scoring": self.scoring}
        # Tasks of paths whose best candidate is refined end with this block.
        with contextlib.ExitStack() as open_tasks:
            paths = []
            for model in models:
                task = subtask(context, "path", arguments, max_subtasks=None)
                path_context = open_tasks.enter_context(task)
                # Callbacks may not stop: half a path cannot be compared.
                encoded, trainer = model._prepare(
                    X, y, sample_weight, path_context, callbacks_may_stop=False
                )
                if side_by_side:
                    path = train_side_by_side(
                        model, encoded, trainer, X, splits, etas=etas, **data
                    )
                else:
                    final_noises = noises[model.input_noise]
                    path = train_alone(model, encoded, trainer, etas, final_noises)
                    open_tasks.close()
                    fit_one = functools.partial(
                        fit_fold,
                        # With each fold, no other computer can lose the data.
                        **data,
                        etas=path.parameters["eta"][:: len(final_noises)],
                        final_noises=final_noises,
                        classes=encoded.attributes["classes_"],
                    )
                    calls = (delayed(fit_one)(clone_of(model), X, s) for s in splits)
                    n_jobs = None if in_blocks else self.n_jobs
                    folds = run_tasks(calls, n_jobs, context, "fold", arguments)
                    path.folds.extend(folds)
                paths.append(path)
            self._choose(paths, noises, X, sample_weight)
        context.call_on_fit_task_end(**arguments)
        self._warn_if_few_are_selected()
        return self

    @property
    def partial_fit(self):
        """Hide the method of the parent."""
        raise AttributeError(
            "There is no partial_fit: the choice of a radius needs all the data."
        )

    def _choose(self, paths, noises, X, sample_weight):
        """Take the state of the best candidate of all paths."""
        calibrated = self.scoring is None
        table = Candidates(paths, calibrated)
        parameters = table.parameters
        noises_of_rows = [parameters["input_noise"], parameters["final_noise"]]
        _, of_path = np.unique(noises_of_rows, axis=1, return_inverse=True)
        self.cv_results_ = tabulate_scores(parameters, table.scores, table.counts)
        best = choose_row(
            self._projection().density(parameters["eta"]),
            table.scores,
            self.selection_rule,
            n_features=table.counts,
            n_samples=X.shape[0],
            paths=of_path,
        )
        self.input_noise_ = parameters["input_noise"][best]
        self.path_rows_ = on_path = np.flatnonzero(of_path == of_path[best])
        states = [table.states[row] for row in on_path]
        self.etas_ = np.array([state["eta_"] for state in states])
        self.n_features_path_ = np.array([s["n_selected_features_"] for s in states])
        self.importances_path_ = np.array([s["feature_importances_"] for s in states])
        (path,) = (p for p in paths if p.input_noise == self.input_noise_)
        less_noise = [n for n in noises[path.input_noise] if n < path.input_noise]
        if path.refiners and less_noise:
            refined = path.refined(int(np.searchsorted(on_path, best)), less_noise)
            rivals = [best, *(len(table.states) + np.arange(len(less_noise)))]
            table = Candidates([*paths, refined], calibrated)
            parameters = table.parameters
            self.cv_results_ = tabulate_scores(parameters, table.scores, table.counts)
            best = rivals[self.cv_results_["mean_test_score"][rivals].argmax()]
        self.best_index_ = best
        self.best_score_ = self.cv_results_["mean_test_score"][best]
        self.final_noise_ = parameters["final_noise"][best]
        self._set_state(table.states[best])
        selected = self.get_support(indices=True)
        substitutes = substitutes_of(self, X, selected, sample_weight)
        supports = table.supports(X.shape[1])[:, best]
        self._set_state(describe_selection(supports, substitutes))
        if self.calibrate:
            self.temperature_ = float(table.temperatures[best])

    def _checked_etas(self):
        """Return the radii to try, dense to sparse, or None for those of the run."""
        if self.etas is None:
            if self.schedule not in ("consensus", "progressive"):
                raise ValueError(
                    f"schedule={self.schedule!r} passes no radii of its own: give etas."
                )
            return None
        etas = distinct_numbers(self.etas)
        if etas is None or not np.all(etas > 0.0):
            raise ValueError(f"etas must hold positive numbers, got {self.etas!r}.")
        projection = self._projection()
        etas = map(projection.check_eta, etas)
        return sorted(etas, key=projection.density, reverse=True)

    def _checked_noises(self):
        """Return the final noises to try with each noise on the input."""
        input_noises, final_noises = (
            self._checked_levels(name) for name in ("input_noise", "final_noise")
        )
        if self.schedule in SCHEDULES_WITHOUT_LAST_STAGE:
            final_noises = final_noises[:1]
        return {
            noise: [final for final in final_noises if final < noise]
            or final_noises[:1]
            for noise in input_noises
        }

    def _checked_levels(self, name):
        """Return a sorted list of standard deviations."""
        value = getattr(self, name)
        levels = distinct_numbers(np.atleast_1d(value))
        if levels is None or not np.all((levels >= 0.0) & (levels < np.inf)):
            raise ValueError(f"{name} must hold non-negative numbers, got {value!r}.")
        return levels.tolist()

    def _single_model(self, input_noise):
        """Return the estimator that is fitted along a path."""
        parameters = self.get_params(deep=False)
        for name in ("etas", "cv", "scoring", "selection_rule", "n_jobs"):
            del parameters[name]
        # The folds are arrays, without names.
        parameters |= self._indexed_parameters()
        parameters["input_noise"] = input_noise
        parameters["final_noise"] = 0.0  # each path is given its own
        # Nothing is held back: the calibration takes the predictions of the folds.
        parameters["calibrate"] = False
        if not isinstance(self.random_state, numbers.Integral):
            # The folds start from the weights that all the data start from.
            random_state = check_random_state(self.random_state)
            parameters["random_state"] = random_state.randint(2**31 - 1)
        model = SparseSupervisedAutoencoder(**parameters)
        model.n_features_in_ = self.n_features_in_
        return model


def distinct_numbers(values):
    """Return the sorted numbers of a list, or None if it is no list of numbers."""
    try:
        numbers = np.unique(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        return None
    return numbers if np.ndim(values) == 1 and len(numbers) > 0 else None
