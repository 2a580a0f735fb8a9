"""What operators and local programs do to the queue and the log, by Postfix's commands."""
import gzip
import os
import socket

from journey import Journey, parse, unittest, wait_until


class QueueTools(Journey):
    def deferring(self, **settings):
        """An instance whose next hop refuses for now, with one message in its queue."""
        self.refuse = True
        self.peer = self.sink(replies={"RCPT": lambda argument, sink: "451 4.2.0 not now" if self.refuse else "250 2.1.5 Ok"})
        posthorn = self.instance({"virtual_alias_maps": "inline:{from@alias.test=first@there.test}", **settings}, relay=self.peer.port)
        posthorn.send(["from@alias.test"])
        posthorn.wait_log("status=deferred")
        return posthorn

    def only(self, posthorn):
        return wait_until(lambda: (lambda found: found[0] if len(found) == 1 and found[0]["queue_name"] != "active" else None)(posthorn.queue()), "one message at rest")

    def postsuper(self, posthorn, *words, **kwargs):
        return posthorn.run("postsuper", *words, **kwargs).stderr.splitlines()

    def test_requeue_goes_through_cleanup_again_under_a_new_id(self):
        posthorn = self.deferring()
        before = self.only(posthorn)
        posthorn.set({"virtual_alias_maps": "inline:{{first@there.test = second@there.test, third@there.test}}"})
        posthorn.run("postfix", "reload")
        posthorn.wait_log("reload -- version")
        wait_until(lambda: "second@there.test" in self.recipients_after_requeue(posthorn), "the new alias is in force")
        after = self.only(posthorn)
        self.assertNotEqual(after["queue_id"], before["queue_id"])
        self.assertEqual(sorted(r["address"] for r in after["recipients"]), ["second@there.test", "third@there.test"])
        self.assertEqual(after["arrival_time"], before["arrival_time"])
        self.assertRegex(posthorn.log(), r"pickup\[\d+\]: \w+: uid=\d+ from=<sender@example.com> orig_id=" + before["queue_id"])
        self.refuse = False
        posthorn.run("postqueue", "-f")
        posthorn.wait_empty()
        self.assertEqual(sorted(self.peer.recipients()), ["second@there.test", "third@there.test"])
        content = parse(self.peer.messages[0][2])
        self.assertGreaterEqual(len(content.get_all("Received")), 2)
        self.assertEqual(content.get_payload().strip(), "hello")

    def recipients_after_requeue(self, posthorn):
        """A reload takes effect when resolve has it: asks until the answer is a new one."""
        now = self.only(posthorn)
        if len(now["recipients"]) == 1:
            said = self.postsuper(posthorn, "-r", now["queue_id"])
            self.assertEqual(said, [f"postsuper: {now['queue_id']}: requeued", "postsuper: Requeued: 1 message"])
            now = self.only(posthorn)
        return [r["address"] for r in now["recipients"]]

    def test_a_large_message_is_requeued_and_shown_whole(self):
        posthorn = self.deferring(message_size_limit="20000000")
        self.postsuper(posthorn, "-d", "ALL")
        line = "x" * 70 + "\r\n"
        body = line * (3_500_000 // len(line))
        posthorn.send(["big@there.test"], content=("Subject: big\r\n\r\n" + body + "end\r\n").encode())
        old = self.only(posthorn)["queue_id"]
        self.assertEqual(self.postsuper(posthorn, "-r", "ALL", "deferred"), ["postsuper: Requeued: 1 message"])
        new = self.only(posthorn)["queue_id"]
        self.assertNotEqual(new, old)
        shown = posthorn.run("postcat", "-bq", new).stdout
        self.assertEqual(shown, "\n" + body.replace("\r\n", "\n") + "end\n")
        header = posthorn.run("postcat", "-hq", new).stdout
        self.assertIn("Subject: big\n", header)
        self.assertNotIn("xxx", header)
        envelope = posthorn.run("postcat", "-eq", new).stdout
        self.assertRegex(envelope, r"^\*\*\* ENVELOPE RECORDS deferred/\w+ \*\*\*\n(?s:.*)recipient: big@there.test\n")
        self.assertRegex(posthorn.run("postcat", "-deoq", new).stdout, r"(?m)^ +0  83 sender: sender@example.com$")
        self.refuse = False
        posthorn.run("postqueue", "-i", new)
        posthorn.wait_empty()
        self.assertTrue(self.peer.messages[0][2].endswith(b"\r\n" + line.encode() + b"end\r\n"))

    def test_force_expire_holds_what_is_on_hold_until_it_is_released(self):
        posthorn = self.deferring()
        held = self.only(posthorn)["queue_id"]
        self.assertEqual(self.postsuper(posthorn, "-h", held), [f"postsuper: {held}: placed on hold", "postsuper: Placed on hold: 1 message"])
        self.assertEqual(self.postsuper(posthorn, "-e", held), [f"postsuper: {held}: expired", "postsuper: Force-expired: 1 message"])
        entry = self.only(posthorn)
        self.assertEqual((entry["queue_name"], entry["forced_expire"], entry["queue_id"]), ("hold", True, held))
        self.assertEqual(self.postsuper(posthorn, "-f", "-", input=f"{held}\nbad/id\n"),
                         [f"postsuper: {held}: released from hold", "postsuper: warning: invalid mail queue id: bad/id",
                          "postsuper: Force-expired: 0 messages", "postsuper: Released from hold: 1 message"])
        posthorn.wait_log(rf"{held}: from=<sender@example.com>, status=force-expired, returned to sender")
        posthorn.wait_log(rf"{held}: removed")

    def test_each_operation_says_what_it_did_as_postfix_does(self):
        posthorn = self.deferring()
        self.postsuper(posthorn, "-d", "ALL")
        for name in "abcde":
            posthorn.send([f"{name}@there.test"])
        wait_until(lambda: all(entry["queue_name"] == "deferred" for entry in posthorn.queue()) and len(posthorn.queue()) == 5, "five are deferred")
        a, b, c, d, e = (next(q["queue_id"] for q in posthorn.queue() if q["recipients"][0]["address"] == f"{name}@there.test") for name in "abcde")
        self.postsuper(posthorn, "-h", d)
        said = self.postsuper(posthorn, "-v", "-r", a, "-h", b, "-d", c, "-H", d, "-e", e)
        self.assertEqual(said, [f"postsuper: {a}: requeued", f"postsuper: {b}: placed on hold", f"postsuper: {c}: removed", f"postsuper: {d}: released from hold",
                                f"postsuper: {e}: expired", "postsuper: Requeued: 1 message", "postsuper: Deleted: 1 message",
                                "postsuper: Force-expired: 1 message", "postsuper: Placed on hold: 1 message", "postsuper: Released from hold: 1 message"])
        self.assertEqual(self.postsuper(posthorn, "-h", "ALL", "hold"), ["postsuper: Placed on hold: 0 messages"])
        self.assertEqual(self.postsuper(posthorn, "-H", "ALL", "deferred"), ["postsuper: Released from hold: 0 messages"])
        self.assertEqual(self.postsuper(posthorn, "-d", "ABCDEF012"), ["postsuper: Deleted: 0 messages"])

    def test_sql_sees_the_queue_and_changes_nothing(self):
        posthorn = self.deferring()
        names = posthorn.run("posthorn", "queue", "--sql", "select name from sqlite_master where type='table' order by 1").stdout.split()
        self.assertEqual(names[0], "name")
        table = next(name for name in names if name.startswith("message"))
        self.assertEqual(posthorn.run("posthorn", "queue", "--sql", f"select count(*) from {table}").stdout.split()[-1], "1")
        refused = posthorn.run("posthorn", "queue", "--sql", f"delete from {table}", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(len(posthorn.queue()), 1)

    def test_logrotate_leaves_the_old_log_compressed_and_writes_on(self):
        posthorn = self.deferring()
        self.only(posthorn)
        posthorn.run("postlog", "-t", "postfix/mark", "before the rotation")
        posthorn.run("postfix", "logrotate")
        old = [path for path in posthorn.log_path.parent.iterdir() if path.name.startswith("maillog.")]
        self.assertEqual(len(old), 1)
        self.assertRegex(old[0].name, r"^maillog\.\d{8}-\d{6}\.gz$")
        text = gzip.open(old[0], "rt").read()
        self.assertIn("before the rotation", text)
        self.assertIn("status=deferred", text)
        self.refuse = False
        posthorn.run("postqueue", "-f")
        posthorn.wait_empty()
        posthorn.wait_log("status=sent")                          # every service has the new file
        self.assertNotIn("before the rotation", posthorn.log())


class LocalPrograms(Journey):
    def test_an_smtp_session_on_standard_input(self):
        sink = self.sink()
        posthorn = self.instance({"smtpd_recipient_restrictions": "reject"}, relay=sink.port)
        line = "y" * 60 + "\r\n"
        large = line * 3000
        script = ("EHLO here\r\nMAIL FROM:<me@ours.test>\r\nRCPT TO:<a@there.test>\r\nRCPT TO:<b@there.test>\r\nDATA\r\nSubject: one\r\n\r\n..dot\r\n.\r\n"
                  "MAIL FROM:<me@ours.test>\r\nRCPT TO:<c@there.test>\r\nDATA\r\nSubject: two\r\n\r\n" + large + ".\r\nNONSENSE\r\nQUIT\r\n")
        session = posthorn.run("sendmail", "-bs", input=script)
        codes = [reply[:3] for reply in session.stdout.split("\n") if reply[3:4] == " "]
        self.assertEqual(codes, ["220", "250", "250", "250", "250", "354", "250", "250", "250", "354", "250", "500", "221"], session.stdout)
        wait_until(lambda: len(sink.recipients()) == 3, "three deliveries")
        self.assertEqual(sorted(sink.recipients()), ["a@there.test", "b@there.test", "c@there.test"])
        by_subject = {parse(content)["Subject"]: content for _, _, content in sink.messages}
        self.assertTrue(by_subject["one"].endswith(b"\r\n\r\n.dot\r\n"))
        self.assertTrue(by_subject["two"].endswith(b"\r\n\r\n" + large.encode()))
        self.assertIn("localhost [127.0.0.1]", " ".join(parse(by_subject["one"]).get_all("Received")[-1].split()))

    def test_an_unfinished_session_leaves_nothing(self):
        posthorn = self.instance(start=False)
        session = posthorn.run("sendmail", "-bs", input="EHLO here\r\nMAIL FROM:<me@ours.test>\r\nRCPT TO:<a@there.test>\r\nDATA\r\nSubject: x\r\n\r\ncut")
        self.assertIn("354", session.stdout)
        self.assertEqual(os.listdir(posthorn.dir / "queue" / "maildrop"), [])

    def test_who_may_not_submit_gets_no_session_and_no_drop(self):
        posthorn = self.instance({"authorized_submit_users": "nobody-at-all"}, start=False)
        for command, text in ((("sendmail", "-bs"), "QUIT\r\n"), (("sendmail", "a@there.test"), "x\n"), (("postdrop",), "PHdrop1\n")):
            refused = posthorn.run(*command, input=text, check=False)
            self.assertEqual(refused.returncode, 77, refused.stderr)
            self.assertIn("is not allowed to submit mail", refused.stderr)
        self.assertEqual(os.listdir(posthorn.dir / "queue" / "maildrop"), [])

    def test_recipients_of_the_header_are_added_to_those_of_the_command_line(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        posthorn.run("sendmail", "-C", str(posthorn.dir / "conf"), "-f", "me@ours.test", "-t", "extra@there.test", input="To: a@there.test\n\nx\n")
        posthorn.wait_log("status=sent", 2)
        self.assertEqual(sorted(sink.recipients()), ["a@there.test", "extra@there.test"])

    def test_newaliases_builds_what_alias_database_names(self):
        posthorn = self.instance(start=False)
        aliases = posthorn.dir / "aliases"
        aliases.write_text('root: me@ours.test,\n  "|/bin/true x"\nPostmaster: root\n')
        posthorn.set({"alias_database": f"lmdb:{aliases}"})
        posthorn.run("newaliases")
        self.assertEqual(posthorn.run("postalias", "-q", "ROOT", f"lmdb:{aliases}").stdout, 'me@ours.test, "|/bin/true x"\n')
        self.assertEqual(posthorn.run("postmap", "-q", "postmaster", f"lmdb:{aliases}").stdout, "root\n")
        posthorn.set({"alias_database": f"hash:{aliases}"})
        posthorn.run("newaliases")
        self.assertEqual(posthorn.run("postalias", "-q", "ROOT", f"hash:{aliases}").stdout, 'me@ours.test, "|/bin/true x"\n')
        self.assertTrue((posthorn.dir / "aliases.db").exists())
        posthorn.set({"alias_database": f"texthash:{aliases}"})
        wrong = posthorn.run("newaliases", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("postalias: fatal: unsupported dictionary type: texthash does not support bulk-mode creation.", wrong.stderr)

    def test_what_exporters_and_scripts_poke(self):
        answer = ["450 4.2.1 Mailbox busy"]
        sink = self.sink({"RCPT": lambda argument, _: answer[0]})
        posthorn = self.instance(relay=sink.port)

        def shown():
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(60)
                stream.connect(str(posthorn.dir / "queue/public/showq"))
                octets = b""
                while piece := stream.recv(65536):
                    octets += piece
                return octets.split(b"\0")
        greeting = [b"protocol", b"mail_queue_list_protocol", b""]
        self.assertEqual(shown(), [*greeting, b"", b""])
        posthorn.send(["a@there.test", "b@there.test"], sender="me@ours.test")
        posthorn.wait_log("status=deferred", 2)
        words = shown()
        self.assertEqual(words[:3] + words[-4:], greeting + [words[-4], b"", b"", b""])
        listed = dict(zip(words[3:-3:2], words[4:-3:2]))
        self.assertEqual((listed[b"queue_name"], listed[b"sender"], listed[b"recipient"]), (b"deferred", b"me@ours.test", b"b@there.test"))
        self.assertIn(b"Mailbox busy", listed[b"reason"])
        self.assertEqual(listed[b"queue_id"].decode(), posthorn.queue()[0]["queue_id"])
        # postkick public qmgr D: what is deferred is tried now.
        answer[0] = "250 2.1.5 Ok"
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(posthorn.dir / "queue/public/qmgr"))
            stream.sendall(b"D")
        posthorn.wait_log("status=sent", 2)
        with socket.socket(socket.AF_UNIX) as stream:                # pickup is woken likewise
            stream.connect(str(posthorn.dir / "queue/public/pickup"))
            stream.sendall(b"W")


if __name__ == "__main__":
    unittest.main()
