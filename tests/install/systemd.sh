#!/bin/sh
# The Debian package under a systemd of its own: a copy of this machine's file system (an overlay that is thrown away) is booted in namespaces, with nothing but what a
# mail system needs. systemd.py is what is asked of it.
#   systemd.sh PACKAGE [DIR]     DIR: Debian's postfix as a package, for the move from there; without it it is downloaded
# Exit status 77 where no systemd can be booted: that takes root, overlayfs and cgroup2.
set -eu
skip() {
  echo "systemd.sh: $*"
  exit 77
}
here=$(dirname "$(readlink -f "$0")")
if [ "${1:-}" != inside ]; then
  package=$(readlink -f "$1")
  [ "$(id -u)" = 0 ] || skip "to boot a copy of the file system takes root"
  [ -x /lib/systemd/systemd ] || skip "no systemd here"
  for program in nsenter setpriv dpkg-deb deb-systemd-invoke journalctl; do
    command -v $program >/dev/null || skip "no $program here"
  done
  unshare --mount --net --pid --uts --ipc --cgroup --fork true 2>/dev/null || skip "no namespaces of its own here"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  cp "$package" "$work/posthorn.deb"
  # The next version: the same but for its number.
  dpkg-deb -R "$package" "$work/newer"
  sed -i 's/^Version: .*/&+next/' "$work/newer/DEBIAN/control"
  dpkg-deb --root-owner-group -Znone -b "$work/newer" "$work/newer.deb" >/dev/null
  rm -r "$work/newer"
  debs=${2:-${POSTHORN_POSTFIX_DEBS:-}}
  if [ -z "$debs" ]; then
    debs=$work/debs
    mkdir "$debs"
    (cd "$debs" && apt-get download -q postfix >/dev/null 2>&1) || echo "systemd.sh: Debian's postfix cannot be downloaded: the move from there is left out"
  fi
  [ -z "$(ls "$debs"/postfix_3.*.deb 2>/dev/null)" ] || cp "$debs"/postfix_3.*.deb "$work/postfix.deb"
  status=0
  unshare --mount --net --pid --uts --ipc --fork --kill-child sh "$0" inside "$work" "$here" || status=$?
  exit $status
fi

# The first process of namespaces of its own: whatever it leaves ends with it.
work=$2 here=$3
{
  mount --make-rprivate / && mount -t proc proc /proc && ip link set lo up && mkdir "$work/cgroup" && mount -t cgroup2 cgroup2 "$work/cgroup" &&
    cgroup=$work/cgroup/posthorn-install.$(od -An -N8 -tx8 /dev/urandom | tr -d ' ') && mkdir "$cgroup"
} 2>/dev/null || skip "no cgroup2 to be had here"
away() {
  echo 1 >"$cgroup/cgroup.kill"
  for _ in $(seq 100); do
    if find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null; then return; fi
    sleep 0.1
  done
}
trap away EXIT
status=0
python3 "$here/systemd.py" "$work" "$cgroup" ${POSTHORN_STORIES:-} || status=$?
exit $status
