# The commands of the project; each makes .venv, builds what changed and installs what it needs.

VENV := .venv
PY := $(VENV)/bin/python
SOURCES := pyproject.toml Cargo.toml $(wildcard Cargo.lock) $(shell find rust -name '*.rs' -o -name Cargo.toml)
# CARGO_FLAGS=--locked refuses a Cargo.lock that is out of date; BENCH="--quick" passes options to the benchmarks.
CARGO_FLAGS ?=
BENCH ?=
# MUTANTS="momentum sra1": those whose name or file has one of the words.
MUTANTS ?=
# Examples whose pictures are on the pages.
DRAWING := weak_error_adam logistic_regression escape_times stationary_regression

.NOTPARALLEL:
.PHONY: help demo test quality mutants bench pictures orders lint lint-rust lint-python format clean

help:
	@echo "make demo     stationary distributions against theory: numbers and a picture"
	@echo "make test     the tests of the Rust core and of the Python package"
	@echo "make quality  the long statistical tests of the random numbers"
	@echo "make mutants  breaks one term of one equation at a time: a test must notice each (an hour or two)"
	@echo "make bench    speed against other libraries, side by side (BENCH=--quick for a short run)"
	@echo "make pictures draws the pictures of the documentation anew, with the code on its pages and of four examples"
	@echo "make orders   measures the orders of all methods, for the table in docs/schemes.md"
	@echo "make lint     formatting, lints and types;  make format mends the formatting"
	@echo "make clean    removes .venv and the build"

demo: $(VENV)/.installed-demo
	$(VENV)/bin/optsde demo

test: $(VENV)/.installed-test
	cargo test --tests --workspace --exclude optsde-python $(CARGO_FLAGS)
	$(PY) -m pytest --numprocesses 2 --dist loadfile

quality: $(VENV)/.installed-test
	cargo test --tests --release --workspace --exclude optsde-python $(CARGO_FLAGS) -- --ignored
	$(PY) -m pytest -m quality --timeout 3600

mutants: $(VENV)/.installed-test
	$(PY) tests/mutants/run.py $(MUTANTS)

bench: $(VENV)/.installed-bench
	$(PY) benches/run.py $(BENCH)

pictures: $(VENV)/.installed-demo
	cd docs && for name in $(DRAWING); do ../$(PY) ../examples/$$name.py || exit 1; done
	$(PY) docs/pictures.py

orders: $(VENV)/.installed-test
	$(PY) docs/orders.py

lint: lint-rust lint-python

lint-rust: $(PY)
	cargo fmt --all --check
	PYO3_PYTHON=$(CURDIR)/$(PY) cargo clippy --workspace --all-targets $(CARGO_FLAGS) -- -D warnings

lint-python: $(VENV)/.installed-test $(VENV)/.installed-lint
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m mypy.stubtest optsde._core --mypy-config-file pyproject.toml \
		--allowlist .ci/stubtest-allowlist.txt --ignore-unused-allowlist

format: $(VENV)/.installed-lint
	cargo fmt --all
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

clean:
	rm -rf $(VENV) target

$(PY):
	@python=$$(sh .ci/tools.sh) && "$$python" -m venv $(VENV)

# The native module is built in release mode into python/optsde; maturin is installed first so that its build is incremental.
$(VENV)/.installed-%: $(SOURCES) | $(PY)
	@sh .ci/tools.sh >/dev/null
	$(PY) -m pip install --quiet "maturin>=1.9.4,<2"
	$(PY) -m pip install --quiet --no-build-isolation --editable ".[$*]"
	@touch $@
