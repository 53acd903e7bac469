"""skproj select --backed: Parquet files, survival times, and rows without a target."""

import json
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import zarr
from cli_helpers import read_features, run, selected
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skproj.blocks._row_blocks as row_blocks
from skproj import ProjectionFeatureSelectorCV, persistence
from skproj.blocks import _sources, open_blocks
from skproj.cli import main
from skproj.cli._tables import ReadOptions, read_table
from skproj.datasets import make_survival

N_ROWS, N_GENES = 240, 30
GENES = [f"gene{j}" for j in range(N_GENES)]
NAMES = "first", "second"
TIMES = ["--target", "time", "--event", "died", "--drop", "kind", "weight"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, and room for a few genes in memory."""
    monkeypatch.setattr(_sources, "BLOCK_ENTRIES", 1000)
    monkeypatch.setattr(row_blocks, "COLUMN_BYTES", 20_000)


def make_table():
    """Return a table with a class, a number and survival times to predict."""
    options = {"n_samples": N_ROWS, "n_features": N_GENES, "n_informative": 3}
    trial = make_survival(**options, effect_size=1.5, random_state=0)
    order = np.argsort(~trial.support, kind="stable")
    frame = pd.DataFrame(trial.data[:, order].astype(np.float32), columns=GENES)
    noise = np.random.default_rng(0).normal(size=(2, N_ROWS))
    return frame.assign(
        time=trial.target["time"],
        died=trial.target["event"].astype(int),
        kind=np.where(frame["gene0"] + 0.3 * noise[0] > 0.0, "ill", "well"),
        weight=frame["gene1"] + 0.3 * noise[1],
    )


def write(frame, path):
    """Write a table; of annotated data, only the genes are features."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=70)
    else:
        frame = frame.set_axis(frame.index.astype(str))
        var = pd.DataFrame(index=pd.Index(GENES))
        X = sparse.csr_matrix(frame[GENES].to_numpy())
        adata = anndata.AnnData(X, frame.drop(columns=GENES), var)
        if path.suffix == ".h5ad":
            adata.write_h5ad(path)
        else:
            group = zarr.open_group(path, mode="w", zarr_format=2)
            anndata.io.write_elem(group, "/", adata)
    return path


@pytest.fixture
def path(tmp_path):
    return write(make_table(), tmp_path / "table.parquet")


def report_of(path, out, *arguments):
    """Select, and return the report."""
    command = ["select", path, "--method", "selector", "--cv", "3", "--no-progress"]
    assert run(*command, "--out", out, *arguments) == 0
    return json.loads((out / "report.json").read_text("utf-8"))


def check_equal(first, second, folder):
    """Check that two runs of a Cox model agree in all but what the search knows."""
    for name in ("n_train", "n_test", "n_features", "n_selected", "eta", "target"):
        assert first[name] == second[name], name
    assert first["verdict"]["score"] == pytest.approx(second["verdict"]["score"])
    models = {model["name"]: model for model in second["models"]}
    assert len(first["models"]) == 3
    for model in first["models"]:
        other = models[model["name"]]
        assert model["n_features"] == other["n_features"]
        for score, expected in zip(model["scores"], other["scores"], strict=True):
            assert score["name"] == expected["name"]
            for end in ("value", "low", "high"):
                assert score[end] == pytest.approx(expected[end], rel=1e-4)
    assert selected(folder / "first") == selected(folder / "second")
    rows = [{r["feature"]: r for r in read_features(folder / n)} for n in NAMES]
    for name, row in rows[0].items():
        other = rows[1][name]
        assert row["direction"] == other["direction"]
        assert float(row["score"]) == pytest.approx(float(other["score"]), abs=1e-3)


@pytest.mark.parametrize(
    ("suffix", "target"),
    [
        (".parquet", "kind"),
        (".h5ad", "weight"),
        (".zarr", "kind"),
    ],
)
def test_search_is_that_in_memory(suffix, target, tmp_path, capsys):
    path, out = write(make_table(), tmp_path / f"table{suffix}"), tmp_path / "out"
    classifies, others = target == "kind", {"time", "died", "kind", "weight"} - {target}
    drop = ["--drop", *others] if suffix == ".parquet" else []
    report = report_of(path, out, "--target", target, *drop, "--backed")
    assert f"The selected features predict {target!r}" in capsys.readouterr().out
    frame = make_table()
    X, y = frame[GENES].to_numpy(), frame[target].to_numpy()
    y = y.astype(str) if classifies else y
    train, test = train_test_split(
        np.arange(N_ROWS), stratify=y if classifies else None, random_state=0
    )
    train, test = np.sort(train), np.sort(test)
    assert (report["n_train"], report["n_test"]) == (len(train), len(test))
    search = ProjectionFeatureSelectorCV(12, cv=3, random_state=0)
    machine = RidgeCV(np.logspace(-2, 4, 13))
    machine = LogisticRegression(max_iter=1000) if classifies else machine
    model = make_pipeline(search, StandardScaler(with_mean=False), machine)
    model.fit(X[train], y[train])
    support = search.get_support(indices=True)
    assert selected(out) == {GENES[j] for j in support}
    # The grid of radii comes from models, whose tolerance is relative to the loss.
    assert report["eta"] == pytest.approx(search.eta_, rel=1e-3)
    mean = abs(report["cross_validation"]["mean"])
    assert mean == pytest.approx(abs(search.best_score_), rel=1e-3)
    score = balanced_accuracy_score if classifies else r2_score
    own, test_model, trivial = report["models"]
    expected = score(y[test], model.predict(X[test]))
    assert own["scores"][0]["value"] == pytest.approx(expected, rel=1e-3)
    assert test_model["n_features"] == own["n_features"] == len(support)
    name = "logistic regression" if classifies else "ridge regression"
    assert own["name"] == f"linear selector, {name}"
    assert test_model["name"] == f"F test, as many, {name}"
    assert test_model["scores"][0]["value"] > 0.7
    assert trivial["n_features"] == 0
    saved = persistence.load(out / "model.skops")
    method = "predict_proba" if classifies else "predict"
    found, expected = getattr(saved, method)(frame[GENES]), getattr(model, method)(X)
    assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("suffix", [".parquet", ".h5ad"])
def test_search_for_survival_times(suffix, tmp_path):
    path, out = write(make_table(), tmp_path / f"table{suffix}"), tmp_path / "first"
    arguments = TIMES if suffix == ".parquet" else TIMES[:4]
    report = report_of(path, out, *arguments, "--backed")
    frame = make_table()
    y = frame[["died", "time"]].rename(columns={"died": "event"})
    rows = np.arange(N_ROWS)
    train, _ = train_test_split(rows, stratify=y["event"], random_state=0)
    train = np.sort(train)
    search = ProjectionFeatureSelectorCV(12, cv=3, random_state=0)
    search.fit(frame[GENES].to_numpy()[train], y.iloc[train])
    assert selected(out) == {GENES[j] for j in search.get_support(indices=True)}
    assert report["eta"] == pytest.approx(search.eta_, rel=1e-3)
    told = report["cross_validation"]
    assert told["score_name"] == "gain of log likelihood"
    assert told["mean"] == pytest.approx(search.best_score_, rel=1e-3)


@pytest.mark.filterwarnings("default:.* they are left out")
@pytest.mark.parametrize("suffix", [".parquet", ".h5ad"])
def test_rows_without_a_target_are_left_out(suffix, tmp_path, capsys):
    """The result is that of a table in memory that never had them."""
    gaps, arguments = make_table(), [*TIMES, "--eta", 1.5]
    gaps["died"] = gaps["died"].astype(float)
    gaps.loc[3::20, "time"] = np.nan
    gaps.loc[7::60, "died"] = np.nan
    gaps.loc[5, ["time", "died"]] = np.nan
    complete = gaps.dropna()
    if suffix == ".h5ad":
        arguments = [*TIMES[:4], "--eta", 1.5]
    first = report_of(
        write(gaps, tmp_path / f"gaps{suffix}"),
        tmp_path / "first",
        *arguments,
        "--backed",
    )
    told = capsys.readouterr()
    n_without = N_ROWS - len(complete)
    assert f"gaps{suffix} has {n_without} of {N_ROWS} rows without " in told.err
    assert f"{len(complete)} rows, {N_GENES} features" in told.out
    path = write(complete, tmp_path / f"complete{suffix}")
    check_equal(first, report_of(path, tmp_path / "second", *arguments), tmp_path)


def test_target_that_all_rows_lack(tmp_path, capsys):
    path = write(make_table().assign(kind=None), tmp_path / "none.parquet")
    assert main(["select", str(path), "--target", "kind", "--backed"]) == 2
    error = capsys.readouterr().err
    assert f"the target 'kind' is missing in {N_ROWS} of {N_ROWS} rows" in error


@pytest.mark.filterwarnings("default:.* they are left out")
@pytest.mark.parametrize("names", ["index", "column"])
def test_labels_of_another_table(names, tmp_path, capsys):
    """They are found by the names of the rows, and other rows are left out."""
    frame = make_table().set_axis([f"row{i}" for i in range(N_ROWS)])
    labels, path = tmp_path / "labels.csv", tmp_path / "table.parquet"
    frame.loc[frame.index[150::-1], ["time", "died"]].to_csv(labels)
    genes = frame[GENES].drop(index=["row3", "row20"])
    arguments = [*TIMES[:4], "--labels", labels, "--eta", 1.5]
    if names == "column":
        genes = genes.reset_index(names="sample")
        arguments += ["--index", "sample"]
    write(genes, path)
    first = report_of(path, tmp_path / "first", *arguments, "--backed")
    told = capsys.readouterr().err
    assert f"has {N_ROWS - 151} of {N_ROWS - 2} rows that are not in {labels}" in told
    second = report_of(path, tmp_path / "second", *arguments)
    check_equal(first, second, tmp_path)
    assert first["n_train"] + first["n_test"] == 149


def test_features_are_read_in_passes(path, monkeypatch):
    """Of a pass for some columns, these alone are read."""
    frame, wanted = make_table(), []
    frame.loc[[10, 100], "time"] = np.nan
    frame.set_axis([f"row{i}" for i in range(N_ROWS)]).to_parquet(path)
    command = SimpleNamespace(memory=600_000_000, quiet=True)
    options = ReadOptions(path, target="time", event="died", backed=command)
    with pytest.warns(UserWarning, match="2 of 240 rows without 'time', 'died'"):
        table = read_table(options)
    expected = frame.drop(index=[10, 100])
    assert table.columns == list(frame)
    assert list(table.row_names) == [f"row{i}" for i in expected.index]
    assert_array_equal(table.target("weight"), expected["weight"])
    names = table.feature_names("time", ["kind", "weight"], ["died"])
    assert names == GENES
    X = table.numbers(names, dtype=np.float32)
    assert X.shape == (N_ROWS - 2, N_GENES)
    group = pyarrow.parquet.read_metadata(path).row_group(0).total_byte_size
    assert X.column_bytes == (100_000_000 - 238 * 2500 - 3 * group) // 5
    read = pyarrow.parquet.ParquetFile.iter_batches

    def counted(self, *args, columns=None, **kwargs):
        wanted.append(columns)
        return read(self, *args, columns=columns, **kwargs)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", counted)
    assert_array_equal(X.take_columns([2, 5]), expected[["gene2", "gene5"]])
    assert wanted == [["gene2", "gene5"]]
    blocks = np.concatenate([block for _, block in X])
    assert blocks.dtype == np.float32
    assert_allclose(blocks, expected[GENES])
    rows = np.arange(N_ROWS - 2) % 3 == 0
    assert_array_equal(X.take_rows(rows).take_columns([4])[:, 0], expected.gene4[rows])


def test_one_row_group_at_a_time_is_in_memory(tmp_path):
    n_bytes = 4 * 1600 * 100
    X = np.random.default_rng(0).normal(size=(1600, 100)).astype(np.float32)
    frame = pd.DataFrame(X).rename(columns=str)
    frame.to_parquet(tmp_path / "wide.parquet", row_group_size=40)
    before, most = pyarrow.total_allocated_bytes(), 0
    for _ in open_blocks(tmp_path / "wide.parquet"):
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert 0 < most < n_bytes / 4


def test_columns_that_are_no_features(tmp_path, capsys):
    frame = make_table()[[*GENES, "kind"]].assign(note="a b")
    frame["patient"] = np.arange(N_ROWS) // 2
    path = write(frame, tmp_path / "table.parquet")
    command = ["select", str(path), "--target", "kind", "--backed", "--cv", "2"]
    command += ["--no-progress", "--eta", "1"]
    assert main([*command, "--drop", "patient", "note"]) == 0
    assert "Several rows share a value of 'patient'" in capsys.readouterr().out
    assert main([*command, "--drop", "note", "--groups", "patient"]) == 0
    assert f"{N_ROWS} rows, {N_GENES} features" in capsys.readouterr().out
    for arguments, sentence in (
        (["--drop", "patient"], "1 of 31 columns that are not numbers: 'note'; --drop"),
        (["--drop", "Note"], "has no column 'Note'; did you mean 'note'?"),
        (["--index", "Note"], "has no column 'Note'; did you mean 'note'?"),
        (["--transpose"], "--transpose is not for --backed"),
        (
            ["--drop", "note", "--memory", "500MB"],
            "must be at least 551MB for 240 rows in row groups",
        ),
    ):
        assert main([*command, *arguments]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
        assert "onehot" not in error


def test_gaps_in_features_are_named(tmp_path, capsys):
    frame = make_table()[[*GENES, "kind"]]
    frame.loc[4, "gene7"], frame.loc[[0, 80], "gene1"] = np.nan, np.inf
    frame["done"] = np.where(np.arange(N_ROWS) == 9, None, frame["gene0"] > 0.0)
    path = write(frame, tmp_path / "table.parquet")
    for dropped, named in (("done", "gene7"), ("gene7", "done")):
        command = ["select", str(path), "--target", "kind", "--backed", "--no-progress"]
        assert main([*command, "--drop", dropped]) == 2
        missing, infinite = capsys.readouterr().err.splitlines()
        assert (
            f"{path} has missing values, 1 in 1 of 30 columns: {named!r}; " in missing
        )
        assert "infinite values, 2 in 1 of 30 columns: 'gene1'" in infinite
        assert "--impute" not in missing  # which is not for --backed


def test_search_for_survival_times_ends_at_the_memory():
    """The radii whose models need more features would take a hundred passes."""
    trial = make_survival(
        n_samples=1500, n_features=300, n_informative=8, random_state=0
    )
    X = trial.data.astype(np.float32)
    blocks = open_blocks(X, block_size=500, column_bytes=4 * 1500 * 30)
    search = ProjectionFeatureSelectorCV(12, cv=3, random_state=0)
    search.fit(blocks, trial.target)
    assert blocks.n_passes < 60
    assert search.cv_results_["mean_n_features"].max() < 150
    assert search.get_support()[trial.support].sum() >= 7


@pytest.mark.parametrize("index", ["none", "column", "stored"])
def test_missing_target_of_a_parquet_file(index, tmp_path, capsys):
    frame, path = make_table(), tmp_path / "table.parquet"
    (frame.set_index("gene0") if index == "stored" else frame).to_parquet(path)
    command = ["select", str(path), "--target", "kinds", "--backed"]
    assert main(command + ["--index", "gene0"] * (index != "none")) == 2
    error = capsys.readouterr().err
    assert "has no column 'kinds'; did you mean" in error
    assert "place" not in error
