"""Spaces at the ends of text, and the form of its letters, make no other text."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cli_helpers import apply, export, make_frame, select, selected, write

from skproj.cli._arguments import make_parser
from skproj.cli._tables import ReadOptions, read_table
from skproj.cli._target import number_groups, read_target, warn_of_case

FEATURES = [f"gene{j}" for j in range(8)]
# Each is the same as the word before, for a person.
SAME_WORDS = ["rosé", "rosé ", " rosé", "rosé\xa0", "rose\u0301", "rosé\u200b\t"]


def spoil(words):
    """Return words, each of them written in other ways in some of the rows."""
    ways = "{}", "{} ", " {}", "{}\xa0", "{}\t"
    return [ways[i % 5].format(word) for i, word in enumerate(words)]


def make_clean():
    frame = make_frame()
    frame["patient"] = [f"p{i // 3}" for i in range(90)]
    frame["site"] = [f"ward {i % 4}" for i in range(90)]
    frame.index = pd.Index([f"S{i}" for i in range(90)], name="sample")
    return frame


def make_spoiled():
    frame = make_clean()
    for name in ("kind", "patient", "site"):
        frame[name] = spoil(frame[name])
    frame.index = pd.Index(spoil(frame.index), name="sample")
    return frame.rename(columns={"gene1": "gene1 ", "kind": "kind\xa0"})


def options_of(path, *arguments):
    command = ["select", str(path), "--target", "kind", "--groups", "patient"]
    return make_parser().parse_args([*command, *arguments])


KINDS = ["csv", "xlsx", "parquet", "h5ad", "zarr", "backed parquet", "backed h5ad"]


@pytest.mark.filterwarnings("ignore:Writing zarr")
@pytest.mark.parametrize("kind", KINDS)
def test_text_is_trimmed_in_files_of_all_kinds(kind, tmp_path):
    """In targets, groups, names of rows and of columns; a warning says it once."""
    path = tmp_path / f"table.{kind.split()[-1]}"
    write(make_spoiled(), path, index=True)
    command = SimpleNamespace(memory=None, quiet=True)
    backed = command if kind.startswith("backed") else None
    index = "sample" if path.suffix in (".csv", ".xlsx", ".parquet") else None
    options = {"target": "kind", "groups": "patient", "index": index, "backed": backed}
    with pytest.warns(UserWarning, match="text was trimmed, in the columns") as told:
        table = read_table(ReadOptions(path, **options))
    assert len(told) == 1
    _, y = read_target(table, options_of(path))
    groups = number_groups(table, options_of(path))
    assert "'patient'" in str(told[0].message)
    assert y.tolist() == make_clean()["kind"].tolist()
    assert groups.tolist() == [i // 3 for i in range(90)]
    assert list(table.row_names) == make_clean().index.tolist()
    assert set(FEATURES) <= set(table.columns)
    X = table.numbers(FEATURES)
    X = np.concatenate([block for _, block in X]) if backed else np.asarray(X)
    np.testing.assert_allclose(X, make_clean()[FEATURES], atol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet"])
def test_text_is_trimmed_in_labels(suffix, tmp_path):
    path, labels = tmp_path / "table.csv", tmp_path / f"labels{suffix}"
    frame = make_spoiled()
    frame[[*FEATURES[:1], *FEATURES[2:]]].to_csv(path)
    write(frame[["kind\xa0", "patient"]].iloc[::-1], labels, index=True)
    with pytest.warns(UserWarning, match="text was trimmed"):
        table = read_table(
            ReadOptions(
                path, target="kind", groups="patient", index="sample", labels=labels
            )
        )
    assert table.n_rows == 90
    assert table.labels("kind").tolist() == make_clean()["kind"].tolist()
    assert table.target("patient").tolist() == make_clean()["patient"].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_words_that_look_the_same_are_one_class(suffix, tmp_path):
    frame = make_frame()
    frame["kind"] = [SAME_WORDS[i % 6] if i % 2 else "red" for i in range(90)]
    write(frame, tmp_path / f"table{suffix}", index=True)
    with pytest.warns(UserWarning, match="text was trimmed, in the columns 'kind'"):
        table = read_table(ReadOptions(tmp_path / f"table{suffix}", target="kind"))
    assert set(table.labels("kind")) == {"red", "ros\xe9"}


def test_classes_and_patients_that_differ_in_case_get_a_remark(tmp_path, capsys):
    frame = make_frame().assign(patient=[f"p{i // 3}" for i in range(90)])
    frame.loc[3, "kind"], frame.loc[4, "patient"] = "Red", "P1"
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    table = read_table(ReadOptions(path, target="kind", groups="patient"))
    with pytest.warns(UserWarning, match="upper and lower case, .* apart: 'red', 'Re"):
        _, y = read_target(table, options_of(path))
    assert len(np.unique(y)) == 4
    with pytest.warns(UserWarning, match="'patient' has values .*: 'p1', 'P1'"):
        number_groups(table, options_of(path))


def test_columns_that_are_equal_without_spaces_are_refused(tmp_path, capsys):
    frame = make_frame().rename(columns={"gene1": "gene0 "})
    for suffix in (".csv", ".parquet"):
        write(frame.set_index("gene3"), tmp_path / f"table{suffix}", index=True)
        assert select(tmp_path / f"table{suffix}") == 2
        assert "several columns of the same name: 'gene0'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the result of a selection from a spoiled table, and its panel."""
    folder = tmp_path_factory.mktemp("trained")
    frame = make_spoiled()
    frame["site"] = spoil(np.where(make_clean()["kind"] == "red", "nord", "süd"))
    frame["kind\xa0"] = spoil(np.where(make_clean()["kind"] == "red", "yes", "no"))
    frame.to_csv(folder / "table.csv")
    groups = folder / "groups.csv"
    groups.write_text("feature ,group\n gene0 ,a\xa0\ngene1\t, a\ngene2,b\ngene3,b \n")
    arguments = ["--index", "sample", "--encode", "onehot", "--eta", 20]
    arguments += ["--drop", "patient ", "--feature-groups", groups]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = folder / "out"
        assert select(folder / "table.csv", *arguments, "--out", out) == 0
    assert {"site_nord", "gene0", "gene1"} <= selected(out)
    return out, export(out, folder / "panel")


def test_a_model_reads_spaces_as_the_training_did(trained, tmp_path):
    """For `skproj apply` and the program, with spaces or without."""
    result, panel = trained
    spoiled = pd.read_csv(result.with_name("table.csv"))
    plain = spoiled.rename(columns=str.strip)
    for name in plain.select_dtypes(object):
        plain[name] = plain[name].str.strip()
    told = []
    for i, frame in enumerate((spoiled, plain)):
        path = tmp_path / f"new{i}.csv"
        frame.to_csv(path, index=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if i == 0 else "error")
            told.append(apply(result, path, "--index", " sample")["prediction"])
        told.append(panel["predict"](panel["read_table"](path)))
    assert set(told[0]) == {"yes", "no"}
    assert all(list(other) == list(told[0]) for other in told)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["p1", "P1"], "upper and lower case"),
        (["01", "1"], "blanks or leading zeros"),
        (["pat 1", "pat  01"], "blanks or leading zeros"),
    ],
)
def test_names_that_are_nearly_the_same(names, what):
    column = pd.Series([*names, "10"])
    with pytest.warns(UserWarning, match=f"differ only in {what}, .* {names[0]!r}"):
        warn_of_case(column, "the column")
