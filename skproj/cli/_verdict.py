"""The verdict: whether the features predict the target at all."""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from skproj.blocks import RowBlocks
from skproj.cli._evidence import (
    association_test,
    combine,
    means_of_groups,
    rank_evidence,
)
from skproj.cli._result import Verdict, rounded

# How rarely chance alone may pass each of the three tests, of which one is enough. The
# sum is less than 5 %, and most of it is for the test that finds most.
HELD_OUT_LEVEL = 0.005
COMBINED_LEVEL = 0.014
ASSOCIATION_LEVEL = 0.03

SCORE_NAMES = {
    "classification": "AUC",
    "regression": "rank correlation",
    "survival": "concordance index",
}
TRIVIAL_SCORES = {"classification": 0.5, "regression": 0.0, "survival": 0.5}


class Judge:
    """Collection of evidence for a verdict, the cheapest first.

    Numbers and survival times have no `classes`.
    """

    def __init__(self, task, target, classes):
        self.task = task
        self.target = target
        self.classes = classes
        self.held_out = []
        self.folds = []
        self.n_units = []
        self.n_held_out = 0

    def add(self, decisions, y, groups=None, *, of_fold=False):
        """Take predictions for rows that a model has not seen in any way, or of a fold.

        Those of a fold are the test rows of a cross-validation of the other rows.
        """
        parts = self.folds if of_fold else self.held_out
        self.n_held_out += 0 if of_fold else len(y)
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

    def verdict(self, X, y, names, seed, groups=None):
        """Return the verdict, with a test of association on all rows if there is doubt.

        Blocks do not have it. With groups it is of their means, if all rows of each
        have the same target.
        """
        evidence = combine(self.held_out)
        if self.is_certain():
            return self._say(True, evidence)
        folds = combine(self.folds, n_folds=len(self.folds))
        evidence = combine([part for part in (evidence, folds) if part is not None])
        if self._beats_chance(evidence, COMBINED_LEVEL):
            return self._say(True, evidence)
        if isinstance(X, RowBlocks):
            return self._say(False, evidence, untested="they need all rows in memory")
        rows = (X, y) if groups is None else means_of_groups(X, y, groups)
        if rows is None:
            return self._say(False, evidence, untested="it varies within the groups")
        found = association_test(*rows, self.task == "classification", seed)
        if found.p_value <= ASSOCIATION_LEVEL:
            return self._say(True, evidence, self._describe(found, names))
        untested = "the table is too large" if np.isnan(found.p_value) else None
        return self._say(False, evidence, untested=untested)

    def _describe(self, found, names):
        what = f"associated with {self.target!r} (p = {found.p_value:.3f}"
        if found.stands_out:
            return f"{str(names[found.feature])!r} is {what} among all features)"
        return f"The features together are {what}), though none stands out"

    def _say(self, predicts, evidence, association=None, untested=None):
        trivial = TRIVIAL_SCORES[self.task]
        score = trivial if evidence is None else evidence.score
        error = np.inf if evidence is None else np.sqrt(evidence.variance)
        by_chance = self._compare(evidence)
        if association is not None:
            sentence = (
                f"{association}; but the model is not certain to predict it: "
                f"{by_chance}"
            )
        elif predicts:
            sentence = f"The selected features predict {self.target!r}: {by_chance}"
        else:
            sentence = (
                f"Nothing predicts {self.target!r} better than chance: {by_chance}"
                f"{self._limits(evidence, untested)}"
            )
        return Verdict(
            predicts=predicts,
            sentence=sentence,
            score_name=SCORE_NAMES[self.task],
            score=float(score),
            trivial_score=trivial,
            difference=float(score - trivial),
            standard_error=float(error),
        )

    def _compare(self, evidence):
        """Return the end of a sentence on the score, that of chance, and the rows."""
        name, held_out = SCORE_NAMES[self.task], combine(self.held_out)
        if evidence is None:
            return f"{name} unknown on rows not used for training."
        error = rounded(np.sqrt(evidence.variance), 2)
        chance = f"{TRIVIAL_SCORES[self.task]:.2f} +- {error}"
        rows = "in the folds"
        if held_out is not None:
            rows = f"on the {self.n_held_out} rows held out"
            if evidence != held_out:
                alone = rounded(held_out.score, 2)
                rows += f" (alone {alone}) and in the folds"
        return f"{name} {rounded(evidence.score, 2)}, chance gives {chance}, {rows}."

    def _limits(self, evidence, untested):
        found = ""
        if evidence is not None:
            least = self._least_difference(evidence, COMBINED_LEVEL)
            if 1.0 - TRIVIAL_SCORES[self.task] <= least:
                found += (
                    " With an error of this size no score can be told from chance: "
                    "more rows or groups are needed."
                )
        if untested is not None:
            found += f" Associations with it were not tested, because {untested}."
        return found
