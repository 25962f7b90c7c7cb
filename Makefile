# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv from the lock on first use.
PYTHON ?= python3
PY := .venv/bin/python
export MPLBACKEND := Agg

.PHONY: setup observers demo tag test test-all lint format bench lock web

setup: .venv/.installed

# The stamp is newer than the lock when nothing changed: a second `make setup` does no work at all.
.venv/.installed: requirements.txt pyproject.toml
	@echo "Installing the lock into .venv: about 2 GB, some minutes."
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --disable-pip-version-check -q -r requirements.txt
	$(PY) -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@$(PY) -m models.weights fetch musicnn-mtt || echo "Setup goes on without these weights; \`make tag\` looks for them again."
	touch $@

# What is this music? Published weights (29 MB, from the package index) on files of one's own.
export AUDIO
tag: setup
	@test -n "$$AUDIO" || { echo "Name a file or a folder: make tag AUDIO=FILE_OR_DIR"; exit 2; }
	@$(PY) ex_maest.py predict with musicnn_mtt predict.audio="$$AUDIO"

demo: setup
	$(PY) ex_maest.py report with demo report.path=exp_out/demo/report.html
	@echo "Real music, published weights: make tag AUDIO=FILE_OR_DIR"

# A file's tests stay in one worker: what they share is made once.
test: setup
	$(PY) -m pytest -n 2 --dist loadfile

test-all: setup
	$(PY) -m pytest -n 2 --dist loadfile -m "slow or not slow"

# What the page in the browser needs (node and npm): onnxruntime-web, and for its tests playwright-core and axe-core.
web: web/node_modules/.package-lock.json

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund
	touch $@

# Databases of runs beside the run folders (-s, -m), with what their tests need.
observers: setup
	$(PY) -m pip install --disable-pip-version-check -q --no-build-isolation -e '.[observers]' mongomock

lint: setup
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

format: setup
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: setup
	set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(PY) benchmarks/results.py $$file; done

# Recompile the lock (needs uv). torch carries no local tag, so that a GPU user's index gives the CUDA build.
lock:
	uv pip compile requirements.in -o requirements.txt --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links
	sed -i -E 's/^(torch[a-z]*==[0-9.]+)\+[a-z0-9]+/\1/; /^nvidia-|^triton==|^cuda-/d' requirements.txt
