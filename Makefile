# The two commands of the README are `make demo` and `make test`; each does `setup` first when it is needed.
VENV    := .venv
PYTHON  := $(VENV)/bin/python
STAMP   := $(VENV)/.setup-done
INPUTS  := pyproject.toml setup.py scripts/needs.py scripts/setup scripts/packages.apt

.PHONY: setup demo test unit lint fuzz faults bench drills drills-smoke soak bench-smoke kernels kernel-smoke vm-test vagrant-validate wheel deb deliver-test deliver-smoke numbers clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): $(INPUTS) $(shell find cext bpf -name '*.[ch]' -o -name 'build.py' | grep -v '/_')
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

# Ten minutes of libFuzzer for each target. What it finds new is kept in tests/c/fuzz/corpus.
fuzz: $(STAMP)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_KEEP=1 scripts/fuzz

# Every fault that can be injected here, for real, and docs/reliability.md from what was seen: some five minutes.
faults: $(STAMP)
	$(PYTHON) -m scripts.faults

# Compares with HAProxy and nginx; under 15 minutes on a machine that does nothing else.
bench: $(STAMP)
	bench/setup
	$(PYTHON) -m bench
	$(PYTHON) -m bench.http

# Ten endpoints of which one is unwell, with each mechanism and beside HAProxy and Envoy: some 45 minutes. Writes the
# tables of docs/resilience.md.
drills: $(STAMP)
	bench/setup
	$(PYTHON) -m bench.drills

# Whether the drills work: three seconds each, the figures are thrown away.
drills-smoke: $(STAMP)
	bench/setup
	$(PYTHON) -m bench.drills --short

# A million short connections through the proxy, and what they leave: some four minutes.
soak: $(STAMP)
	bench/setup
	$(PYTHON) -m bench.soak

# Whether the comparison itself works: a second a load, the figures are thrown away.
bench-smoke: $(STAMP)
	bench/setup
	$(PYTHON) -m bench --smoke
	$(PYTHON) -m bench.http --smoke

# Other kernels under QEMU, on this machine's files: docs/kernels.md. KERNELS=5.10,6.1 for some of them.
KERNELS ?= 5.10,6.1,6.12,newest,6.1-no-ipv6,6.1-lockdown
kernels: $(STAMP)
	scripts/kernels-packages scripts/packages-kernels.apt
	nice $(PYTHON) -m scripts.kernels $(KERNELS)

# One of them, and what matters most there: a part of CI, three to four minutes. The table stays as it is.
KERNEL ?= 6.1
kernel-smoke: $(STAMP)
	scripts/kernels-packages scripts/packages-kernels.apt
	$(PYTHON) -m scripts.kernels $(KERNEL) --steps capture,engine,bpf --page build/kernel-smoke.md

# Other hosts, for people with a hypervisor: make vm-test BOX=debian12 (vagrant/Vagrantfile has the list).
BOX ?= debian12
vm-test:
	scripts/kernels-packages scripts/packages-vagrant.apt
	cd vagrant && vagrant up $(BOX) && vagrant ssh $(BOX) -c 'sudo /opt/tidegate/vagrant/test.sh /opt/tidegate'

vagrant-validate:
	scripts/kernels-packages scripts/packages-vagrant.apt
	cd vagrant && vagrant validate

# What is delivered, into dist/: docs/releasing.md. Two builds of one commit give the same bytes.
wheel: $(STAMP)
	$(PYTHON) -m scripts.release wheel

# SUITES="bookworm trixie noble", or some of them.
SUITES ?= bookworm trixie noble
deb: $(STAMP)
	scripts/kernels-packages scripts/packages-release.apt
	$(PYTHON) -m scripts.release deb $(SUITES:%=--suite %)

# The packages, the image and the manifests, tried in minimal systems of their own: some ten minutes.
deliver-test: $(STAMP)
	scripts/kernels-packages scripts/packages-release.apt
	scripts/kernels-packages scripts/packages-deliver.apt
	$(PYTHON) -m pytest -q tests/deliver
	TIDEGATE_PODS=200 $(PYTHON) -m pytest -q tests/netns/tidegate/test_pod.py
	TIDEGATE_TAKE_OVERS=20 TIDEGATE_REQUESTS=100000 $(PYTHON) -m pytest -q -s tests/netns/take_over/test_take_over.py

# What is promised of size and cost, measured: on a machine that does nothing else, some ten minutes.
numbers: $(STAMP)
	scripts/kernels-packages scripts/packages-release.apt
	scripts/kernels-packages scripts/packages-deliver.apt
	TIDEGATE_IDLE_S=60 TIDEGATE_PODS=40 $(PYTHON) -m pytest -q -s tests/deliver/test_idle.py tests/deliver/test_image.py \
	    tests/deliver/test_deb.py tests/netns/tidegate/test_pod.py -k "idle or small or within_a_minute or come_and_go" \
	    | grep -E "idle:|image:|installed in|start delayed|passed|failed|^E "

# A part of CI: Debian 12's package is built twice, judged, installed and removed.
deliver-smoke: $(STAMP)
	scripts/kernels-packages scripts/packages-release.apt
	scripts/kernels-packages scripts/packages-deliver.apt
	$(PYTHON) -m pytest -q tests/deliver -k "bookworm and not image or wheel"

clean:
	rm -rf $(VENV) build *.egg-info bpf/objects cext/*/*.so cext/*/_*.c
