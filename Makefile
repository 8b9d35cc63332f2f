# The same task names serve a person, a hook and CI. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export PYTHONPATH := $(CURDIR)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# Every step is a process that imports much: without bytecode it would parse all of it each time.
unexport PYTHONDONTWRITEBYTECODE

UV := .tools/bin/uv
BIN := .venv/bin
MAIN := .venv/.main
DEV := .venv/.dev
AUTOML := .venv-automl/.installed
BENCH := .venv-bench/.installed
INSTALL = $(UV) pip install --quiet --require-hashes --no-deps
# A container needs no environment here.
HERE = $(if $(filter container,$(IN)),,$(1))

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: run
run: $(call HERE,$(MAIN) $(AUTOML)) ## Train, judge, explain, register and check a model (FAST=1: small, DATA=folder, DATASET=turning, IN=container, ARGS=...)
	@$(or $(call HERE,$(BIN)/toolwear),tools/container/run.sh) run $(if $(FAST),--fast) $(if $(DATA),--data "$(DATA)") $(if $(DATASET),--dataset "$(DATASET)") $(ARGS)

.PHONY: serve
serve: $(MAIN) ## Serve the champion on loopback until Ctrl-C (ARGS="--port 9000")
	@$(BIN)/toolwear serve $(ARGS)

.PHONY: watch
watch: $(MAIN) ## Run Prometheus and Alertmanager beside `make serve` until Ctrl-C (ARGS="HOME --port 9000")
	@$(BIN)/python -m tools.watch $(ARGS)

.PHONY: test
test: $(DEV) $(AUTOML) ## Set everything up and run all tests
	@$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 15 $(ARGS)

.PHONY: test-fast
test-fast: $(DEV) ## Run the tests that start no process, while editing (ARGS="-k features")
	@$(BIN)/pytest --numprocesses 2 --no-processes tests/unit $(ARGS)

.PHONY: bench-serving
bench-serving: $(DEV) $(BENCH) ## Measure our servers beside plain FastAPI, MLServer and MLflow (ARGS="--home runs")
	@$(BIN)/python -m tools.bench_serving $(ARGS)

.PHONY: bench-attacks
bench-attacks: $(DEV) ## Measure what a quiet client keeps under each attack (ARGS="--home runs")
	@$(BIN)/python -m tools.bench_attacks $(ARGS)

.PHONY: bench
bench: $(MAIN) $(AUTOML) ## Measure time and memory (DATA=folder, ARGS="--only scale --scales 1 1000")
	@$(BIN)/python -m tools.bench $(if $(DATA),--data "$(DATA)") $(ARGS)

.PHONY: drift-table
drift-table: $(DEV) ## Measure on real recordings which drift is seen, and how often falsely (DATA=folder, ARGS="--output docs/drift.md")
	@$(BIN)/python -m tools.bench_drift $(if $(DATA),--data "$(DATA)") $(ARGS)

.PHONY: manifests-budget
manifests-budget: $(MAIN) ## Print what the kind overlay requests, and whether a laptop has it
	@$(BIN)/python -m tools.budget

.PHONY: dashboards
dashboards: $(DEV) ## Regenerate Grafana's dashboards from tools/dashboards
	@$(BIN)/python -m tools.dashboards

.PHONY: bench-console
bench-console: $(DEV) ## Measure in a browser how long the console's pages take (HOME_FOLDER=runs)
	@$(BIN)/python -m tools.console.bench $(or $(HOME_FOLDER),runs)

.PHONY: screenshots
screenshots: $(DEV) ## Make pictures of the console's pages, light and dark (HOME_FOLDER=runs)
	@$(BIN)/python -m tools.console.screenshots $(or $(HOME_FOLDER),runs)

.PHONY: poison-drill
poison-drill: $(MAIN) ## Measure what share of wrong labels gets a worse model promoted (DATA=folder, ARGS="--seeds 3")
	@$(BIN)/python -m tools.bench_poison $(if $(DATA),--data "$(DATA)") $(ARGS)

.PHONY: rollout-table
rollout-table: $(DEV) ## Simulate how often a canary or a shadow ends rightly (ARGS="--plays 50")
	@$(BIN)/python -m tools.bench_rollout $(ARGS)

.PHONY: loop-demo
loop-demo: $(DEV) $(AUTOML) ## Show the loop live: a shift, an alert, a run, a canary (DATA=folder, SCENARIO=tool_lower)
	@$(BIN)/python -m tools.loop_demo $(if $(DATA),--data "$(DATA)") $(if $(SCENARIO),--scenario $(SCENARIO)) $(ARGS)

.PHONY: images
images: $(DEV) $(AUTOML) ## Build the container images (BASE=repository with tags 3.12 and 3.9, ARGS="serving")
	@$(BIN)/python -m tools.images $(if $(BASE),--base "$(BASE)") $(ARGS)

.PHONY: images-base
images-base: ## Make toolwear/base from Debian's packages, for sites that reach no registry
	@tools/images/offline_base.sh

.PHONY: images-check
images-check: $(DEV) ## Start each image without rights and with a read-only root, and look inside (PACKAGE=folder to serve)
	@$(BIN)/python -m tools.images --check $(if $(PACKAGE),--package "$(PACKAGE)") $(ARGS)

.PHONY: parity
parity: $(DEV) $(AUTOML) ## Run the graph as processes and in the images, and compare every artifact (DATA=folder, KFP=host)
	@$(BIN)/python -m tools.parity $(if $(DATA),--data "$(DATA)") $(if $(KFP),--kfp "$(KFP)") $(ARGS)

.PHONY: kind-up
kind-up: $(MAIN) ## Make a kind cluster with everything in it (DATA=folder, STEPS="system models" for only these)
	@$(BIN)/python -m tools.kind up $(if $(DATA),--data "$(DATA)") $(if $(VERSION),--version "$(VERSION)") $(if $(STEPS),--steps $(STEPS))

.PHONY: kind-down
kind-down: $(MAIN) ## Take the kind cluster away
	@$(BIN)/python -m tools.kind down

.PHONY: cluster-install
cluster-install: $(MAIN) ## Install everything on kubectl's current cluster (OVERLAY=staging, STEPS="system models")
	@$(BIN)/python -m tools.kind install $(OVERLAY) $(if $(STEPS),--steps $(STEPS))

.PHONY: cluster-backup
cluster-backup: $(MAIN) ## Copy the cluster's databases, objects and home now (PARTS="postgres redis")
	@$(BIN)/python -m tools.backups backup $(PARTS)

.PHONY: cluster-backups
cluster-backups: $(MAIN) ## List the cluster's copies (PARTS=postgres)
	@$(BIN)/python -m tools.backups list $(PARTS)

.PHONY: cluster-restore
cluster-restore: $(MAIN) ## Bring back the newest copies (PARTS=postgres, AT=20260101T012000Z for another)
	@$(BIN)/python -m tools.backups restore $(PARTS) $(if $(AT),--at "$(AT)")

.PHONY: cluster-walk
cluster-walk: $(MAIN) ## See everything on a cluster, going on where it stopped (KUBECONFIG=file, DATA=folder, ARGS="--again drift")
	@[ -n "$(KUBECONFIG)" ] && [ -n "$(DATA)" ] || { echo "make cluster-walk: name KUBECONFIG=FILE and DATA=FOLDER." >&2; exit 2; }
	@$(BIN)/python -m tools.cluster_walk "$(KUBECONFIG)" --data "$(DATA)" $(ARGS)

.PHONY: e2e
e2e: $(MAIN) ## Run the pipeline on the cluster and ask its model (with KUBECONFIG set: on that one)
	@$(BIN)/python -m tools.kind e2e $(if $(DATA),--data "$(DATA)") $(if $(VERSION),--version "$(VERSION)")

API_SERVER := .tools/go/kube-apiserver

.PHONY: api-server
api-server: $(API_SERVER) ## Compile the Kubernetes API server that tests ask (takes Go, and minutes)

# Renamed once whole: tests wait for it.
$(API_SERVER): requirements/kubernetes/go.mod requirements/kubernetes/go.sum
	@command -v go >/dev/null || { echo "make api-server: install Go 1.24 or newer first." >&2; exit 2; }
	@mkdir -p $(@D)
	@go build -C requirements/kubernetes -trimpath -ldflags='-s -w' -o "$(CURDIR)/$@.new" k8s.io/kubernetes/cmd/kube-apiserver
	@mv $@.new $@

.PHONY: check
check: $(DEV) ## Format, lint, strict types, import rules, dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

.PHONY: format
format: $(DEV) ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: setup
setup: $(DEV) $(AUTOML) ## Only build the environments (Linux on x86_64 or aarch64, WSL2 too; Python; 3 GB of disk)

.PHONY: lock
lock: $(UV) ## Resolve the dependencies again and lock them by hash
	$(UV) pip compile --quiet --upgrade --generate-hashes --universal --python-version 3.9 --custom-compile-command "make lock" requirements/tools.in -o requirements/tools.txt
	$(UV) pip compile --quiet --upgrade --generate-hashes --python-version 3.12 --custom-compile-command "make lock" requirements/build.in -o requirements/build.txt
	$(UV) pip compile --quiet --upgrade --generate-hashes --python-version 3.12 --custom-compile-command "make lock" pyproject.toml --extra full --overrides requirements/overrides.txt -o requirements/main.txt
	$(UV) pip compile --quiet --upgrade --generate-hashes --python-version 3.12 --custom-compile-command "make lock" requirements/serving.in -c requirements/main.txt --overrides requirements/overrides.txt -o requirements/serving.txt
	$(UV) pip compile --quiet --upgrade --generate-hashes --python-version 3.12 --custom-compile-command "make lock" pyproject.toml --extra full --extra dev -c requirements/main.txt --overrides requirements/overrides.txt -o requirements/dev.txt
	$(UV) pip compile --quiet --upgrade --generate-hashes --python "$$(requirements/find-python.sh 3.9)" --python-version 3.9 --custom-compile-command "make lock" requirements/automl.in -o requirements/automl.txt
	$(UV) pip compile --quiet --upgrade --generate-hashes --python-version 3.12 --custom-compile-command "make lock" requirements/bench.in --overrides requirements/overrides.txt -o requirements/bench.txt

.PHONY: clean
clean: ## Remove the environments and caches; runs/ stays
	rm -rf .venv .venv-automl .venv-bench .tools .wheels .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# --- environments: uv, Python 3.12 for everything, Python 3.9 for auto-sklearn -----------------

$(UV): requirements/tools.txt
	@requirements/check-platform.sh
	@echo "setting up: uv"
	@python3 -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
	@touch $@

.venv/bin/python: | $(UV)
	@echo "setting up: Python 3.12"
	@$(UV) venv --quiet --python "$$(requirements/find-python.sh 3.12)" .venv

$(MAIN): requirements/main.txt requirements/build.txt pyproject.toml | .venv/bin/python
	@echo "setting up: the main environment"
	@$(INSTALL) --python .venv/bin/python -r requirements/main.txt
	@$(UV) pip install --quiet --python .venv/bin/python --no-deps --build-constraints requirements/build.txt --editable .
	@touch $@

$(DEV): requirements/dev.txt $(MAIN)
	@echo "setting up: the test tools"
	@$(INSTALL) --python .venv/bin/python -r requirements/dev.txt
	@touch $@

$(AUTOML): requirements/automl.txt | $(UV)
	@echo "setting up: auto-sklearn on Python 3.9"
	@$(UV) venv --quiet --allow-existing --python "$$(requirements/find-python.sh 3.9)" .venv-automl
	@$(INSTALL) --python .venv-automl/bin/python -r requirements/automl.txt
	@touch $@

$(BENCH): requirements/bench.txt | $(UV)
	@echo "setting up: MLServer, to compare with"
	@$(UV) venv --quiet --allow-existing --python "$$(requirements/find-python.sh 3.12)" .venv-bench
	@$(INSTALL) --python .venv-bench/bin/python -r requirements/bench.txt
	@touch $@
