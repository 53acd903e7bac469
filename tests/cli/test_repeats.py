"""--repeat: the selection with other seeds."""

import json

import numpy as np
import pytest
from cli_helpers import make_frame, read_features, select

from skproj.cli._result import Repeat, describe_repeats


def make_trial():
    frame = make_frame().drop(columns="kind")
    rng = np.random.default_rng(0)
    time = rng.exponential(np.exp(-frame["gene0"] / 4.0)) + 0.01
    return frame.assign(time=time, died=[1, 1, 0] * 30)


def report_of(folder):
    return json.loads((folder / "report.json").read_text("utf-8"))


@pytest.mark.parametrize("task", ["classes", "numbers", "times"])
def test_a_repetition_is_the_run_with_this_seed(task, tmp_path, capsys):
    frame, target, options = make_frame(), "kind", []
    if task == "numbers":
        frame["kind"] = frame["gene0"] + np.random.default_rng(0).normal(size=90)
    if task == "times":
        frame, target, options = make_trial(), "time", ["--event", "died"]
    frame.loc[::9, "gene3"] = np.nan
    frame.to_csv(tmp_path / "table.csv", index=False)
    options += ["--impute", "indicator"]
    for name, more in (("a", ["--repeat", 2]), ("b", ["--seed", 1])):
        out = tmp_path / name
        path = tmp_path / "table.csv"
        assert select(path, *options, *more, "--out", out, target=target) == 0
    told = report_of(tmp_path / "a")["repeats"]
    first, second = told["runs"]
    assert (first["seed"], second["seed"]) == (1, 2)
    same = report_of(tmp_path / "b")
    assert first["score"] == same["models"][0]["scores"][0]["value"]
    assert first["score_name"] == same["models"][0]["scores"][0]["name"]
    kept = {
        r["feature"] for r in read_features(tmp_path / "b") if r["selected"] == "TRUE"
    }
    assert set(first["selected"]) == kept
    assert first["n_selected"] == same["n_selected"]
    assert same["repeats"] == {
        "runs": [],
        "sentence": None,
        "times_selected": [0] * len(kept),
    }
    names = [feature["name"] for feature in report_of(tmp_path / "a")["features"]]
    counted = [sum(n in r["selected"] for r in (first, second)) for n in names]
    assert told["times_selected"] == counted
    assert told["sentence"] in capsys.readouterr().out
    page = (tmp_path / "a" / "report.html").read_text("utf-8")
    assert "<h2>Other seeds</h2>" in page
    assert f"{counted[0]} of 2</td>" in page
    assert "Other seeds" not in (tmp_path / "b" / "report.html").read_text("utf-8")


def test_repetitions_in_words():
    runs = [Repeat(1, 4, "AUC", 0.75, ["a"]), Repeat(2, 6, "AUC", 0.875, ["a"])]
    assert describe_repeats(runs) == (
        "With 2 other seeds, which hold out other rows, 4 to 6 features are selected, "
        "and the AUC is 0.750 to 0.875, on average 0.812."
    )
    runs = [Repeat(1, 4, None, None, ["a"])]
    assert describe_repeats(runs).endswith("4 to 4 features are selected.")
    assert describe_repeats([]) is None
