#!/usr/bin/env bash
# Puts small faults into the pure functions, one at a time, and lists those that no test notices:
# scripts/mutate.py.  The tool has an environment of its own; the tests run in .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly ENV=.venv-mutate
readonly VERSION=8.7.0
readonly LOG=build/mutate.log

mkdir -p build
if [ "$("$ENV/bin/python" -c 'from importlib.metadata import version; print(version("cosmic-ray"))' 2>/dev/null)" != "$VERSION" ]; then
    say "Installing cosmic-ray $VERSION into $ENV; the log is $LOG"
    .venv/bin/python -m venv --clear "$ENV"
    "$ENV/bin/python" -m pip install -q "cosmic-ray==$VERSION" >"$LOG" 2>&1 </dev/null ||
        die "cosmic-ray $VERSION cannot be installed (the log is $LOG)."
fi
exec nice "$ENV/bin/python" scripts/mutate.py --python "$PWD/.venv/bin/python" "$@"
