"""``skproj info``: versions, the machine, and a summary of a model."""

import numpy as np

from skproj.cli._models import load_model, selection_of
from skproj.utils._versions import machine, print_table, versions
from skproj.utils._wording import join_names


def run(options):
    if options.model is not None:
        lines = describe_model(load_model(options.model), options.model)
    else:
        lines = {**versions(), **machine()}
    print_table(lines)


def describe_model(model, path):
    """Return the main properties of a fitted model, by name."""
    steps = [step for _, step in getattr(model, "steps", [("", model)])]
    lines = {
        "file": path,
        "model": ", ".join(type(step).__name__ for step in steps),
    }
    from skproj.persistence._estimators import written_by

    step = selection_of(model)
    if hasattr(step, "eta_"):
        lines["eta"] = f"{step.eta_:.6g}"
    if step is not None:
        support = step.get_support()
        lines["features"] = f"{np.count_nonzero(support)} of {len(support)}"
        names = getattr(model, "feature_names_in_", None)
        if names is not None and len(names) == len(support):
            lines["selected"] = join_names(
                np.asarray(names)[support].tolist(), at_most=20
            )
    if (writer := written_by(path)) is not None:
        lines["written by"] = writer
    if hasattr(model, "classes_"):
        lines["classes"] = join_names(model.classes_.tolist(), at_most=20)
    return lines
