"""``skproj datasets``: tables to try the commands with."""

import numpy as np

from skproj.cli._errors import CommandError
from skproj.cli._options import check_free
from skproj.cli._output import check_table_suffix, write_table
from skproj.utils._optional import import_optional
from skproj.utils._wording import near_matches

N_PROBES = 1000


def digits_with_probes():
    from sklearn.datasets import load_digits

    from skproj.datasets import add_probes

    digits = load_digits()
    varies = digits.data.std(axis=0) > 0
    X, names, _ = add_probes(
        digits.data[:, varies].astype(np.float32),
        n_probes=N_PROBES,
        feature_names=np.array(digits.feature_names)[varies],
        random_state=0,
    )
    return X, names, digits.target


def breast_cancer():
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return data.data, data.feature_names, data.target_names[data.target]


def diabetes():
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    return data.data, data.feature_names, data.target


def survival():
    from skproj.datasets import make_survival

    trial = make_survival(n_samples=300, n_features=500, random_state=0)
    kinds = np.where(trial.support, "informative", "noise")
    names = [f"{kind}{j}" for j, kind in enumerate(kinds)]
    return trial.data.astype(np.float32), names, trial.target


# Description, column to predict, and function of each data set.
DATASETS = {
    "digits-probes": (
        f"images of digits: 61 pixels that vary, and {N_PROBES} probes, permuted "
        "copies of pixels, which a selection should leave out",
        "digit",
        digits_with_probes,
    ),
    "breast-cancer": (
        "30 measurements of cell nuclei, malignant or benign",
        "diagnosis",
        breast_cancer,
    ),
    "diabetes": (
        "10 measurements of patients, and the progression of their disease, a number",
        "progression",
        diabetes,
    ),
    "survival": (
        "500 random features, 10 of which change the hazard of an event, and the time "
        "of the event or of censoring (--event event)",
        "time",
        survival,
    ),
}


def run(options, errors):
    if options.name is None:
        errors.raise_all()
        for name, (description, target, _) in DATASETS.items():
            print(f"{name} (--target {target}): {description}")
        return
    if options.name not in DATASETS:
        hint = near_matches(options.name, DATASETS)
        errors.append(
            f"there is no data set {options.name!r}{hint} ('skproj datasets' lists all)"
        )
    with errors:
        if options.out is None:
            raise CommandError("--out must say which file to write.")
        check_table_suffix(options.out)
        check_free(options.out, options.overwrite)
    errors.raise_all()
    pd = import_optional("pandas", extra="cli")
    description, target, load = DATASETS[options.name]
    X, names, y = load()
    frame = pd.DataFrame(X, columns=names)
    fields = {target: y} if y.dtype.names is None else {n: y[n] for n in y.dtype.names}
    frame = frame.assign(**fields)
    write_table(frame, options.out, index=False)
    print(f"{options.name}: {description}")
    print(
        f"Wrote {options.out}: {len(frame)} rows, {X.shape[1]} features; "
        f"predict column {target!r}"
    )
