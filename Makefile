# What a clone can do. `make` alone lists it.
GO      ?= go
BIN     := bin/taskiam
# How many random histories make model plays.
HISTORIES ?= 2000
# Release builds leave out the man page generator of the command line library.
TAGS    := urfave_cli_no_docs

.DEFAULT_GOAL := help

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Without cgo the program is one file that needs no C library of the system that it runs on.
build: ## build bin/taskiam
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(TAGS) -o $(BIN) ./cmd/taskiam

# Where install puts the program. PREFIX=$HOME/.local is for one user alone.
PREFIX  ?= /usr/local

install: build ## put taskiam into PREFIX/bin (/usr/local)
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 0755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/taskiam'

demo: build ## watch a task get its access, be refused the rest, and lose it all
	@$(BIN) demo

test: ## run the tests
	$(GO) test $(TESTFLAGS) ./...

# Tests that are smaller with -race, or skipped.
WITHOUT_RACE := ^Test(Faults|Model|AHundred|Killed|Client|PlanIsTrue|PlanByGcloud|Adversary|Isolated|NeverThePerson|NothingSecret|NothingIsBuffered|NoTrace|CI|Samples|Production|Tampered|AnotherUser|Demo|Offers|RefusesWhat|WrongClock|LeastRole|RenewFaults|RenewOnABadDisk|PowerLost|DiskFull|Recipes|Operators|TablesAreFresh|Fresh|Advice|Enabled|Documents|Mutants|Sizes|Tree)|^TestScripts$$/^(permissions|ci|usage|accept|completion|choose|help|delivery|resources|types|roles|receipt|init|shell|manifest|validate|fmt|configuration|debug|trust)$$

# Tests are built as the release is, without the man page generator and what debuggers read.
CHECKFLAGS := -timeout 20m -vet=off -trimpath -tags $(TAGS) -ldflags=-w

# Most of its processes are short: they end before they need the memory that they would look for.
check: export GOGC := 400
# All is checked as it is built, without cgo; -race needs it.
check: export CGO_ENABLED := 0
check: ## everything that has to pass: format, vet, staticcheck, tidy, tests with -race, the fault table, the model
	@for program in bash fish gcloud git zsh; do \
		command -v "$$program" >/dev/null || echo "check: there is no $$program: its tests are skipped"; \
	done; \
	bwrap --unshare-user --unshare-pid --ro-bind / / --proc /proc true 2>/dev/null || \
		echo "check: bubblewrap makes no sandbox here: the adversary and the tests of --isolate are skipped"; \
	[ -d ../shared ] || echo "check: there is no ../shared: comparisons with what lies there are skipped"
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))" || exit; \
	if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	$(GO) vet -trimpath -tags $(TAGS) ./...
	$(GO) tool staticcheck -tags $(TAGS) ./...
	$(GO) mod tidy -diff
	CGO_ENABLED=1 TASKIAM_TEST_RACE=1 $(MAKE) test TESTFLAGS="-race -shuffle=on $(CHECKFLAGS)"
	TASKIAM_TEST_RACE=0 $(GO) test -count=1 $(CHECKFLAGS) -run '$(WITHOUT_RACE)' ./cmd/taskiam ./internal/lifecycle ./internal/arch ./internal/racetest ./internal/tools/... ./emulator/internal/grpcapi

fidelity: ## compare the emulator with recorded answers of Google
	@report="$$(mktemp)" && trap 'rm -f "$$report"' EXIT && \
	$(GO) test -count=1 -run '^TestFidelity$$' ./emulator -args -fidelity "$$report" && cat "$$report"

clients: ## drive the emulator with Google's clients, fetching some, and print which work (a quarter of an hour); WRITE=1 puts that into docs/delivery.md
	@begun="$$(date +%s)" && dir="$$(mktemp -d)" && trap 'rm -rf "$$dir"' EXIT && cp cmd/taskiam/testdata/clients/node/package.json "$$dir" && \
	npm install --prefix "$$dir" --no-audit --no-fund --no-package-lock --ignore-scripts && \
	(cd cmd/taskiam/testdata/clients/go && CGO_ENABLED=0 $(GO) build -trimpath -o "$$dir/goclients" .) && \
	(cd cmd/taskiam/testdata/clients/rclone && CGO_ENABLED=0 $(GO) build -trimpath -o "$$dir/rclone" .) && \
	(cd emulator/testdata/clients && CGO_ENABLED=0 $(GO) test -trimpath -count=1 -timeout 10m ./...) && \
	mkdir "$$dir/bin" && GOBIN="$$dir/bin" CGO_ENABLED=0 $(GO) install github.com/go-delve/delve/cmd/dlv@v1.27.2 && \
	echo "fetched, built, and the emulator by gRPC: $$(($$(date +%s) - begun)) s" && \
	{ PATH="$$PATH:$$dir/bin" TASKIAM_TEST_NODE="$$dir" CGO_ENABLED=0 $(GO) test -count=1 -timeout 40m -trimpath -tags $(TAGS) -v -run '^(TestClients|TestClientTable|TestPlanByGcloud|TestIsolatedClients)$$' ./cmd/taskiam -args \
		-clients.all -clients.table "$$dir/table" $(if $(WRITE),-clients.write) >"$$dir/log" || { cat "$$dir/log"; false; }; }; \
	status=$$?; cat "$$dir/table"; echo "all of it: $$(($$(date +%s) - begun)) s"; exit $$status

ci-hooks: ## run the hooks in ci/ under the CI systems' own runners, fetching those: a minute, two the first time
	@ci/test/hooks.sh

# Programs that make releases. They are built from source, once; the first takes some minutes.
RELEASE_TOOLS := bin/tools
GORELEASER    := $(RELEASE_TOOLS)/goreleaser-2.15.1
CYCLONEDX     := $(RELEASE_TOOLS)/cyclonedx-gomod-1.10.0

$(GORELEASER):
	GOBIN='$(abspath $(@D))' CGO_ENABLED=0 $(GO) install github.com/goreleaser/goreleaser/v2@v2.15.1
	mv '$(@D)/goreleaser' $@

$(CYCLONEDX):
	GOBIN='$(abspath $(@D))' CGO_ENABLED=0 $(GO) install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
	mv '$(@D)/cyclonedx-gomod' $@
	ln -sf '$(notdir $@)' '$(@D)/cyclonedx-gomod'

# The version that release-check plays.
VERSION ?= v0.1.0

# goreleaser calls what describes the programs by its name.
release release-check: export PATH := $(abspath $(RELEASE_TOOLS)):$(PATH)
release: $(GORELEASER) $(CYCLONEDX) ## build the files of a release into dist/, of the commit's tag; publishes nothing
	$(GORELEASER) release --clean --skip=publish,announce

release-check: $(GORELEASER) $(CYCLONEDX) ## build the last commit as a release twice, and compare every byte; COLD=1 compiles twice
	$(GO) run -tags $(TAGS) ./internal/tools/release check -goreleaser '$(abspath $(GORELEASER))' \
		-version '$(VERSION)' $(if $(KEEP),-keep '$(KEEP)') $(if $(COLD),-cold)
	$(GO) run -tags $(TAGS) ./internal/tools/release module -version '$(VERSION)'

sizes: ## measure what each dependency adds to the stripped program, and put that into docs/dependencies.md
	$(GO) run ./internal/tools/sizes -write docs/dependencies.md

# Where the files of a release are.
DIST ?= dist

install-check: ## follow docs/install.md with the release in DIST, in containers of podman's without a network
	@packaging/install-check.sh '$(DIST)'

images: ## build the images of the release in DIST, by podman
	@packaging/images.sh build '$(DIST)'

images-check: ## build the images of the release in DIST twice, compare, and run those of this architecture
	@packaging/images.sh test '$(DIST)'

bench: build ## measure up and down in round trips, the start-up time, the way out of a sandbox, and the emulator by gRPC and by REST
	$(GO) run ./internal/tools/bench -taskiam $(BIN)
	cd emulator/testdata/clients && $(GO) test -run '^$$' -bench . -benchtime 1x .

faults: ## let every call of up, down, run and sweep fail in every way, and print the table
	@table="$$(mktemp)" && trap 'rm -f "$$table"' EXIT && \
	$(GO) test -count=1 -timeout 30m -run '^TestFaults$$' ./internal/lifecycle -args -faults.table "$$table"; \
	status=$$?; cat "$$table"; exit $$status

model: ## check the model with HISTORIES random histories
	@printed="$$(mktemp)" && trap 'rm -f "$$printed"' EXIT && \
	$(GO) test -count=1 -timeout 4h -v -run '^TestModel$$' ./internal/lifecycle -args -model.histories $(HISTORIES) >"$$printed"; \
	status=$$?; grep -v '^=== ' "$$printed"; exit $$status

soak: ## check the model with 100,000 random histories
	$(MAKE) model HISTORIES=100000

mutants: ## build defects in, one at a time, and expect the tests to notice; MUTANTS=PATTERN plays those with such names
	@$(GO) run ./internal/tools/mutants '$(MUTANTS)'

# How long each fuzzer looks.
FUZZTIME ?= 60s

# Making an input smaller that only reaches new code would take all of the time: ten tries.
fuzz: ## let every fuzzer look for FUZZTIME, a minute if nothing else is said
	@$(MAKE) -s fuzzers | while read -r package fuzzer; do \
		echo "$$package $$fuzzer"; \
		$(GO) test -run '^$$' -fuzz "^$$fuzzer\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" || exit 1; \
	done

fuzzers: ## list the fuzzers that there are
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed 's,/[^/]*:func , ,' | sort

.PHONY: help build install demo test check fidelity clients ci-hooks release release-check install-check images images-check sizes bench faults model soak mutants fuzz fuzzers
