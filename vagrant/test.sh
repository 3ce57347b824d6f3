#!/bin/sh
# Runs the kernel tests on a host that provision.sh has prepared. $1: the checkout; more arguments: pytest's, instead of all
# of tests/netns. Run as root. Ends with pytest's code; first says what doctor sees.
set -eu

checkout=$(cd "$1" && pwd)
shift
# shellcheck source=vagrant/userland.sh
. "$(cd "$(dirname "$0")" && pwd)/userland.sh"
[ $# -gt 0 ] || set -- tests/unit/bpf tests/netns

# `doctor` ends with 3 where no mode works: the tests then say the same, one by one.
steps='.venv/bin/tidegate doctor || true; exec .venv/bin/python -m pytest -q -p no:cacheprovider "$@"'
if userland_is_enough; then
    cd "$checkout"
    exec sh -eu -c "$steps" sh "$@"
fi
in_userland "$checkout" sh -eu -c "$steps" sh "$@"
