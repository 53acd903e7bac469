# Everything runs in an environment of its own; nothing has to be activated.

# The Python to build the environment with, where it goes, and how many test processes.
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2

PY = "$(VENV)/bin/python"
RUN_TESTS = $(PY) -m pytest -q -n $(WORKERS) --dist worksteal
PIP_INSTALL = $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt

# What the compiled kernels and the list of dependencies are made from.
BUILD_INPUTS := pyproject.toml setup.cfg skproj/_build_utils.py \
	$(wildcard skproj/_kernels/*.pyx skproj/_kernels/*.pxd skproj/_kernels/*.h)
# Those that take minutes; benchmarks/estimators.py takes hours.
BENCHMARKS ?= benchmarks/projections.py benchmarks/selector.py
# Those that say within two minutes whether an installed package works; `tests` is all.
DIST_TESTS ?= tests/test_import.py tests/kernels tests/projection/test_projection*.py \
	tests/cli
# The inputs of `make fuzz`: how many, their seed, and which balls (all if empty).
COUNT ?= 200000
SEED ?= 0
BALLS ?=
PROBES = demo_output/digits-probes.parquet
PYTHON_SOURCES := $(wildcard skproj tests examples benchmarks doc .ci)

# Builds that look for errors, with the tests that they run. They go into a copy of the
# sources, so that the normal build stays as it is.
SANITIZE ?= address,undefined
LEVEL ?= baseline
KERNEL_TESTS = tests/kernels tests/projection/test_norms.py \
	tests/projection/test_projection*.py tests/projection/test_fuzz.py \
	tests/projection/test_estimates.py tests/projection/test_ties.py \
	tests/projection/test_hoyer*.py \
	tests/decomposition tests/linear_model \
	tests/nn/test_sparse_rows.py
PY_IN_COPY = "$(abspath $(VENV))/bin/python"
define build-copy
	@echo "Building with $(1) in build/$@ ..."
	@rm -rf build/$@ && mkdir -p build/$@
	@tar -cf - --exclude='*.so' --exclude=__pycache__ \
		pyproject.toml setup.cfg README.md LICENSE skproj tests | tar -xf - -C build/$@
	@cd build/$@ && $(1) $(PY_IN_COPY) -c "import setuptools; setuptools.setup()" \
		-q build_ext --inplace
	@cd build/$@ && $(PY_IN_COPY) -c "import os, skproj; \
		assert skproj.__file__.startswith(os.getcwd()), 'another skproj is imported'"
endef

# The user's own Python settings must not leak into the environment.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX
export PYTHONNOUSERSITE = 1

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install test test-all coverage lint sanitize bounds levels fuzz demo doc bench dist dist-test clean

help:  ## list the targets (the default)
	@echo "make TARGET [PYTHON=$(PYTHON)] [VENV=$(VENV)] [WORKERS=$(WORKERS)]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s%s\n", $$1, $$2}' Makefile

install: $(VENV)/.skproj-install  ## create the environment and install skproj there

test: lint  ## lint, then run every test and docstring example that is not slow
	$(RUN_TESTS) -m "not slow"

test-all: lint  ## lint, then run every test and docstring example
	$(RUN_TESTS)

# Compiled code is not counted: its lines are seen by no tracer.
coverage: $(VENV)/.skproj-test  ## run every test, and count the lines that they run
	$(RUN_TESTS) --cov=skproj --cov-report=term:skip-covered

lint: $(VENV)/.skproj-test  ## check style, without changing anything
	$(PY) -m ruff check $(PYTHON_SOURCES)
	$(PY) -m ruff format --check $(PYTHON_SOURCES)
	PATH="$$(cd "$(VENV)/bin" && pwd):$$PATH" cython-lint skproj
	$(PY) -m mypy

# One level of instructions: on some systems the loader chooses between several, in
# instrumented code, before AddressSanitizer is ready. The library of
# C++ comes along: PyTorch throws exceptions, which AddressSanitizer wants to see.
sanitize: $(VENV)/.skproj-test  ## run the kernel tests under the compiler's sanitizers
	$(call build-copy,SKPROJ_SANITIZE=$(SANITIZE) SKPROJ_LEVEL=$(LEVEL))
	@cd build/$@ && \
	preload=$$(ldd skproj/_kernels/_groups*.so | awk '/lib(clang_rt.)?asan/ {print $$3}') \
	&& [ -f "$$preload" ] || { echo "There is no shared library of" \
		"AddressSanitizer to load into Python; build with gcc." >&2; exit 1; }; \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
		LD_PRELOAD="$$preload $$($${CC:-cc} -print-file-name=libstdc++.so.6)" \
		$(PY_IN_COPY) -m pytest -q $(KERNEL_TESTS)

bounds: $(VENV)/.skproj-test  ## run the kernel tests with the bounds of arrays checked
	$(call build-copy,SKPROJ_DEBUG_CYTHON=1)
	cd build/$@ && $(PY_IN_COPY) -m pytest -q $(KERNEL_TESTS)

# The kernels say which level is the highest that the processor has.
levels: $(VENV)/.skproj-test  ## run the kernel tests at each level of instructions
	@highest=$$($(PY) -c "from skproj._kernels._groups import level; print(level())") \
	&& for level in baseline avx2 avx512; do \
		$(MAKE) --no-print-directory level-$$level || exit 1; \
		[ $$level = $$highest ] && break; \
	done

level-%: $(VENV)/.skproj-test
	$(call build-copy,SKPROJ_LEVEL=$*)
	cd build/$@ && $(PY_IN_COPY) -m pytest -q $(KERNEL_TESTS)

fuzz: $(VENV)/.skproj-test  ## compare projections of large arrays with oracles
	$(PY) tests/projection/fuzz_projections.py --count $(COUNT) --seed $(SEED) \
		$(if $(BALLS),--balls $(BALLS))

demo: $(VENV)/.skproj-demo  ## select features on real data; report in demo_output/
	$(PY) -m skproj datasets digits-probes --out $(PROBES) --overwrite
	$(PY) -m skproj select $(PROBES) --target digit --method autoencoder \
		--cv 4 --n-jobs 2 --out demo_output/selection --overwrite
	@awk -F , '/^probe[0-9]+,/ && $$3 == "TRUE" {n++} \
		END {print n + 0, "of the 1000 probes were selected"}' \
		demo_output/selection/features.csv

doc: $(VENV)/.skproj-doc  ## build the documentation into doc/_build/html
	$(PY) -m sphinx -j 2 -W --keep-going -q -b html doc doc/_build/html
	@echo "Open doc/_build/html/index.html"

bench: $(VENV)/.skproj-test  ## run the benchmarks
	@for script in $(BENCHMARKS); do \
		echo "$$script"; $(PY) "$$script" || exit 1; \
	done

# The wheel is built from the source archive, so that this one is known to be complete.
# What a previous build wrote into skproj.egg-info would be taken for a list of sources.
dist: $(VENV)/.skproj-base  ## build the source archive and a wheel, and look into both
	@$(PIP_INSTALL) build
	@rm -rf dist skproj.egg-info && mkdir -p build
	@echo "Building dist/ ..."
	@$(PY) -m build --no-isolation . >build/dist.log 2>&1 \
		|| { cat build/dist.log >&2; exit 1; }
	$(PY) .ci/check_dist.py dist

# Run in the unpacked archive without its package, where only the wheel can be imported.
dist-test: dist  ## install the wheel into a new environment and test it there
	@rm -rf build/dist-test && mkdir -p build/dist-test/sources
	@$(MAKE) --no-print-directory VENV=build/dist-test/venv build/dist-test/venv/.skproj-base
	@echo "Installing the wheel in build/dist-test/venv ..."
	@build/dist-test/venv/bin/python -m pip install -qq --disable-pip-version-check \
		-c constraints.txt "$$(echo dist/*.whl)[test]"
	@tar -xzf dist/*.tar.gz --strip-components=1 -C build/dist-test/sources
	@rm -rf build/dist-test/sources/skproj
	cd build/dist-test/sources && ../venv/bin/python -m pytest -q -n $(WORKERS) $(DIST_TESTS)

clean:  ## remove whatever was built, and keep the environment
	rm -rf build dist skproj.egg-info demo_output \
		doc/_build doc/auto_examples doc/api/generated doc/sg_execution_times.rst \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f skproj/_kernels/*.so "$(VENV)"/.skproj-*
	find $(PYTHON_SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of extras, written only after pip has succeeded. They all go
# into one environment.
$(VENV)/.skproj-install: EXTRAS =
$(VENV)/.skproj-demo: EXTRAS = [cli]
$(VENV)/.skproj-test: EXTRAS = [test]
$(VENV)/.skproj-doc: EXTRAS = [doc]
$(VENV)/.skproj-install $(VENV)/.skproj-demo $(VENV)/.skproj-test $(VENV)/.skproj-doc: \
		$(VENV)/.skproj-base $(BUILD_INPUTS)
	@echo "Building skproj$(EXTRAS) in $(VENV) ..."
	@$(PIP_INSTALL) --no-build-isolation -e ".$(EXTRAS)"
	@touch $@

# PyTorch goes first and by its exact version: the other requirements then accept the
# build that is there, be it for CPU or GPU.
$(VENV)/.skproj-base: constraints.txt
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "skproj needs Python 3.11 or later, which '$(PYTHON)' is not;" \
			"name another one: make PYTHON=python3.12" >&2; exit 1; }; \
		echo "Creating the environment $(VENV) ..."; \
		"$(PYTHON)" -m venv "$(VENV)" || exit 1; \
	fi
	@echo "Installing PyTorch and the build requirements in $(VENV) ..."
	@$(PIP_INSTALL) $$(grep '^torch==' constraints.txt)
	@$(PIP_INSTALL) setuptools Cython scipy
	@touch $@
