#!/usr/bin/env bash
# Makes .venv and installs the project into it, editable, under constraints.txt.  A stamp of what was
# installed lets the next run end at once; pip's own configuration is used as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly LOG=build/setup.log
# Python 3.11 first: constraints.txt was made with it.
readonly PYTHONS=(python3.11 python3.12 python3.13 python3)

# supported PYTHON: it runs (a pyenv shim may not) and is of a supported version.
supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in "${PYTHONS[@]}" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[123].*/bin/python; do
        if supported "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local python version
    if ! python=$(find_python); then
        apt_install "No Python 3.11, 3.12 or 3.13 was found" python3 python3-venv
        python=$(find_python) ||
            die "This system's Python is older than 3.11. Install Python 3.11 or newer (pyenv will do)."
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "$python cannot make virtual environments" "python$version-venv"
    fi
    say "Creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

# pip_install ARGUMENT...: three tries, since a dropped connection can outlast pip's own retries.
pip_install() {
    local try
    for try in 1 2 3; do
        if .venv/bin/python -m pip install -q -c constraints.txt "$@" >>"$LOG" 2>&1 </dev/null; then
            return
        fi
        [ "$try" -eq 3 ] || { say "pip failed; trying again."; sleep $((try * 5)); }
    done
    grep '^ERROR' "$LOG" | tail -n 5 >&2 || true
    die "pip could not install: $*. The full log is in $LOG."
}

fingerprint() {
    .venv/bin/python - <<'PYTHON'
import hashlib, pathlib, sys

digest = hashlib.sha256(sys.version.encode())
for name in ("pyproject.toml", "constraints.txt"):
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PYTHON
}

install() {
    : >"$LOG"
    say "Installing into .venv: some minutes the first time; the log is $LOG"
    pip_install "pip>=25.1" hatchling # 25.1 reads dependency groups
    # torch by itself first: where pip's configuration offers a CPU build, later steps then keep it.
    pip_install torch
    pip_install --no-build-isolation -e '.[all,slides,spatial,training]' --group dev
    # A torchvision that does not fit the torch beside it breaks `import transformers`.
    if .venv/bin/python -m pip show -qq torchvision 2>/dev/null; then
        .venv/bin/python -c 'import torchvision' 2>>"$LOG" ||
            die "The torchvision in .venv does not fit its torch. Run: .venv/bin/python -m pip uninstall torchvision"
    fi
}

mkdir -p build
if command -v flock >/dev/null; then
    exec 9>build/.setup.lock # two makes at once take turns
    flock 9
fi

supported .venv/bin/python || make_venv
readonly STAMP=.venv/.nunext-installed
if [ "$(cat "$STAMP" 2>/dev/null)" != "$(fingerprint)" ]; then
    install
    fingerprint >"$STAMP"
fi
