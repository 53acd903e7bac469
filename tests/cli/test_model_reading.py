"""A saved model, and its program, read tables as the training did."""

import numpy as np
import pandas as pd
import pytest
from cli_helpers import N_ROWS, apply, export, make_frame, select, selected

from skproj.cli import main


def predicted(result, panel, path, *options):
    """Return the predictions of `skproj apply` and of the program, or their codes."""
    outs = [path.with_name(f"{name}.csv") for name in ("applied", "printed")]
    for out in outs:
        out.unlink(missing_ok=True)
    model = str(result / "model.skops")
    codes = [main(["apply", model, str(path), "--out", str(outs[0]), *options])]
    codes.append(panel["main"]([str(path), "--out", str(outs[1]), *options]))
    if codes != [0, 0]:
        return codes
    return [pd.read_csv(out)["prediction"].tolist() for out in outs]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a model of a table with decimal commas, and its panel."""
    folder = tmp_path_factory.mktemp("trained")
    frame = make_frame()
    text = frame.map(lambda x: x if isinstance(x, str) else str(x).replace(".", ","))
    text.loc[3, "gene0"] = "n.d."
    text.to_csv(folder / "table.csv", sep=";", index=False)
    out = folder / "out"
    options = ["--na", "n.d.", "--impute", "median", "--eta", 0.1, "--out", out]
    assert select(folder / "table.csv", *options) == 0
    assert selected(out) == {"gene0", "gene1"}
    return out, export(out, folder / "panel")


@pytest.mark.filterwarnings("ignore::UserWarning")  # how the program reads numbers
def test_a_model_reads_numbers_as_the_training_did(trained, tmp_path, capsys):
    """What the new table proves comes first, then how the training was read."""
    path, head = tmp_path / "new.csv", "gene0;gene1;gene2\n"

    def told(text, *options):
        path.write_text(text)
        return predicted(*trained, path, *options)

    known = "7,125;0,5;0,25\n-0,5;7,25;1,125\n"
    red, green = told(head + known)[0]
    assert {red, green} == {"red", "green"}
    doubtful = "7,125;1,500;1,250\n-1,500;7,250;1,125\nn.d.;1,500;1\n"
    points = "7.125;0.5;0.25\n-0.5;7.25;1.125\n"
    for rows in (known, doubtful, points):
        for found in told(head + rows):
            assert found[:2] == [red, green]
    capsys.readouterr()
    # Nothing tells, so that it is said how they were read.
    guess = "column 'gene0' has '7,125' in row 1, which was read as 7.125: --thousands"
    with pytest.warns(UserWarning, match=guess):  # of the program
        told(head + "7,125;1,500;437\n")
    assert guess in capsys.readouterr().err
    thousands, plain = "7,125,000;1.5;1\n-5;7;1.5\n", "7125000;1.5;1\n-5;7;1.5\n"
    found = told(head + thousands)
    assert found == told(head + plain)
    mixed = "7,25;0.5;1\n"
    assert told(head + mixed) == [2, 2]
    assert told(head + "<7;0,5;1\n") == [2, 2]
    assert len(told(head + "<7;0,5;1\n", "--na", "<7")[0]) == 1
    # A column that the model does not need does not matter.
    more = "gene0;gene1;gene2;other\n7,125;0,5;0,25;1.5\n-0,5;7,25;1,125;2.25\n"
    assert told(more) == [[red, green]] * 2


def test_gaps_with_spaces_are_the_same_for_all(tmp_path):
    """For the training, `skproj apply` and the program."""
    frame = make_frame().astype(object)
    frame["sex"] = np.where(frame["kind"] == "blue", None, "m")
    frame.loc[::7, "gene0"] = None
    paths = [tmp_path / "plain.csv", tmp_path / "spaces.csv"]
    frame.to_csv(paths[0], index=False)
    frame.fillna({"gene0": " NA", "sex": "  "}).to_csv(paths[1], index=False)
    told = []
    for path in paths:
        out = path.with_suffix("")
        options = ["--impute", "median", "--encode", "onehot", "--eta", 1]
        assert select(path, *options, "--out", out) == 0
        assert {"gene0", "sex_nan"} <= selected(out)
        panel = export(out, path.with_suffix(".panel"))
        for table in paths:
            told += predicted(out, panel, table)
    assert all(other == told[0] for other in told)


@pytest.mark.parametrize(
    ("codes", "suffix"),
    [
        (("01", "02", "A1"), "csv"),
        (("1", None, "A1"), "xlsx"),
        (("TRUE", "FALSE", None), "csv"),
    ],
)
def test_categories_are_what_is_written_in_any_table(codes, suffix, tmp_path):
    codes = np.array(codes, dtype=object)[np.arange(N_ROWS) % 3]
    frame = pd.DataFrame({"code": codes, "kind": make_frame()["kind"]})
    out = tmp_path / "out"
    assert select(frame, "--encode", "onehot", "--out", out) == 0
    # Without the third one, the others look like numbers or truth values.
    frame = frame[np.arange(N_ROWS) % 3 < 2]
    new = tmp_path / f"new.{suffix}"
    getattr(frame, "to_excel" if suffix == "xlsx" else "to_csv")(new, index=False)
    assert apply(out, new)["prediction"].tolist() == frame["kind"].tolist()
