"""The queue of a stopped Exim becomes ours: Debian's exim4 makes it, with messages of all shapes; what we then send is what that Exim sends from a copy of the same
spool. Exim is unpacked, not installed; without root, or where it cannot be had, the test is skipped."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import time

from journey import BIN, PATIENCE, Journey, free_port, unittest, wait_until
from real_peers import Program, Rooted, unpacked


class QueueingExim(Rooted):
    """exim4-daemon-light that keeps what it gets: nothing is tried before somebody asks for it."""
    users = ("Debian-exim",)
    path = "/package/usr/sbin/exim4"

    def __init__(self, settings):
        self.enter(unpacked("exim4", ["exim4-daemon-light"], "usr/sbin/exim4"))
        for folder in ("var/spool/exim4", "var/log/exim4"):
            (self.root / folder).mkdir(parents=True)
            os.chown(self.root / folder, 900, 900)
        self.settings, self.spool = settings, self.root / "var/spool/exim4"

    def configure(self, port, slow=None):
        """Where it brings mail to."""
        self.write("etc/exim.conf", f"""
primary_hostname = exim.test
exim_path = {self.path}
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
local_interfaces = 127.0.0.1
host_lookup =
helo_try_verify_hosts =
rfc1413_hosts =
tls_advertise_hosts =
dsn_advertise_hosts = *
chunking_advertise_hosts = *
acl_smtp_rcpt = recipient
smtp_accept_max = 100
message_size_limit = 20M
never_users =
deliver_drop_privilege = true
local_from_check = false
keep_environment =
{self.settings}
begin acl
recipient:
  accept set acl_m_note = ${{sender_address}}\\n\\nanother line\\n-frozen 1
begin routers
list:
  driver = redirect
  local_parts = list
  data = first-member@there.test, second-member@there.test
onwards:
  driver = manualroute
  route_list = slow.test 127.0.0.1::{slow or port} ; * 127.0.0.1::{port}
  self = send
  transport = onwards
begin transports
onwards:
  driver = smtp
  hosts_try_fastopen =
  allow_localhost
  message_linelength_limit = 1000000
begin rewrite
*@old.test $1@new.test Fh
begin retry
* * F,1h,1s
""")

    def daemon(self):
        port = free_port()
        self.start(self.inside(self.path, "-C", "/etc/exim.conf", "-bdf", "-odq", "-oX", str(port)), port)

    def stop(self):
        Program.close(self)
        del self._process

    def exim(self, *words, content=None):
        done = subprocess.run(self.inside(self.path, "-C", "/etc/exim.conf", *words), input=content, stdin=None if content else subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE)
        if done.returncode != 0:
            raise AssertionError(f"exim4 {words}: exit {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode(errors="replace")

    def names(self):
        """Subject -> message id of what is in the queue."""
        found = {}
        for path in self.spool.glob("input/**/*-H"):
            subject = re.search(rb"\n\d+  Subject: (.*)\n", path.read_bytes())
            found[subject.group(1).decode(errors="replace") if subject else ""] = path.name[:-2]
        return found

    def log(self):
        file = self.root / "var/log/exim4/mainlog"
        return file.read_text(errors="replace") if file.exists() else ""


UTF8 = ["SMTPUTF8"]
# name -> content, sender, options of MAIL, recipients with theirs
MAILS = {
    "plain": (b"hello\r\n.dot\r\n..dots\r\n", "sender@x.test", [], {"first-plain": "", "plain-0": "", "plain-1": "", "plain-2": ""}),
    "eight": ("gr\u00fc\u00df\r\n".encode(), "sender@x.test", ["BODY=8BITMIME"], {"eight-0": ""}),
    "utf8": ("gr\u00fc\u00df\r\n".encode(), "gr\u00fc\u00df@x.test", UTF8, {"\u00fctf8-0": "", "utf8-1": ""}),
    "null": (b"from nobody\r\n", "", [], {"first-null": "", "null-0": ""}),
    "dsn": (b"x\r\n", "sender@x.test", ["RET=HDRS", "ENVID=id+2B1"],
            {"dsn-0": "NOTIFY=FAILURE,DELAY ORCPT=rfc822;orig+2B@a.test", "dsn-1": "NOTIFY=NEVER", "first-dsn": "NOTIFY=SUCCESS", "dsn-2": "NOTIFY=SUCCESS,FAILURE,DELAY"}),
    "full": (b"x\r\n", "sender@x.test", ["RET=FULL"], {"full-0": ""}),
    "lines": (b"".join(b"y" * n + b"\r\n" for n in (997, 2047, 2048, 5000, 0, 1)), "sender@x.test", [], {"lines-0": ""}),
    "large": ((b"z" * 70 + b"\r\n") * 40_000, "sender@x.test", [], {"large-0": "", "first-large": ""}),
    "empty": (b"", "sender@x.test", [], {"empty-0": ""}),
    "many": (b"x\r\n", "sender@x.test", [], {f"many-{i}": "" for i in range(60)}),
    "rewritten": (b"x\r\n", "sender@old.test", [], {"rewritten-0": ""}),
    "frozen": (b"x\r\n", "sender@x.test", [], {"frozen-0": ""}),
    "frozen bounce": (b"x\r\n", "", [], {"frozen-1": ""}),
    "list": (b"x\r\n", "sender@x.test", [], {"list": "", "list-0": ""}),
}
CHUNKED = b"Subject: chunked\r\nX-Folded: a\r\n\tb\r\n\r\n.dot\r\nlast\r\n"
SETTINGS = {"smtp_line_length_limit": "0", "message_size_limit": "10000000", "smtp_tls_security_level": "", "disable_mime_output_conversion": "yes"}


def head(name):
    return f"Subject: {name}\r\nFrom: A <sender@old.test>\r\nTo: {'B' * 40} <b@old.test>,\r\n\tsomebody@x.test\r\n\r\n".encode()


class EximQueue(Journey):
    def later(self):
        return self.sink(replies={"RCPT": lambda argument, sink: "250 2.1.5 Ok" if "first-" in argument else "451 4.2.0 later"})

    def hand_in(self, port):
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            for name, (content, sender, options, recipients) in MAILS.items():
                client.command_encoding = "utf-8" if options == UTF8 else "ascii"
                self.assertEqual(client.mail(sender, options)[0], 250, name)
                for recipient, words in recipients.items():
                    self.assertEqual(client.rcpt(recipient + "@there.test", words.split())[0], 250, recipient)
                code, text = client.data(head(name) + content)
                self.assertEqual(code, 250, text)
            client.command_encoding = "ascii"
            self.assertEqual((client.mail("sender@x.test")[0], client.rcpt("first-journal@there.test")[0], client.rcpt("journal-0@slow.test")[0]), (250, 250, 250))
            self.assertEqual(client.data(head("journal") + b"x\r\n")[0], 250)
        # The last of its session: what comes by DATA behind it this Exim takes for content as on the wire as well, and sends lines without CR.
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            self.assertEqual((client.mail("sender@x.test")[0], client.rcpt("chunked-0@there.test")[0]), (250, 250))
            client.send(b"BDAT %d LAST\r\n" % len(CHUNKED) + CHUNKED)
            self.assertEqual(client.getreply()[0], 250)

    def fill(self, exim, first):
        """Every shape, tried once: what is "first-" has been delivered then."""
        waiting = socket.create_server(("127.0.0.1", 0))            # takes connections, and never says a word
        self.addCleanup(waiting.close)
        exim.configure(first.port, waiting.getsockname()[1])
        exim.daemon()
        self.hand_in(exim.port)
        self.refused_while_it_runs(exim)
        exim.stop()
        exim.exim("-odq", "-f", "local@x.test", "-bm", "local-0@there.test", content=b"Subject: local\n\nlone \r in a line\nwith both\r\nno end")
        exim.exim("-odq", "-f", "local@x.test", "-t", content=b"To: bcc-0@there.test\nBcc: bcc-1@there.test\nSubject: bcc\n\nx\n")
        names = exim.names()
        self.assertEqual(len(names), len(MAILS) + 4, names)
        for name in ("frozen", "frozen bounce"):
            exim.exim("-Mf", names[name])
        self.crash(exim, names["journal"], first)
        exim.configure(first.port)
        for name, one in names.items():
            if name in ("plain", "null", "dsn", "large", "list"):
                exim.exim("-M", one)
        wait_until(lambda: len(first.recipients()) >= 6, "the first ones are delivered")
        self.assertEqual(sorted(one.partition("@")[0] for one in first.recipients()), sorted(
            ["first-plain", "first-null", "first-dsn", "first-large", "first-member", "first-journal"]))
        return names

    def crash(self, exim, name, first):
        """Between a delivery and the time when -H would say so."""
        process = subprocess.Popen(exim.inside(exim.path, "-C", "/etc/exim.conf", "-M", name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        try:
            wait_until(lambda: any(path.stat().st_size for path in exim.spool.glob(f"input/**/{name}-J")), f"the journal\n{exim.log()}", 60)
            self.refused_while_it_runs(exim)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        wait_until(lambda: self.alive(exim) is None, "nothing of Exim is left", 20)

    def migrate(self, *words, expect):
        done = subprocess.run([str(BIN / "posthorn"), "migrate", *map(str, words)], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    @staticmethod
    def alive(exim):
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.path.samefile(process / "root", exim.root) and os.path.basename(os.readlink(process / "exe")).startswith("exim"):
                    return process.name
            except OSError:
                pass
        return None

    def refused_while_it_runs(self, exim, word="--exim-queue"):
        before = sorted(path.name for path in exim.spool.rglob("*-H"))
        refused = self.migrate(word, "-c", self.posthorn.dir / "conf", exim.spool, expect=2)
        self.assertRegex(refused.stderr, rf"an Exim works on {exim.spool} \(process \d+\): stop it first")
        self.assertEqual(sorted(path.name for path in exim.spool.rglob("*-H")), before)

    def by_subject(self, sink):
        """subject -> (content, [(words of MAIL, recipient with its words)])"""
        found = {}
        for sender, recipients, content in sink.messages:
            subject = content.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()
            known = found.setdefault(subject, (content, []))
            self.assertEqual(known[0], content, subject)
            # How large it is and what its octets are is said in other words; where it goes, and what is asked for it, is not.
            mail = sorted(word for word in sender.partition(":")[2].split() if not word.upper().startswith(("SIZE=", "BODY=")))
            for one in recipients:
                words = one.partition(":")[2].split()
                # That an address is its own origin may be said (RFC 3461 5.2.3.1), or not.
                known[1].append((mail, sorted(word for word in words if word != f"ORCPT=rfc822;{words[0].strip('<>')}")))
        for _, recipients in found.values():
            recipients.sort(key=str)
        return found

    def moved(self, settings, shapes):
        """What we send, and what Exim sends from a copy."""
        first, ours, theirs = self.later(), self.sink(), self.sink()
        self.posthorn = self.instance(SETTINGS, relay=ours.port, start=False)
        exim = QueueingExim(settings)
        self.addCleanup(exim.close)
        self.addCleanup(lambda: self.failed() and print(exim.log()[-20000:]))
        names = self.fill(exim, first)
        for shape in shapes:
            self.assertTrue(shape(exim.spool), shapes)
        copy = exim.root / "var/copy"
        subprocess.run(["cp", "-a", exim.spool, copy], check=True)

        begun = exim.spool / "input" / "1zzzzz-000001-01-D"
        begun.write_text("1zzzzz-000001-01-D\nbegun")
        taken = json.loads(self.migrate("--json", "--exim-queue", "-c", self.posthorn.dir / "conf", exim.spool, expect=1).stdout)
        self.assertEqual((taken["messages"], taken["files"]), (len(names) - 1, {"input": len(names) - 1}), taken)
        self.assertEqual(sorted(re.sub(r".* led to several", "led to several", one["reason"]) for one in taken["troubles"]),
                         sorted(["has no -H file: it was not finished when Exim stopped, or Exim was done with it",
                                 f"led to several, some of whom have it: let Exim bring it to the others (exim -M {names['list']})"]))
        self.assertEqual(list(exim.names()), ["list"])
        self.assertEqual({path.name for path in (exim.spool / "posthorn-taken" / "input").iterdir()}, {one for name, one in names.items() if name != "list"})
        again = json.loads(self.migrate("--json", "--exim-queue", "-c", self.posthorn.dir / "conf", exim.spool, expect=1).stdout)
        self.assertEqual((again["messages"], len(again["troubles"])), (0, 2))

        self.posthorn.start()
        wait_until(lambda: [one["queue_name"] for one in self.posthorn.queue()] == ["hold", "hold"], "all but the frozen ones is sent")
        self.assertEqual(sorted(one["recipients"][0]["address"] for one in self.posthorn.queue()), ["frozen-0@there.test", "frozen-1@there.test"])
        self.arrival_is_exims()
        self.posthorn.run("postsuper", "-H", "ALL")
        self.posthorn.wait_empty()
        exim.configure(ours.port)
        exim.exim("-qff")                                           # what is left to it

        exim.spool.rename(exim.root / "var/moved")
        copy.rename(exim.spool)
        shutil.rmtree(exim.spool / "db")                            # when to try again
        exim.configure(theirs.port)
        exim.exim("-qff")
        self.assertEqual(exim.names(), {})
        return self.by_subject(ours), self.by_subject(theirs)

    def arrival_is_exims(self):
        for one in self.posthorn.queue():
            self.assertLess(one["arrival_time"], self.moment)

    def compare(self, ours, theirs):
        self.assertEqual(sorted(ours), sorted(theirs))
        for name, (content, recipients) in theirs.items():
            self.assertEqual(ours[name][0], content, name)
            self.assertEqual(ours[name][1], recipients, name)
            self.assertEqual(len({str(one[1][0]) for one in recipients}), len(recipients), name)

    def setUp(self):
        super().setUp()
        self.moment = time.time() + PATIENCE

    def test_what_exim_had_to_send_we_send(self):
        self.compare(*self.moved("", [lambda spool: not list(spool.glob("input/?"))]))

    def test_of_a_split_spool_with_content_as_on_the_wire_too(self):
        self.compare(*self.moved("split_spool_directory = true\nspool_wireformat = true", [
            lambda spool: not list(spool.glob("input/*-H")), lambda spool: list(spool.glob("input/?/*-H")),
            lambda spool: any(b"\n-spool_file_wireformat\n" in path.read_bytes() for path in spool.glob("input/?/*-H"))]))

    def test_ours_becomes_exims_and_exim_sends_it(self):
        first, theirs = self.later(), self.sink()
        self.posthorn = self.instance({**SETTINGS, "header_checks": "regexp:{{/^Subject: frozen/ HOLD}}", "local_header_rewrite_clients": ""}, relay=first.port)
        mails = {name: one for name, one in MAILS.items() if name not in ("list", "rewritten")}
        kept = {}
        with smtplib.SMTP("127.0.0.1", self.posthorn.port, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            for name, (content, sender, options, recipients) in mails.items():
                client.command_encoding = "utf-8" if options == UTF8 else "ascii"
                self.assertEqual(client.mail(sender, options)[0], 250, name)
                recipients = {one: words for one, words in recipients.items() if not one.startswith("first-")}
                kept[name] = sorted(sorted([f"<{one}@there.test>", *words.split()]) for one, words in recipients.items())
                for recipient, words in {**recipients, **({} if "frozen" in name else {"first-of-all": ""})}.items():
                    self.assertEqual(client.rcpt(recipient + "@there.test", words.split())[0], 250, recipient)
                self.assertEqual(client.data(head(name) + content)[0], 250, name)
        places = ["deferred"] * (len(mails) - 2) + ["hold"] * 2
        wait_until(lambda: sorted(one["queue_name"] for one in self.posthorn.queue()) == places and first.recipients().count("first-of-all@there.test") == len(mails) - 2,
                   "it is all deferred")
        exim = QueueingExim("")
        self.addCleanup(exim.close)
        self.addCleanup(lambda: self.failed() and print(exim.log()[-20000:]))
        exim.configure(theirs.port)
        exim.exim("-odq", "-f", "local@x.test", "-bm", "own@there.test", content=b"Subject: its own\n\nx\n")
        self.migrate("--exim-queue-back", "-c", self.posthorn.dir / "conf", exim.spool, expect=2)
        self.posthorn.stop()
        exim.daemon()
        self.refused_while_it_runs(exim, "--exim-queue-back")
        exim.stop()
        given = json.loads(self.migrate("--json", "--exim-queue-back", "-c", self.posthorn.dir / "conf", exim.spool, expect=0).stdout)
        self.assertEqual((given["messages"], given["files"]), (len(mails), {"input": len(mails) - 2, "frozen": 2}))
        self.assertEqual(json.loads(self.migrate("--json", "--exim-queue-back", "-c", self.posthorn.dir / "conf", exim.spool, expect=0).stdout)["messages"], 0)
        self.assertEqual((exim.exim("-bp").count("*** frozen ***"), int(exim.exim("-bpc"))), (2, len(mails) + 1))
        exim.exim("-qf")
        self.assertEqual(sorted(exim.names()), ["frozen", "frozen bounce"])
        exim.exim("-qff")
        self.assertEqual(exim.names(), {})
        ours, sent = self.by_subject(first), self.by_subject(theirs)
        self.assertEqual(sorted(sent), sorted([*mails, "its own"]))
        for name, (content, sender, options, _) in mails.items():
            self.assertEqual(sorted(one for _, one in sent[name][1]), kept[name], name)
            self.assertEqual(sent[name][1][0][0], sorted([f"<{sender}>", *(word for word in options if not word.startswith("BODY="))]), name)
            self.assertTrue(sent[name][0].endswith(head(name) + content), name)
            if "frozen" not in name:
                self.assertEqual(sent[name][0], ours[name][0], name)
        self.posthorn.start()
        self.assertEqual(self.posthorn.queue(), [])

    def test_wrong_words_and_what_is_no_spool_are_refused(self):
        self.posthorn = self.instance(SETTINGS, start=False)
        conf = self.posthorn.dir / "conf"
        for wrong in (["--exim-queue"], ["--exim-queue", "--exim-queue-back", conf], ["--exim-queue", conf, conf], ["--exim-queue", "--to", conf], ["--exim-queue", "-c"]):
            self.assertIn("usage: posthorn migrate --exim-queue", self.migrate(*wrong, expect=64).stderr)
        self.assertIn(f"{conf}: no spool of Exim's: it has no folder input", self.migrate("--exim-queue-back", "-c", conf, f"{conf}/", expect=2).stderr)

    def killed(self, words, milliseconds):
        """Runs until then; whether it came to its end."""
        process = subprocess.Popen([str(BIN / "posthorn"), "migrate", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, errors = process.communicate(timeout=milliseconds / 1000)
            self.assertEqual(process.returncode, 0, errors)
            return True
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return False

    def both_work(self, exim, dice):
        """Between two runs each system brings away some of what it has."""
        ready = [one for name, one in sorted(exim.names().items()) if not name.endswith("9")]
        taking = exim.spool / "posthorn-taken" / "taking"
        begun = {path.name.split("+")[1] for path in taking.iterdir()} if taking.is_dir() else set()
        dice.shuffle(ready)
        for one in sorted(ready, key=lambda one: one not in begun)[:3]:  # what the run had in its hands first
            exim.exim("-M", one)
        self.posthorn.start()
        wait_until(lambda: all(one["queue_name"] == "hold" for one in self.posthorn.queue()), "what was released is sent")
        self.posthorn.stop()

    def test_runs_are_killed_anywhere_and_both_systems_work_in_between_and_each_message_comes_once(self):
        dice = random.Random(5)
        sink = self.sink()
        self.posthorn = self.instance(SETTINGS, relay=sink.port, start=False)
        exim = QueueingExim("split_spool_directory = true")
        self.addCleanup(exim.close)
        self.addCleanup(lambda: self.failed() and print(exim.log()[-20000:]))
        exim.configure(sink.port)
        for number in range(60):
            content = b"Subject: %d\n\n" % number + (b"x" * 70 + b"\n") * (2000 if number % 7 == 3 else 1)
            exim.exim("-odq", "-f", "local@x.test", "-bm", f"m{number}@there.test", content=content)
        exim.exim("-Mf", *(one for name, one in exim.names().items() if name.endswith("9")))
        where = ["-c", self.posthorn.dir / "conf", exim.spool]
        amid = ("posthorn-taken/taking", "posthorn-taken/releasing", "posthorn-back")
        rounds = between = 0
        for word in ("--exim-queue", "--exim-queue-back", "--exim-queue"):
            patience, turns = 3.0, 0                                # milliseconds; no run is as short, and the machine decides how long one is
            while not self.killed([word, *where], patience * dice.uniform(0.7, 1.3)):
                rounds, patience = rounds + 1, patience * 1.1
                self.assertLess(rounds, 500)
                if turns < 4 and any((exim.spool / folder).is_dir() and any((exim.spool / folder).iterdir()) for folder in amid):
                    self.both_work(exim, dice)
                    turns, between = turns + 1, between + 1
        self.assertGreater(between, 0)                              # a run was cut off amid its work, and both systems had a turn
        self.assertEqual(exim.names(), {})
        self.posthorn.start()
        wait_until(lambda: all(one["queue_name"] == "hold" for one in self.posthorn.queue()), "the rest is sent")
        self.assertEqual(sorted(sink.recipients()), sorted(f"m{number}@there.test" for number in range(60) if number % 10 != 9))
        self.assertEqual(sorted(one["recipients"][0]["address"] for one in self.posthorn.queue()), [f"m{number}@there.test" for number in (19, 29, 39, 49, 59, 9)])
        self.assertFalse(any(path.is_file() for folder in ("input", "msglog") for path in (exim.spool / folder).rglob("*")))


if __name__ == "__main__":
    unittest.main()
