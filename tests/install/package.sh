#!/bin/sh
# The Debian package on a copy of this machine's file system (an overlay that is thrown away): where no mail system was, and where a Postfix was.
#   package.sh PACKAGE [DIR]     DIR: Debian's postfix as a package; without it it is downloaded
# Exit status 77 where such a copy cannot be had: that takes root and overlayfs.
set -eu
if [ "${1:-}" != inside ]; then
  package=$(readlink -f "$1")
  [ "$(id -u)" = 0 ] || { echo "package.sh: a copy of the file system takes root"; exit 77; }
  unshare --mount --net --pid --uts --fork true 2>/dev/null || { echo "package.sh: no namespaces of its own here"; exit 77; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  debs=${2:-${POSTHORN_POSTFIX_DEBS:-}}
  if [ -z "$debs" ]; then
    (cd "$work" && apt-get download -q postfix >/dev/null 2>&1) || { echo "package.sh: Debian's postfix cannot be downloaded"; exit 77; }
    debs=$work
  fi
  cp "$package" "$work/posthorn.deb"
  cp "$debs"/postfix_3.*.deb "$work/postfix.deb"
  cp "$0" "$work/package.sh"
  for story in alone after_postfix; do
    mkdir "$work/$story"
    status=0
    unshare --mount --net --pid --uts --fork sh "$work/package.sh" inside "$work" "$story" || status=$?
    [ $status = 0 ] || { echo "package.sh: $story: exit status $status"; exit $status; }
  done
  exit 0
fi

# In namespaces of its own.
if [ -z "${POSTHORN_COPY:-}" ]; then
  work=$2 story=$3 root=$2/$3/root
  {
    mount --make-rprivate / &&
      mount -t tmpfs tmpfs "$work/$story" &&
      mkdir "$work/$story/upper" "$work/$story/work" "$root" &&
      mount -t overlay overlay -o "lowerdir=/,upperdir=$work/$story/upper,workdir=$work/$story/work" "$root" &&
      mount -t proc proc "$root/proc" &&
      mount --rbind /dev "$root/dev" &&
      mkdir -p "$root/run/package" &&
      cp "$work/posthorn.deb" "$work/postfix.deb" "$work/package.sh" "$root/run/package/" &&
      ip link set lo up &&
      hostname host.example.test
  } || { echo "package.sh: no copy of the file system to be had here"; exit 77; }
  exec env POSTHORN_COPY=yes DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" sh /run/package/package.sh inside - "$story"
fi

story=$3
cd /
fail() {
  echo "package.sh: $story: $*"
  tail -n 40 /tmp/log /var/log/posthorn.log 2>/dev/null || true
  exit 1
}
until_true() {                                                      # WHAT COMMAND ...
  what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  fail "waited in vain: $what"
}
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d                  # nobody starts anything but we
chmod 755 /usr/sbin/policy-rc.d
# Whatever mail system this machine has, the copy has none.
rm -rf /etc/postfix /var/spool/postfix /var/lib/postfix /etc/aliases /etc/aliases.db
for user in postfix; do userdel $user 2>/dev/null || true; done
for group in postfix postdrop; do groupdel $group 2>/dev/null || true; done
useradd -m ann
useradd -m bob
touch /var/mail/ann
chown ann:mail /var/mail/ann

log_to_a_file() {                                                  # no syslog here
  postconf -e maillog_file=/var/log/posthorn.log
}
mail_goes_round() {
  postfix start >/tmp/log 2>&1 || fail "start"
  su bob -s /bin/sh -c 'printf "Subject: by the package\n\nhello\n" | sendmail ann' || fail "sendmail as a user"
  until_true "the mail is in the mailbox" grep -q "^Subject: by the package" /var/mail/ann
  su bob -s /bin/sh -c mailq >/tmp/log 2>&1 || fail "mailq as a user"
  greeting=$(python3 -c 'import socket; print(socket.create_connection(("127.0.0.1", 25), 20).makefile().readline())')
  case $greeting in "220 $(postconf -h myhostname) ESMTP"*) ;; *) fail "port 25 says: $greeting" ;; esac
}

if [ "$story" = alone ]; then
  dpkg -i /run/package/posthorn.deb >/tmp/log 2>&1 || fail "dpkg -i"
  [ "$(stat -c '%G %a' /usr/sbin/postdrop)" = "postdrop 2755" ] || fail "postdrop: $(stat -c '%U:%G %a' /usr/sbin/postdrop)"
  [ "$(stat -c '%G %a' /usr/sbin/postqueue)" = "postdrop 2755" ] || fail "postqueue"
  [ "$(stat -c '%U:%G %a' /var/spool/postfix/maildrop)" = "postfix:postdrop 1730" ] || fail "maildrop: $(stat -c '%U:%G %a' /var/spool/postfix/maildrop)"
  [ "$(postconf -h myhostname)" = host.example.test ] || fail "myhostname: $(postconf -h myhostname)"
  [ -e /etc/aliases.db ] || fail "no aliases.db"
  log_to_a_file
  postfix check >/tmp/log 2>&1 || fail "check"
  [ ! -s /tmp/log ] || fail "postfix check says: $(cat /tmp/log)"
  mail_goes_round
  until_true "the queue is empty" sh -c 'mailq | grep -q "Mail queue is empty"'
  # An upgrade keeps what the administrator wrote.
  postfix stop
  echo '# mine' >>/etc/postfix/main.cf
  sum=$(cat /etc/postfix/* /etc/aliases | md5sum)
  dpkg -i /run/package/posthorn.deb >/tmp/log 2>&1 || fail "upgrade"
  [ "$sum" = "$(cat /etc/postfix/* /etc/aliases | md5sum)" ] || fail "an upgrade changed the configuration"
  : >/var/mail/ann
  mail_goes_round
  postfix stop
  dpkg -r posthorn >/tmp/log 2>&1 || fail "dpkg -r"
  [ ! -e /usr/sbin/sendmail ] || fail "sendmail is still there"
  [ -e /etc/postfix/main.cf ] || fail "remove took the configuration"
  [ -e /var/lib/postfix/peers.lmdb ] || fail "remove took what was learned, or it is elsewhere"
  dpkg -P posthorn >/tmp/log 2>&1 || fail "dpkg -P"
  [ -z "$(find /var/lib/postfix -type f)" ] || fail "purge left $(find /var/lib/postfix -type f)"
  [ ! -e /etc/postfix/main.cf ] || fail "purge left the configuration"
  [ -e /var/spool/postfix/spool ] || fail "purge took the queue"
else
  printf 'postfix postfix/main_mailer_type select Internet Site\npostfix postfix/mailname string host.example.test\n' | debconf-set-selections
  dpkg --force-depends -i /run/package/postfix.deb >/tmp/log 2>&1 || fail "dpkg -i of Debian's postfix"
  log_to_a_file
  postconf -e 'inet_interfaces = loopback-only' 'recipient_delimiter = -'
  # Mail that Postfix could not deliver yet.
  postconf -e 'defer_transports = local'
  postfix start >/tmp/log 2>&1 || fail "Debian's postfix does not start"
  printf 'Subject: by Postfix\n\nhello\n' | sendmail -f bob ann@host.example.test
  until_true "Postfix defers it" sh -c 'find /var/spool/postfix/deferred -type f | grep -q .'
  postfix stop >/dev/null 2>&1
  postconf -e 'defer_transports ='
  sum=$(cat /etc/postfix/main.cf /etc/postfix/master.cf | md5sum)
  dpkg --auto-deconfigure -i /run/package/posthorn.deb >/tmp/log 2>&1 || fail "dpkg -i over Debian's postfix"
  grep -q 'posthorn migrate --queue' /tmp/log || fail "nobody says that the queue has mail"
  [ "$sum" = "$(cat /etc/postfix/main.cf /etc/postfix/master.cf | md5sum)" ] || fail "the configuration was changed"
  [ "$(dpkg-query -W -f '${db:Status-Status}' postfix)" != installed ] || fail "Debian's postfix is still there"
  posthorn migrate --queue >/tmp/log 2>&1 || fail "migrate --queue"
  mail_goes_round
  postqueue -f
  until_true "the mail of Postfix is in the mailbox" grep -q "^Subject: by Postfix" /var/mail/ann
  [ "$(grep -c "^Subject: by Postfix" /var/mail/ann)" = 1 ] || fail "it came twice"
  postfix stop
  dpkg -P posthorn >/tmp/log 2>&1 || fail "dpkg -P"
  [ -e /etc/postfix/main.cf ] || fail "purge took Postfix's configuration"
fi
echo "package.sh: $story: all as it should be"
