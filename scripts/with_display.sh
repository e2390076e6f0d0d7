#!/usr/bin/env bash
# with_display.sh COMMAND...: runs it on the user's display, or on a virtual one of a laptop's size
# when there is none.  NAPARI_NUNEXT_VIRTUAL_DISPLAY=1 tells the command that nobody is watching.
set -euo pipefail

if [ "$(uname -s)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    exec "$@"
fi

# Qt wants a private run-time directory, which only a desktop login brings.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    XDG_RUNTIME_DIR=$(mktemp -d)
    export XDG_RUNTIME_DIR
    trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi
export NAPARI_NUNEXT_VIRTUAL_DISPLAY=1 QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
# -noreset: it would begin anew when its last window closes, and refuse whoever comes meanwhile.
xvfb-run -a -s "-screen 0 1366x768x24 -noreset +extension GLX" "$@"
