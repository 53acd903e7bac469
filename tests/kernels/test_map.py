"""The map of the kernels in the docstring of their folder."""

import re
from pathlib import Path

from skproj import _kernels
from skproj._kernels._groups import level


def test_map_names_every_file_once():
    folder = Path(_kernels.__file__).parent
    files = {x.name for x in folder.iterdir() if x.suffix in (".h", ".pxd", ".pyx")}
    modules = {name[:-4] for name in files if name.endswith(".pyx")}
    files = {name for name in files if name.rpartition(".")[0] not in modules} | modules
    files |= {x.name for x in folder.glob("*.h")}
    named = re.findall(r"^    (_\w+(?:\.h|\.pxd)?) ", _kernels.__doc__, re.M)
    assert sorted(named) == sorted(files)


def test_level_of_instructions_is_known():
    assert level() in ("baseline", "avx2", "avx512")
