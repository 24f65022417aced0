# make demo: install into .venv and run the main job on drawn photos. make test: the same for the tests.
PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/installed

.PHONY: demo test benchmarks clean

demo: $(INSTALLED)
	@$(VENV)/bin/python recipes/feature_extraction.py

test: $(INSTALLED)
	@$(VENV)/bin/python -m pytest --numprocesses logical --dist worksteal $(TESTS)

benchmarks: $(INSTALLED)
	@$(VENV)/bin/python benchmarks/demo_transfer.py
	@$(VENV)/bin/python benchmarks/frozen_prefix.py
	@$(VENV)/bin/python data/flowers/prepare.py
	@$(VENV)/bin/python benchmarks/photos.py --seeds 10

# Made again when the requirements change; a failed install leaves no mark and is tried again.
$(INSTALLED): requirements.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "needs Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "installing into $(VENV), this takes a minute or two" >&2
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: on Debian, apt install python3-venv" >&2; exit 2; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(INSTALLED)

clean:
	rm -rf $(VENV) build *.egg-info
