#!/usr/bin/env bash
# Brings the system libraries that Qt's X11 plugin and OpenGL load, and a virtual display where there
# is no real one.  Installs nothing when nothing is missing; on macOS there is nothing to bring.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

# What libqxcb.so, QtGui and the GLX integration of PySide6-Essentials name as needed and do not
# ship, with the Debian package of each; `napari-nunext doctor` reads the same list.
libraries=napari_nunext/commands/doctor/qt_libraries.txt

[ "$(uname -s)" = Linux ] || exit 0

missing=()
if ldconfig=$(PATH="$PATH:/sbin:/usr/sbin" command -v ldconfig); then
    present=$("$ldconfig" -p)
    while read -r soname package; do
        case $present in
            *[[:space:]]"$soname "*) ;;
            *) missing+=("$package") ;;
        esac
    done <"$libraries"
fi
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    command -v Xvfb >/dev/null && command -v xvfb-run >/dev/null || missing+=(xvfb)
    command -v xauth >/dev/null || missing+=(xauth)
fi

[ ${#missing[@]} -eq 0 ] || apt_install "napari's window needs system libraries that are missing" "${missing[@]}"
