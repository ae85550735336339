#!/bin/sh
# Installs the clients as package-lock.json and python/*.txt name them, all at the same time, where they are not yet.
#
# Rule: like ../python.sh, under another name first; another lock file is another folder. They are more than a gigabyte, so
# they lie in the cache, and node_modules here is a link.
set -eu
cd "$(dirname "$0")"

cache=${ALM_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/alm-tests}
made=$cache/npm-$(sha256sum package-lock.json | cut -c1-16)

install_npm() {
  [ ! -d "$made" ] || return 0
  mkdir -p "$cache"
  draft=$(mktemp -d "$cache/npm.XXXXXX")
  trap 'rm -rf "$draft"' EXIT
  cp package.json package-lock.json "$draft"
  # Their scripts would fetch or link programs that the packages for this machine hold already.
  npm ci --prefix "$draft" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
  mv -T "$draft" "$made" 2>/dev/null || [ -d "$made" ]
}

(install_npm) &
jobs=$!
for list in python/*.txt; do
  ../python.sh "$list" >/dev/null &
  jobs="$jobs $!"
done
for job in $jobs; do wait "$job"; done
ln -sfn "$made/node_modules" node_modules
