#!/bin/sh
# Installs tidegate on a host of any of the Vagrantfile's distributions. $1: the checkout. Run as root; safe to run again.
#
# Where there is apt and Python 3.11 (Debian 12 and newer, Ubuntu 24.04) it does what the README says: `make setup`. Elsewhere
# the kernel is what is to be tested, and the userland is Debian 12 in a folder (ROOT_FOLDER): `make setup` runs there.
# TIDEGATE_MIRROR: the Debian archive to take that from; empty is debootstrap's own choice.
set -eu

checkout=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=vagrant/userland.sh
. "$here/userland.sh"

say() {
    echo "provision: $*"
}

install_packages() {
    if command -v apt-get >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
    elif command -v dnf >/dev/null; then
        # debootstrap is in the distribution's extra repository.
        dnf install -q -y epel-release
        dnf install -q -y "$@"
    else
        echo "provision: neither apt-get nor dnf is here: install $* and run this again" >&2
        exit 3
    fi
}

if userland_is_enough; then
    say "$(uname -r), userland of its own"
    command -v make >/dev/null || install_packages make
    exec make -C "$checkout" setup
fi

say "$(uname -r), userland: Debian 12 in $ROOT_FOLDER"
command -v debootstrap >/dev/null || install_packages debootstrap
if [ ! -e "$ROOT_FOLDER/.complete" ]; then
    # shellcheck disable=SC2086  # an empty mirror is no argument
    debootstrap --variant=minbase --include=ca-certificates,make "$USERLAND_SUITE" "$ROOT_FOLDER" ${TIDEGATE_MIRROR:-}
    touch "$ROOT_FOLDER/.complete"
fi
in_userland "$checkout" make setup
