"""Check what is in the source archive and in the wheels of a folder.

    python .ci/check_dist.py dist

The sources that the archive has to hold are those of the checkout that this file is in.
"""

import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
COMPILED = {".so", ".pyd", ".dylib", ".dll"}
SOURCES = {".pyx", ".pxd", ".h", ".c"}
WRITTEN = {".py", ".pyx", ".pxd", ".h", ".typed", ".css", ".html", ".js"}
# Files that the tests and the documentation read.
NEEDED = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "doc/conf.py",
    "pyproject.toml",
}


def sources(folder):
    """Paths of what is written by hand in a folder of the checkout."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.suffix in WRITTEN
    }


def files_of_sdist(path):
    """Names in a source archive, without the folder that they are all in."""
    with tarfile.open(path) as archive:
        return {
            member.name.partition("/")[2]
            for member in archive.getmembers()
            if member.isfile()
        }


def problems_of_sdist(names):
    """Say what is missing in a source archive, and what should not be there."""
    expected = sources("skproj") | sources("tests") | sources("examples") | NEEDED
    yield from (f"{name} is missing" for name in sorted(expected - names))
    yield from (
        f"{name} was built, not written"
        for name in sorted(names)
        if PurePosixPath(name).suffix in COMPILED | {".c", ".pyc"}
    )


def problems_of_wheel(names):
    """Say what is missing in a wheel, and what should not be there."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    compiled = {
        name.partition(".")[0] for name in names if Path(name).suffix in COMPILED
    }
    for extension in pyproject["tool"]["setuptools"]["ext-modules"]:
        if extension["name"].replace(".", "/") not in compiled:
            yield f"{extension['name']} is not compiled"
    expected = {name for name in sources("skproj") if not name.endswith(tuple(SOURCES))}
    yield from (f"{name} is missing" for name in sorted(expected - names))
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        yield "the licence is missing"
    for name in sorted(names):
        folder = name.partition("/")[0]
        if PurePosixPath(name).suffix in SOURCES:
            yield f"{name} is a source"
        elif not folder.startswith("skproj"):
            yield f"{name} would be installed beside skproj"


def main(folder):
    """Check every file of the folder; return the exit status."""
    checks = {
        path: problems_of_sdist(files_of_sdist(path))
        for path in folder.glob("*.tar.gz")
    }
    for path in folder.glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            checks[path] = problems_of_wheel(set(wheel.namelist()))
    if not checks:
        print(f"There is neither a source archive nor a wheel in {folder}.")
        return 1
    failed = False
    for path, problems in checks.items():
        found = list(problems)
        failed |= bool(found)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        print("\n    ".join([f"{path} ({size}): {'wrong' if found else 'ok'}", *found]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
