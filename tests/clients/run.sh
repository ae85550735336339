#!/bin/sh
# Runs every suite in this folder against the built binary. ALM_BIN names another one than target/debug/alm.
set -eu
cd "$(dirname "$0")"

exec ./node.sh --test --test-timeout=60000 "$@" ./*.test.mjs
