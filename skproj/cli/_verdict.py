"""The verdict: whether the features predict the target at all."""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from skproj.cli._evidence import association_test, combine, rank_evidence
from skproj.cli._result import Verdict

# How rarely chance alone may pass each of the three tests, of which one is enough. The
# sum is less than 5 %, and most of it is for the test that finds most.
HELD_OUT_LEVEL = 0.005
COMBINED_LEVEL = 0.014
ASSOCIATION_LEVEL = 0.03

SCORE_NAMES = {"classification": "AUC", "regression": "rank correlation"}
TRIVIAL_SCORES = {"classification": 0.5, "regression": 0.0}


class Judge:
    """Collection of evidence for a verdict, the cheapest first.

    Parameters
    ----------
    task : {"classification", "regression"}
    target : str
        Name of the target.
    classes : ndarray of shape (n_classes,) or None
    """

    def __init__(self, task, target, classes):
        self.task = task
        self.target = target
        self.classes = classes
        self.held_out = []
        self.folds = []
        self.n_units = []

    def add_held_out(self, decisions, y, groups=None):
        """Take predictions of a model for rows that it has not seen in any way."""
        self._add(self.held_out, decisions, y, groups)

    def add_fold(self, decisions, y, groups=None):
        """Take predictions for the test rows of a fold of the other rows."""
        self._add(self.folds, decisions, y, groups)

    def _add(self, parts, decisions, y, groups):
        part = rank_evidence(decisions, y, self.classes, groups)
        if part is not None:
            parts.append(part)
            self.n_units.append(len(y) if groups is None else len(np.unique(groups)))

    def is_certain(self):
        """Whether the rows that were held out are enough for a verdict."""
        return self._beats_chance(combine(self.held_out), HELD_OUT_LEVEL)

    def _beats_chance(self, evidence, level):
        if evidence is None:
            return False
        difference = evidence.score - TRIVIAL_SCORES[self.task]
        return bool(difference > self._least_difference(evidence, level))

    def _least_difference(self, evidence, level):
        # Few groups tell little of the variance between groups.
        freedom = max(sum(self.n_units) - 1, 1)
        bound = student.isf(level, freedom) if freedom < 30 else norm.isf(level)
        return bound * np.sqrt(evidence.variance)

    def verdict(self, X, y, names, seed, *, grouped=False):
        """Return the verdict.

        Parameters
        ----------
        X : {ndarray, CSR matrix} of shape (n_rows, n_features)
            All rows, for the test of association.
        y : ndarray of shape (n_rows,)
        names : list of str
        seed : int
        grouped : bool, default=False
            Whether rows belong to groups; association is then not tested.

        Returns
        -------
        verdict : Verdict
        """
        evidence = combine(self.held_out)
        if self.is_certain():
            return self._say(True, evidence)
        folds = combine(self.folds, n_folds=len(self.folds))
        evidence = combine([part for part in (evidence, folds) if part is not None])
        if self._beats_chance(evidence, COMBINED_LEVEL):
            return self._say(True, evidence)
        if not grouped:
            classifies = self.task == "classification"
            found = association_test(X, y, classifies, seed)
            if found.p_value <= ASSOCIATION_LEVEL:
                return self._say(True, evidence, self._describe(found, names))
        return self._say(False, evidence)

    def _describe(self, found, names):
        """Return the beginning of a sentence on an association."""
        what = f"associated with {self.target!r} (p = {found.p_value:.3f}"
        if found.stands_out:
            return f"{str(names[found.feature])!r} is {what} among all features)"
        return f"The features together are {what}), though none stands out"

    def _say(self, predicts, evidence, association=None):
        name, trivial = SCORE_NAMES[self.task], TRIVIAL_SCORES[self.task]
        score = trivial if evidence is None else evidence.score
        error = np.inf if evidence is None else np.sqrt(evidence.variance)
        by_chance = f"{name} unknown"
        if evidence is not None:
            by_chance = f"{name} {score:.2f}, chance gives {trivial:.2f} +- {error:.2f}"
        if not predicts:
            sentence = f"Nothing predicts {self.target!r} better than chance: "
            sentence += f"{by_chance}, on rows not used for training."
            if evidence is not None and 1.0 - trivial <= self._least_difference(
                evidence, COMBINED_LEVEL
            ):
                sentence += (
                    " With an error of this size no score can be told from chance: "
                    "more rows or groups are needed."
                )
        elif association is None:
            sentence = f"The selected features predict {self.target!r}: {by_chance}, "
            sentence += "on rows not used for training."
        else:
            sentence = (
                f"{association}; but the model is not certain to predict it: "
                f"{by_chance}, on rows not used for training."
            )
        return Verdict(
            predicts=predicts,
            sentence=sentence,
            score_name=name,
            score=float(score),
            trivial_score=trivial,
            difference=float(score - trivial),
            standard_error=float(error),
        )
