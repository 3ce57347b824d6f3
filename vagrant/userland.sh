# Sourced by provision.sh and test.sh: which userland is used, and how to be in it.
# ROOT_FOLDER: where a Debian 12 is when the host's own userland is too old.

USERLAND_SUITE=bookworm
ROOT_FOLDER=${ROOT_FOLDER:-/opt/tidegate-userland}

userland_is_enough() {
    [ -z "${TIDEGATE_FORCE_USERLAND:-}" ] || return 1
    command -v apt-get >/dev/null || return 1
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# in_userland CHECKOUT COMMAND...: with that checkout as the current folder, on the host's kernel, processes and network. The
# mounts are in a mount namespace of its own and so end with the command.
in_userland() {
    ROOT_FOLDER=$ROOT_FOLDER unshare --mount --propagation slave sh -eu -c '
        root=$ROOT_FOLDER checkout=$1
        shift
        # A mount of its own, or `ip netns exec`, which changes how / is shared, fails in there.
        mount --bind "$root" "$root"
        for each in /proc /sys /dev; do mount --rbind "$each" "$root$each"; done
        mount -t tmpfs -o mode=755 none "$root/run"
        mkdir -p "$root$checkout" "$root/lib/modules" "$root/run/netns" "$root/run/lock"
        mount --bind "$checkout" "$root$checkout"
        [ ! -d /lib/modules ] || mount --bind /lib/modules "$root/lib/modules"
        cp -L /etc/resolv.conf "$root/etc/resolv.conf"
        # Whom the host trusts (a company has a certificate authority of its own), the userland has to trust too.
        authorities=/etc/ssl/certs/ca-certificates.crt
        [ ! -r $authorities ] || cp -L $authorities "$root$authorities"
        exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 PIP_CERT=$authorities \
            sh -eu -c "cd \"\$1\"; shift; exec \"\$@\"" sh "$checkout" "$@"
    ' sh "$@"
}
