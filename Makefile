# Everything a contributor or an operator runs by hand. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCH_READY := .venv/.bench-ready
DOCS_READY := .venv/.docs-ready
CODE := src tests benchmarks examples alembic
PYTEST_ARGS ?=
ARGS ?=
T ?=

# Without compiled files beside the sources, each of hundreds of processes compiles the program anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-fast test-dates format lint types migrations check states permissions docs bench quality bundle lock clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv and install the pinned, hashed requirements

$(READY): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which one with: make PYTHON=/path/to/python3.11 setup" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## load the sample city, rank every open demand, show three of them
	@$(BIN)/matching-service demo

serve: setup ## migrate and serve on http://127.0.0.1:8000
	$(BIN)/matching-service serve

test: setup ## all tests, on SQLite and on a real PostgreSQL that comes from a wheel; T=path for some of them
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(T)

test-fast: setup ## tests in this process on SQLite, without the property tests: about a minute
	$(BIN)/python -m pytest -m "not apart and not hypothesis" $(PYTEST_ARGS) $(T)

MOMENTS := 2026-12-31T23:30+08:00 2028-02-29T12:00+08:00 2031-03-01T00:30+08:00

test-dates: setup ## the tests as if it were New Year's Eve, a leap day, a day years from now
	@set -e; for moment in $(MOMENTS); do \
		echo "As if it were $$moment:"; $(BIN)/python -m pytest --as-if $$moment $(PYTEST_ARGS); done

format: setup ## rewrite the code in the house format
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: setup ## format and lint rules hold
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: setup ## mypy --strict over the package and benchmarks; tests need no annotations
	$(BIN)/mypy

migrations: setup ## the migrations make exactly the tables that the code describes; a part of the tests
	$(BIN)/python -m pytest -q -p no:randomly tests/store/test_migrations.py

check: lint types test ## everything that must hold before a change lands

states: setup ## write docs/states.md from the tables in the code
	$(BIN)/python -m matching_service.jobs.states > docs/states.md

permissions: setup ## write docs/permissions.md from the routes and the policies
	$(BIN)/python -c 'from matching_service.api.permissions import as_page, route_permissions; \
		from matching_service.app import create_app; print(as_page(route_permissions(create_app())), end="")' > docs/permissions.md

$(DOCS_READY): $(READY) requirements/docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

docs: $(DOCS_READY) ## build the documentation in site/, which needs no server and no internet to be read
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@! grep -rnoE '(<(script|img|iframe)[^>]* src=|<link[^>]* href=|url\()["'\'']?(https?:)?//[^ >]*' \
		--include='*.html' --include='*.css' site || { echo "site/ loads from another host" >&2; exit 1; }

$(BENCH_READY): $(READY) requirements/bench.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

bench: $(BENCH_READY) ## our speed beside that of others, an hour; a few minutes with ARGS=--quick
	$(BIN)/python -m benchmarks $(ARGS)

quality: setup ## measure ranking quality anew: the tables of docs/quality.md
	$(BIN)/python -m benchmarks.quality

bundle: setup ## an archive in dist/ from which the service is installed without internet: wheels and install.sh
	$(BIN)/python deploy/offline/bundle.py dist

lock: setup ## resolve the requirements anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --upgrade --output-file requirements/runtime.txt
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --upgrade --output-file requirements/dev.txt
	uv pip compile pyproject.toml --extra dev --extra bench --constraint requirements/dev.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --upgrade \
		--output-file requirements/bench.txt
	uv pip compile pyproject.toml --extra dev --extra docs --constraint requirements/dev.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --upgrade \
		--output-file requirements/docs.txt

clean: ## remove what the targets made, except data/
	rm -rf .venv site dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
