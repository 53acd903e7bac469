"""The methods of a selection in words, for a paper, and the model as lines of text."""

import textwrap

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer

from skproj import __version__
from skproj.utils._path_search import ONE_STANDARD_ERROR
from skproj.utils._pipelines import steps_of

# Characters of a line of the model.
MODEL_WIDTH = 200

REFERENCES = {
    "ball": """\
@article{barlaud2017outer,
  title = {Classification and regression using an outer approximation
           projection-gradient method},
  author = {Barlaud, Michel and Belhajali, Wafa and Combettes, Patrick L. and
            Fillatre, Lionel},
  journal = {IEEE Transactions on Signal Processing},
  volume = {65}, number = {17}, pages = {4635--4644}, year = {2017}
}""",
    "bilevel": """\
@article{barlaud2024bilevel,
  title = {A new linear time bi-level l1,inf projection; application to the
           sparsification of auto-encoders neural networks},
  author = {Barlaud, Michel and Perez, Guillaume and Marmorat, Jean-Paul},
  journal = {arXiv:2407.16293}, year = {2024}
}""",
    "scikit-learn": """\
@article{pedregosa2011scikit,
  title = {Scikit-learn: machine learning in {P}ython},
  author = {Pedregosa, Fabian and others},
  journal = {Journal of Machine Learning Research},
  volume = {12}, pages = {2825--2830}, year = {2011}
}""",
    "stability": """\
@article{nogueira2018stability,
  title = {On the stability of feature selection algorithms},
  author = {Nogueira, Sarah and Sechidis, Konstantinos and Brown, Gavin},
  journal = {Journal of Machine Learning Research},
  volume = {18}, number = {174}, pages = {1--54}, year = {2018}
}""",
}
LOSSES = {
    "classification": "the log loss",
    "regression": "the squared error",
    "survival": "the partial likelihood of proportional hazards",
}


def methods(selection, facts, options):
    s = selection
    groups = f" ({facts['groups']})" if "groups" in facts else ""
    kept = [
        f"Features that predict {facts['target']} were selected from "
        f"{facts['features']} candidates in {facts['rows']} rows{groups} with skproj "
        f"{__version__}."
    ]
    kept += s.preparation
    if s.n_test:
        stratified = ", stratified by outcome," if s.task == "classification" else ""
        together = " Rows of a group stayed together." if options.groups else ""
        kept.append(
            f"A random part of {s.n_test} rows{stratified} was held out; everything "
            f"below was fitted to the other {s.n_train} rows.{together}"
        )
    kept += [*how_selected(s, options), *how_judged(s)]
    kept.append(f"The seed of all random numbers was {options.seed}.")
    cited = ["bilevel" if options.method == "autoencoder" else "ball", "scikit-learn"]
    cited += ["stability"] if s.stability is not None else []
    return {
        "text": " ".join(kept),
        "references": "\n".join(REFERENCES[name] for name in cited),
    }


def how_selected(selection, options):
    s = selection
    folds = f"{options.cv}-fold cross-validation"
    if options.class_weight is not None:
        yield "Rows of rare classes had larger weights, the same in total for each."
    if options.method == "autoencoder":
        yield (
            "Features were standardised. A sparse supervised autoencoder was trained, "
            "whose first layer is projected onto a ball of the bi-level l1,inf norm, "
            "so that weights of whole features become zero."
        )
        if options.eta is None:
            yield f"The radius of the ball was chosen by {folds} ({s.cv_score_name})."
        yield from grouped(options)
        if s.threshold is not None:
            yield s.threshold.sentence
        return
    n_repeats = getattr(s.search, "n_splits_", 0) // options.cv
    if n_repeats > 1:
        folds = f"{n_repeats} repetitions of {folds}"
    yield (
        f"Features were standardised. A linear model minimised {LOSSES[s.task]} with "
        "its coefficients in a ball of the l1 norm over features, l1,2 with several "
        "outputs or features in a group, whose radius sets how many features remain."
    )
    yield from grouped(options)
    if options.eta is None:
        share = 0.95 if options.keep_gain is None else options.keep_gain
        rule = "within one standard error of the best score"
        if share != ONE_STANDARD_ERROR:
            rule = f"that kept {100.0 * share:g}% of the best gain over a model"
            rule += " without them"
        n_radii = len(s.search.cv_results_["params"])
        yield (
            f"Of {n_radii} radii, {folds} chose that of the fewest features {rule}, by "
            f"{s.cv_score_name} of rows left out."
        )
    given = "selected feature was"
    if s.n_selected > 1:
        given = f"{s.n_selected} selected features were"
    yield f"The {given} then given to {describe_head(s.model)}."
    if s.threshold is not None:
        yield s.threshold.sentence


def grouped(options):
    """Yield a sentence if features were selected in groups that the user has given."""
    if options.windows is not None:
        yield f"Windows of {options.windows} neighbouring channels were groups."
    if options.feature_groups is not None:
        yield f"Groups of features were those of {options.feature_groups.name}."
    if {options.windows, options.feature_groups} != {None}:
        yield "Features of a group were selected together."


def describe_head(model):
    last = steps_of(model)[-1]
    first = last.estimators_[0] if hasattr(last, "estimators_") else last
    name = {"CoxRidge": "Cox", "LogisticRegression": "logistic"}.get(
        type(first).__name__, "linear"
    )
    if first is last:
        return f"a ridge-penalised {name} regression"
    return (
        f"a ridge-penalised {name} regression and to a neural network with one hidden "
        "layer, whose predictions were averaged"
    )


def how_judged(selection):
    s = selection
    if s.comparison:
        scores = s.comparison[0].scores
        listed = [
            f"{x.name} {x.value:.3f} (95 % confidence interval {x.low:.3f} to "
            f"{x.high:.3f})"
            for x in scores
            if np.isfinite([x.value, x.low, x.high]).all()
        ]
        if listed:
            yield f"On the rows held out: {', '.join(listed)}."
    if s.stability is not None and np.isfinite(s.stability):
        low, high = s.stability_interval or (None, None)
        interval = "" if low is None else f" (95 % interval {low:.2f} to {high:.2f})"
        yield (
            f"The selection was repeated on {s.n_halves} random halves of the training "
            f"rows; its stability index was {s.stability:.2f}{interval}."
        )
    if s.q_values is not None:
        yield (
            "The rate of false discoveries was estimated with decoys, synthetic "
            "features that imitate the candidates without influence on the outcome."
        )


def describe_model(model):
    return [line for step in steps_of(model) for line in describe_step(step)]


def describe_step(step):
    if isinstance(step, ColumnTransformer):
        return [
            f"{describe_estimator(transformer)} of {len(columns)} columns"
            for _, transformer, columns in step.transformers_
            if isinstance(transformer, BaseEstimator)
        ]
    parts = getattr(step, "estimators", None)
    if isinstance(parts, list):
        inside = " and ".join(describe_estimator(part) for _, part in parts)
        return [f"{type(step).__name__} of {inside}"]
    return [describe_estimator(step)]


def describe_estimator(estimator):
    """Return an estimator in one line; long lists in it are not of interest."""
    return textwrap.shorten(repr(estimator), MODEL_WIDTH, placeholder=" …)")
