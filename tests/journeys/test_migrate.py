"""Moving in: what `posthorn migrate` says of a Postfix, and what it does with it. Debian's Postfix is unpacked, not installed; tests that need it are
skipped without it or without root."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from journey import BIN, Journey, unittest

HOUSE = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(HOUSE / "bench"))
from mail_systems import Tools, Unavailable  # noqa: E402


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


class Configuration(Journey):
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

    def migrate(self, *words, expect=None):
        done = subprocess.run([str(BIN / "posthorn"), "migrate", *map(str, words)], capture_output=True, text=True, timeout=300)
        if expect is not None:
            self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def test_a_report_names_what_differs_and_changes_nothing(self):
        folder = self.site(smtpd_milters="inet:localhost:8891")
        before = fingerprint(folder)
        report = json.loads(self.migrate("--json", folder, expect=1).stdout)
        self.assertTrue(report["starts"])
        self.assertIn(("parameter", "smtpd_milters"), [(one["kind"], one["subject"]) for one in report["findings"]])
        self.assertEqual({table["spec"].split("/")[-1]: table["entries"] for table in report["tables"]}, {"virtual": 2, "transport": 3, "aliases": 3, "clients": 1})
        self.assertEqual(fingerprint(folder), before)
        self.assertEqual(self.migrate(folder / "gone").returncode, 2)
        for wrong in (["--nonsense"], ["--to"], [folder, folder], ["--cap", "x"]):
            self.assertEqual(self.migrate(*wrong).returncode, 64, wrong)

    def test_the_directory_that_is_written_starts_and_takes_mail(self):
        sink = self.sink()
        posthorn = self.instance({"smtpd_milters": "inet:127.0.0.1:1", "virtual_alias_maps": "texthash:$config_directory/virtual"}, relay=sink.port, start=False)
        (posthorn.dir / "conf" / "virtual").write_text("from@alias.test to@there.test\n")
        self.migrate("--to", posthorn.dir / "moved", posthorn.dir / "conf", expect=1)
        self.assertIn("\n# smtpd_milters = inet:127.0.0.1:1\n", (posthorn.dir / "moved" / "main.cf").read_text())
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


if __name__ == "__main__":
    unittest.main()
