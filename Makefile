# The commands of curvecast. Each makes .venv from the pinned requirements first, once.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
BIN := .venv/bin
# Named after the pins: a changed requirement installs again, a touched file does not.
READY := .venv/ready-$(firstword $(shell cksum < envs/requirements.txt))

DOCS := .venv/docs-$(firstword $(shell cksum < envs/docs.txt))

# A second environment, on top of .venv, with the tools that the integrations are for.
TOOLS := .venv-integrations
TOOLS_READY := $(TOOLS)/ready-$(firstword $(shell cat envs/requirements.txt envs/integrations.txt | cksum))

.PHONY: environment tools run reproduce lint test test-integrations docs wheel embedded prior corpus pins clean
.DELETE_ON_ERROR:

run: $(READY)  ## the offline run: embedded curves to tables and figures, in minutes
	$(BIN)/snakemake --cores $(CORES) --configfile config/embedded.yaml
	@echo "Report: results/embedded/report.html"

reproduce: $(READY)  ## everything in config.yaml; downloads what no mirror has
	$(BIN)/snakemake --cores $(CORES)
	@echo "Report: results/report.html"

environment: $(READY)  ## .venv with the pinned requirements; the other targets make it too

tools: $(TOOLS_READY)  ## .venv-integrations, on top of it

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint --configfile config/embedded.yaml
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 4 --dist worksteal

test-integrations: $(TOOLS_READY)  ## the integrations against the real libraries, one after the other
	CURVECAST_WITHOUT_SKIPS=1 OMP_NUM_THREADS=1 $(TOOLS)/bin/python -m pytest -n 2 --dist loadfile tests/integrations

docs: $(READY) $(DOCS)  ## the documentation as a site in site/, without a network
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR)/src $(BIN)/mkdocs build --strict --quiet
	$(BIN)/pytest tests/docs_site.py

wheel: $(READY)  ## the package, in dist/
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

embedded: $(READY)  ## trains the embedded collections again; copy them to resources/embedded by hand
	PYTHONPATH=src $(BIN)/python -m curvecast.training.embedded --out results/make_embedded --workers $(CORES)
	PYTHONPATH=src $(BIN)/python -m curvecast.training.digits_layers --out results/make_embedded --workers $(CORES)

CORPUS ?= results/corpus
prior: $(READY)  ## trains the weights of pfn on a corpus; docs/prior.md says how they are shipped
	PYTHONPATH=src $(BIN)/python -m curvecast.training.prior $(CORPUS) results/prior/pfn.safetensors --compile

corpus: $(READY)  ## trains the small tasks that the prior learns from (docs/corpus.md)
	PYTHONPATH=src OMP_NUM_THREADS=1 $(BIN)/python -m curvecast.training.corpus results/corpus

pins: $(READY)  ## freezes what is installed, after a change of envs/requirements.in
	$(BIN)/pip install -r envs/requirements.in
	sed -n '/^#/p' envs/requirements.txt > envs/requirements.new
	$(BIN)/pip freeze --all --exclude pip --exclude wheel | sed 's/+cpu$$//' >> envs/requirements.new
	mv envs/requirements.new envs/requirements.txt

clean:  ## removes everything that was computed or installed
	rm -rf .venv $(TOOLS) .snakemake .mypy_cache .ruff_cache .pytest_cache
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

.venv: $(READY)

$(READY):
	$(PYTHON) envs/check_system.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/requirements.txt
	touch $@

$(DOCS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/docs.txt
	touch $@

$(TOOLS_READY): $(READY)
	test -x $(TOOLS)/bin/python || .venv/bin/python -m venv $(TOOLS)
	.venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> $$($(TOOLS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/base.pth
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r envs/integrations.txt
	touch $@
