# shellcheck shell=bash
# Shared by the set-up scripts: messages, and apt where the user may use it.

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints how to become root without a question asked: nothing for root, "sudo" where no password
# is wanted.  Fails where neither holds.
root_prefix() {
    if [ "$(id -u)" -eq 0 ]; then
        printf ''
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        printf 'sudo'
    else
        return 1
    fi
}

# apt_install WHY PACKAGE...: installs, or ends with the one command that an administrator can run.
apt_install() {
    local why=$1 root
    shift
    command -v apt-get >/dev/null ||
        die "$why. This is not a Debian or Ubuntu; install what these Debian packages hold: $*"
    root=$(root_prefix) ||
        die "$why, and installing needs an administrator. Run: sudo apt-get install $*"
    say "Installing system packages: $*"
    local apt=(${root:+"$root"} env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    # A failed refresh of one list need not matter: the install decides.
    "${apt[@]}" update >/dev/null || say "Could not refresh the package lists; going on with the old ones."
    "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >/dev/null ||
        die "$why, and apt-get could not install them. Run: sudo apt-get update && sudo apt-get install $*"
}
