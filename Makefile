# Every target does its own set-up: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: demo demo-generate test check bench install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/tunewright train examples/parcel_desk/train.csv --test examples/parcel_desk/test.csv --strategy lora training.epochs=6 --out runs/demo --overwrite
	$(BIN)/tunewright predict runs/demo --text "where is my parcel? it should have come on monday" --text "your app logs me out all the time"

demo-generate: install
	$(BIN)/tunewright train recipes/sft_then_dpo.yaml --out runs/demo-generate --overwrite
	$(BIN)/tunewright predict runs/demo-generate/dpo --text "My parcel PD-4471 should have come on Monday. Where is it?"

test: install
	$(BIN)/python -m pytest -n 2

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks sst2
	$(BIN)/python -m benchmarks generation

clean:
	rm -rf $(VENV) runs build dist
