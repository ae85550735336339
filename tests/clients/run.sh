#!/bin/sh
# Runs every suite in this folder against the built binary. ALM_BIN names another one than target/debug/alm.
set -eu
cd "$(dirname "$0")"

# Made here: it would take longer than a test may.
./python.sh >/dev/null
./openai/install.sh
mkdir -p ../../target/tools
go build -o ../../target/tools/sidecar-go ../../examples/sidecar/main.go
go build -o ../../target/tools/ask-go ../../examples/ask.go

exec ./node.sh --test --test-timeout=60000 "$@" ./*.test.mjs ./openai/*.test.mjs
