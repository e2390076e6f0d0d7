#!/usr/bin/env bash
# Runs the tests of deploy/ with Ray, in build/ray-env: the packages of .venv, and Ray with what it
# needs beside them, under constraints.txt.  Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly ENV=build/ray-env
readonly WANTED="ray[serve]>=2.60,<3"

packages_of() {
    "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

[ -x "$ENV/bin/python" ] || .venv/bin/python -m venv "$ENV"
packages_of .venv/bin/python >"$(packages_of "$ENV/bin/python")/of-the-project.pth"
if ! "$ENV/bin/python" -c 'import ray.serve' 2>/dev/null; then
    say "Installing $WANTED into $ENV; the log is build/ray.log"
    "$ENV/bin/python" -m pip install -q -c constraints.txt "$WANTED" >build/ray.log 2>&1 ||
        die "Ray could not be installed. The log is build/ray.log."
fi
# The project itself is installed editable into .venv, which that path file does not follow.
export PYTHONPATH="$PWD:$PWD/training${PYTHONPATH:+:$PYTHONPATH}"
# Ray logs a line that cannot be formatted, and pytest's capture of logs makes an error of it.
exec "$ENV/bin/python" -m pytest -p no:logging tests/deploy "$@"
