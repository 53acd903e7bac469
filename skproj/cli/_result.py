"""The result of a selection, from which the terminal output and the report are made."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """Whether the selected features predict the target at all.

    The scores are on rows that the model was not fitted to, in the folds and among the
    rows held out.
    """

    # Whether the model is better than the trivial one, which ignores the features, by
    # more than chance explains.
    predicts: bool
    sentence: str  # the same in words, for the first line of every output
    score_name: str
    score: float
    trivial_score: float
    difference: float  # how much better the model is
    standard_error: float  # of the difference, for a model that is not


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
    """The scores of the selection, or of a model to compare with."""

    name: str
    n_features: int  # how many the model uses
    scores: list[Score]  # the same names for all models, the headline first


@dataclass(frozen=True)
class SelectedFeature:
    """A selected feature."""

    rank: int  # from 1, the most important feature
    name: str
    score: float  # importance in the model
    # Share of the halves of the training rows that select it, if it was measured.
    frequency: float | None
    # Class in which the feature is highest on average; "+" or "-" for the sign of the
    # correlation with a target of numbers, or with an early event.
    direction: str
    # Of each class, in the order of `SelectionResult.class_names`: its "label", and
    # "mean" and "spread", the standard deviation, of the feature among the training
    # rows, in the units of the table. The label is "all" without classes.
    groups: list[dict]
    # `name` and `correlation` of the features that are strongly correlated with it, the
    # closest first.
    substitutes: list[dict]
    # Estimated rate of false discoveries among features that are as good or better.
    q_value: float | None = None


@dataclass(frozen=True)
class Threshold:
    """From which score on a row is predicted as a class."""

    value: float  # a probability, or a value of the decision function
    label: object  # the class
    score_name: str
    score: float  # of the threshold, in the folds that it was chosen by
    sentence: str  # the same in words


@dataclass(frozen=True)
class Repeat:
    """A selection with another seed."""

    seed: int
    n_selected: int
    score_name: str | None  # None if no rows are held out
    score: float | None
    selected: list  # names of the features


def describe_repeats(repeats):
    if not repeats:
        return None
    counts = [r.n_selected for r in repeats]
    sentence = (
        f"With {len(repeats)} other seeds, which hold out other rows, {min(counts)} "
        f"to {max(counts)} features are selected"
    )
    scores = np.array([r.score for r in repeats if r.score is not None])
    if len(scores):
        low, high, mean = (rounded(f(scores), 3) for f in (np.min, np.max, np.mean))
        name = repeats[0].score_name
        sentence += f", and the {name} is {low} to {high}, on average {mean}"
    return f"{sentence}."


@dataclass(frozen=True)
class Predictions:
    """Predictions for the rows that are held out; all arrays are empty without any.

    Those of classes have a column for each, as in `SelectionResult.class_names`.
    """

    y_test: np.ndarray  # labels, numbers, or survival times
    y_predicted: np.ndarray  # the same, but risks for survival times
    probabilities: np.ndarray | None = None  # None if the model knows none
    # What classes are ranked by, for ROC curves: the probabilities or the decision
    # function, the larger the likelier.
    decisions: np.ndarray | None = None
    # Probabilities of survival, of shape (n_test, n_times), until `times`.
    survival: np.ndarray | None = None
    times: np.ndarray | None = None


@dataclass
class SelectionResult:
    """A fitted model, what it selects, and how far it is to be trusted."""

    verdict: Verdict
    # Pipeline or FixedThresholdClassifier, fitted to the training rows, with the names
    # of the features. Its attribute `verdict_` is the verdict as a dict.
    model: object
    task: str  # "classification", "regression" or "survival"
    search: object  # what chose the radius, with `cv_results_` and `best_index_`
    eta: float  # the radius
    names: np.ndarray  # of all features, as the next two
    support: np.ndarray  # whether each is selected
    scores: np.ndarray  # importance of each, zero if it is not selected
    features: list[SelectedFeature]  # the most important first
    cv_score: float  # mean over the folds, of `cv_score_name`
    cv_std: float  # standard deviation over the folds
    cv_score_name: str
    comparison: list[ModelScores]  # the selection first; empty if no rows are held out
    warnings: list[str]  # what a user should know before believing the result
    predictions: Predictions
    class_names: list[str]  # empty if there are no classes
    n_train: int
    target: str = "Time"  # name of its column
    repeats: list[Repeat] = field(default_factory=list)  # with other seeds
    choice: str | None = None  # a sentence on the number of features
    frequencies: np.ndarray | None = None  # as `SelectedFeature.frequency`
    n_halves: int | None = None  # None if nothing was selected from any
    stability: float | None = None  # index of the selections by the halves
    stability_interval: tuple[float, float] | None = None  # of 95 % confidence
    q_values: np.ndarray | None = None  # as `SelectedFeature.q_value`, at most 1
    false_discoveries: str | None = None  # how many there are, in words
    preparation: list[str] = field(default_factory=list)  # as that of the problem
    threshold: Threshold | None = None  # between two classes, if one was chosen

    @property
    def ranking(self):
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
