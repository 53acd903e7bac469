"""The two models that genes can be selected with, behind one interface."""

import inspect
import numbers
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone

from skproj.anndata._group_selector import GroupSelector
from skproj.anndata._log import log_hint
from skproj.anndata._matrix import compare_groups, divide_genes, scale_of_genes
from skproj.feature_selection import (
    ProjectionFeatureSelector,
    ProjectionFeatureSelectorCV,
)
from skproj.utils._choices import check_integer, number_to_select

# Parameters of the estimators that `select_features` sets, or has another name for.
RESERVED_PARAMETERS = {
    "cv",
    "eta",
    "n_features_to_select",
    "n_jobs",
    "random_state",
    # The labels are codes, and the results those of one model.
    "estimator",
    "importance_getter",
    "loss",
    "prefit",
    "standardize",
    "calibrate",
    "warm_start",
}


@dataclass(frozen=True)
class GeneSelection:
    """Result of a method on the cells that have a label."""

    method: "Method"
    model: BaseEstimator  # fitted to all these cells
    recipe: BaseEstimator  # without a search, as it was fitted in the folds
    selected: np.ndarray  # places of the selected genes among those considered
    scale: np.ndarray | None  # divisors of the genes before the fit
    frequency: np.ndarray  # fraction of the folds that select a gene
    # Of each cell from the fold that has not seen it; minus infinity for groups that
    # this fold has not seen at all.
    fold_logits: np.ndarray

    @property
    def scores(self):
        return getattr(self.model, self.method.scores_attribute)

    def logits(self, X):
        if self.scale is not None:
            X = divide_genes(X, self.scale[self.selected])
        return self.method.logits(self.model, X, self.selected)

    def coef(self):
        """Return the coefficients of the selected genes, or None.

        They have shape (n_groups, n_selected).
        """
        coef = getattr(self.model, "coef_", None)
        return None if coef is None else for_both_groups(coef[:, self.selected])

    def of_group(self, n_groups):
        """Whether a gene is selected for a group, of shape (n_groups, n_selected)."""
        of_group = getattr(self.model, "of_group_", None)
        if of_group is None:  # a model of all groups
            return np.ones((n_groups, len(self.selected)), dtype=bool)
        return of_group[:, self.selected]


class Method:
    """A kind of model for the groups of the cells.

    A subclass has the `estimators` of a single radius and of a search, the `fixed`
    parameters of both, the names of those that a search has `chosen` and of the
    attribute with the scores, and says whether it `divides_genes` by their deviation.
    Its `logits` returns those of the groups, of shape (n_cells, n_groups), by a model
    from the selected genes of scaled cells. `parameters` are what users have set.
    """

    search_defaults: ClassVar = {}  # parameters of a search, if users set no others
    searches_in_parallel = True

    def __init__(
        self, parameters, *, random_state, n_jobs, min_genes=None, reference=None
    ):
        self.parameters = parameters
        self.min_genes = min_genes  # of each group, of a search
        self.reference = reference  # code of a group, of a model for each group
        self.random_state = random_state
        self.n_jobs = n_jobs

    def check_parameters(self, searches):
        """Refuse parameters that the estimator that will be fitted does not have."""
        cls = self.estimators[searches]
        known = set(inspect.signature(cls).parameters) - RESERVED_PARAMETERS
        for name in self.parameters:
            if name not in known:
                raise TypeError(
                    f"{name!r} is no parameter of select_features or of "
                    f"{cls.__name__} that can be set here; these are "
                    f"{', '.join(sorted(known))}."
                )

    def select(self, X, codes, folds, radius):
        """Fit all cells, and then the training cells of each fold.

        `radius` has the parameters that fix how many genes are selected; None searches.
        """
        scale = scale_of_genes(X) if self.divides_genes else None
        if scale is not None:
            X = divide_genes(X, scale)
        if radius is None:
            _, cls = self.estimators
            parameters = self.fixed | self.parameters
            if self.searches_in_parallel:
                parameters["n_jobs"] = self.n_jobs
            model = search = cls(**parameters, cv=folds).fit(X, codes)
            found = {name: float(getattr(model, f"{name}_")) for name in self.chosen}
            found["eta"] = float(self._radius_of(search, X, codes))
            recipe = self._recipe({**found, "projection": model.projection})
            if found["eta"] != search.eta_:
                model = clone(recipe).fit(X, codes)
                model.cv_results_ = search.cv_results_
        else:
            recipe = self._recipe(radius)
            model = clone(recipe).fit(X, codes)
        selected = model.get_support(indices=True)
        log_hint(f"{len(selected)} genes are selected; fitting the folds")
        if len(selected) == 0:
            raise ValueError(
                "No gene was selected: eta is too small, or no gene differs between "
                "the groups."
            )
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(self._fit_fold)(clone(recipe), X, codes, *fold) for fold in folds
        )
        logits = np.full((len(codes), codes.max() + 1), -np.inf)
        for (_, test), (_, seen, fold_logits) in zip(folds, fits, strict=True):
            logits[np.ix_(test, seen)] = fold_logits
        frequency = np.mean([support for support, _, _ in fits], axis=0)
        return GeneSelection(self, model, recipe, selected, scale, frequency, logits)

    def _radius_of(self, search, X, codes):
        """Return the radius that a search chose, or that more genes of a group need."""
        return search.eta_

    def _recipe(self, settings):
        """Return the estimator of a single radius, with the parameters that it has."""
        cls, _ = self.estimators
        known = inspect.signature(cls).parameters
        usable = {k: v for k, v in self.parameters.items() if k in known}
        return cls(**(self.fixed | usable | settings))

    def _fit_fold(self, model, X, codes, train, test):
        """Return the selected genes, the groups seen, and the logits of the test."""
        model.fit(X[train], codes[train])
        selected = model.get_support(indices=True)
        if len(selected) == 0:
            raise ValueError(
                "No gene was selected without the cells of one of the folds: increase "
                "eta."
            )
        logits = self.logits(model, X[test][:, selected], selected)
        return model.get_support(), model.classes_, logits


class LinearMethod(Method):
    """The linear model in a ball; it divides the genes by their deviation itself."""

    estimators = ProjectionFeatureSelector, ProjectionFeatureSelectorCV
    # A panel of tens of genes: of many cells, small gains are known for many more.
    search_defaults: ClassVar = {"keep_gain": 0.9}
    chosen = "eta", "l2_reg"
    scores_attribute = "scores_"
    divides_genes = False

    @property
    def fixed(self):
        return {"loss": "log_loss"}

    def _radius_of(self, search, X, codes):
        if self.min_genes is None:
            return search.eta_
        means, others = compare_groups(X, codes)
        best = ((means - others) / scale_of_genes(X)).argmax(axis=0)
        row = np.searchsorted(search.etas_, search.eta_)
        counts = np.array(
            [
                np.bincount(best[coef.any(axis=0)], minlength=len(means))
                for coef in search.path_.coefs[row:]
            ]
        )
        enough = counts.min(axis=1) >= self.min_genes
        if not enough.any():
            raise ValueError(
                f"min_genes_per_group={self.min_genes} is too large: with the largest "
                f"radius one of the groups has {counts[-1].min()} genes."
            )
        return search.etas_[row + enough.argmax()]

    def logits(self, model, X, selected):
        coef, intercept = (
            for_both_groups(weights)
            for weights in (model.coef_[:, selected], model.intercept_[:, np.newaxis])
        )
        return X @ coef.T + intercept[:, 0]


class LinearOfGroups(LinearMethod):
    """A linear model for each group, with a number of genes of its own."""

    def check_parameters(self, searches):
        super().check_parameters(searches)
        if isinstance(self.parameters.get("class_weight"), dict):
            raise ValueError(
                'class_weight must be "balanced" or None with n_genes_per_group, whose '
                "models have two classes each."
            )

    def select(self, X, codes, folds, radius):
        selection = super().select(X, codes, folds, radius)
        counts = selection.model.of_group_.sum(axis=1)
        counts = np.delete(counts, [] if self.reference is None else self.reference)
        fewest = counts.min() - len(self.parameters.get("always_keep") or ())
        wanted = radius["n_features_to_select"]
        if self.parameters.get("feature_groups"):  # need not add up to the number
            if counts.min() < counts.max():
                raise ValueError(
                    f"n_genes_per_group={wanted} gives {counts.min()} genes to one "
                    f"group and {counts.max()} to another, because feature_groups are "
                    "selected as a whole: leave out one of the two parameters."
                )
        elif fewest < wanted:
            raise ValueError(
                f"n_genes_per_group={wanted} is too large: for one of the groups only "
                f"{fewest} genes can be selected."
            )
        return selection

    def _recipe(self, settings):
        return GroupSelector(super()._recipe(settings), self.reference)


class AutoencoderMethod(Method):
    """The supervised autoencoder, which expects genes of unit variance."""

    chosen = "eta", "final_noise"
    searches_in_parallel = False  # all folds are one run
    search_defaults: ClassVar = {"selection_rule": "one-standard-error"}
    scores_attribute = "feature_importances_"
    divides_genes = True

    @property
    def estimators(self):
        from skproj import nn  # PyTorch takes seconds to import

        return nn.SparseSupervisedAutoencoder, nn.SparseSupervisedAutoencoderCV

    @property
    def fixed(self):
        return {"random_state": self.random_state}

    def _recipe(self, settings):
        settings = dict(settings)
        noise = settings.pop("final_noise", None)
        recipe = super()._recipe(settings)
        if noise is None:
            return recipe
        schedule = recipe._schedule().set_params(final_noise=noise)
        return recipe.set_params(schedule=schedule)

    def logits(self, model, X, selected):
        return model.compact().transform(X)


def for_both_groups(weights):
    """Return a row for each group; of two groups, the models have the second only.

    The logits of both then have the same probabilities as the single logit.
    """
    return np.vstack([-weights, weights]) / 2 if len(weights) == 1 else weights


METHODS = {"linear": LinearMethod, "autoencoder": AutoencoderMethod}


def check_radius(eta, n_genes, n_genes_per_group, n_considered):
    """Return the parameters that fix how many genes are selected, or None.

    None stands for a search.
    """
    given = {
        "eta": None if isinstance(eta, str) and eta == "cv" else eta,
        "n_genes": n_genes,
        "n_genes_per_group": n_genes_per_group,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        values = " and ".join(f"{name}={value!r}" for name, value in given.items())
        raise ValueError(
            f"eta, n_genes and n_genes_per_group cannot be combined, got {values}."
        )
    for name, value in given.items():
        if name == "eta":
            is_number = isinstance(eta, numbers.Real) and not isinstance(eta, bool)
            if not is_number or not eta > 0:
                break
            return {"eta": float(eta)}
        check_integer(name, value, least=1)
        n_genes = number_to_select(name, value, n_considered, stacklevel=3)
        return {"n_features_to_select": n_genes}
    if eta is None or given:
        raise ValueError(f'eta must be "cv" or a positive number, got {eta!r}.')
    return None
