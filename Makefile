# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACEMAKER := .venv-pacemaker
CASES := tests/real tests/browser tests/faults tests/workflow tests/cli tests/unit
MARKS := $(if $(MLIP_FW_LMP),,not native)

.PHONY: demo demo-qe qe pacemaker test test-fast lint docs docs-campaigns screenshots bench clean

# what runs campaigns
$(VENV)/.demo: setup.cfg pyproject.toml
	@echo '=== 1 of 4: make a virtual environment in $(VENV)'
	$(PYTHON) -m venv $(VENV)
	@echo '=== 2 of 4: install mlip_fw and what it runs on (1.1 GB, one to three minutes)'
	$(BIN)/pip install --disable-pip-version-check --no-compile --editable .
	@touch $@

# and what tests it and builds its documentation
$(VENV)/.installed: $(VENV)/.demo
	$(BIN)/pip install --disable-pip-version-check --no-compile --editable '.[dev,docs]'
	@touch $@

demo: $(VENV)/.demo
	@echo '=== 3 of 4: heat a copper crystal until it melts, starting without a potential (one to two minutes)'
	$(BIN)/mlip-fw run examples/cu-melt.yaml --dir demo/cu-melt
	@echo '=== 4 of 4: write demo/cu-melt.html'
	$(BIN)/mlip-fw report demo/cu-melt --output demo/cu-melt.html

# silicon with real DFT; pw.x is installed for this user if there is none
demo-qe: qe
	$(BIN)/mlip-fw run examples/si-qe.yaml --dir demo/si-qe
	$(BIN)/mlip-fw report demo/si-qe --output demo/si-qe.html

qe: $(VENV)/.demo
	command -v pw.x || $(BIN)/mlip-fw doctor --install-qe

# on its own: it needs an older NumPy, and tensorpotential would bring CUDA
pacemaker: $(PACEMAKER)/.installed

$(PACEMAKER)/.installed: Makefile
	$(PYTHON) -m venv $(PACEMAKER)
	$(PACEMAKER)/bin/pip install --quiet --upgrade pip
	$(PACEMAKER)/bin/pip install --quiet --no-compile 'python-ace>=0.4.0rc1' 'numpy<2.4' 'pandas<3' 'setuptools<81' \
	    'tensorflow-cpu==2.20.*' 'tf_keras==2.20.*' matscipy pyyaml questionary requests rich scikit-learn sympy tqdm
	$(PACEMAKER)/bin/pip install --quiet --no-compile --no-deps 'tensorpotential==0.6.*'
	touch $@

# threads of BLAS that share a core with other processes spin: a fit with two took twenty times as long as with one
test: $(VENV)/.installed lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(CASES) -m "$(MARKS)" -n 4 --dist loadfile --no-loadscope-reorder --durations=40

# beside the editor: what computes no longer than a moment, in three minutes on two cores
test-fast: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -m "not slow and not native" -n 2 --dist loadfile --quiet

# ruff and mypy
lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# the site in docs/_build/html, from recorded campaigns; a warning is an error
docs: $(VENV)/.installed
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

# run the campaigns of the tutorial and of examples/ anew (ten minutes; CAMPAIGNS="cu-melt argon": only these) and record
# what pages show of them; docs/campaigns is committed
docs-campaigns: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python docs/record_campaigns.py $(CAMPAIGNS)

# needs Chromium; its pictures are committed
screenshots: $(VENV)/.installed
	$(BIN)/python docs/screenshots.py

# needs an idle machine; benchmarks/materials.py takes hours and is run by hand
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/cutouts.py
	$(BIN)/python benchmarks/farm.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/kernel.py

clean:
	rm -rf $(VENV) $(PACEMAKER) demo docs/_build build *.egg-info
