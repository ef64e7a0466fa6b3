# Everything runs in a .venv inside the checkout; `make setup` makes it, the other targets depend on it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where PyTorch's CPU build comes from, for people whose default index serves CUDA builds:
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
WORKERS ?= 2

.PHONY: setup demo pretrained test test-base test-slow lint docs bench claims clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# of ViSQOL a dependency comes as C++ source alone: without a compiler all works but that measure and its tests
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[codec]' || echo "ViSQOL was left out"
	$(BIN)/auricle models add ge2e
	$(BIN)/auricle models add whisper-tiny-en
	touch $@

demo: setup
	$(BIN)/auricle run mambo --run runs/mambo
	@echo "open runs/mambo/report.html; then try: $(BIN)/auricle infer mambo --run runs/mambo YOUR.wav"

# The models that come in the package, made again from the tree as it is: what answers before anything is trained, and
# the one on Whisper's first layers; each with the report of the run that made it. One thread, so that sums repeat.
SHIPPED := auricle/systems/mambo/pretrained
define ship
	mkdir -p $(2)/checkpoints/final
	cp $(1)/config.json $(1)/report.json $(2)/
	cp $(1)/checkpoints/final/model.safetensors $(1)/checkpoints/final/meta.json $(2)/checkpoints/final/
endef
pretrained: setup
	rm -rf runs/shipped runs/shipped-small
	OMP_NUM_THREADS=1 $(BIN)/auricle run mambo --run runs/shipped
	OMP_NUM_THREADS=1 $(BIN)/auricle run mambo --preset small --run runs/shipped-small
	$(call ship,runs/shipped,$(SHIPPED))
	$(call ship,runs/shipped-small,$(SHIPPED)/small)

# One thread a process: two test processes on two cores would otherwise fight for them.
test: setup
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# What a user gets who installs the wheel and nothing else; needs a package index, as setup does.
test-base:
	PYTHON='$(PYTHON)' TORCH_INDEX='$(TORCH_INDEX)' .ci/test-base

test-slow: setup
	$(BIN)/python -m pytest -m 'slow or browser' $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs

# -E: a page with a warning would otherwise be taken from the cache, without its warning, the next time.
docs: setup
	$(BIN)/sphinx-build -W -E --keep-going -q -b html docs docs/_build/html

bench: setup
	$(BIN)/python benchmarks --quick

# Hours: full runs over splits and seeds, then the papers' claims at full budget (resumable; results in docs/results).
claims: setup
	$(BIN)/python -m pytest -m claims -s $(ARGS)
	systems=$$($(BIN)/python -c 'from auricle.systems import NAMES; print(*NAMES)') && for system in $$systems; do \
		$(BIN)/auricle claims $$system --budget full || exit 1; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
