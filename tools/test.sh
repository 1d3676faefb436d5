#!/usr/bin/env bash
# Installs what the tests need on Debian, and runs all of them. As root, with Go.
#
#   sudo tools/test.sh           everything
#   sudo tools/test.sh quick     without the race detector, fuzzing and the lab
set -euo pipefail
cd "$(dirname "$0")/.."
quick=${1:-}

export VRA_REQUIRE_ROOT=1 # what needs root fails without it, and does not skip
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"

say() { printf '\n== %s (%ss)\n' "$*" "$SECONDS"; }

need() { # COMMAND PACKAGE...
	command -v "$1" >/dev/null || missing+=("${@:2}")
}
missing=()
need ip iproute2
need ping iputils-ping
need traceroute traceroute
need nft nftables
need ethtool ethtool
need taskset util-linux
need iperf3 iperf3
need tcpdump tcpdump
need gcc gcc libc6-dev
if ((${#missing[@]})); then
	say "installing ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

say "format, vet, staticcheck"
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [[ -n $unformatted ]]; then
	echo "gofmt would change: $unformatted"
	exit 1
fi
go vet ./...
CGO_ENABLED=0 go build -trimpath -o /dev/null ./appliance/vra
[[ $quick ]] || go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# Labs take turns: each removes what dead processes have left of theirs.
lab=openvra/tests/e2e
labs=$(go list ./tools/lab/...)
rest=$(go list ./... | grep -v -e "^$lab" -e "^openvra/tools/lab")

say "tests"
go test -shuffle=on $rest
go test -shuffle=on -p 1 $labs
if [[ $quick ]]; then exit; fi

say "tests with the race detector"
go test -race -shuffle=on $(echo "$rest" | grep -v /tests/bench)
go test -race -shuffle=on -p 1 $labs

say "the lab: real kernel stacks around the real binary"
go test -timeout 20m -v -run . "$lab" 2>&1 | grep -E '^(=== RUN|--- |\s+---|ok|FAIL|PASS|panic|\s+\S+_test.go)' | grep -v '=== RUN'

say "each fuzz target, a few thousand inputs"
for file in $(git grep -l '^func Fuzz' -- '*_test.go'); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		go test -run '^$' -fuzz "^$target\$" -fuzztime 4000x "./$(dirname "$file")"
	done
done

say "each benchmark, once"
go test -run '^$' -bench . -benchtime 1x $rest | grep -E '^(Benchmark|FAIL|panic)'
say "done"
