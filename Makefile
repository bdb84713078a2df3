# `make run` does the main job, `make test` the tests; both install what they need into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR ?= .paddlepress
RECIPE ?= pipelines/recipes/mnist.yaml
ZOO ?= tests/zoo
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: install run test coverage test-zoo lint format benchmark benchmark-techniques benchmark-mutants benchmark-kills \
	benchmark-runtime benchmark-kernels benchmark-torch golden docs clean help

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## Install paddlepress into .venv

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "pip>=25.1"
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml infra/constraints.txt
	@echo "Installing into $(VENV); the first time takes a few minutes"
	$(PIP) install --constraint infra/constraints.txt --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(PIP) install --constraint infra/constraints.txt --group dev
	@touch $@

run: $(VENV)/.installed  ## Run the MNIST recipe from data to a promoted champion
	$(BIN)/paddlepress run $(RECIPE) --home $(HOME_DIR)

test: $(VENV)/.developed  ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadscope

coverage: $(VENV)/.developed  ## Run the tests, half as slow again, and print which share of each package they reach
	$(BIN)/python -m pytest -n 2 --dist loadscope --cov --cov-report=
	@for part in shared components pipelines; do \
		echo "$$part: $$($(BIN)/coverage report --format=total --include="$$part/*") % of the lines"; done

test-zoo: $(VENV)/.developed  ## Run the slow tests: surgery on all of Paddle's vision models, every technique on every network and task
	$(BIN)/python -m pytest $(ZOO) -n 2 --dist worksteal --override-ini norecursedirs=

lint: $(VENV)/.developed  ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.developed  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.developed  ## Measure start-up, training speed and codecs
	$(BIN)/python -m pytest tests/benchmarks -s --override-ini norecursedirs=

benchmark-techniques: $(VENV)/.developed  ## Measure every technique on MNIST beside the figures to beat
	$(BIN)/python tests/benchmarks/techniques.py --home $(HOME_DIR)
	$(BIN)/python tests/benchmarks/distillation.py

benchmark-mutants: $(VENV)/.developed  ## Change 20,000 artifacts, deployables, data sets and recipes, and see each noticed
	$(BIN)/python tests/benchmarks/mutants.py

benchmark-kills: $(VENV)/.developed  ## Kill a first run thirty times, from its first second on
	$(BIN)/python tests/benchmarks/kills.py

benchmark-runtime: $(VENV)/.developed  ## Measure what compression is worth beside ONNX Runtime's own tools
	$(BIN)/python tests/benchmarks/runtime.py

# PyTorch stays out of .venv: it is only what training is measured beside. TORCH_INDEX may name an index of wheels
# without CUDA, which are far smaller.
TORCH := .venv-torch

$(TORCH)/.installed:
	$(PYTHON) -m venv $(TORCH)
	$(TORCH)/bin/python -m pip --disable-pip-version-check --quiet install \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch==2.13.0 numpy
	@touch $@

benchmark-torch: $(VENV)/.developed $(TORCH)/.installed  ## Measure training on this CPU beside PyTorch
	$(BIN)/python tests/benchmarks/training_speed.py --torch $(TORCH)/bin/python

PROCESSOR ?= avx512
benchmark-kernels: $(VENV)/.developed  ## Measure the kernels of ONNX Runtime, from which widths and ranks are chosen
	$(BIN)/python tests/benchmarks/kernels.py $(PROCESSOR)

docs: $(VENV)/.installed  ## Write the pages of techniques and recipes and the README's catalogue anew
	$(BIN)/python -m paddlepress_components.documentation
	$(BIN)/python -m paddlepress_pipelines.recipe.documentation

golden: $(VENV)/.developed  ## Write the golden files of components and pipelines anew
	PADDLEPRESS_UPDATE_GOLDEN=1 $(BIN)/python -m pytest tests/components/test_golden.py tests/pipelines/test_build.py

clean:  ## Remove .venv and caches, but no results
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
