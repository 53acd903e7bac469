"""The lists that packaging is made of agree with each other and with the sources."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import skproj

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTENSIONS = PYPROJECT["tool"]["setuptools"]["ext-modules"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
KERNELS = ROOT / "skproj" / "_kernels"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# constraints.txt is for this one.
PINNED_PYTHON = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.9",
    "python_version": "3.11",
    "sys_platform": "linux",
}
# A build of PyTorch for CUDA brings libraries of its own.
OF_CUDA = ("cuda-", "nvidia-", "triton")


# ---------------------------------------------------------------------------
# Compiled modules


def test_every_kernel_is_an_extension_of_its_name():
    named = {extension["name"]: extension["sources"] for extension in EXTENSIONS}
    expected = {
        f"skproj._kernels.{path.stem}": [path.relative_to(ROOT).as_posix()]
        for path in KERNELS.glob("*.pyx")
    }
    assert named == expected


def included(source):
    """Files of the kernels that a source includes, directly or not."""
    found, left = set(), [source]
    while left:
        text = left.pop().read_text(encoding="utf-8")
        names = re.findall(r'(?:#include|cdef extern from) "(\w+\.h)"', text)
        names += [f"{x}.pxd" for x in re.findall(r"^from \.(\w+) cimport", text, re.M)]
        new = {KERNELS / name for name in names} - found
        found |= new
        left += new
    own = source.with_suffix(".pxd")
    return found | ({own} if own.exists() else set())


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda x: x["name"])
def test_extension_depends_on_what_it_includes(extension):
    """Otherwise a change of a header does not compile the kernel again."""
    (source,) = extension["sources"]
    found = {path.relative_to(ROOT).as_posix() for path in included(ROOT / source)}
    assert set(extension.get("depends", ())) == found


# ---------------------------------------------------------------------------
# Dependencies


def test_optional_imports_name_extras_that_bring_them():
    calls = {}
    for path in (ROOT / "skproj").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") == "import_optional"
            ):
                (extra,) = [k.value.value for k in node.keywords if k.arg == "extra"]
                library = node.args[0].value.partition(".")[0]
                calls.setdefault((library, extra), path)
    assert len(calls) > 5
    brought = {
        extra: {canonicalize_name(x.name) for x in requirements(extra)}
        for extra in EXTRAS
    }
    missing = {
        f"{path}: {library} is not in the extra {extra}"
        for (library, extra), path in calls.items()
        if library not in brought.get(extra, ())
    }
    assert not missing


def requirements(*extras):
    """Direct requirements of skproj with extras, the extras that they name included."""
    found = []
    for extra in extras:
        for text in EXTRAS[extra]:
            requirement = Requirement(text)
            if requirement.name == "skproj":
                found += requirements(*sorted(requirement.extras))
            else:
                found.append(requirement)
    return found


def direct_requirements():
    """All that a development environment is asked for."""
    always = (
        PYPROJECT["project"]["dependencies"] + PYPROJECT["build-system"]["requires"]
    )
    return [Requirement(text) for text in always] + requirements("test", "doc")


def pins():
    """Name and version of each line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            yield canonicalize_name(name), Version(version)


def test_constraints_have_no_duplicates():
    names = [name for name, _ in pins()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_constraints_satisfy_the_requirement(requirement):
    assert dict(pins())[canonicalize_name(requirement.name)] in requirement.specifier


def test_constraints_pin_what_the_requirements_bring_along():
    """As far as the versions that are pinned are also those that are installed."""
    pinned = dict(pins())
    missing, done, left = set(), set(), direct_requirements()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        wanted = (name, frozenset(requirement.extras))
        if wanted in done or name.startswith(OF_CUDA):
            continue
        done.add(wanted)
        if name not in pinned:
            missing.add(name)
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if Version(distribution.version).public != pinned[name].public:
            continue
        for text in distribution.requires or ():
            brought = Requirement(text)
            extras = requirement.extras or {""}
            if brought.marker is None or any(
                brought.marker.evaluate({**PINNED_PYTHON, "extra": extra})
                for extra in extras
            ):
                left.append(brought)
    assert len(done) > 30
    assert not missing


def test_hooks_run_the_pinned_versions():
    pinned = dict(pins())
    hooks = yaml.safe_load(
        (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    )["repos"]
    versions = {hook["id"]: repo["rev"] for repo in hooks for hook in repo["hooks"]}
    assert versions["ruff-check"] == versions["ruff-format"] == f"v{pinned['ruff']}"
    assert versions["cython-lint"] == f"v{pinned['cython-lint']}"


def test_python_versions_are_the_same_everywhere():
    lowest = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"sys.version_info < ({lowest.replace('.', ', ')})" in makefile
    assert f"Python {lowest} or later" in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )
    tests = yaml.safe_load(
        (ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8")
    )
    tested = tests["jobs"]["newest"]["strategy"]["matrix"]["python"]
    assert tested[0] == lowest
    built = PYPROJECT["tool"]["cibuildwheel"]["build"]
    first, last = (int(x.removeprefix("3.")) for x in (lowest, tested[-1]))
    wheels = [
        n for n in range(99) if any(fnmatchcase(f"cp3{n}-linux", x) for x in built)
    ]
    assert wheels == list(range(first, last + 1))


# ---------------------------------------------------------------------------
# Version and news


def test_version_is_one_that_indices_accept():
    version = Version(skproj.__version__)
    assert str(version) == skproj.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version.base_version
    assert "version" in PYPROJECT["project"]["dynamic"]


def test_news_can_be_collected(tmp_path):
    """Each file in changes/ is of a known kind, and the changelog has its place."""
    settings = PYPROJECT["tool"]["towncrier"]
    kinds = {kind["directory"] for kind in settings["type"]}
    changes = ROOT / settings["directory"]
    files = [path for path in changes.iterdir() if path.name not in settings["ignore"]]
    for path in files:
        assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({'|'.join(kinds)})\.md", path.name)
        assert path.read_text(encoding="utf-8").strip()
    changelog = (ROOT / settings["filename"]).read_text(encoding="utf-8")
    assert changelog.count(settings["start_string"]) == 1

    for name in ("pyproject.toml", settings["filename"]):
        shutil.copy(ROOT / name, tmp_path)
    fragment = tmp_path / changes.name / "+word.fixed.md"
    fragment.parent.mkdir()
    fragment.write_text("`norm_l1` says a word.\n", encoding="utf-8")
    command = [sys.executable, "-m", "towncrier", "build", "--keep"]
    command += ["--version", "9.9", "--date", "then"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    before, place, after = changelog.partition(settings["start_string"])
    news = (tmp_path / settings["filename"]).read_text(encoding="utf-8")
    assert news.startswith(before + place)
    assert news.endswith(after.lstrip("\n"))
    assert "## 9.9 (then)\n\n### Fixed\n\n- `norm_l1` says a word." in news


# ---------------------------------------------------------------------------
# Workflows


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request):
    return yaml.safe_load(request.param.read_text(encoding="utf-8"))


def steps(workflow):
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_there_are_workflows():
    assert {path.name for path in WORKFLOWS} == {"tests.yml", "wheels.yml"}


def test_workflow_may_only_read(workflow):
    """No job can write to the repository; the one that publishes proves who it is."""
    assert workflow["permissions"] == {"contents": "read"}
    granted = [
        job["permissions"] for job in workflow["jobs"].values() if "permissions" in job
    ]
    assert granted in ([], [{"id-token": "write"}])
    assert "secrets." not in str(workflow)


def test_workflow_pins_actions(workflow):
    """By commits: a tag can be moved to other code."""
    actions = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", action)


def test_pinned_commits_have_their_version_beside_them():
    """The same one in all workflows."""
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    pinned = re.findall(
        r"uses: ([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$", text, re.M
    )
    assert len(pinned) == text.count("uses: ")
    assert len(set(pinned)) == len({name for name, _, _ in pinned})


def test_workflow_names_targets_and_files_that_exist(workflow):
    targets = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
    )
    commands = "\n".join(step.get("run", "") for step in steps(workflow))
    for target in re.findall(r"\bmake ([\w-]+)", commands):
        assert target in targets
    for path in re.findall(r"(?<!\S)((?:tests|skproj|\.ci)/[\w/]+\.py)\b", commands):
        assert (ROOT / path).is_file()
    for path in re.findall(r"-c (\S+)", commands):
        assert (ROOT / path).is_file()
    for extra in re.findall(r"\.\[(\w+)\]", commands):
        assert extra in EXTRAS
    for job in workflow["jobs"].values():
        needs = job.get("needs", [])
        needs = {needs} if isinstance(needs, str) else set(needs)
        assert needs <= set(workflow["jobs"])


def test_workflow_sets_variables_that_the_build_reads(workflow):
    build = (ROOT / "skproj" / "_build_utils.py").read_text(encoding="utf-8")
    for variable in re.findall(r"\bSKPROJ_[A-Z_]+\b", str(workflow)):
        assert f'"{variable}"' in build


def test_wheels_are_tested_with_files_that_exist():
    settings = PYPROJECT["tool"]["cibuildwheel"]
    files = re.findall(r"\{project\}/(\S+)", settings["test-command"])
    assert files
    assert all((ROOT / file).is_file() for file in files)
    build = (ROOT / "skproj" / "_build_utils.py").read_text(encoding="utf-8")
    assert all(f'"{name}"' in build for name in settings["macos"]["environment"])
