# Everything a newcomer runs. Each target sets up its own .venv once, and again when the pinned packages change.
.DEFAULT_GOAL := help
.PHONY: help demo test test-durability test-components fuzz check format bench pins clean

BIN := .venv/bin
RUN := .venv/.ready-run
DEV := .venv/.ready-dev
PYTEST := $(BIN)/python -m pytest

help:
	@echo "make demo             replay a year of real flights through systems/flights, with a report at the end"
	@echo "make test             the tests"
	@echo "make test-durability  the long tests that kill processes at random instants"
	@echo "make test-components  the tests against outside programs"
	@echo "make fuzz             coverage-guided fuzzing of the server, SECONDS=600 each"
	@echo "make check            style, types and the direction of imports"
	@echo "make format           put the code into the style that check asks for"
	@echo "make bench            the measurements of benchmarks/README.md"
	@echo "make pins             write the versions of this .venv into constraints.txt"
	@echo "make clean            remove .venv, caches and the state of the worked systems"

$(RUN): pyproject.toml constraints.txt tools/setup
	@tools/setup run

$(DEV): pyproject.toml constraints.txt tools/setup
	@tools/setup dev

demo: $(RUN)
	@$(BIN)/trimtab replay systems/flights --fresh --report

test: $(DEV)
	@$(PYTEST) -q -n 2 -m "not slow and not component" $(ARGS)

test-durability: $(DEV)
	@$(PYTEST) -q -n 2 -m slow --timeout 1200 $(ARGS)

# pytest ends with 5 when it found no test: there is nothing to fail then.
test-components: $(DEV)
	@tools/component
	@$(PYTEST) -q -m component --timeout 600 $(ARGS) || [ $$? -eq 5 ]

# Each target for SECONDS; what is found is left in build/fuzz/TARGET.
fuzz: $(DEV)
	@tools/component atheris
	@for target in http columns pictures; do \
		PYTHONPATH=$$(echo build/components/atheris/lib/python*/site-packages) \
		$(BIN)/python -m tests.fuzz $$target --seconds $(or $(SECONDS),600) --folder build/fuzz/$$target || exit 1; \
	done

check: $(DEV)
	@$(BIN)/ruff check src tests systems benchmarks
	@$(BIN)/ruff format --check src tests systems benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(DEV)
	@$(BIN)/ruff check --fix src tests systems benchmarks
	@$(BIN)/ruff format src tests systems benchmarks

bench: $(RUN)
	@$(BIN)/python benchmarks/run.py

pins: $(DEV)
	@$(BIN)/python tools/pins.py > build/constraints.txt && mv build/constraints.txt constraints.txt

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache systems/*/.trimtab
	find src tests systems benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
