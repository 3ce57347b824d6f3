#!/bin/sh
# The first thing that runs in a guest: gives it what a host has, then hands over to inside.py. $1: the checkout.
# The root file system is the host's, read-only; nothing here can change it.
set -eu
checkout=$1
share=tidegate_host
release=$(uname -r)

modules=$(readlink "/usr/lib/modules/$release")
mkdir -p /run/host
mount -t 9p -o "ro,version=9p2000.L,trans=virtio,cache=loose,msize=512000" "$share" /run/host
mount --bind /run/host/usr /usr
mount -t tmpfs none /usr/lib/modules
ln -s "/run/host$modules" "/usr/lib/modules/$release"
mount -t tmpfs -o mode=1777 none /tmp
mkdir -p "$checkout"
mount --bind "/run/host$checkout/build/kernels/checkout" "$checkout"
mount --bind "/run/host$checkout/.venv" "$checkout/.venv"
mount --bind "/run/host$checkout/build" "$checkout/build"

mkdir -p /run/netns /run/lock
ip link set lo up
# Rules load it otherwise, and its sysctls would seem to be something that cleanup has left behind.
modprobe -q nf_conntrack || true
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
cd "$checkout"
# As a service manager gives it; the guest's own limit of 1024 is less than some tests open.
ulimit -n 20000
# Compiled before by the host: an emulated CPU compiles our sources in 20 s, at every start.
export PYTHONPYCACHEPREFIX="$checkout/build/kernels/pycache" PYTHONDONTWRITEBYTECODE=1
export HOME=/tmp HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis COLUMNS=200 TIDEGATE_PATIENCE=10
exec .venv/bin/python -m scripts.kernels.inside
