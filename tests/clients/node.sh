#!/bin/sh
# Installs the clients as the lock file names them, then runs node in this folder, with these arguments.
set -eu
cd "$(dirname "$0")"

npm ci --no-audit --no-fund --loglevel=error

# The newest SDK wants Node 22. Where this machine's is older, the lock file has brought one.
node=$(command -v node)
if [ "$("$node" -p 'process.versions.node.split(".")[0]')" -lt 22 ]; then
  for bundled in node_modules/node-linux-*/bin/node; do node=$PWD/$bundled; done
fi

exec "$node" "$@"
