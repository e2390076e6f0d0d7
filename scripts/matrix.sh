#!/usr/bin/env bash
# Runs the tests that a version of napari or a Qt binding can change on other pairs of them than the
# one that constraints.txt pins.  Each pair is a cell, with an environment of its own in
# build/matrix: the packages of .venv by hard links, so that torch is neither fetched nor stored
# twice, with its own napari and Qt.  Arguments go to pytest.
#
#   CELLS="napari0.8-pyqt6 ..."   these cells alone; without it, all
#   SHORT=1                       one cell, and few of the tests
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

readonly ROOT=build/matrix
readonly ALL="napari0.8-pyside6 napari0.9-pyqt6 napari0.8-pyqt6"
# Neither the napari nor the Qt that `make test` runs with.
readonly SHORT_CELL=napari0.8-pyqt6
# The manifest and the window with its docks, its keys, a click on the canvas, an export, the end.
readonly SHORT_TESTS=(tests/test_manifest.py tests/ui/test_dock.py)
# What tells that a test outside tests/ui meets napari or Qt.
readonly MEETS='^ *(from|import) (napari|qtpy|pytestqt|vispy|superqt|magicgui)\b|napari_nunext\.ui\b|\bqapp\b|\bqtbot\b'

# pins_of CELL: its napari and its binding, with what these alone need in other versions.
pins_of() {
    case ${1%-*} in
        napari0.8) echo "napari==0.8.0 vispy==0.16.2" ;;
        napari0.9) grep -iE '^(napari|vispy)==' constraints.txt | tr '\n' ' ' ;;
        *) return 1 ;;
    esac
    case ${1##*-} in
        pyside6) grep -iE '^(PySide6_Essentials|shiboken6)==' constraints.txt | tr '\n' ' ' ;;
        pyqt6) echo "PyQt6==6.11.0 PyQt6-Qt6==6.11.2 PyQt6_sip==13.13.0" ;;
        *) return 1 ;;
    esac
}

purelib() {
    "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

fingerprint() {
    cat .venv/.nunext-installed
    pins_of "$1"
}

install() {
    local env=$ROOT/$1 log=$ROOT/$1.log pins
    read -ra pins <<<"$(pins_of "$1" | tr '\n' ' ')"
    say "Installing ${pins[*]} into $env; the log is $log"
    .venv/bin/python -m venv --without-pip --clear "$env"
    # pip puts new files in place of old ones and never writes over one, so .venv keeps its own.
    cp -al "$(purelib .venv/bin/python)/." "$(purelib "$env/bin/python")/" 2>"$log" ||
        cp -a "$(purelib .venv/bin/python)/." "$(purelib "$env/bin/python")/"
    grep -viE '^(napari|vispy|PySide6_Essentials|shiboken6|PyQt6.*)==' constraints.txt >"$env/constraints.txt"
    # No other binding is left for somebody to import by mistake.
    "$env/bin/python" -m pip uninstall -q -y PySide6_Essentials shiboken6 PyQt6 PyQt6-Qt6 PyQt6_sip >>"$log" 2>&1
    "$env/bin/python" -m pip install -q -c "$env/constraints.txt" "${pins[@]}" >>"$log" 2>&1 </dev/null ||
        die "pip could not install ${pins[*]}. The log is $log."
    "$env/bin/python" -m pip check >>"$log" 2>&1 || say "pip finds that packages of $1 do not fit: see $log"
    fingerprint "$1" >"$env/.nunext-installed"
}

# run CELL ARGUMENT...: pytest in that cell.
run() {
    local cell=$1
    shift
    say "Testing $cell"
    QT_API=${cell##*-} scripts/with_display.sh "$ROOT/$cell/bin/python" -m pytest \
        -n logical --maxprocesses 4 "$@"
}

mkdir -p "$ROOT"
if [ -n "${SHORT:-}" ]; then
    cells=${CELLS:-$SHORT_CELL}
    tests=("${SHORT_TESTS[@]}")
else
    cells=${CELLS:-$ALL}
    mapfile -t tests < <(grep -rlE --include='test_*.py' "$MEETS" tests | grep -v '^tests/ui/' | sort)
    tests=(tests/ui "${tests[@]}")
fi
for cell in $cells; do
    pins_of "$cell" >/dev/null || die "There is no cell $cell. There are: $ALL"
done
# An environment's own copy of the path file may name another checkout.
export PYTHONPATH="$PWD:$PWD/training${PYTHONPATH:+:$PYTHONPATH}"
for cell in $cells; do
    if [ "$(cat "$ROOT/$cell/.nunext-installed" 2>/dev/null)" != "$(fingerprint "$cell")" ]; then
        install "$cell"
    fi
done
failed=()
for cell in $cells; do
    run "$cell" "${tests[@]}" "$@" || failed+=("$cell")
done
[ ${#failed[@]} -eq 0 ] || die "Tests failed in: ${failed[*]}"
