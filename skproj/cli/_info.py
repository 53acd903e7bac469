"""``skproj info``: versions, the machine, and a summary of a model."""

from skproj.persistence._summary import read_summary
from skproj.utils._versions import machine, print_table, versions


def run(options, errors):
    errors.raise_all()
    if options.model is None:
        print_table({**versions(), **machine()})
        return
    lines = read_summary(options.model)
    if lines is None:  # written by skops, or by a version without summaries
        lines = describe_file(options.model)
    verdict = {"verdict": lines.pop("verdict")} if "verdict" in lines else {}
    print_table({**verdict, "file": options.model, **lines})


def describe_file(path):
    from skproj.cli._models import load_model
    from skproj.persistence._description import describe_model
    from skproj.persistence._estimators import written_by

    lines = describe_model(load_model(path))
    writer = written_by(path)
    return lines if writer is None else {**lines, "written by": writer}
