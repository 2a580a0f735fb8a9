"""Mail handed in by sendmail."""

import os
import pwd
import struct
import subprocess

from journey import BIN, PATIENCE, Journey, parse, unittest


class Submission(Journey):
    def test_sendmail_completes_what_is_missing_and_drops_bcc(self):
        sink = self.sink()
        posthorn = self.instance({"myorigin": "ours.test", "append_dot_mydomain": "no"}, relay=sink.port)
        posthorn.run("sendmail", "-f", "me@ours.test", "-t", input="To: user@there.test\nBcc: hidden@there.test\nSubject: hi\n\nbody\n")
        posthorn.wait_log(r"status=sent")
        posthorn.wait_empty()
        self.assertEqual(sorted(sink.recipients()), ["hidden@there.test", "user@there.test"])
        message = parse(sink.messages[0][2])
        self.assertIsNone(message["Bcc"])
        self.assertTrue(message["Date"] and message["Message-Id"] and message["From"])
        self.assertRegex(posthorn.log(), r"pickup\[\d+\]: \w+: uid=\d+ from=<me@ours.test>")

    def test_the_maildrop_works_while_the_mail_system_is_down(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        for i in range(3):
            posthorn.run("sendmail", "-f", "me@ours.test", f"user{i}@there.test", input=f"Subject: {i}\n\nbody\n")
        posthorn.start()
        posthorn.wait_log("status=sent", 3)
        self.assertEqual(sorted(sink.recipients()), [f"user{i}@there.test" for i in range(3)])

    def test_text_without_a_header_is_mail_whatever_its_size_and_its_first_line(self):
        sink = self.sink()
        posthorn = self.instance({"myorigin": "ours.test"}, relay=sink.port)
        log_file = "".join(f"{i:07} a line of a log file, and no empty line in all of it\n" for i in range(25000))
        for user, text in (("log", log_file), ("blank", "  indented\nSubject: no\n"), ("mbox", "From me Sat Nov 21\nSubject: yes\n\nx\n")):
            posthorn.run("sendmail", "-f", "me@ours.test", f"{user}@there.test", input=text)
        posthorn.wait_log(r"status=sent", 3)
        got = {recipients[0].split("<")[1].split("@")[0]: parse(text) for _, recipients, text in sink.messages}
        self.assertEqual(got["log"].get_payload().replace("\r\n", "\n"), log_file)
        self.assertEqual(got["blank"].get_payload().replace("\r\n", "\n"), "  indented\nSubject: no\n")
        self.assertNotIn("indented", got["blank"]["Received"])
        self.assertIsNone(got["blank"]["Subject"])
        self.assertEqual(got["mbox"]["Subject"], "yes")

    def test_a_report_goes_where_mail_to_the_sender_goes(self):
        sink = self.sink(replies={"RCPT": lambda argument, session: "550 5.1.1 no such user" if "bad@" in argument else "250 2.1.5 Ok"})
        posthorn = self.instance({"virtual_alias_domains": "alias.test", "virtual_alias_maps": "inline:{info@alias.test=real@there.test}",
                                  "body_checks": "regexp:{{/forbidden/ REJECT no such text}}"}, relay=sink.port)
        posthorn.run("sendmail", "-f", "info@alias.test", "bad@there.test", input="Subject: one\n\nbody\n")           # refused on its way
        posthorn.run("sendmail", "-f", "info@alias.test", "good@there.test", input="Subject: two\n\nforbidden\n")     # and at once
        posthorn.wait_log(r"to=<real@there.test>, orig_to=<info@alias.test>, .*status=sent", 2)
        reports = [parse(text) for _, _, text in sink.messages]
        self.assertEqual({report["To"] for report in reports}, {"info@alias.test"})
        self.assertEqual({recipient for recipient in sink.recipients()}, {"real@there.test"})
        posthorn.wait_empty()

    def test_a_caller_that_has_closed_its_descriptors_is_served_like_any_other(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        for user, closed in (("a", "<&-"), ("b", ">&- 2>&-"), ("c", "<&- >&- 2>&-"), ("d", "2>&-")):
            command = f"exec {BIN}/sendmail -f me@ours.test {user}@there.test {closed}"
            done = subprocess.run(["sh", "-c", command], env=posthorn.env(), input=b"Subject: text\n\nbody\n", timeout=PATIENCE)
            self.assertEqual(done.returncode, 0, closed)
        posthorn.wait_log(r"status=sent", 4)
        got = {recipients[0].split("<")[1].split("@")[0]: parse(text) for _, recipients, text in sink.messages}
        self.assertEqual({user: text["Subject"] for user, text in got.items()}, {"a": None, "b": "text", "c": None, "d": "text"})

    def test_who_may_say_which_sender(self):
        sink = self.sink()
        me = pwd.getpwuid(os.getuid()).pw_name
        posthorn = self.instance({"myorigin": "ours.test", "relay_domains": "ours.test"}, relay=sink.port, start=False)
        table = posthorn.dir / "senders"
        table.write_text(f"{me} {me} {me}@ours.test @lists.test\n")
        posthorn.set({"local_login_sender_maps": f"texthash:{table}"})
        posthorn.start()
        for sender in (me, f"{me}@ours.test", "news@lists.test"):
            posthorn.run("sendmail", "-f", sender, "good@there.test", input="Subject: x\n\nbody\n")
        posthorn.wait_log("status=sent", 3)
        for sender in ("boss@ours.test", ""):
            refused = posthorn.run("sendmail", "-f", sender, "bad@there.test", input="Subject: x\n\nbody\n", check=False)
            self.assertEqual(refused.returncode, 77)
            self.assertIn(f"fatal: not authorized to use sender='{sender}'", refused.stderr)
        # Another program's record, of which postdrop knows nothing.
        record = self.record("boss@ours.test", "bad@there.test")
        posthorn.run("postdrop", input=record)
        posthorn.wait_log(r"pickup\[\d+\]: warning: \w+: uid=\d+: not authorized to use sender='boss@ours\.test'\n")
        posthorn.wait_log(rf"to=<{me}@ours\.test>, .*status=sent")
        posthorn.wait_empty()
        self.assertNotIn("bad@there.test", sink.recipients())

    @staticmethod
    def record(sender, recipient):
        """What sendmail gives to postdrop (submit/framing.hpp; the envelope's fields by their numbers in words.proto)."""
        def field(number, octets):
            return bytes([number << 3 | 2, len(octets)]) + octets
        envelope = field(3, sender.encode()) + field(4, field(2, recipient.encode()))
        content = b"Subject: x\r\n\r\nbody\r\n"
        return b"PHdrop1\n" + struct.pack(">I", len(envelope)) + envelope + struct.pack(">I", len(content)) + content + struct.pack(">I", 0)

    def test_no_recipients_is_a_usage_error_and_nothing_is_queued(self):
        posthorn = self.instance()
        result = posthorn.run("sendmail", "-f", "me@ours.test", "-t", input="Subject: nobody\n\nbody\n", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("recipient", (result.stderr + result.stdout).lower())
        self.assertEqual(posthorn.queue(), [])


if __name__ == "__main__":
    unittest.main()
