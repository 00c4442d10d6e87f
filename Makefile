# Everything runs in .venv, which `make install` makes with nothing but python3 on the machine.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# TORCH=cpu installs torch without CUDA: some 2 GB in all instead of 7. Its wheels are not on PyPI, so tell pip of an index
# that has them, in its own way: PIP_EXTRA_INDEX_URL, or `pip config set global.extra-index-url`.
TORCH ?=
CONSTRAINTS := constraints.txt
ifeq ($(TORCH),cpu)
CONSTRAINTS := build/constraints-cpu.txt
endif
# Test processes at a time. Each of them uses one thread and often waits for programs that it has started, so three fill
# two cores.
WORKERS ?= 3
PYTEST_ARGS ?=
SOURCES = $(wildcard bench callbacks common gen_models rl submission tune run_*.py)

.DEFAULT_GOAL := help
.PHONY: help install demo test soak bench results lint clean

help:
	@echo 'make install   make .venv and install the pinned versions (nothing to do if it is up to date)'
	@echo 'make install TORCH=cpu   the same without CUDA, from an index that pip is told of (see the README)'
	@echo 'make demo      install, then train both for some ten minutes: runs/gravitar/demo-DATE-TIME, runs/pegasus/...'
	@echo 'make test      install, then run the tests (PYTEST_ARGS="tests/rl -x", WORKERS=4)'
	@echo 'make soak      install, then the long tests: thirty kills of each kind of run and of the workers of searches'
	@echo 'make bench     install, then the benchmarks against peers'
	@echo 'make results   install, then make docs/results.md from the files in results/'
	@echo 'make lint      install, then ruff and mypy'
	@echo 'make clean     remove .venv and the caches; runs/ stays'

# An environment whose interpreter has gone is not up to date, whatever its stamp says.
ifneq ($(wildcard $(STAMP)),)
$(shell $(PY) -c '' 2>/dev/null || rm -f $(STAMP))
endif

# The stamp is written last and removed first. Where it is missing, an installation was cut short: start afresh.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer: install one and say make PYTHON=python3.11" >&2; exit 1; }
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	@rm -f $@
	@echo 'Installing into $(VENV): about 6 GB, a few minutes the first time.'
	$(PY) -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[dev]'
	@touch $@

install: $(STAMP)

# The CPU wheels of the pair have a local version; CUDA's libraries are not needed beside them.
build/constraints-cpu.txt: constraints.txt
	@mkdir -p build
	sed -E 's/^(torch|torchvision)(===.*)/\1\2+cpu/; /^(nvidia-|cuda-|triton)/d' $< > $@

demo: NAME := demo-$(shell date +%Y%m%d-%H%M%S)
demo: install
	$(PY) run_gravitar.py train --preset demo --name $(NAME)
	$(PY) run_pegasus.py train --preset sprites --images 40000 --name $(NAME)
	$(PY) run_pegasus.py sample runs/pegasus/$(NAME) --weights horse+spread=4 --name winged-horses

test: install
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=10 $(PYTEST_ARGS)

soak: install
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slow $(PYTEST_ARGS)

bench: install
	$(PY) -m bench.environments --obs ram
	$(PY) -m bench.environments --obs pixels
	$(PY) -m bench.training --work ppo-pixels
	$(PY) -m bench.training --work qrdqn-pixels
	$(PY) -m bench.training --work ppo-ram
	$(PY) -m bench.training --work extras
	$(PY) -m bench.replay_memory
	$(PY) -m bench.denoiser_training
	$(PY) -m bench.denoiser_training --what patch

results: install
	$(PY) -m bench.results

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy $(SOURCES) tests

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
