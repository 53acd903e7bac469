"""Compare the pipeline of ``skproj select`` with tuned models on messy tables.

    python benchmarks/panels.py --data csv
    python benchmarks/panels.py --data csv --rst doc/benchmarks_panels.rst
    python benchmarks/panels.py --data csv --new --keep-gain 0.98 --l2-reg 0.05

Set OMP_NUM_THREADS=1 first.

Data. Tables of packages of R, with gaps and text, as the package pydataset ships them:
``--data`` is its folder ``csv``. By the first five tables of classes and numbers, and
the first three of times, the penalty of the ridge regression of "auto" became one that
is chosen by leaving one row out; no default was chosen by the others. With ``--new``,
other tables of the same kind, by which nothing was chosen.

Method. Three divisions, stratified by class, hold out three tenths of the rows. Gaps
are filled in by the median of the training part, text becomes columns of 0 and 1, and
all are standardised. "Auto" and "selector" are the steps of ``skproj select`` with
these methods; classes have equal weight in all models. A ridge and an elastic net
regression and a forest are tuned by cross-validation within the training part; the
elastic net of survival times is left out. Scores are the balanced accuracy, R2, or the
concordance index. "Features" are the largest and the smallest number that was kept.
"""

import argparse
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _results import describe_system, mean_and_error
from _tables import as_rst, as_text
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNetCV,
    LogisticRegression,
    LogisticRegressionCV,
    RidgeCV,
)
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skproj import (
    ProjectionFeatureSelectorCV,
    SparseSupervisedAutoencoder,
    SparseSupervisedAutoencoderRegressor,
)
from skproj.linear_model import CoxRidge
from skproj.metrics import concordance_index_censored

N_DIVISIONS = 3
PENALTIES = np.logspace(-2, 4, 13)
# File, target, columns to leave out; for survival times also the event.
CLASSES = (
    ("MASS/biopsy", "class", ["ID"]),
    ("MASS/Pima.tr2", "type", []),
    ("MASS/birthwt", "low", ["bwt"]),
    ("psych/bfi", "gender", []),
    ("Ecdat/Hdma", "deny", []),
    ("Ecdat/Participation", "lfp", []),
    ("Zelig/turnout", "vote", []),
    ("MASS/crabs", "sex", ["index"]),
    ("MASS/fgl", "type", []),
    ("boot/urine", "r", []),
    ("rpart/kyphosis", "Kyphosis", []),
    ("Ecdat/Mroz", "work", ["hoursw", "hearnw", "wagew"]),
)
NUMBERS = (
    ("MASS/Cars93", "Price", ["Min.Price", "Max.Price", "Make", "Model"]),
    ("MASS/Boston", "medv", []),
    ("boot/nuclear", "cost", []),
    ("datasets/stackloss", "stack.loss", []),
    ("psych/epi.bfi", "bdi", []),
    ("car/Prestige", "prestige", []),
    ("MASS/UScrime", "y", []),
    ("rpart/car.test.frame", "Price", []),
    ("Ecdat/Wages", "lwage", []),
    ("Ecdat/Computers", "price", []),
    ("Ecdat/Caschool", "testscr", ["distcod", "district", "readscr", "mathscr"]),
)
TIMES = (
    ("survival/pbc", "time", ["id"], "status", 2),
    ("KMsurv/lung", "time", ["inst"], "status", 2),
    ("MASS/Melanoma", "time", [], "status", 1),
    ("survival/veteran", "time", [], "status", 1),
    ("survival/mgus", "futime", ["id", "pctime", "pcdx"], "death", 1),
    ("KMsurv/burn", "T3", ["Obs", "T1", "T2", "D1", "D2"], "D3", 1),
    ("rpart/stagec", "pgtime", [], "pgstat", 1),
)
# By these, nothing has been chosen.
NEW_CLASSES = (
    ("MASS/survey", "Sex", []),
    ("datasets/infert", "case", ["stratum", "pooled.stratum"]),
    ("MASS/shuttle", "use", []),
    ("pscl/vote92", "vote", []),
    ("Ecdat/Benefits", "ui", []),
    ("Ecdat/Treatment", "treat", []),
    ("HSAUR/respiratory", "outcome", ["id"]),
    ("boot/nodal", "r", ["m"]),
    ("car/Chile", "vote", []),
    ("cluster/plantTraits", "autopoll", []),
    ("gap/PD", "diag", ["lab"]),
)
NEW_NUMBERS = (
    ("Ecdat/Housing", "price", []),
    ("car/Salaries", "salary", []),
    ("MASS/cpus", "perf", ["name", "estperf"]),
    ("ggplot2/mpg", "hwy", ["cty", "model"]),
    ("datasets/mtcars", "mpg", []),
    ("car/Highway1", "rate", []),
    ("quantreg/barro", "y.net", []),
    ("reshape2/tips", "tip", []),
    ("MASS/UScereal", "calories", []),
    ("datasets/attitude", "rating", []),
    ("Ecdat/Schooling", "lwage76", ["wage76"]),
    ("Ecdat/Griliches", "lw", ["lw80"]),
)
LEFT_OUT_OF_BMT = ["t1", "d1", "d2", "ta", "tc", "tp", "da", "dc", "dp"]
NEW_TIMES = (
    ("quantreg/uis", "TIME", ["ID", "Y", "LEN.T", "SITE"], "CENSOR", 1),
    ("KMsurv/bmt", "t2", LEFT_OUT_OF_BMT, "d3", 1),
    ("KMsurv/std", "time", ["obs"], "rinfct", 1),
    ("KMsurv/kidtran", "time", ["obs"], "delta", 1),
    ("Zelig/coalition", "duration", [], "ciep12", 1),
    ("KMsurv/hodg", "time", [], "delta", 1),
)
MAX_ROWS = 1000


def read(folder, name, target, left_out, event=None, code=None):
    """Return features and target of a table."""
    table = pd.read_csv(folder / f"{name}.csv", index_col=0)
    table = table.dropna(subset=[target]).sample(frac=1.0, random_state=0)
    table = table[:MAX_ROWS]
    y = table[target].to_numpy()
    if event is not None:
        y = np.rec.fromarrays([table[event] == code, y], names="event,time")
    return table.drop(columns=[target, *left_out, *([event] if event else [])]), y


def prepare():
    """Return steps that make standardised numbers of the columns."""
    text = make_column_selector(dtype_exclude="number")
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (
            SimpleImputer(strategy="median"),
            make_column_selector(dtype_include="number"),
        ),
        (encoder, text),
    )
    return columns, StandardScaler()


def heads(task):
    """Return the models after a selection, by the name of the method."""
    if task == "times":
        return {"selector": CoxRidge()}
    if task == "classes":
        linear = LogisticRegression(class_weight="balanced", max_iter=1000)
        network = SparseSupervisedAutoencoder(
            eta=np.inf, class_weight="balanced", random_state=0
        )
        parts = [("linear", linear), ("network", network)]
        return {"auto": VotingClassifier(parts, voting="soft"), "selector": linear}
    network = SparseSupervisedAutoencoderRegressor(eta=np.inf, random_state=0)
    linear = RidgeCV(PENALTIES)
    parts = [("linear", linear), ("network", network)]
    return {"auto": VotingRegressor(parts), "selector": linear}


def tuned(task):
    """Return the models to compare with, by name."""
    if task == "times":
        alphas = {"alpha": PENALTIES}
        return {"ridge": GridSearchCV(CoxRidge(), alphas, scoring=score_times)}
    leaves = {"min_samples_leaf": [1, 3, 10]}
    if task == "classes":
        options = {"class_weight": "balanced", "use_legacy_attributes": False}
        options |= {"scoring": "neg_log_loss", "max_iter": 1000}
        forest = RandomForestClassifier(
            300, class_weight="balanced_subsample", random_state=0
        )
        return {
            "ridge": LogisticRegressionCV(l1_ratios=[0.0], **options),
            "elastic net": LogisticRegressionCV(
                l1_ratios=[0.5], solver="saga", tol=1e-3, **options
            ),
            "forest": GridSearchCV(forest, leaves, scoring="balanced_accuracy"),
        }
    return {
        "ridge": RidgeCV(PENALTIES),
        "elastic net": ElasticNetCV(l1_ratio=0.5),
        "forest": GridSearchCV(RandomForestRegressor(300, random_state=0), leaves),
    }


def score_times(model, X, y):
    """Return the concordance index of predicted risks."""
    found = concordance_index_censored(y["event"], y["time"], model.predict(X))
    return found[0]


def score(task, model, X, y):
    """Score predictions for rows that were held out."""
    if task == "times":
        return score_times(model, X, y)
    metric = balanced_accuracy_score if task == "classes" else r2_score
    return metric(y, model.predict(X))


def measure(task, X, y, seed, **settings):
    """Return the scores by method, and the number of features that are kept."""
    labels = y if task == "classes" else y["event"] if task == "times" else None
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=0.3, random_state=seed, stratify=labels
    )
    steps = make_pipeline(*prepare())
    X, X_test = steps.fit_transform(X), steps.transform(X_test)
    weighted = {"class_weight": "balanced"} if task == "classes" else {}
    loss = {"classes": "log_loss", "numbers": "squared_error", "times": "cox"}[task]
    settings |= {"loss": loss, "random_state": 0, **weighted}
    selector = ProjectionFeatureSelectorCV(**settings)
    kept = selector.fit(X, y).get_support()
    scores = {}
    for name, head in heads(task).items():
        scores[name] = {"classes": 1.0 / len(np.unique(y)), "times": 0.5}.get(task, 0.0)
        if kept.any():
            model = head.fit(X[:, kept], y)
            scores[name] = score(task, model, X_test[:, kept], y_test)
    for name, model in tuned(task).items():
        scores[name] = score(task, model.fit(X, y), X_test, y_test)
    return scores, int(np.count_nonzero(kept)), X.shape


def main():
    """Run all tables, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of tables")
    parser.add_argument("--rst", help="file to write as a table of the documentation")
    parser.add_argument(
        "--new", action="store_true", help="tables by which nothing was chosen"
    )
    parser.add_argument("--keep-gain", type=float, default=0.95)
    parser.add_argument("--l2-reg", type=float, default=0.0)
    options = parser.parse_args()
    settings = {"keep_gain": options.keep_gain, "l2_reg": options.l2_reg}
    warnings.simplefilter("ignore")
    methods = "auto", "selector", "ridge", "elastic net", "forest"
    rows = [["table", "rows x columns", "features", *methods]]
    differences, ratios = [], []
    tables_of = {"classes": CLASSES, "numbers": NUMBERS, "times": TIMES}
    if options.new:
        tables_of = {"classes": NEW_CLASSES, "numbers": NEW_NUMBERS, "times": NEW_TIMES}
    for task, tables in tables_of.items():
        for table in tables:
            X, y = read(options.data, *table)
            runs = [
                measure(task, X, y, seed, **settings) for seed in range(N_DIVISIONS)
            ]
            counts = [count for _, count, _ in runs]
            means = {
                name: mean_and_error([scores[name] for scores, _, _ in runs])
                for name in runs[0][0]
            }
            shown = (
                "{:.3f} +- {:.3f}".format(*means[name]) if name in means else ""
                for name in methods
            )
            size = f"{len(y)} x {runs[0][2][1]}"
            rows.append([table[0], size, f"{min(counts)} to {max(counts)}", *shown])
            print(as_text(rows[-1:]), flush=True)
            best = max(means[name][0] for name in means if name in methods[2:])
            own = means.get("auto", means["selector"])[0]
            differences.append(own - best)
            ratios.append(max(counts) / max(min(counts), 1))
    mean, error = mean_and_error(differences)
    summary = (
        f"The mean difference of auto (of survival times, the selector) to the best of "
        f"the tuned models of a table is {mean:.3f} +- {error:.3f}; it is below -0.02 "
        f"in {np.sum(np.array(differences) < -0.02)} of {len(differences)} tables. The "
        f"largest number of features over the smallest has the geometric mean "
        f"{np.exp(np.mean(np.log(ratios))):.2f}. Measured on {describe_system()}; one "
        "thread."
    )
    print(as_text(rows), summary, sep="\n")
    if options.rst:
        Path(options.rst).write_text(f"{as_rst(rows)}\n{textwrap.fill(summary)}\n")


if __name__ == "__main__":
    main()
