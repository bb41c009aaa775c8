# Each target does all its own set-up on a fresh Debian machine (as root) that has python3 and make.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ORACLE := .venv-oracle
PINNED := $(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-header --no-annotate

.PHONY: demo test check test-more differential faults fuzz bench pins clean

demo: $(STAMP)                ## boots a lab of three GPU hosts on this machine and runs the main job on it, twice
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m provision.lab.demo

test: check $(ORACLE)/.installed  ## everything; the part with hosts boots labs of its own
	bash tests/prerequisites.sh sshd strace sudo faketime tinyproxy
	$(BIN)/pytest -m "lab or slow"
	$(BIN)/pytest -m faults tests/faults -k sample

check: $(STAMP)               ## lint, types and the tests that need no host
	bash tests/prerequisites.sh git ssh-keygen strace
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not lab and not slow" -n 2

test-more: $(STAMP)           ## long comparisons, and an installation killed at 500 moments
	bash tests/prerequisites.sh strace
	PROVISION_KILL_POINTS=500 $(BIN)/pytest tests/agent/test_kill_points.py -n 2
	PROVISION_KILLS=10 $(BIN)/pytest tests/lab/test_main_job.py -k kill_9
	$(BIN)/python bench/converged.py --hosts 8

differential: $(STAMP) $(ORACLE)/.installed  ## ansible-core and this tool over 200 inventories and 100 plays, compared
	bash tests/prerequisites.sh git sshd sudo
	PROVISION_INVENTORIES=200 PROVISION_PLAYBOOKS=100 $(BIN)/pytest tests/differential

faults: $(STAMP)              ## each kind of fault at seeded moments of a real apply; writes docs/faults.md, within 25 minutes
	bash tests/prerequisites.sh git sshd sudo faketime
	$(BIN)/pytest -m faults tests/faults

fuzz: $(STAMP)                ## each fuzzer for PROVISION_FUZZ_MINUTES (20), two at a time; writes docs/fuzzing.md
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	$(BIN)/python fuzz/run.py --minutes $(or $(PROVISION_FUZZ_MINUTES),20) --table docs/fuzzing.md

bench: $(STAMP)               ## what a run costs that finds nothing to do, beside plain ssh; fails when a bound is missed
	$(BIN)/python bench/converged.py --hosts 8 --bounds
	$(BIN)/python bench/verify.py --hosts 32 --bounds

pins: $(STAMP)                ## the versions and hashes that CI installs, made anew from what pyproject.toml allows
	$(PINNED) pyproject.toml requirements/build.in --extra lab --extra test -o requirements/ci.txt
	$(PINNED) requirements/oracle.in -o requirements/oracle.txt

$(STAMP): pyproject.toml requirements/ci.txt
	@python3 -c 'import venv, ensurepip' 2>/dev/null || (apt-get update -qq && apt-get install -y -qq python3-venv)
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/ci.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

$(ORACLE)/.installed: requirements/oracle.txt
	@python3 -c 'import venv, ensurepip' 2>/dev/null || (apt-get update -qq && apt-get install -y -qq python3-venv)
	python3 -m venv $(ORACLE)
	$(ORACLE)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/oracle.txt
	@touch $@

clean:
	rm -rf $(VENV) $(ORACLE) .pytest_cache .mypy_cache .ruff_cache .hypothesis
