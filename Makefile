PYTHON ?= python3
DB ?= sqlite
UNIT ?= .venv-unit

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo test faults unit coverage soak check floor services test-services clean \
	bench bench-quick

# $(call install,ARGUMENTS): the environment of the folder that $@ is in. The
# lock is for two `make` at once; where there is no flock, run one at a time.
lock = $(if $(shell command -v flock),flock $(@D).lock)
install = $(lock) sh -ec 'test $@ -nt pyproject.toml && exit; \
	$(PYTHON) -m venv --clear $(@D); \
	$(@D)/bin/python -m pip install -qq -U "pip>=25.1"; \
	$(@D)/bin/python -m pip install -qq $(1); \
	touch $@'

.venv/ready: pyproject.toml
	@$(call install,-e . --group test --group lint)

$(UNIT)/ready: pyproject.toml
	@$(call install,-e . --group unit)

.venv-floor/ready: pyproject.toml
	@$(call install,-e . --group test peewee==4.3.0 aiopg==1.4.0 aiomysql==0.3.2 \
		aiosqlite==0.22.1)

.venv-demo-sqlite/ready: pyproject.toml
	@$(call install,-e .[sqlite])

.venv-demo-postgres/ready: pyproject.toml
	@$(call install,-e .[postgresql] --group servers)

.venv-demo-mysql/ready: pyproject.toml
	@$(call install,-e .[mysql])

# A competitor that cannot be installed is missing in the benchmarks, with the reason.
COMPETITORS = ours driver sync_peewee pwasyncio tortoise_orm sqlalchemy_asyncio
.venv-bench-ours/ready: package = -e .
.venv-bench-%/ready: pyproject.toml
	@{ $(call install,$(package) --group bench-$*); } 2>.venv-bench-$*.log || true

.venv-bench/ready: pyproject.toml
	@$(call install,--group servers)

demo: .venv-demo-$(DB)/ready
	@.venv-demo-$(DB)/bin/python examples/demo.py $(DB)

test: .venv/ready
	@.venv/bin/python -m pytest -q tests/unit tests/integration

# Networks that are cut after every byte of a connect, a query and a commit; `test` has
# some of the bytes.
faults: .venv/ready
	@.venv/bin/python -m pytest -q -m slow tests/integration

# No driver is installed here.
unit: $(UNIT)/ready
	@$(UNIT)/bin/python -m pytest -q tests/unit

# The core is covered by its unit tests to the last branch, and each of its modules by
# the test module of the same name alone.
coverage: export COVERAGE_FILE = .venv/coverage
coverage: .venv/ready
	@.venv/bin/python -m coverage run -m pytest -q -p tests.unit.own_module tests/unit/core
	@.venv/bin/python -m coverage report --include 'peewee_async/core/*' --fail-under 100
	@.venv/bin/python -m tests.unit.own_module

# Kills, cancels and a restart of the server, for a minute on each.
soak: export PEEWEE_ASYNC_SOAK = 60
soak: .venv/ready
	@.venv/bin/python -m pytest -q tests/integration/test_soak.py

check: .venv/ready
	@.venv/bin/ruff format --check --quiet
	@.venv/bin/ruff check --quiet
	@.venv/bin/mypy --no-error-summary
	@.venv/bin/codespell

# Without what takes long and does not depend on versions.
LONG = faults test_abandoned.py test_cancellation.py test_load.py test_soak.py
floor: .venv-floor/ready
	@.venv-floor/bin/python -m pytest -q tests/unit tests/integration \
		$(LONG:%=--ignore=tests/integration/%)

# OPTIONS="--backends postgres --workloads A C"; `--help` names them all.
bench: .venv-bench/ready $(COMPETITORS:%=.venv-bench-%/ready)
	@.venv-bench/bin/python -m benchmarks $(OPTIONS)

bench-quick: OPTIONS += --quick
bench-quick: bench

services:
	@docker compose up --quiet-pull -d --wait

# $(call against,PORT): the accounts and ports of docker-compose.yml.
against = PEEWEE_ASYNC_REQUIRE=postgres,mysql,sqlite \
	PEEWEE_ASYNC_POSTGRES_URL=postgresql://tester:tester@127.0.0.1:15432/tests \
	PEEWEE_ASYNC_MYSQL_URL=mysql://root:tester@127.0.0.1:$(1)/tests \
	.venv/bin/python -m pytest -q tests/integration

test-services: services .venv/ready
	@echo "with MySQL"; $(call against,13306)
	@echo "with MariaDB"; $(call against,13307)

clean:
	@rm -rf .venv* .pytest_cache .hypothesis .mypy_cache .ruff_cache .coverage* build dist
	@find . -name __pycache__ -prune -exec rm -rf {} +
