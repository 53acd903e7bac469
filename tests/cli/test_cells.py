"""skproj datasets cells."""

import anndata
import h5py
import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal
from scipy import sparse

from skproj.cli import _cells, main
from skproj.datasets._cells import CellModel

N_OBS, N_VARS = 1500, 700
COMMAND = [
    "datasets",
    "cells",
    f"--n-obs={N_OBS}",
    f"--n-vars={N_VARS}",
    "--n-markers=20",
    "--seed=5",
    "--no-progress",
]
READ = {".zarr": anndata.read_zarr, ".h5ad": anndata.read_h5ad}


def write(path, *options):
    assert main([*COMMAND, *options, "--out", str(path)]) == 0
    return path


@pytest.fixture(params=READ)
def suffix(request):
    return request.param


def test_file_has_the_table_of_the_model(suffix, tmp_path, capsys, monkeypatch):
    # Several chunks, of which none ends with a block.
    monkeypatch.setattr(_cells, "CHUNK_ENTRIES", 10_007)
    monkeypatch.setattr(_cells, "CHUNK_ROWS", 400)
    path = write(tmp_path / "new" / f"cells{suffix}")
    model = CellModel(N_VARS, density=0.05, n_types=10, n_markers=20, seed=5)
    blocks = list(model.blocks(N_OBS))
    X = sparse.vstack([block.X for block in blocks], "csr")
    assert f"{X.nnz} non-zero entries" in capsys.readouterr().out
    adata = READ[suffix](path)
    assert sparse.issparse(adata.X)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    for name in ("data", "indices", "indptr"):
        assert_array_equal(getattr(adata.X, name), getattr(X, name))
    types = adata.obs["cell_type"].cat
    assert list(types.categories) == [f"type{k}" for k in range(10)]
    assert_array_equal(types.codes, np.concatenate([b.type for b in blocks]))
    donors = np.concatenate([block.batch for block in blocks])
    assert_array_equal(adata.obs["donor"].cat.codes, donors)
    assert list(adata.obs_names) == [f"cell{i}" for i in range(N_OBS)]
    assert_array_equal(adata.var["marker_of"].cat.codes, model.marker_of)
    assert_array_equal(adata.var["fold_change"], model.fold_change)
    assert list(adata.var_names) == [f"gene{j}" for j in range(N_VARS)]
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_formats_are_equal_and_can_be_read_in_blocks(tmp_path):
    store = write(tmp_path / "cells.zarr")
    file = write(tmp_path / "cells.h5ad")
    in_zarr, in_file = anndata.read_zarr(store), anndata.read_h5ad(file)
    assert (in_zarr.X != in_file.X).nnz == 0
    assert in_zarr.obs.equals(in_file.obs)
    assert in_zarr.var.equals(in_file.var)
    rows = slice(300, 420)
    backed = anndata.read_h5ad(file, backed="r")
    assert (backed[rows].X != in_file.X[rows]).nnz == 0
    backed.file.close()
    dataset = anndata.io.sparse_dataset(zarr.open_group(store, mode="r")["X"])
    assert (dataset[rows] != in_file.X[rows]).nnz == 0


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
def test_anndata_writes_the_same_layout(suffix, tmp_path):
    """Attributes, members and types of each element are those of anndata itself."""
    path = write(tmp_path / f"cells{suffix}")
    adata = READ[suffix](path)
    other = tmp_path / f"other{suffix}"
    (adata.write_zarr if suffix == ".zarr" else adata.write_h5ad)(other)
    expected = layout(other)
    expected.pop("raw", None)  # may be written as null, which older readers refuse
    assert layout(path) == expected


def layout(path):
    found = {}

    def visit(name, element):
        found[name] = {
            key: value for key, value in element.attrs.items() if "encoding" in key
        }

    if path.is_dir():
        root = zarr.open_group(path, mode="r")
        visit("", root)
        for name, element in root.members(max_depth=None):
            visit(name, element)
    else:
        with h5py.File(path) as root:
            visit("", root)
            root.visititems(visit)
    return found


def test_command_selects_from_the_file(tmp_path):
    path = tmp_path / "cells.h5ad"
    write(path, "--n-types=2")
    arguments = ["--target", "cell_type", "--method", "selector", "--eta", "2"]
    out = tmp_path / "selection"
    assert main(["select", str(path), *arguments, "--out", str(out), "--quiet"]) == 0
    assert (out / "model.skops").is_file()


def test_nothing_is_left_of_an_interrupted_run(suffix, tmp_path, monkeypatch, capsys):
    path = write(tmp_path / f"cells{suffix}")
    before = READ[suffix](path)
    part = CellModel._part

    def interrupted(self, number):
        if number == 1:
            raise KeyboardInterrupt
        return part(self, number)

    monkeypatch.setattr(CellModel, "_part", interrupted)
    for out in (path, tmp_path / f"new{suffix}"):
        command = [*COMMAND, "--overwrite", "--seed=6", "--out", str(out)]
        assert main(command) == 130
    assert [child.name for child in tmp_path.iterdir()] == [path.name]
    assert (READ[suffix](path).X != before.X).nnz == 0


def test_overwrite_replaces_a_table(suffix, tmp_path, capsys):
    path = write(tmp_path / f"cells{suffix}")
    command = [*COMMAND, "--n-obs=20", "--out", str(path)]
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert READ[suffix](path).shape == (20, N_VARS)
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_folder_that_is_not_a_store_is_not_replaced(tmp_path, capsys):
    folder = tmp_path / "notes.zarr"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    assert main([*COMMAND, "--overwrite", "--out", str(folder)]) == 2
    assert "is not a zarr store" in capsys.readouterr().err
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cells"], "--out must say which file to write"),
        (["cells", "--out=cells.csv"], "--out must end in .h5ad or .zarr, got"),
        (["cells", "--out=cells.h5ad.gz"], "--out must end in .h5ad or .zarr, got"),
        (["cells", "--out=a.zarr", "--n-obs=0"], "--n-obs: must be a whole number"),
        (["cells", "--out=a.zarr", "--density=1"], "--density: must be from 1e-6"),
        (
            ["cells", "--out=a.zarr", "--n-vars=30"],
            "--n-types * --n-markers must be at most --n-vars=30, got 300",
        ),
        (["diabetes", "--out=a.csv", "--n-obs=9"], "--n-obs is an option of"),
        (["cell", "--out=a.zarr"], "did you mean 'cells'"),
    ],
)
def test_unsuitable_options(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["datasets", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_list_of_data_sets_has_cells(capsys):
    assert main(["datasets"]) == 0
    assert "cells (--target cell_type): " in capsys.readouterr().out


def test_progress_is_on_the_standard_error(tmp_path, capsys):
    command = [option for option in COMMAND if option != "--no-progress"]
    assert main([*command, "--out", str(tmp_path / "cells.h5ad")]) == 0
    printed = capsys.readouterr()
    assert "rows" in printed.err
    assert printed.out.count("\n") == 2
