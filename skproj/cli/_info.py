"""``skproj info``: versions, the machine, and a summary of a model."""

from skproj.cli._models import load_model, selection_of
from skproj.cli._summary import read_summary
from skproj.utils._versions import machine, print_table, versions
from skproj.utils._wording import join_names


def run(options):
    if options.model is None:
        print_table({**versions(), **machine()})
        return
    lines = read_summary(options.model)
    if lines is None:  # saved by a program, not by a command
        lines = describe_model(load_model(options.model))
        lines |= writer_of(options.model)
    verdict = {"verdict": lines.pop("verdict")} if "verdict" in lines else {}
    print_table({**verdict, "file": options.model, **lines})


def describe_model(model):
    """Return the main properties of a fitted model as text, by name."""
    import numpy as np

    from skproj.cli._result import VERDICT_ATTRIBUTE

    lines = {}
    if hasattr(model, VERDICT_ATTRIBUTE):
        lines["verdict"] = getattr(model, VERDICT_ATTRIBUTE)["sentence"]
    steps = [step for _, step in getattr(model, "steps", [("", model)])]
    lines["model"] = ", ".join(type(step).__name__ for step in steps)
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
    if hasattr(model, "classes_"):
        lines["classes"] = join_names(model.classes_.tolist(), at_most=20)
    return lines


def writer_of(path):
    """Return the version that wrote a file, as a line, or nothing."""
    from skproj.persistence._estimators import written_by

    writer = written_by(path)
    return {} if writer is None else {"written by": writer}
