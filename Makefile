# Every target does its own set-up: `make demo` and `make test` work on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_DISABLE_TELEMETRY = 1

.PHONY: demo demo-generate test test-lowest check bench bench-full sbom audit install clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/tunewright compare examples/parcel_desk/train.csv --test examples/parcel_desk/test.csv --strategies feature_extraction,lora,full --seeds 1 training.epochs=3 --out runs/demo --overwrite
	$(BIN)/tunewright predict runs/demo --text "where is my parcel? it should have come on monday" --text "your app logs me out all the time"

demo-generate: install
	$(BIN)/tunewright train recipes/sft_then_dpo.yaml --out runs/demo-generate --overwrite
	$(BIN)/tunewright predict runs/demo-generate/dpo --text "My parcel PD-4471 should have come on Monday. Where is it?"

test: install
	$(BIN)/python -m pytest -n 2

# The oldest versions that pyproject.toml allows; gigabytes where the index has no CPU build of the oldest torch.
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet -c constraints-lowest.txt -e '.[minilm,qlora,search]' pytest pytest-xdist pytest-randomly hypothesis 'setuptools>=77' sentencepiece seqeval rouge-score bert-score
	.venv-lowest/bin/python -m pytest -n 2

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Under 40 minutes on two quiet cores; needs the data sets (benchmarks/README.md).
bench: install
	$(BIN)/python -m benchmarks all --json runs/bench.json --markdown runs/bench.md

# Nothing estimated, whole test sets, five runs of each: hours.
bench-full: install
	$(BIN)/python -m benchmarks all --full --runs 5 --json runs/bench-full.json --markdown runs/bench-full.md

sbom: install
	mkdir -p dist && $(PYTHON) -m venv .venv-tools && .venv-tools/bin/python -m pip install --quiet cyclonedx-bom pip-audit
	.venv-tools/bin/cyclonedx-py environment $(BIN)/python --output-reproducible --output-file dist/sbom.cdx.json

audit: sbom
	.venv-tools/bin/pip-audit --path $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

clean:
	rm -rf $(VENV) .venv-lowest .venv-tools runs build dist
