#!/usr/bin/env bash
# Builds the site of the documents into build/site, in build/site-env: the packages of .venv, and the
# group `site` of pyproject.toml beside them.  A warning is an error.  Arguments go to Sphinx.
# Each build is a whole one: what Sphinx kept of the last would show the old navigation.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly ENV=build/site-env

packages_of() {
    "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

[ -x "$ENV/bin/python" ] || .venv/bin/python -m venv "$ENV"
packages_of .venv/bin/python >"$(packages_of "$ENV/bin/python")/of-the-project.pth"
if ! "$ENV/bin/python" -c 'import furo, myst_nb, sphinx' 2>/dev/null; then
    mapfile -t wanted < <("$ENV/bin/python" -c '
import tomllib
from pathlib import Path
project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))
print(*project["dependency-groups"]["site"], sep="\n")')
    say "Installing ${wanted[*]} into $ENV; the log is build/site.log"
    "$ENV/bin/python" -m pip install -q -c constraints.txt "${wanted[@]}" >build/site.log 2>&1 ||
        die "The packages for the site could not be installed. The log is build/site.log."
fi
"$ENV/bin/python" -m sphinx -E -a -W --keep-going -q -j auto -c docs "$@" . build/site
"$ENV/bin/python" -m scripts.offline build/site || die "Without internet the pages above would not be whole."
say "The site is build/site/index.html"
