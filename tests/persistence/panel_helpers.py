"""Tables, and predictions of exported panels where only NumPy can be imported."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd

BLOCKED = ["joblib", "pandas", "scipy", "skproj", "sklearn", "torch"]
BLOCK = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
"""
PREDICT = f"""{BLOCK}
import json, runpy
path, names = sys.argv[1], sys.argv[2:]
panel = runpy.run_path(path)
table = json.load(sys.stdin)
print(json.dumps({{name: panel[name](table).tolist() for name in names}}))
"""
RUN = f"""{BLOCK}
import runpy
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def predict_apart(path, table, *names):
    """Return the results of functions of a panel, from columns of plain values."""
    columns = {name: table[name].tolist() for name in table}
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(path), *names],
        input=json.dumps(columns),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: np.array(v) for name, v in json.loads(done.stdout).items()}


def run_panel(path, *arguments):
    """Run a panel as a program; return what it did."""
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-c", RUN, str(path), *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def make_table(n_classes=3, dtype=np.float64):
    """Return a table of 12 columns, three of which tell the classes apart."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % n_classes
    X = rng.normal(size=(90, 12)) * 10.0 ** rng.integers(-2, 3, 12)
    X += 100.0 * rng.normal(size=12)
    for j in range(3):
        X[:, j] += 2.0 * X[:, j].std() * (y == j % n_classes)
    X = pd.DataFrame(X.astype(dtype), columns=[f"gene {j}" for j in range(12)])
    return X, np.array(["red", "green", "blue"])[y]


def make_gaps():
    """Return a table with missing values and categories, of text and numbers."""
    X, y = make_table()
    rng = np.random.default_rng(1)
    X = X.mask(rng.random(X.shape) < 0.08)
    site = np.array(["north", "south", None], dtype=object)
    X["site"] = site[(np.arange(90) + (rng.random(90) < 0.3)) % 3]
    X["grade"] = rng.integers(1, 4, 90)
    return X, y
