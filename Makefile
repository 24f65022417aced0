# make demo: install into .venv and run the main job on drawn photos. make test: the same for the tests.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/installed
TESTED := $(VENV)/installed-for-tests
DOCUMENTED := $(VENV)/installed-for-docs
# One more than there are cores: a test that waits for a process of its own leaves one idle.
WORKERS := $(shell expr 1 + $$(getconf _NPROCESSORS_ONLN))

.PHONY: demo test long quick lint copies coverage benchmarks docs notebooks notebooks-run clean

# Short training, so that three seeds of each take four minutes.
demo: $(INSTALLED)
	@$(VENV)/bin/python recipes/compare_strategies.py --strategies logistic_regression feature_extraction \
	  partial_unfreezing gradual_unfreezing from_scratch --learning-rate 3e-3 --epochs 30 --patience 5 \
	  --fine-tuning-epochs 10 --max-blocks 2

# A file stays on one worker, since its tests share runs; tests/conftest.py says in which order the files come.
test: $(TESTED)
	@$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not long" $(TESTS)

# Deep networks cut and trained, real clips, runs that are killed, copies in a clean venv, notebooks.
long: $(TESTED)
	@$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "long and not exhaustive" $(TESTS)

# What can be known in a minute and a half.
quick: lint
	@$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m "quick and not slow and not long" $(TESTS)

lint: $(TESTED)
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check --quiet
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo --no-cache

# Every recipe copied, its requirements installed into a new venv, its own tests and its demo run there.
copies: $(TESTED)
	@$(VENV)/bin/python -m pytest -m long tests/common/commands/test_copy.py

coverage: $(TESTED)
	@$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report term:skip-covered -m "not long" $(TESTS)

benchmarks: $(INSTALLED)
	@$(VENV)/bin/python benchmarks/demo_transfer.py
	@$(VENV)/bin/python benchmarks/frozen_prefix.py
	@$(VENV)/bin/python data/flowers/prepare.py
	@$(VENV)/bin/python benchmarks/photos.py --seeds 10

# site/index.html: any warning, a dead link say, is an error.
docs: $(DOCUMENTED)
	@$(VENV)/bin/python docs/make_pages.py >&2
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict --config-file build/mkdocs.yml
	@echo site/index.html

notebooks: $(DOCUMENTED)
	@$(VENV)/bin/python docs/make_notebooks.py $(if $(REPOSITORY),--repository $(REPOSITORY))

# Each from its first cell to its last, on the demo.
notebooks-run: $(TESTED)
	@$(VENV)/bin/python -m pytest -m long tests/docs/test_make_notebooks.py

# Made again when the requirements change; a failed install leaves no mark and is tried again.
$(INSTALLED): requirements.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "installing into $(VENV), this takes a minute or two" >&2
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: on Debian, apt install python3-venv" >&2; exit 2; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $(INSTALLED)

# The tests need the optional extras too.
$(TESTED): $(INSTALLED)
	@echo "installing what the tests need: all optional extras (Ray, MLflow, TensorBoard, ONNX, LiteRT, KerasHub, HEIC, DICOM, the server," >&2
	@echo "the documentation, notebooks), ruff, mypy and Playwright; about 1 GB more in $(VENV), this takes a few minutes" >&2
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[ray,track,export,fast,serve,text,photos,medical,labels,energy,detection,tests,docs,notebooks]'
	@touch $(TESTED)

$(DOCUMENTED): $(INSTALLED)
	@echo "installing what only the documentation needs" >&2
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[docs,notebooks]'
	@touch $(DOCUMENTED)

clean:
	rm -rf $(VENV) build site *.egg-info
