"""How setuptools builds the kernels: Cython directives, OpenMP probe, compiler flags.

Setuptools loads this file by path before skproj exists, so it imports nothing of it.
"""

import os
import shutil
import tempfile

from setuptools.command.build_ext import build_ext as _build_ext

DEBUG = os.environ.get("SKPROJ_DEBUG_CYTHON", "0") == "1"
# Names for -fsanitize, such as "address,undefined"; for tests only.
SANITIZE = os.environ.get("SKPROJ_SANITIZE", "")
# One version of each loop, for one level of instructions, in place of one for each
# level between which the loader chooses: the flags of each, see _simd.h.
LEVEL = os.environ.get("SKPROJ_LEVEL", "")
LEVELS = {
    "": [],
    "baseline": ["-DSKPROJ_LEVEL=1"],
    "avx2": ["-DSKPROJ_LEVEL=3", "-march=x86-64-v3"],
    "avx512": ["-DSKPROJ_LEVEL=4", "-march=x86-64-v4"],
}

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": False,
    "cdivision": True,
    "freethreading_compatible": True,
}

OPENMP_PROBE = """
#include <omp.h>
int main(void) { return omp_get_max_threads() > 0 ? 0 : 1; }
"""
EMPTY_PROBE = "int main(void) { return 0; }"


class build_ext(_build_ext):
    """Build the kernels with OpenMP where it works and serially where it does not."""

    def finalize_options(self):
        super().finalize_options()
        self.cython_directives = dict(DIRECTIVES)

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            compile_args = ["/O2", "/std:c11"]
            openmp = [(["/openmp"], [])]
        else:
            compile_args = [
                "-O3",
                "-fopenmp-simd",
                # Neither errno nor floating point exceptions are looked at.
                "-fno-math-errno",
                "-fno-trapping-math",
            ]
            openmp = [
                (["-fopenmp"], ["-fopenmp"]),
                (["-Xpreprocessor", "-fopenmp"], ["-lomp"]),  # Apple's clang
            ]
            if not DEBUG:
                compile_args.append("-g0")  # Python's own flags may say -g
        link_args = []
        if os.environ.get("SKPROJ_NO_OPENMP", "0") == "1":
            print("skproj: OpenMP switched off by SKPROJ_NO_OPENMP; serial kernels.")
        else:
            for flags in openmp:
                if self._compiles(OPENMP_PROBE, *flags):
                    compile_args += flags[0]
                    link_args += flags[1]
                    break
            else:
                print("skproj: no working OpenMP found; the kernels will be serial.")
        if LEVEL not in LEVELS:
            known = ", ".join(filter(None, LEVELS))
            raise SystemExit(f"skproj: SKPROJ_LEVEL must be one of {known}.")
        compile_args += LEVELS[LEVEL]
        if SANITIZE:
            sanitize = self._sanitizer_flags()
            compile_args += ["-O1", "-g", "-fno-omit-frame-pointer", *sanitize]
            link_args += sanitize
        for extension in self.extensions:
            extension.extra_compile_args = [
                *extension.extra_compile_args,
                *compile_args,
            ]
            extension.extra_link_args = [*extension.extra_link_args, *link_args]
        super().build_extensions()

    def _sanitizer_flags(self):
        """Flags that make every finding of the sanitizers end the process.

        Python's own flags may say -fwrapv, under which no overflow is reported.
        """
        flags = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-fno-wrapv"]
        if not self._compiles(EMPTY_PROBE, flags, flags):
            raise SystemExit(
                f"skproj: the compiler cannot build with SKPROJ_SANITIZE={SANITIZE}; "
                "gcc or clang with its sanitizer libraries is needed."
            )
        return flags

    def _compiles(self, program, compile_args, link_args):
        """Whether a program in C compiles and links."""
        folder = tempfile.mkdtemp(prefix="skproj-probe-")
        try:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as file:
                file.write(program)
            objects = self.compiler.compile(
                [source], output_dir=folder, extra_postargs=list(compile_args)
            )
            self.compiler.link_executable(
                objects, os.path.join(folder, "probe"), extra_postargs=list(link_args)
            )
        except Exception:  # any failure of the tool chain means: build without it
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return True
