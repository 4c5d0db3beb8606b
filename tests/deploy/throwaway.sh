#!/bin/sh
# throwaway.sh SHARED COMMAND…: runs a command as root on a copy of this machine's files, and lists what it has left
# behind. Whatever it changes is gone afterwards; SHARED is the same directory here and there.
# Run by `unshare --mount`, so that nobody else sees what is mounted.
set -eu
shared=$1
shift

copy=$(mktemp -d)
mount -t tmpfs throwaway "$copy"
mkdir "$copy/upper" "$copy/work" "$copy/root"
mount -t overlay throwaway -o "lowerdir=/,upperdir=$copy/upper,workdir=$copy/work" "$copy/root"
mount --rbind /proc "$copy/root/proc"
mount --rbind /dev "$copy/root/dev"
mount -t tmpfs tmp "$copy/root/tmp"
mount -t tmpfs run "$copy/root/run"
mkdir -p "$copy/root/run/shared"
mount --bind "$shared" "$copy/root/run/shared"

status=0
chroot "$copy/root" "$@" || status=$?

cd "$copy/upper"
# Directories count for what is in them; a character device stands for a file that is gone.
find . -type c -printf 'gone: %P\n' -o ! -type d -printf 'left: %P\n'
find . -type d -empty -printf '%P\n' | while read -r dir; do
    [ -d "/$dir" ] || echo "left: $dir/"
done
exit "$status"
