# The two commands of the README are `make demo` and `make test`; each does `setup` first when it is needed.
VENV    := .venv
PYTHON  := $(VENV)/bin/python
STAMP   := $(VENV)/.setup-done
INPUTS  := pyproject.toml setup.py scripts/setup scripts/packages.apt

.PHONY: setup demo test unit lint bench clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): $(INPUTS) $(wildcard cext/*.c cext/*.h cext/*.py bpf/*.bpf.c bpf/*.h)
	scripts/setup
	@touch $@

demo: $(STAMP)
	@$(PYTHON) -m demo

test: $(STAMP)
	scripts/test

unit: $(STAMP)
	$(PYTHON) -m pytest -q tests/unit

lint: $(STAMP)
	scripts/lint

clean:
	rm -rf $(VENV) build *.egg-info bpf/objects cext/*.so cext/_*.c
