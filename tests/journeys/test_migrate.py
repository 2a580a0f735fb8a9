"""Moving in: what `posthorn migrate` says of a Postfix, and what it does with it. Debian's Postfix is unpacked, not installed; tests that need it are
skipped without it or without root."""
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

from journey import BIN, PATIENCE, Journey, unittest, wait_until

HOUSE = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(HOUSE / "bench"))
import relays  # noqa: E402
from mail_systems import Postfix, Tools, Unavailable  # noqa: E402


def postfix():
    """Debian's Postfix in a folder of ours."""
    if os.getuid() != 0:
        raise unittest.SkipTest("a private Postfix needs root")
    try:
        return Tools(pathlib.Path(tempfile.gettempdir()) / "posthorn-bench-postfix")
    except Unavailable as why:
        raise unittest.SkipTest(str(why))


def fingerprint(folder):
    return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "") for path in folder.rglob("*")}


class Moving(Journey):
    def migrate(self, *words, expect=None):
        done = subprocess.run([str(BIN / "posthorn"), "migrate", *map(str, words)], capture_output=True, text=True, timeout=300)
        if expect is not None:
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done


class Configuration(Moving):
    def site(self, **more):
        """A configuration directory in the manner of a small site, of its own user's."""
        held = tempfile.TemporaryDirectory(prefix="posthorn-site.")
        self.addCleanup(held.cleanup)
        folder = pathlib.Path(held.name)
        folder.chmod(0o755)
        settings = {"compatibility_level": "3.6", "myhostname": "mail.site.test", "mydomain": "site.test", "myorigin": "$mydomain", "inet_protocols": "ipv4",
                    "mydestination": "$myhostname, localhost, site.test", "mynetworks": "127.0.0.0/8 192.0.2.0/24", "virtual_alias_domains": "virt.test",
                    "virtual_alias_maps": f"texthash:{folder}/virtual", "transport_maps": f"texthash:{folder}/transport", "relay_domains": "relay.test",
                    "alias_maps": f"texthash:{folder}/aliases", "alias_database": "", "local_recipient_maps": "$alias_maps", "recipient_delimiter": "+",
                    "relayhost": "[192.0.2.1]", "smtpd_recipient_restrictions": f"check_client_access cidr:{folder}/clients, check_policy_service unix:private/policy",
                    **more}
        (folder / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        (folder / "virtual").write_text("a@virt.test b@site.test, c@else.test\nloop@virt.test loop@virt.test\n")
        (folder / "transport").write_text("other.test smtp:[127.0.0.1]:26\n.sub.test relay:\nbad@other.test error:5.1.1 no such user\n")
        (folder / "aliases").write_text("root me\npostmaster root\nb b\n")
        (folder / "clients").write_text("198.51.100.0/24 OK\n")
        master = [f"{name:12} {rest}" for name, rest in (
            ("smtp", "inet n - y - - smtpd"), ("pickup", "unix n - y 60 1 pickup"), ("cleanup", "unix n - y - 0 cleanup"), ("qmgr", "unix n - n 300 1 qmgr"),
            ("tlsmgr", "unix - - y 1000? 1 tlsmgr"), ("rewrite", "unix - - y - - trivial-rewrite"), ("bounce", "unix - - y - 0 bounce"), ("defer", "unix - - y - 0 bounce"),
            ("trace", "unix - - y - 0 bounce"), ("verify", "unix - - y - 1 verify"), ("flush", "unix n - y 1000? 0 flush"), ("proxymap", "unix - - n - - proxymap"),
            ("smtp", "unix - - y - - smtp"), ("relay", "unix - - y - - smtp"), ("showq", "unix n - y - - showq"), ("error", "unix - - y - - error"),
            ("retry", "unix - - y - - error"), ("discard", "unix - - y - - discard"), ("local", "unix - n n - - local"), ("virtual", "unix - n n - - virtual"),
            ("lmtp", "unix - - y - - lmtp"), ("anvil", "unix - - y - 1 anvil"), ("scache", "unix - - y - 1 scache"), ("postlog", "unix-dgram n - n - 1 postlogd"))]
        (folder / "master.cf").write_text("\n".join(master) + "\n")
        return folder

    def test_a_report_names_what_differs_and_changes_nothing(self):
        folder = self.site(debugger_command="x", smtpd_tls_enable_rpk="yes")
        before = fingerprint(folder)
        report = json.loads(self.migrate("--json", folder, expect=1).stdout)
        self.assertTrue(report["starts"])
        self.assertEqual([one["subject"] for one in report["findings"] if one["kind"] == "parameter"], ["smtpd_tls_enable_rpk"])
        self.assertIn(("parameter", "debugger_command"), [(one["kind"], one["subject"]) for one in report["notes"]])     # nothing to decide here
        self.assertEqual({table["spec"].split("/")[-1]: table["entries"] for table in report["tables"]}, {"virtual": 2, "transport": 3, "aliases": 3, "clients": 1})
        self.assertEqual(fingerprint(folder), before)
        self.assertEqual(self.migrate(folder / "gone").returncode, 2)
        for wrong in (["--nonsense"], ["--to"], [folder, folder], ["--cap", "x"]):
            self.assertEqual(self.migrate(*wrong).returncode, 64, wrong)

    def test_the_directory_that_is_written_starts_and_takes_mail(self):
        sink = self.sink()
        posthorn = self.instance({"smtpd_tls_enable_rpk": "yes", "virtual_alias_maps": "texthash:$config_directory/virtual"}, relay=sink.port, start=False)
        (posthorn.dir / "conf" / "virtual").write_text("from@alias.test to@there.test\n")
        self.migrate("--to", posthorn.dir / "moved", posthorn.dir / "conf", expect=1)
        self.assertIn("\n# smtpd_tls_enable_rpk = yes\n", (posthorn.dir / "moved" / "main.cf").read_text())
        (posthorn.dir / "conf").rename(posthorn.dir / "old")
        (posthorn.dir / "moved").rename(posthorn.dir / "conf")
        posthorn.start()
        posthorn.send(["from@alias.test"])
        posthorn.wait_empty()
        self.assertEqual(sink.recipients(), ["to@there.test"])

    def test_both_systems_are_asked_and_a_difference_is_shown_with_both_answers(self):
        tools = postfix()
        folder = self.site()
        before = fingerprint(folder)
        compared = self.migrate("--ask", "--postfix", tools.root, folder, expect=0).stdout
        self.assertRegex(compared, r"\n?\d\d+ questions asked: \d+ addresses, \d+ RCPT; 0 differ\n")
        # Debian's Postfix has lmdb in a package of its own: it cannot look up what we can.
        (folder / "more").write_text("d@virt.test e@site.test\n")
        self.run_ours("postmap", "-c", folder, f"lmdb:{folder}/more")
        with open(folder / "main.cf", "a") as file:
            file.write(f"virtual_alias_maps = lmdb:{folder}/more\n")
        (folder / "questions").write_text("198.51.100.7 a@b.test d@virt.test\n")
        answers = json.loads(self.migrate("--json", "--ask", folder / "questions", "--postfix", tools.root, folder, expect=1).stdout)["answers"]
        rcpt = next(one for one in answers if "recipient" in one)
        self.assertEqual(rcpt["posthorn"], "250 2.1.5 Ok")
        self.assertRegex(rcpt["postfix"], "^451 4.3.0 <d@virt.test>: Temporary lookup failure")
        (folder / "questions").unlink(), (folder / "more").unlink(), (folder / "more.lmdb").unlink()
        after = fingerprint(folder)
        self.assertEqual({path for path in before if before[path] != after.get(path)}, {str(folder / "main.cf")})

    def run_ours(self, name, *words):
        subprocess.run([str(BIN / name), *words], check=True, capture_output=True)


class FromExim(Moving):
    def test_the_example_of_the_chapter_starts_and_answers_as_its_exim_does(self):
        blocks = dict(re.findall(r"^```(\S+)\n(.*?)^```$", (HOUSE / "docs/from-exim.md").read_text(), re.M | re.S))
        smart, inside = self.sink(), self.sink()
        posthorn = self.instance(start=False)
        conf = posthorn.dir / "conf"
        for name, text in blocks.items():
            for old, new in (("/etc/postfix", str(conf)), ("[smtp.provider.example]:587", f"[127.0.0.1]:{smart.port}"), ("smtp:[192.0.2.25]", f"smtp:[127.0.0.1]:{inside.port}")):
                text = text.replace(old, new)
            if name == "main.cf":
                settings = dict(line.split(" = ") if " = " in line else (line.rstrip(" ="), "") for line in text.splitlines())
                posthorn.set({**settings, "default_transport": "smtp"})
            else:
                (conf / name).write_text(text)
        self.migrate(conf, expect=0)
        questions = posthorn.dir / "questions"
        asked = {"198.51.100.7 a@else.test info@example.org": 250, "198.51.100.7 a@else.test who@example.org": 550, "198.51.100.7 a@else.test bert@partner.example": 250,
                 "198.51.100.7 a@else.test who@partner.example": 550, "198.51.100.7 a@else.test b@far.test": 554, "192.0.2.7 a@example.org b@far.test": 250,
                 "198.51.100.7 a@spam.example info@example.org": 554}
        questions.write_text("\n".join(asked) + "\n")
        answers = json.loads(self.migrate("--json", "--ask", questions, "--postfix", posthorn.dir, conf, expect=0).stdout)["answers"]
        replies = [int(one["posthorn"][:3]) for one in answers if "recipient" in one]
        self.assertEqual(dict(zip(asked, replies)), asked)
        where = {one["address"]: one["posthorn"] for one in answers if "address" in one}
        self.assertEqual(sorted(where["info@example.org"].split("; ")),
                         sorted([f"smtp [127.0.0.1]:{inside.port} bert@partner.example", f"smtp [127.0.0.1]:{smart.port} anna@provider.example"]))
        posthorn.start()
        posthorn.send(["info@example.org", "nobody@example.org", "x@far.test"])
        posthorn.wait_empty()
        self.assertEqual((sorted(smart.recipients()), inside.recipients()), (["anna@provider.example", "x@far.test"], ["bert@partner.example"]))


def record(kind, data):
    length, out = len(data), kind
    while length > 127:
        out += bytes([length & 127 | 128])
        length >>= 7
    return out + bytes([length]) + data


def queue_file(recipient, content, sender=b"s@x.test"):
    """As Postfix's cleanup writes it."""
    lines = b"".join(record(b"N", line) for line in content.split(b"\r\n")[:-1])
    head = record(b"T", b"%d 1" % (time.time() - 60)) + record(b"A", b"rewrite_context=local") + record(b"S", sender) + record(b"O", recipient) + record(b"R", recipient) + record(b"M", b"")
    sizes = b"%15d %15d %15d %15d %15d %15d" % (len(lines), len(head) + 97, 1, 0, len(lines), 0)
    return record(b"C", sizes) + head + lines + record(b"X", b"") + record(b"E", b"")


def without_options(address):
    return address.partition(">")[0].partition("<")[2]


class Queue(Moving):
    """Every mail has a recipient that the first system delivers, and others that it has to keep: the second must send the very same octets."""
    MAILS = {
        "plain": (b"Subject: plain\r\n\r\nhello\r\n.dot\r\n", "sender@x.test", [], []),
        "eight": ("Subject: gr\u00fc\u00df\r\n\r\ngr\u00fc\u00df\r\n".encode(), "sender@x.test", ["BODY=8BITMIME", "SMTPUTF8"], []),
        "null": (b"Subject: null\r\n\r\nfrom nobody\r\n", "", [], []),
        "dsn": (b"Subject: dsn\r\n\r\nx\r\n", "sender@x.test", ["RET=HDRS", "ENVID=id+2B1"], ["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;orig+2B@a.test"]),
        "lines": (b"Subject: lines\r\n\r\n" + b"".join(b"y" * n + b"\r\n" for n in (997, 2047, 2048, 2049, 5000, 0, 1)), "sender@x.test", [], []),
        "large": (b"Subject: large\r\n\r\n" + (b"z" * 70 + b"\r\n") * 20_000, "sender@x.test", [], []),
        "many": (b"Subject: many\r\n\r\nx\r\n", "sender@x.test", [], []),
        "held": (b"Subject: please HOLD\r\n\r\nx\r\n", "sender@x.test", [], []),
    }
    SETTINGS = {"smtp_line_length_limit": "0", "header_checks": "inline:{{ignored=ignored}}", "message_size_limit": "10000000", "smtp_tls_security_level": "",
                "disable_mime_output_conversion": "yes"}

    def kept_recipients(self, name):
        return [f"{name}-{i}@there.test" for i in range(60 if name == "many" else 2)]

    def hand_in(self, port):
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            for name, (content, sender, options, rcpt_options) in self.MAILS.items():
                first = [] if name == "held" else [f"first-{name}@there.test"]
                client.sendmail(sender, first + self.kept_recipients(name), content, options, rcpt_options)

    def by_subject(self, sink):
        """subject -> (content, [(mail options, recipient)])"""
        found = {}
        for sender, recipients, content in sink.messages:
            subject = content.partition(b"Subject: ")[2].partition(b"\r\n")[0]
            known = found.setdefault(subject, (content, []))
            self.assertEqual(known[0], content, subject)
            known[1].extend((sender, one) for one in recipients)
        return found

    def refusing(self):
        return self.sink(replies={"RCPT": lambda argument, sink: "250 2.1.5 Ok" if "first-" in argument else "451 4.2.0 later"})

    def postfix_system(self, sink):
        tools = postfix()
        held = tempfile.TemporaryDirectory(prefix="posthorn-migrate.")
        self.addCleanup(held.cleanup)
        folder = pathlib.Path(held.name)
        folder.chmod(0o755)
        commands = folder / "commands"                            # a postdrop without set-gid: it believes MAIL_CONFIG
        commands.mkdir()
        shutil.copy(tools.program("postdrop"), commands)
        (commands / "postdrop").chmod(0o755)
        system = Postfix("postfix", folder / "postfix", tools, relays.programs_beside(BIN), sink=sink, settings={
            **self.SETTINGS, "header_checks": "regexp:{{/^Subject: please HOLD/ HOLD}}", "command_directory": commands, "mydomain": "there.test",
            "export_environment": "TZ MAIL_CONFIG LD_LIBRARY_PATH", "default_destination_recipient_limit": "1000", "local_header_rewrite_clients": ""})
        self.addCleanup(lambda: system.group.close())
        self.addCleanup(lambda: self.failed() and sys.stderr.write(f"--- Postfix's log\n{system.log_path.read_text(errors='replace')[-30000:]}\n"))
        return system, tools

    def check_all(self, first, second):
        """What the second system sent is what the first one did, to the octet, and to all that the first one kept."""
        before, after = self.by_subject(first), self.by_subject(second)
        for name, (content, sender, options, _) in self.MAILS.items():
            subject = content.partition(b"Subject: ")[2].partition(b"\r\n")[0]
            if subject not in after:
                self.fail(f"{name} did not arrive: {sorted(after)}")
            self.assertEqual(sorted(without_options(one) for _, one in after[subject][1]), sorted(self.kept_recipients(name)), name)
            if name == "held":
                self.assertTrue(after[subject][0].endswith(b"\r\n\r\nx\r\n"), name)
                continue
            self.assertEqual(after[subject][0], before[subject][0], name)
            for mail, one in after[subject][1]:
                self.assertEqual(mail.partition(">")[0], f"FROM:<{sender}")
                if name == "dsn":
                    self.assertRegex(mail, r"RET=HDRS.*ENVID=id\+2B1|ENVID=id\+2B1.*RET=HDRS")
                    self.assertRegex(one, r"NOTIFY=(FAILURE,DELAY|DELAY,FAILURE)")
                    self.assertRegex(one, r"ORCPT=rfc822;orig\+2B@a.test")
                if name == "eight":
                    self.assertRegex(mail, "BODY=8BITMIME")
                    self.assertRegex(mail, "SMTPUTF8")

    def test_postfix_queue_becomes_ours(self):
        first, second = self.refusing(), self.sink()
        system, tools = self.postfix_system(first)
        queue = system.dir / "queue"
        self.hand_in(system.port)
        wait_until(lambda: len(list((queue / "deferred").rglob("?????*"))) == 7 and list((queue / "hold").iterdir()) and not list((queue / "active").iterdir()), "Postfix has deferred it all", 30)
        posthorn = self.instance({**self.SETTINGS, "header_checks": ""}, relay=second.port, start=False)
        refused = self.migrate("--queue", "-c", posthorn.dir / "conf", queue, expect=2)
        self.assertRegex(refused.stderr, r"a mail system runs on .* \(process \d+\): stop it first")
        system.stop()
        subprocess.run([tools.program("sendmail"), "-f", "local@x.test", "-F", "Full Name", "dropped@there.test"], input=b"Subject: dropped\n\nx\n", check=True,
                       env={**tools.env, "MAIL_CONFIG": str(system.conf)})
        (queue / "incoming" / "BADFILE").write_bytes(b"C\x05 junk")
        (queue / "incoming" / "BADFILE").chmod(0o700)
        (queue / "incoming" / "UNFINISHED").write_bytes(b"T\x05")
        (queue / "incoming" / "UNFINISHED").chmod(0o600)
        taken = json.loads(self.migrate("--json", "--queue", "-c", posthorn.dir / "conf", queue, expect=1).stdout)
        self.assertEqual((taken["messages"], taken["files"]), (9, {"deferred": 7, "hold": 1, "maildrop": 1}))
        self.assertEqual(sorted(pathlib.Path(one["path"]).name for one in taken["troubles"]), ["BADFILE", "UNFINISHED"])
        self.assertTrue((queue / "incoming" / "BADFILE").exists())
        self.assertEqual(len(list((queue / "posthorn-taken" / "deferred").iterdir())), 7)
        self.assertFalse([path for path in (queue / "deferred").rglob("?????*")])
        again = json.loads(self.migrate("--json", "--queue", "-c", posthorn.dir / "conf", queue, expect=1).stdout)
        self.assertEqual(again["messages"], 0)

        posthorn.start()
        wait_until(lambda: [one["queue_name"] for one in posthorn.queue()] and {"hold"} <= {one["queue_name"] for one in posthorn.queue()}, "the held one is on hold")
        posthorn.wait_log("to=<dropped@there.test>.*status=sent")
        waiting = {one["queue_name"] for one in posthorn.queue() if "held-0@there.test" in str(one)}
        self.assertEqual(waiting, {"hold"})
        posthorn.run("postsuper", "-H", "ALL")
        posthorn.run("postqueue", "-f")                            # the times of the next try were Postfix's
        posthorn.wait_empty()
        dropped = [content for _, _, content in second.messages if b"Subject: dropped" in content]
        self.assertEqual(len(dropped), 1)
        self.assertIn(b"From: Full Name <local@x.test>", dropped[0])
        second.messages[:] = [one for one in second.messages if b"Subject: dropped" not in one[2]]
        self.check_all(first, second)

    def test_our_queue_becomes_postfixs(self):
        first, second = self.refusing(), self.sink()
        system, tools = self.postfix_system(second)
        system.stop()
        posthorn = self.instance({**self.SETTINGS, "header_checks": "regexp:{{/^Subject: please HOLD/ HOLD}}"}, relay=first.port)
        self.hand_in(posthorn.port)
        wait_until(lambda: sorted(one["queue_name"] for one in posthorn.queue()) == ["deferred"] * 7 + ["hold"] and len(first.recipients()) == 7, "it is all deferred")
        self.migrate("--queue-back", "-c", posthorn.dir / "conf", system.dir / "queue", expect=2)
        posthorn.stop()
        given = json.loads(self.migrate("--json", "--queue-back", "-c", posthorn.dir / "conf", system.dir / "queue", expect=0).stdout)
        self.assertEqual((given["messages"], given["files"]), (8, {"incoming": 7, "hold": 1}))
        self.assertEqual(json.loads(self.migrate("--json", "--queue-back", "-c", posthorn.dir / "conf", system.dir / "queue", expect=0).stdout)["messages"], 0)
        checked = subprocess.run([tools.program("postsuper"), "-c", str(system.conf)], env=tools.env, capture_output=True, text=True)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        self.assertEqual(len(list((system.dir / "queue" / "incoming").iterdir())), 7)
        system.launch([tools.root / "usr/lib/postfix/sbin/master", "-c", system.conf, "-w"])
        self.addCleanup(system.stop)
        system.master = int((system.dir / "queue/pid/master.pid").read_text())
        subprocess.run([tools.program("postsuper"), "-c", str(system.conf), "-H", "ALL"], env=tools.env, check=True, capture_output=True)
        system.flush()                                             # nobody tells its queue manager of what is released
        wait_until(lambda: len(second.recipients()) == 2 * 7 + 60, "Postfix has sent it all")
        self.check_all(first, second)
        posthorn.start()
        self.assertEqual(posthorn.queue(), [])

    def killed(self, words, milliseconds):
        """Runs until then; whether it came to its end."""
        process = subprocess.Popen([str(BIN / "posthorn"), "migrate", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=milliseconds / 1000)
            self.assertIn(process.returncode, (0, 1), errors)
            return True
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return False

    def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(self):
        """Both ways, with a start in between, so that what was released is delivered before the rest is taken."""
        dice = random.Random(5)
        sink = self.sink()
        posthorn = self.instance({}, relay=sink.port, start=False)
        held = tempfile.TemporaryDirectory(prefix="posthorn-queue.")
        self.addCleanup(held.cleanup)
        queue = pathlib.Path(held.name)
        for folder in ("incoming", "hold", "active", "deferred"):
            (queue / folder).mkdir()
        for number in range(24):
            large = b"x" * 70 + b"\r\n"
            path = queue / ("hold" if number % 10 == 9 else "incoming") / f"A{number:05}F"
            path.write_bytes(queue_file(b"m%d@there.test" % number, b"Subject: %d\r\n\r\n" % number + large * (2000 if number % 7 == 3 else 1)))
            path.chmod(0o700)
        rounds = 0
        for words in (["--queue", "-c", posthorn.dir / "conf", queue], ["--queue-back", "-c", posthorn.dir / "conf", queue], ["--queue", "-c", posthorn.dir / "conf", queue]):
            back = words[0] == "--queue-back"
            patience = 3.0                                          # milliseconds; no run is as short, and the machine decides how long one is
            while not self.killed(words, patience * dice.uniform(0.7, 1.3)):
                rounds, patience = rounds + 1, patience * 1.25
                self.assertLess(rounds, 500)
                if rounds == 4 and not back:
                    posthorn.start()
                    wait_until(lambda: all(one["queue_name"] == "hold" for one in posthorn.queue()), "what was released is sent")
                    posthorn.stop()
        self.assertGreater(rounds, 3)
        posthorn.start()
        wait_until(lambda: all(one["queue_name"] == "hold" for one in posthorn.queue()), "the rest is sent")
        self.assertEqual(sorted(sink.recipients()), sorted(f"m{number}@there.test" for number in range(24) if number % 10 != 9))
        self.assertEqual(sorted(one["recipients"][0]["address"] for one in posthorn.queue()), sorted(f"m{number}@there.test" for number in range(24) if number % 10 == 9))
        self.assertFalse([path for folder in ("incoming", "hold") for path in (queue / folder).iterdir()])


if __name__ == "__main__":
    unittest.main()
