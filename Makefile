# make run     builds the server and starts a member on 127.0.0.1:2379 with its data in ./default.etcd
# make cluster starts three members, see Scripts/cluster
# make test    all that CI does
# make bench   genuine etcd and ours under the same load; with MEMBERS=3 also three members of each
# More flags for the member or the members, as in: make run FLAGS="--data-dir /tmp/data"
FLAGS ?=
MEMBERS ?= 1

.PHONY: build run cluster test bench lint format clean

build:
	@Scripts/setup run
	@echo "building the release (the first time takes minutes) …"
	@Scripts/build-release --product etcd

run: build
	@exec .build/release/etcd $(FLAGS)

cluster: build
	@Scripts/setup cluster
	@exec Scripts/cluster $(FLAGS)

test:
	@Scripts/test

bench:
	@Scripts/setup bench
	Scripts/build-release
	Benchmarks/grpc
	Benchmarks/run
	if [ "$(MEMBERS)" = 3 ]; then Benchmarks/run --members 3; fi

lint:
	@Scripts/lint

format:
	@Scripts/lint --fix

clean:
	rm -rf .build
