"""What a booted Debian asks of the package: systemd.sh makes the namespaces that this runs in. systemd.py WORK CGROUP"""
import json
import pathlib
import re
import smtplib
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "journeys"))
from booted import CannotBoot, Machine  # noqa: E402
from journey import Sink, wait_until  # noqa: E402

SINK_PORT = 2525
ALIASES = """postmaster: root
prog: "|/usr/bin/tee /var/tmp/prog"
"""
MASTER_LINES = "keep unix - n n - - pipe flags=q user=bob argv=/usr/bin/tee /var/tmp/piped\nslowly unix - n n - - pipe flags=q user=bob argv=/bin/sleep $nexthop\n"


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, not {wanted!r}")


def expect_in(what, part, text):
    if part not in text:
        raise AssertionError(f"{what}: no {part!r} in {text[-3000:]!r}")


def greeting(timeout=30):
    """At once: whoever was told that the mail system is up comes only once."""
    with socket.create_connection(("127.0.0.1", 25), timeout=timeout) as connection:
        return connection.makefile().readline().rstrip()


class Mail(Machine):
    """A machine with a mail system, or soon with one."""

    def empty(self):
        super().empty()
        # So few that whoever is counted is noticed: the unit asks not to be.
        self.at("/etc/systemd/journald.conf.d").mkdir(exist_ok=True)
        self.at("/etc/systemd/journald.conf.d/few.conf").write_text("[Journal]\nRateLimitIntervalSec=30s\nRateLimitBurst=20\n")

    def unit(self, name):
        return self.run("systemctl", "show", "--value", "-p", name, "postfix.service").stdout.strip()

    def is_active(self):
        return self.run("systemctl", "is-active", "postfix.service", check=False).stdout.strip()

    def journal(self, *words):
        return self.run("journalctl", "-u", "postfix.service", "--no-pager", "-o", "short", *words).stdout

    def now(self):
        """For journalctl's --since."""
        time.sleep(1.1)
        return "@" + str(int(time.time()))

    def submit(self, subject, *recipients, user="bob"):
        self.run("sendmail", *recipients, user=user, text=f"Subject: {subject}\n\nhello\n")

    def file(self, path):
        path = self.at(path)
        return path.read_text(errors="replace") if path.exists() else ""

    def subjects(self, path="/var/mail/ann"):
        return re.findall(r"^Subject: (.*)", self.file(path), re.M)

    def arrives(self, subject, path="/var/mail/ann", times=1):
        wait_until(lambda: subject in self.subjects(path), f"{subject} is in {path}", 60)
        expect(f"{subject} in {path}", self.subjects(path).count(subject), times)

    def queued_for(self, recipient):
        listed = [json.loads(line) for line in self.run("postqueue", "-j").stdout.splitlines()]
        return [each["queue_id"] for each in listed if recipient in [one["address"] for one in each["recipients"]]]

    def queue_is_empty(self):
        wait_until(lambda: "Mail queue is empty" in self.run("mailq").stdout, "the queue is empty", 90)


class Stream:
    """Mail without a pause, by SMTP and by sendmail; `taken` is what the mail system said it has."""

    def __init__(self, machine, name, recipients):
        self.machine, self.name, self.recipients, self.taken, self.failed, self.over = machine, name, recipients, [], 0, set()
        self.began = machine.now()
        self.threads = [threading.Thread(target=self.feed, args=(way,)) for way in (self.by_smtp, self.by_sendmail)]
        for thread in self.threads:
            thread.start()

    def feed(self, way):
        for number in range(100000):
            if way.__name__ in self.over:
                return
            subject = f"{self.name} {way.__name__} {number}"
            try:
                way(subject, self.recipients[number % len(self.recipients)])
                self.taken.append(subject)
                time.sleep(0.02)
            except (OSError, AssertionError, smtplib.SMTPException):
                self.failed += 1                                        # nobody has said that it is taken: it may arrive or not
                time.sleep(0.05)

    @staticmethod
    def by_smtp(subject, recipient):
        client = smtplib.SMTP("127.0.0.1", 25, timeout=30)
        client.sendmail("bob@host.example.test", recipient, f"Subject: {subject}\r\n\r\nhello\r\n")
        client.close()

    def by_sendmail(self, subject, recipient):
        self.machine.submit(subject, recipient)

    def stop(self, *ways):
        self.over |= set(ways or ("by_smtp", "by_sendmail"))

    def leave(self):
        """Nobody enters the machine from here on; mail comes by SMTP alone."""
        self.stop("by_sendmail")
        self.threads[1].join()

    def end(self):
        self.stop()
        for thread in self.threads:
            thread.join()

    def all_arrived(self, sink, once=True):
        """What was taken is there; where nothing was torn away, once."""
        def found():
            return self.machine.subjects() + [re.search(r"^Subject: (.*)", text, re.M)[1].strip() for _, _, text in messages_of(sink)]
        wait_until(lambda: set(self.taken) <= set(found()), f"{self.name}: all that was taken arrives", 90)
        self.machine.queue_is_empty()
        twice = sorted(subject for subject in set(self.taken) if found().count(subject) != 1)
        if once:
            expect(f"{self.name}: what came twice", twice, [])
            lines = self.machine.journal("--since", self.began).count("status=sent")
            if lines < len(self.taken):
                raise AssertionError(f"{self.name}: {len(self.taken)} were delivered, and the journal has lines of {lines}")
        if len(self.taken) < 20:
            raise AssertionError(f"{self.name}: only {len(self.taken)} were taken")
        print(f"  {self.name}: {len(self.taken)} taken, {self.failed} refused or not answered, {len(twice)} came twice", flush=True)


def messages_of(sink):
    return [(each[0], each[1], each[2] if isinstance(each[2], str) else each[2].decode(errors="replace")) for each in list(sink.messages)]


def install(mail, sink):
    mail.run("dpkg", "-i", "/root/posthorn.deb")
    expect("is-enabled", mail.run("systemctl", "is-enabled", "postfix.service").stdout.strip(), "enabled")
    expect("is-enabled of the alias", mail.run("systemctl", "is-enabled", "posthorn.service", check=False).stdout.strip(), "alias")
    expect("is-active", mail.is_active(), "active")
    expect("the greeting behind dpkg -i", greeting()[:26], "220 host.example.test ESMT")
    status = mail.run("systemctl", "status", "--no-pager", "postfix.service").stdout
    expect_in("status", "Active: active (running)", status)
    expect_in("status", "(posthorn-master)", status)
    expect("postfix status", mail.run("postfix", "status").returncode, 0)
    for path, text in (("/etc/aliases", ALIASES), ("/etc/postfix/master.cf", mail.file("/etc/postfix/master.cf") + MASTER_LINES)):
        mail.at(path).write_text(text)
    mail.run("newaliases")
    mail.run("postconf", "-e", "transport_maps = inline:{piped.test=keep: slow.test=smtp:[127.0.0.1]:%d hangs.test=slowly:1000 lasts.test=slowly:3}" % SINK_PORT,
             "relay_domains = piped.test slow.test hangs.test lasts.test", "minimal_backoff_time = 2s", "maximal_backoff_time = 10s")
    mail.run("systemctl", "reload", "postfix.service")


def start(mail, sink):
    """systemctl start returns when port 25 greets."""
    for _ in range(2):
        mail.run("systemctl", "stop", "postfix.service")
        mail.run("systemctl", "start", "postfix.service")
        expect("the greeting at once", greeting()[:26], "220 host.example.test ESMT")
    mail.run("systemctl", "stop", "postfix.service")
    expect("a clean end", (mail.unit("Result"), mail.unit("ActiveState")), ("success", "inactive"))
    # Somebody else has the port: it is said, and the next try comes by itself.
    since = mail.now()
    with socket.create_server(("127.0.0.1", 25)):
        ran = mail.run("systemctl", "start", "postfix.service", check=False)
        expect("systemctl start where the port is taken", ran.returncode, 1)
        wait_until(lambda: "Address already in use" in mail.journal("--since", since), "the journal says why", 20)
    wait_until(lambda: mail.is_active() == "active", "it comes up once the port is free", 30)


    mail.run("systemctl", "stop", "postfix.service")
    # What is wrong is not tried again and again.
    since = mail.now()
    mail.run("postconf", "-e", "maximal_backoff_time = soon")
    ran = mail.run("systemctl", "start", "postfix.service", check=False)
    expect("systemctl start of a configuration that is wrong", ran.returncode, 1)
    time.sleep(6)
    expect_in("the journal says why", "bad time value or unit: soon", mail.journal("--since", since))
    expect("and that was all", (mail.is_active(), mail.unit("NRestarts"), mail.unit("ExecMainStatus")), ("failed", "0", "78"))
    mail.run("postconf", "-e", "maximal_backoff_time = 10s")
    mail.run("systemctl", "start", "postfix.service")
    expect("the greeting after it was mended", greeting()[:26], "220 host.example.test ESMT")


def delivery(mail, sink):
    """The unit hinders nothing that mail is for."""
    mail.at("/home/bob/.forward").write_text('"|/usr/bin/tee /home/bob/forwarded", /home/bob/Maildir/\n')
    mail.run("chown", "bob:bob", "/home/bob/.forward")
    mail.submit("to a mailbox", "ann")
    mail.submit("to root", "root")
    mail.submit("to a command", "prog")
    mail.submit("through a forward", "bob")
    mail.submit("through a pipe", "u@piped.test")
    mail.submit("to another host", "u@slow.test")
    mail.submit("from root", "ann", user="root")
    mail.arrives("to a mailbox")
    mail.arrives("from root")
    mail.arrives("to root", "/var/mail/root")
    mail.arrives("to a command", "/var/tmp/prog")
    mail.arrives("through a forward", "/home/bob/forwarded")
    mail.arrives("through a pipe", "/var/tmp/piped")
    wait_until(lambda: list(mail.at("/home/bob/Maildir/new").glob("*")), "it is in the Maildir", 30)
    wait_until(lambda: any("to another host" in text for _, _, text in messages_of(sink)), "it is at the other host", 30)
    owners = {path: mail.run("stat", "-c", "%U", path).stdout.strip() for path in ("/home/bob/forwarded", "/var/tmp/piped", "/var/mail/ann")}
    expect("owners", owners, {"/home/bob/forwarded": "bob", "/var/tmp/piped": "bob", "/var/mail/ann": "ann"})
    expect_in("mailq of a user", "ueue", mail.run("mailq", user="bob").stdout)
    mail.at("/home/bob/.forward").unlink()
    # The maildrop waits where nobody is up.
    mail.run("systemctl", "stop", "postfix.service")
    mail.submit("while it was down", "ann")
    mail.run("systemctl", "start", "postfix.service")
    mail.arrives("while it was down")


def journal(mail, sink):
    since = mail.now()
    mail.submit("for the journal", "ann")
    mail.arrives("for the journal")
    wait_until(lambda: "to=<ann@host.example.test>" in mail.journal("--since", since), "the journal has the delivery", 20)
    entries = [json.loads(line) for line in mail.run("journalctl", "-u", "postfix.service", "--no-pager", "--since", since, "-o", "json").stdout.splitlines()]
    said = next(entry for entry in entries if "to=<ann@host.example.test>" in entry["MESSAGE"])
    expect("who says it, of what, how loud", [said[name] for name in ("SYSLOG_IDENTIFIER", "SYSLOG_FACILITY", "PRIORITY")], ["postfix/local", "2", "6"])
    expect_in("the process that says it", said["SYSLOG_PID"], mail.run("pgrep", "-f", "posthorn").stdout.split())
    expect_in("the line", "status=sent (delivered to mailbox)", said["MESSAGE"])
    expect("warnings of a quiet day", [line for line in mail.journal("-p", "warning", "--since", since).splitlines() if "No entries" not in line], [])


def reload(mail, sink):
    before = mail.unit("MainPID")
    since = mail.now()
    mail.run("postconf", "-e", "smtpd_banner = $myhostname ESMTP changed")
    mail.run("systemctl", "reload", "postfix.service")
    expect("how often the journal has what the log has", mail.journal("--since", since).count("refreshing the Postfix mail system"), 1)
    expect("the banner of the new configuration", greeting(), "220 host.example.test ESMTP changed")
    since = mail.now()
    mail.run("postconf", "-e", "smtpd_banner = $myhostname ESMTP other", "smtpd_client_restrictions = no_such_restriction")
    ran = mail.run("systemctl", "reload", "postfix.service", check=False)
    expect("systemctl reload of a configuration that is wrong", ran.returncode, 1)
    expect_in("the journal says why", "no_such_restriction", mail.journal("--since", since))
    expect("it is as it was", (mail.is_active(), mail.unit("MainPID"), greeting()), ("active", before, "220 host.example.test ESMTP changed"))
    mail.run("postconf", "-e", "smtpd_client_restrictions =", "smtpd_banner = $myhostname ESMTP")
    mail.run("systemctl", "reload", "postfix.service")
    expect("and after all is right again", greeting(), "220 host.example.test ESMTP")
    expect("it was never started anew", mail.unit("MainPID"), before)


def kill(mail, sink):
    """Whoever ends the supervisor: systemd begins again, and what was taken is there."""
    stream = Stream(mail, "killed", ["ann@host.example.test", "u@slow.test"])
    try:
        for _ in range(3):
            time.sleep(2)
            before = mail.unit("MainPID")
            mail.run("kill", "-9", before)
            wait_until(lambda old=before: mail.is_active() == "active" and mail.unit("MainPID") not in (old, "0"), "it is started again", 30)
        expect("NRestarts", mail.unit("NRestarts"), "3")
        time.sleep(1)
    finally:
        stream.end()
    stream.all_arrived(sink, once=False)


def stop(mail, sink):
    """In its time, with mail and a session under way, and commands that do not end."""
    mail.submit("it lasts", "u@lasts.test")
    wait_until(lambda: mail.run("pgrep", "-f", "sleep 3", check=False).returncode == 0, "a command is under way", 30)
    mail.run("systemctl", "stop", "postfix.service")
    expect_in("what was under way came to its end", "to=<u@lasts.test>, relay=slowly", mail.journal("-n", "40"))
    mail.run("systemctl", "start", "postfix.service")
    mail.queue_is_empty()

    # Sessions have their ten seconds, then deliveries theirs: that is said, and the unit's own time does not end it before.
    mail.at("/etc/systemd/system/postfix.service.d").mkdir()
    mail.at("/etc/systemd/system/postfix.service.d/short.conf").write_text("[Service]\nTimeoutStopSec=12\n")
    mail.run("systemctl", "daemon-reload")
    stream = Stream(mail, "stopped", ["ann@host.example.test", "u@slow.test"])
    try:
        time.sleep(2)
        mail.submit("it hangs", "u@hangs.test")
        wait_until(lambda: mail.run("pgrep", "-f", "sleep 1000", check=False).returncode == 0, "a command hangs", 30)
        idle = smtplib.SMTP("127.0.0.1", 25, timeout=100)
        idle.ehlo()
        idle.mail("a@host.example.test")
        begun = time.monotonic()
        mail.run("systemctl", "stop", "postfix.service")
        took = time.monotonic() - begun
    finally:
        stream.end()
    print(f"  systemctl stop: {took:.1f} s", flush=True)
    mail.at("/etc/systemd/system/postfix.service.d/short.conf").unlink()
    mail.at("/etc/systemd/system/postfix.service.d").rmdir()
    mail.run("systemctl", "daemon-reload")
    expect("the end was a clean one", (mail.unit("Result"), mail.unit("ExecMainStatus")), ("success", "0"))
    expect("what is left of its processes", mail.run("pgrep", "-f", "posthorn|sleep 1000", check=False).stdout, "")
    expect("nobody was killed by systemd", [line for line in mail.journal("-n", "30").splitlines() if "SIGKILL" in line or "timed out" in line], [])
    mail.run("systemctl", "start", "postfix.service")
    wait_until(lambda: mail.queued_for("u@hangs.test"), "what hung is in the queue", 30)
    mail.run("postsuper", "-d", mail.queued_for("u@hangs.test")[0])
    stream.all_arrived(sink)


def boot(mail, sink):
    """It comes up with the machine, after the network, with the queue that was there; the machine goes down with mail under way, and by losing power."""
    unit = mail.at("/etc/systemd/system/slow-network.service")
    unit.write_text("[Unit]\nBefore=network-online.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 3\n[Install]\nWantedBy=network-online.target\n")
    mail.run("systemctl", "enable", "slow-network.service")
    for end in (mail.power_off, mail.pull_the_plug):
        stream = Stream(mail, end.__name__, ["ann@host.example.test", "u@slow.test"])
        time.sleep(2)
        since = mail.now()
        if end == mail.power_off:
            stream.leave()                                              # whoever is in it from outside when it goes down keeps it up
        threading.Timer(0.3, stream.stop).start()
        took = end()
        if took:
            print(f"  the machine is down after {took:.1f} s", flush=True)
        stream.end()
        mail.boot()
        expect("up with the machine", mail.is_active(), "active")
        if took:
            said = mail.journal("--since", since)
            expect_in("it was told to stop", "terminating on signal 15", said)
            expect_in("and did", "postfix.service: Deactivated successfully", said)
        online = int(mail.run("systemctl", "show", "--value", "-p", "ActiveEnterTimestampMonotonic", "network-online.target").stdout)
        begun = int(mail.unit("ExecMainStartTimestampMonotonic"))
        if not 0 < online <= begun:
            raise AssertionError(f"the network is there at {online}, the mail system begins at {begun}")
        expect("what did not come up", mail.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout, "")
        stream.all_arrived(sink, once=end == mail.power_off)


def upgrade(mail, sink):
    before = mail.unit("MainPID")
    stream = Stream(mail, "upgraded", ["ann@host.example.test", "u@slow.test"])
    try:
        time.sleep(2)
        mail.run("dpkg", "-i", "/root/newer.deb")
        time.sleep(2)
    finally:
        stream.end()
    expect_in("the version", "+next", mail.run("dpkg-query", "-W", "-f", "${Version}", "posthorn").stdout)
    expect("is-active", mail.is_active(), "active")
    if mail.unit("MainPID") == before:
        raise AssertionError("the old one goes on")
    expect("restarted, not begun again after a failure", mail.unit("NRestarts"), "0")
    stream.all_arrived(sink)
    # What an administrator has stopped or switched off stays so.
    mail.run("systemctl", "disable", "--now", "postfix.service")
    mail.run("dpkg", "-i", "/root/newer.deb")
    expect("is-enabled", mail.run("systemctl", "is-enabled", "postfix.service", check=False).stdout.strip(), "disabled")
    mail.run("systemctl", "enable", "--now", "postfix.service")
    # A configuration that is wrong: the package is in, and the unit says what is wrong.
    since = mail.now()
    good = mail.file("/etc/postfix/main.cf")
    mail.at("/etc/postfix/main.cf").write_text(good + "smtpd_client_restrictions = no_such_restriction\n")
    mail.run("dpkg", "-i", "/root/newer.deb")
    expect("the package is in", mail.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "posthorn").stdout, "installed")
    expect_in("the journal says why", "no_such_restriction", mail.journal("--since", since))
    mail.at("/etc/postfix/main.cf").write_text(good)
    wait_until(lambda: mail.is_active() == "active", "it comes up once it is right", 60)


def purge(mail, sink):
    mail.submit("it is not delivered yet", "u@hangs.test")
    wait_until(lambda: mail.queued_for("u@hangs.test"), "it is in the queue", 30)
    mail.run("dpkg", "-r", "posthorn")
    expect("what is left of its processes", mail.run("pgrep", "-f", "posthorn", check=False).stdout, "")
    mail.run("dpkg", "-P", "posthorn")
    expect("is-enabled", mail.run("systemctl", "is-enabled", "postfix.service", check=False).stdout.strip(), "")
    expect("links of the unit", [str(path) for path in mail.at("/etc/systemd/system").rglob("post*")], [])
    if not mail.at("/var/spool/postfix/spool").exists():
        raise AssertionError("purge took the queue")
    # And back again, to the mail that was left.
    mail.run("dpkg", "-i", "/root/posthorn.deb")
    expect("is-enabled", mail.run("systemctl", "is-enabled", "postfix.service").stdout.strip(), "enabled")
    expect("is-active", mail.is_active(), "active")
    expect("what is queued for it", len(mail.queued_for("u@hangs.test")), 1)


def from_postfix(mail, sink):
    """Debian's postfix is up and has mail; the package takes its place."""
    mail.run("sh", "-c", "printf 'postfix postfix/main_mailer_type select Internet Site\\npostfix postfix/mailname string host.example.test\\n' | debconf-set-selections")
    mail.run("dpkg", "--force-depends", "-i", "/root/postfix.deb")
    mail.run("postconf", "-e", "inet_interfaces = loopback-only", "defer_transports = local")
    mail.run("systemctl", "restart", "postfix")
    wait_until(lambda: mail.run("systemctl", "is-active", "postfix@-.service", check=False).stdout.strip() == "active", "Postfix is up", 30)
    mail.submit("by Postfix", "ann")
    wait_until(lambda: mail.run("sh", "-c", "find /var/spool/postfix/deferred -type f").stdout, "Postfix defers it", 60)
    old = mail.file("/var/spool/postfix/pid/master.pid").strip()
    said = mail.run("dpkg", "--auto-deconfigure", "-i", "/root/posthorn.deb")
    expect_in("who says that the queue has mail", "posthorn migrate --queue", said.stdout + said.stderr)
    expect("Postfix's master is gone", mail.run("kill", "-0", old, check=False).returncode, 1)
    expect("is-active", mail.is_active(), "active")
    expect("is-enabled", mail.run("systemctl", "is-enabled", "postfix.service").stdout.strip(), "enabled")
    expect_in("whose it is", "posthorn-master", mail.run("systemctl", "status", "--no-pager", "postfix.service").stdout)
    mail.run("systemctl", "stop", "postfix.service")
    mail.run("posthorn", "migrate", "--queue")
    mail.run("postconf", "-e", "defer_transports =")
    mail.run("systemctl", "start", "postfix.service")
    mail.run("postqueue", "-f")
    mail.submit("by Posthorn", "ann")
    mail.arrives("by Posthorn")
    mail.arrives("by Postfix")
    mail.power_off()
    mail.boot()
    expect("up with the machine", mail.is_active(), "active")
    expect("what did not come up", mail.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout, "")
    expect("units of Postfix's", mail.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "postfix@*").stdout, "")


STORIES = {"alone": [install, start, delivery, journal, reload, kill, stop, boot, upgrade, purge], "after_postfix": [from_postfix]}


def main(work, cgroup, wanted):
    sink = Sink(port=SINK_PORT, delay=0.02)
    for name, stories in STORIES.items():
        if name == "after_postfix" and not (pathlib.Path(work) / "postfix.deb").exists():
            continue
        try:
            mail = Mail(work, cgroup, name)
            mail.boot()
        except CannotBoot as why:
            print(f"systemd.py: {why}")
            return 77
        try:
            for story in stories:
                if not wanted or story.__name__ in wanted or story is install:
                    print(f"{name}: {story.__name__}", flush=True)
                    mail.run("systemctl", "reset-failed", "postfix.service", check=False)      # five starts in ten seconds are too many for systemd
                    begun = time.monotonic()
                    story(mail, sink)
                    print(f"  {time.monotonic() - begun:.0f} s", flush=True)
        except Exception:
            if mail.init:
                print(mail.run("journalctl", "--no-pager", "-n", "60", "-o", "short", check=False).stdout)
            raise
        finally:
            mail.pull_the_plug()
    print("systemd.py: all as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
