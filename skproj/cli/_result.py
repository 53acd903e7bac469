"""The result of a selection, from which the terminal output and the report are made."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """Whether the selected features predict the target at all.

    Attributes
    ----------
    predicts : bool
        Whether the model is better than the trivial one, which ignores the features,
        by more than chance explains.
    sentence : str
        The same in words, for the first line of every output.
    score_name : str
    score, trivial_score : float
        Of the model and of the trivial one on the same rows. They are rows that the
        model was not fitted to, in the folds and among the rows held out.
    difference, standard_error : float
        How much better the model is; the error is that of a model that is not.
    """

    predicts: bool
    sentence: str
    score_name: str
    score: float
    trivial_score: float
    difference: float
    standard_error: float


def rounded(value, digits):
    """Return a number as text that is 0 or 1 only if the number is."""
    value = 0.0 if abs(value) < 1e-12 else value  # errors of rounding
    if 0.0 < abs(value) < 0.1**digits:
        return f"{value:.2g}"
    text = f"{value:.{digits}f}"
    if abs(float(text)) == 1.0 and 1e-6 < abs(abs(value) - 1.0):
        return rounded(value, digits + 1)
    return text


@dataclass(frozen=True)
class Score:
    """A score on the rows that are held out, with its 95 % confidence interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ModelScores:
    """The scores of the selection, or of a model to compare with.

    Attributes
    ----------
    name : str
    n_features : int
        How many features the model uses.
    scores : list of Score
        The same names for all models, the headline first.
    """

    name: str
    n_features: int
    scores: list[Score]


@dataclass(frozen=True)
class GroupSummary:
    """A feature among the training rows of a class, or among all without classes.

    Attributes
    ----------
    label : str
        The class; "all" without classes.
    mean, spread : float
        Mean and standard deviation, in the units of the table.
    """

    label: str
    mean: float
    spread: float


@dataclass(frozen=True)
class SelectedFeature:
    """A selected feature.

    Attributes
    ----------
    rank : int
        From 1, the most important feature.
    name : str
    score : float
        Importance in the model.
    frequency : float or None
        Share of the halves of the training rows that select it. None if it was not
        measured.
    direction : str
        Class in which the feature is highest on average; "+" or "-" for the sign of
        the correlation with a target of numbers, or with an early event.
    groups : list of GroupSummary
        In the order of `SelectionResult.class_names`.
    substitutes : list of dict
        `name` and `correlation` of the features that are strongly correlated with it,
        the closest first.
    """

    rank: int
    name: str
    score: float
    frequency: float | None
    direction: str
    groups: list[GroupSummary]
    substitutes: list[dict]


@dataclass(frozen=True)
class Threshold:
    """From which score on a row is predicted as a class.

    Attributes
    ----------
    value : float
        A probability, or a value of the decision function.
    label : str or int
        The class.
    score_name : str
    score : float
        Of the threshold, in the folds that it was chosen by.
    sentence : str
        The same in words.
    """

    value: float
    label: object
    score_name: str
    score: float
    sentence: str


@dataclass(frozen=True)
class Predictions:
    """Predictions for the rows that are held out; all arrays are empty without any.

    Attributes
    ----------
    y_test, y_predicted : ndarray of shape (n_test,)
        Labels, numbers, or survival times and predicted risks.
    probabilities : ndarray of shape (n_test, n_classes) or None
        In the order of `SelectionResult.class_names`; None if the model knows none.
    decisions : ndarray of shape (n_test, n_classes) or None
        What classes are ranked by, for ROC curves: the probabilities or the decision
        function, the larger the likelier. None for a regression.
    survival : ndarray of shape (n_test, n_times) or None
        Probabilities of survival until `times`, if the target is survival times.
    times : ndarray of shape (n_times,) or None
    """

    y_test: np.ndarray
    y_predicted: np.ndarray
    probabilities: np.ndarray | None = None
    decisions: np.ndarray | None = None
    survival: np.ndarray | None = None
    times: np.ndarray | None = None


@dataclass
class SelectionResult:
    """A fitted model, what it selects, and how far it is to be trusted.

    Attributes
    ----------
    verdict : Verdict
    model : Pipeline or FixedThresholdClassifier
        Fitted to the training rows, with the names of the features. Its attribute
        `verdict_` is the verdict as a dict.
    task : {"classification", "regression", "survival"}
    search : estimator object
        The search that chose the radius, with `cv_results_` and `best_index_`.
    eta : float
        The radius.
    names : ndarray of str of shape (n_features,)
    support : ndarray of bool of shape (n_features,)
        The features that are selected.
    scores : ndarray of shape (n_features,)
        Importance of each feature, zero if it is not selected.
    frequencies : ndarray of shape (n_features,) or None
        As `SelectedFeature.frequency`.
    features : list of SelectedFeature
        The selected features, the most important first.
    cv_score, cv_std : float
        Mean and standard deviation over the folds, of `cv_score_name`.
    cv_score_name : str
    comparison : list of ModelScores
        The selection first. Empty if no rows are held out.
    warnings : list of str
        Sentences on what a user should know before believing the result.
    predictions : Predictions
    class_names : list of str
        Empty if there are no classes.
    n_train : int
    stability : float or None
        Stability index of the selections by the halves.
    n_halves : int or None
        Number of the halves, None if nothing was selected from any.
    stability_interval : tuple of float or None
        Its 95 % confidence interval.
    preparation : list of str
        Sentences on what was done to the columns before the search.
    threshold : Threshold or None
        Between two classes, if one was chosen.
    """

    verdict: Verdict
    model: object
    task: str
    search: object
    eta: float
    names: np.ndarray
    support: np.ndarray
    scores: np.ndarray
    features: list[SelectedFeature]
    cv_score: float
    cv_std: float
    cv_score_name: str
    comparison: list[ModelScores]
    warnings: list[str]
    predictions: Predictions
    class_names: list[str]
    n_train: int
    frequencies: np.ndarray | None = None
    n_halves: int | None = None
    stability: float | None = None
    stability_interval: tuple[float, float] | None = None
    preparation: list[str] = field(default_factory=list)
    threshold: Threshold | None = None

    @property
    def ranking(self):
        """The features, the most important first."""
        return np.argsort(-self.scores, kind="stable")

    @property
    def n_selected(self):
        return int(np.count_nonzero(self.support))

    @property
    def n_test(self):
        return len(self.predictions.y_test)

    @property
    def positive(self):
        """Place of the class of two that probabilities are drawn of, else None."""
        if len(self.class_names) != 2:
            return None
        label = self.threshold.label if self.threshold else self.class_names[1]
        return self.class_names.index(str(label))

    @property
    def codes(self):
        """Places of the true and the predicted labels in the list of classes."""
        place = {name: i for i, name in enumerate(self.class_names)}
        labels = self.predictions.y_test, self.predictions.y_predicted
        return [np.array([place[str(n)] for n in y], dtype=np.intp) for y in labels]
