#!/usr/bin/env bash
# Brings the system libraries that Qt's X11 plugin and OpenGL load, and a virtual display where there
# is no real one.  Installs nothing when nothing is missing; on macOS there is nothing to bring.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

# What libqxcb.so, QtGui and the GLX integration of PySide6-Essentials name as needed and do not
# ship, with the Debian package of each.
libraries() {
    cat <<'LIST'
libEGL.so.1 libegl1
libGL.so.1 libgl1
libX11-xcb.so.1 libx11-xcb1
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libfreetype.so.6 libfreetype6
libglib-2.0.so.0 libglib2.0-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-glx.so.0 libxcb-glx0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-render.so.0 libxcb-render0
libxcb-shape.so.0 libxcb-shape0
libxcb-shm.so.0 libxcb-shm0
libxcb-sync.so.1 libxcb-sync1
libxcb-util.so.1 libxcb-util1
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xkb.so.1 libxcb-xkb1
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxkbcommon.so.0 libxkbcommon0
LIST
}

[ "$(uname -s)" = Linux ] || exit 0

missing=()
if ldconfig=$(PATH="$PATH:/sbin:/usr/sbin" command -v ldconfig); then
    present=$("$ldconfig" -p)
    while read -r soname package; do
        case $present in
            *[[:space:]]"$soname "*) ;;
            *) missing+=("$package") ;;
        esac
    done < <(libraries)
fi
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    command -v Xvfb >/dev/null && command -v xvfb-run >/dev/null || missing+=(xvfb)
    command -v xauth >/dev/null || missing+=(xauth)
fi

[ ${#missing[@]} -eq 0 ] || apt_install "napari's window needs system libraries that are missing" "${missing[@]}"
