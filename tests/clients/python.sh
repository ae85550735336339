#!/bin/sh
# Prints the python of a virtual environment with the packages of a list, which it makes first where there is none.
# The list is requirements.txt, or the file named.
#
# Rule: it is made under another name and renamed once it is whole. Another list of packages is another environment.
set -eu
list=$(realpath "${1:-$(dirname "$0")/requirements.txt}")

cache=${ALM_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/alm-tests}
made=$cache/python-$(sha256sum "$list" | cut -c1-16)
if [ ! -x "$made/bin/python" ]; then
  mkdir -p "$cache"
  draft=$(mktemp -d "$cache/python.XXXXXX")
  trap 'rm -rf "$draft"' EXIT
  # By symbolic links to the interpreter, so that the folder can be renamed; its scripts are not used.
  python3 -m venv "$draft" || {
    echo 'tests/clients/python.sh: python3 has no venv: install python3-venv' >&2
    exit 1
  }
  "$draft/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --requirement "$list" >&2
  mv -T "$draft" "$made" 2>/dev/null || [ -x "$made/bin/python" ]
fi
echo "$made/bin/python"
