"""What a configuration would change that is not in force yet: `posthorn what-if` asks it what the log has been asked."""
import hashlib
import json
import pathlib
import shutil
import signal
import socketserver
import subprocess
import tempfile
import threading

import test_migrate
from journey import BIN, PATIENCE, Journey, smtplib, unittest, wait_until


def fingerprint(folder):
    """What is in the files of a folder, and when each was written."""
    return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in folder.rglob("*") if path.is_file()}


class WhatIf(Journey):
    def tearDown(self):
        copies = [copy for one in self._opened if hasattr(one, "dir") for copy in self.copies(one)]
        super().tearDown()
        self.assertEqual(copies, [], "a private copy is left")

    def copies(self, posthorn):
        """Folders of private copies of this instance; other tests have some too."""
        found = []
        for folder in pathlib.Path("/tmp").glob("posthorn-asks.*"):
            try:
                if str(posthorn.dir) in (folder / "conf" / "main.cf").read_text():
                    found.append(folder)
            except OSError:
                pass
        return found

    def site(self, settings=None, **more):
        """An instance whose tables are beside main.cf; `sink` takes what goes anywhere."""
        sink = self.sink()
        posthorn = self.instance({"smtpd_authorized_xclient_hosts": "127.0.0.1", "mynetworks": "127.0.0.0/8", "relay_domains": "there.test, other.test",
                                  "virtual_alias_domains": "virt.test", "virtual_alias_maps": "texthash:$config_directory/virtual",
                                  "transport_maps": "texthash:$config_directory/transport", "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
                                  "smtpd_recipient_restrictions": "check_client_access texthash:$config_directory/clients", **(settings or {})}, relay=sink.port, start=False)
        conf = posthorn.dir / "conf"
        (conf / "virtual").write_text("info@virt.test anna@there.test\nsales@virt.test bert@there.test\n")
        (conf / "transport").write_text(f"other.test relay:[127.0.0.1]:{sink.port}\n")
        (conf / "clients").write_text("198.51.100.66 REJECT we know you\n")
        for name, text in more.items():
            (conf / name).write_text(text)
        return posthorn

    def changed(self, posthorn, settings=None, **files):
        folder = posthorn.dir / "new"
        shutil.copytree(posthorn.dir / "conf", folder)
        for name, text in files.items():
            (folder / name.replace("_cf", ".cf")).write_text(text)
        if settings:
            posthorn.run("postconf", "-c", str(folder), "-e", *[f"{name}={value}" for name, value in settings.items()])
        return folder

    def hand_in(self, port, address, recipients, sender="s@client.test", helo="helo.client.test", login=None):
        """As that client; who was refused."""
        refused = {}
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo("proxy.test")
            self.assertEqual(client.docmd(f"XCLIENT NAME=mail.client.test ADDR={address}" + (f" LOGIN={login}" if login else ""))[0], 220)
            client.ehlo(helo)
            try:
                refused = client.sendmail(sender, recipients, b"Subject: test\r\n\r\nx\r\n")
            except smtplib.SMTPRecipientsRefused as all_of_them:
                refused = all_of_them.recipients
        return sorted(refused)

    def what_if(self, posthorn, folder, *words, expect, input=None):
        done = subprocess.run([str(BIN / "posthorn"), "what-if", "--config", str(folder), *map(str, words)], env=posthorn.env(), input=input, capture_output=True,
                              text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return json.loads(done.stdout) if "--json" in words and expect < 2 else done.stdout + done.stderr

    def groups(self, report):
        return [(one["kind"], one["now"], one["then"], one["times"], one["questions"]) for one in report["groups"]]

    def test_a_restriction_a_transport_and_an_alias_are_three_differences_and_nothing_is_touched(self):
        posthorn = self.site()
        posthorn.set({"record_file": f"{posthorn.dir}/log/records"})
        posthorn.start()
        outside, known, enemy = "203.0.113.7", "203.0.113.8", "198.51.100.66"
        for _ in range(3):
            self.assertEqual(self.hand_in(posthorn.port, outside, ["u@there.test"], sender="news@client.test"), [])
        self.assertEqual(self.hand_in(posthorn.port, known, ["a@other.test", "b@other.test", "u@there.test", "sales@virt.test"]), [])
        self.assertEqual(self.hand_in(posthorn.port, known, ["info@virt.test", "far@far.test"]), ["far@far.test"])
        self.assertEqual(self.hand_in(posthorn.port, enemy, ["u@there.test", "x@there.test"]), ["u@there.test", "x@there.test"])
        posthorn.run("sendmail", "-f", "me@demo.test", "info@virt.test", input="Subject: local\n\nx\n")
        posthorn.wait_log(r"removed", 6)
        posthorn.wait_empty()
        conf = posthorn.dir / "conf"
        new = self.changed(posthorn, clients="198.51.100.66 REJECT we know you\n203.0.113.7 REJECT no news\n",
                           transport=(conf / "transport").read_text().replace("relay:", "smtp:"), virtual="info@virt.test carla@there.test\nsales@virt.test bert@there.test\n")

        queue, files = posthorn.run("postqueue", "-j").stdout, [fingerprint(folder) for folder in (conf, new, posthorn.dir / "log", posthorn.dir / "queue" / "spool")]
        pids = posthorn.processes()
        report = self.what_if(posthorn, new, "--json", expect=1)
        self.assertEqual(files, [fingerprint(folder) for folder in (conf, new, posthorn.dir / "log", posthorn.dir / "queue" / "spool")])
        self.assertEqual((queue, pids), (posthorn.run("postqueue", "-j").stdout, posthorn.processes()))

        port = (conf / "transport").read_text().rpartition(":")[2].strip()
        relay = posthorn.run("postconf", "-h", "relayhost").stdout.strip()
        self.assertEqual(sorted(self.groups(report)), sorted([
            ("refused", "250 2.1.5 Ok", "554 5.7.1 <CLIENT>: Client host rejected: no news", 3, 1),
            ("other way", f"relay [127.0.0.1]:{port} RECIPIENT", f"smtp [127.0.0.1]:{port} RECIPIENT", 2, 2),
            ("other way", f"relay {relay} anna@there.test", f"relay {relay} carla@there.test", 2, 2)]))
        refused = report["groups"][0]
        self.assertEqual(refused["samples"], [{"times": 3, "local": False, "client_name": "mail.client.test", "client_address": outside, "helo": "", "login": "",
                                              "sender": "news@client.test", "recipient": "u@there.test"}])
        # a, b, u, sales, info, far of one client, u of the other, u and x of the third, and the local one
        self.assertEqual((report["asked"], report["times"], report["differ"], report["differ_times"]), (10, 12, 5, 7))
        self.assertEqual((report["parameters"], report["services"], [one["name"] for one in report["files"]]), ([], [], ["clients", "transport", "virtual"]))
        self.assertEqual((report["otherwise_than_logged"], report["not_asked"], report["remarks"]), ([], {}, []))

        text = self.what_if(posthorn, new, expect=1)
        self.assertIn("\n10 questions asked, which stand in the log 12 times; 5 answers differ, 7 times in the log\n", text)
        self.assertIn("    3 mail.client.test[203.0.113.7] <news@client.test> to <u@there.test>\n", text)

        same = posthorn.dir / "same"
        shutil.copytree(conf, same)
        self.assertIn("; no answer differs\n", self.what_if(posthorn, same, expect=0))
        few = self.what_if(posthorn, new, "--most", 1, "--json", expect=1)
        self.assertEqual((few["asked"], few["times"], few["not_asked"]), (1, 3, {"beyond the 1 questions that are most frequent": 9}))

    def test_a_session_is_asked_through_the_line_that_had_it_as_who_had_logged_in(self):
        logins = {"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/nobody", "smtpd_sasl_exceptions_networks": "0.0.0.0/0"}
        posthorn = self.site(logins)
        from ports import free_port
        port = free_port()
        line = f"127.0.0.1:{port} inet n - n - - smtpd\n  -o syslog_name=postfix/submission\n  -o {{{{ smtpd_client_restrictions = {{}} }}}}\n"
        master = (posthorn.dir / "conf" / "master.cf").read_text()
        (posthorn.dir / "conf" / "master.cf").write_text(master + line.format("permit_sasl_authenticated,reject"))
        posthorn.start()
        self.assertEqual(self.hand_in(port, "203.0.113.7", ["far@far.test"], login="joe"), [])
        self.assertEqual(self.hand_in(port, "203.0.113.7", ["far@far.test"], login="eve"), [])
        self.assertEqual(self.hand_in(port, "203.0.113.7", ["u@there.test"]), ["u@there.test"])
        self.assertEqual(self.hand_in(posthorn.port, "203.0.113.7", ["u@there.test"]), [])
        posthorn.wait_log("removed", 3)

        new = self.changed(posthorn, eves="eve REJECT not you\n",
                           master_cf=master + line.format("check_sasl_access texthash:$config_directory/eves, permit_sasl_authenticated, reject"))
        report = self.what_if(posthorn, new, "--json", expect=1)
        self.assertEqual(self.groups(report), [("refused", "250 2.1.5 Ok", "554 5.7.1 <LOGIN>: SASL login name rejected: not you", 1, 1)])
        self.assertEqual(report["groups"][0]["samples"][0]["login"], "eve")
        self.assertEqual((report["asked"], report["otherwise_than_logged"]), (4, []))
        self.assertEqual([one["name"] for one in report["services"]], [f"127.0.0.1:{port}/inet"])

        (new / "master.cf").write_text(master)
        gone = self.what_if(posthorn, new, "--json", expect=1)
        self.assertEqual({(one["kind"], one["then"]) for one in gone["groups"]},
                         {("refused", "nobody listens: master.cf has no such line"), ("other words", "nobody listens: master.cf has no such line")})

        # postscreen in front of port 25: the server behind it is asked
        behind = master.replace(" smtpd\n", " postscreen\n", 1) + "smtpd pass - - n - - smtpd\n  -o { smtpd_client_restrictions = reject }\n"
        self.assertNotEqual(behind.count(" postscreen"), master.count(" postscreen"))
        (new / "master.cf").write_text(behind + line.format("permit_sasl_authenticated,reject"))
        report = self.what_if(posthorn, new, "--json", expect=1)
        self.assertEqual(self.groups(report), [("refused", "250 2.1.5 Ok", "554 5.7.1 <CLIENT>: Client host rejected: Access denied", 1, 1)])

    def test_any_log_is_read_and_what_it_has_otherwise_is_no_difference(self):
        posthorn = self.site()
        log = posthorn.dir / "mail.log"
        stamp = "2026-11-27T23:59:58.123456+01:00 mx "
        log.write_text("".join(stamp + line + "\n" for line in (
            "postfix/smtpd[7]: NOQUEUE: reject: RCPT from mail.far.test[203.0.113.9]: 450 4.2.0 <u@there.test>: Recipient address rejected: Greylisted; from=<s@far.test> "
            "to=<u@there.test> proto=ESMTP helo=<mail.far.test>",
            "postfix/smtpd[7]: 4Cx: client=unknown[2001:db8::7]", "postfix/qmgr[2]: 4Cx: from=<>, size=1, nrcpt=1 (queue active)",
            "postfix/smtp[9]: 4Cx: to=<far@far.test>, relay=none, delay=1, status=sent (x)", "postfix/qmgr[2]: 4Cx: removed",
            "postfix-out/smtpd[7]: NOQUEUE: reject: RCPT from a.test[203.0.113.9]: 554 x; from=<s@far.test> to=<u@there.test> proto=ESMTP helo=<h>")))
        new = self.changed(posthorn, {"smtpd_banner": "hello"})
        report = self.what_if(posthorn, new, "--log", log, "--json", expect=0)
        self.assertEqual([(one["log"], one["now"], one["times"]) for one in report["otherwise_than_logged"]],
                         [("taken", "554 5.7.1 <RECIPIENT>: Relay access denied", 1), ("450 4.2.0 <RECIPIENT>: Recipient address rejected: Greylisted", "250 2.1.5 Ok", 1)])
        self.assertEqual((report["asked"], report["groups"], report["not_asked"]), (2, [], {"of postfix-out/smtpd, which is no line of this master.cf": 1}))
        self.assertEqual([(one["name"], one["then"]) for one in report["parameters"]], [("smtpd_banner", "hello")])
        self.assertEqual(self.what_if(posthorn, new, "--log", "-", "--json", expect=0, input=log.read_text()), report)

        for words, status, said in ((["--log", posthorn.dir / "none"], 2, "none: No such file or directory"), ([], 2, "--log names another one"), (["--most", "0"], 64, "--most needs a number"),
                                    (["--nonsense"], 64, "usage: posthorn what-if"), (["--log"], 64, "--log needs an operand"), (["-c", new, "--log", log], 64, "is the configuration in force")):
            self.assertIn(said, self.what_if(posthorn, new, *words, expect=status))
        (new / "main.cf").write_text((new / "main.cf").read_text() + "smtpd_recipient_restrictions = nonsense_of_ours\n")
        self.assertIn(f'does not greet as 127.0.0.1:{posthorn.port}: smtpd_recipient_restrictions: unknown smtpd restriction: "nonsense_of_ours"', self.what_if(posthorn, new, "--log", log, expect=2))
        (new / "main.cf").write_text((posthorn.dir / "conf" / "main.cf").read_text() + "smtpd_hard_error_limit = many\n")
        self.assertIn(f"{new} would not start", self.what_if(posthorn, new, "--log", log, expect=2))

    def test_a_table_that_answers_otherwise_for_a_moment_is_no_difference(self):
        asked = {"u@there.test": [], "virt@virt.test": []}

        class Table(socketserver.StreamRequestHandler):                # tcp_table(5)
            def handle(self):
                while line := self.rfile.readline():
                    key = line.decode().split()[1]
                    asked.get(key, []).append(key)
                    otherwise = len(asked.get(key, [])) == 2
                    self.wfile.write({"u@there.test": b"200 REJECT\n", "virt@virt.test": b"200 other@there.test\n"}[key] if otherwise else
                                     b"200 anna@there.test\n" if key == "virt@virt.test" else b"500 unknown\n")
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Table)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(lambda: (server.shutdown(), server.server_close()))
        table = f"tcp:127.0.0.1:{server.server_address[1]}"
        posthorn = self.site({"smtpd_recipient_restrictions": f"check_recipient_access {table}"})
        log = posthorn.dir / "mail.log"
        log.write_text("x postfix/smtpd[7]: NOQUEUE: reject: RCPT from a.test[203.0.113.9]: 450 x; from=<s@far.test> to=<u@there.test> proto=ESMTP helo=<h>\n")
        self.assertEqual(self.what_if(posthorn, self.changed(posthorn), "--log", log, "--json", expect=0)["groups"], [])
        self.assertEqual(len(asked["u@there.test"]), 4)

        ways = self.site({"virtual_alias_maps": table})
        log.write_text("".join(f"x postfix/{line}\n" for line in ("pickup[7]: 1A: uid=0 from=<root>", "qmgr[7]: 1A: from=<s@far.test>, size=1, nrcpt=1 (queue active)",
                                                                  "smtp[7]: 1A: to=<anna@there.test>, orig_to=<virt@virt.test>, relay=none, status=sent (x)")))
        self.assertEqual(self.what_if(ways, self.changed(ways), "--log", log, "--json", expect=0)["groups"], [])
        self.assertEqual(len(asked["virt@virt.test"]), 4)

    def test_who_interrupts_it_leaves_nothing_behind(self):
        held = threading.Event()

        class Silent(socketserver.StreamRequestHandler):
            def handle(self):
                self.rfile.readline()
                held.wait(PATIENCE)
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(lambda: (held.set(), server.shutdown(), server.server_close()))
        posthorn = self.site({"smtpd_recipient_restrictions": f"check_recipient_access tcp:127.0.0.1:{server.server_address[1]}"})
        log = posthorn.dir / "mail.log"
        log.write_text("x postfix/smtpd[7]: NOQUEUE: reject: RCPT from a.test[203.0.113.9]: 450 x; from=<s@far.test> to=<u@there.test> proto=ESMTP helo=<h>\n")
        new = self.changed(posthorn)
        for end in (signal.SIGINT, signal.SIGKILL):
            asking = subprocess.Popen([str(BIN / "posthorn"), "what-if", "--config", str(new), "--log", str(log)], env=posthorn.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_until(lambda: len([one for one in self.copies(posthorn) if self.runs(one)]) == 2, "both copies run")
            asking.send_signal(end)
            asking.communicate(timeout=PATIENCE)                    # its output has an end: nobody else holds it open
            self.assertEqual(asking.returncode, -end)
            wait_until(lambda: not self.copies(posthorn), "the private copies are gone")

    def runs(self, folder):
        try:
            return int((folder / "queue" / "pid" / "master.pid").read_text()) > 1
        except (OSError, ValueError):
            return False

    def test_a_postfix_is_asked_about_by_its_own_log(self):
        tools = test_migrate.postfix()
        sink = self.sink()
        held = tempfile.TemporaryDirectory(prefix="posthorn-what-if.")
        self.addCleanup(held.cleanup)
        folder = pathlib.Path(held.name)
        folder.chmod(0o755)
        system = test_migrate.Postfix("postfix", folder / "postfix", tools, test_migrate.relays.programs_beside(BIN), sink=sink, settings={
            "smtpd_authorized_xclient_hosts": "127.0.0.1", "relay_domains": "there.test", "virtual_alias_domains": "virt.test",
            "virtual_alias_maps": "inline:{info@virt.test=anna@there.test}", "smtpd_client_restrictions": "check_client_access inline:{198.51.100.66=REJECT}"})
        self.addCleanup(lambda: (system.stop(), system.group.close()))
        self.assertEqual(self.hand_in(system.port, "203.0.113.7", ["u@there.test", "info@virt.test", "far@far.test"]), ["far@far.test"])
        self.assertEqual(self.hand_in(system.port, "198.51.100.66", ["u@there.test"]), ["u@there.test"])
        wait_until(lambda: ": removed" in system.log_path.read_text(), "Postfix has delivered it")
        new = folder / "new"
        shutil.copytree(system.conf, new)
        with open(new / "main.cf", "a") as file:
            file.write("smtpd_client_restrictions = check_client_access inline:{203.0.113.7=REJECT}\n")
        done = subprocess.run([str(BIN / "posthorn"), "what-if", "-c", system.conf, "--config", new, "--json"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        refused = "554 5.7.1 <CLIENT>: Client host rejected: Access denied"
        self.assertEqual(self.groups(report), [("refused", "250 2.1.5 Ok", refused, 2, 2), ("let in", refused, "250 2.1.5 Ok", 1, 1),
                                               ("other words", "554 5.7.1 <RECIPIENT>: Relay access denied", refused, 1, 1)])
        self.assertEqual((report["asked"], report["otherwise_than_logged"], report["not_asked"]), (4, [], {}))


if __name__ == "__main__":
    unittest.main()
