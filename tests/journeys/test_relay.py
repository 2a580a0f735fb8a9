"""Mail comes in, is safe, and goes out."""
import re
import smtplib

from journey import Journey, free_port, parse, unittest


class Relay(Journey):
    def test_one_message_in_by_smtp_and_out_by_smtp(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"status=sent \(250 2\.0\.0 Ok: taken\)")
        (sender, recipients, content), = sink.messages
        self.assertTrue(sender.startswith("FROM:<sender@example.com>"))
        self.assertEqual(sink.recipients(), ["user@there.test"])
        self.assertEqual(parse(content)["Subject"], "test")
        self.assertIn(b"\r\n\r\nhello\r\n", content)
        self.assertRegex(content, rb"^Received: from ")
        posthorn.wait_log(r"qmgr\[\d+\]: \w+: removed")
        posthorn.wait_empty()
        # The lines that log analysers join by queue id.
        log = posthorn.log()
        qid, = set(re.findall(r"smtpd\[\d+\]: (\w+): client=", log))
        for line in (rf"cleanup\[\d+\]: {qid}: message-id=<", rf"qmgr\[\d+\]: {qid}: from=<sender@example.com>, size=\d+, nrcpt=1 \(queue active\)",
                     rf"smtp\[\d+\]: {qid}: to=<user@there.test>, relay=127.0.0.1\[127.0.0.1\]:{sink.port}, delay=[\d.]+, delays=[\d./]+, dsn=2.0.0, status=sent",
                     rf"qmgr\[\d+\]: {qid}: removed"):
            self.assertRegex(log, line)

    def test_a_thousand_recipients_each_exactly_once(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        recipients = [f"user{i}@there.test" for i in range(1000)]
        posthorn.send(recipients)
        posthorn.wait_log(r": removed")
        self.assertEqual(sorted(sink.recipients()), sorted(recipients))

    def test_deferred_then_delivered(self):
        refusals = []

        def rcpt(argument, sink):
            refusals.append(argument)
            return "450 4.2.0 try later" if len(refusals) == 1 else "250 2.1.5 Ok"
        sink = self.sink({"RCPT": rcpt})
        posthorn = self.instance({"minimal_backoff_time": "1s", "maximal_backoff_time": "2s"}, relay=sink.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"dsn=4\.2\.0, status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.2\.0 try later \(in reply to RCPT TO command\)\)")
        posthorn.wait_log(r"status=sent")
        self.assertEqual(sink.recipients(), ["user@there.test"])

    def test_a_refused_recipient_is_returned_to_the_sender_with_a_correct_dsn(self):
        sink = self.sink({"RCPT": lambda argument, sink: "550 5.1.1 No such user" if "nobody" in argument else "250 2.1.5 Ok"})
        posthorn = self.instance(relay=sink.port)
        posthorn.send(["nobody@there.test", "user@there.test"])
        posthorn.wait_log(r"dsn=5\.1\.1, status=bounced \(host .* said: 550 5\.1\.1 No such user \(in reply to RCPT TO command\)\)")
        posthorn.wait_log(r"bounce\[\d+\]: \w+: sender non-delivery notification: \w+")
        posthorn.wait_empty()
        bounce, = [content for sender, recipients, content in sink.messages if sender.startswith("FROM:<>")]
        message = parse(bounce)
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message["Auto-Submitted"], "auto-replied")
        notification, status, returned = message.get_payload()
        self.assertIn("nobody@there.test", notification.get_payload())
        fields = status.get_payload()
        self.assertEqual(fields[1]["Final-Recipient"], "rfc822; nobody@there.test")
        self.assertEqual(fields[1]["Action"], "failed")
        self.assertEqual(fields[1]["Status"], "5.1.1")
        self.assertEqual(returned.get_content_type(), "message/rfc822")
        self.assertIn("user@there.test", sink.recipients())
        self.assertNotIn("nobody@there.test", fields[0].as_string())

    def test_mail_from_the_null_sender_is_never_bounced(self):
        sink = self.sink({"RCPT": "550 5.1.1 No such user"})
        posthorn = self.instance(relay=sink.port)
        posthorn.send(["user@there.test"], sender="")
        posthorn.wait_log(r"status=bounced")
        posthorn.wait_empty()
        self.assertNotRegex(posthorn.log(), "non-delivery notification")

    def test_a_peer_that_is_away_defers_with_the_reason_and_the_queue_shows_it(self):
        port = free_port()
        posthorn = self.instance(relay=port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(rf"status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused\)")
        entry, = posthorn.queue()
        self.assertEqual(entry["queue_name"], "deferred")
        self.assertIn("Connection refused", entry["recipients"][0]["delay_reason"])
        self.assertIn("Connection refused", posthorn.run("postqueue", "-p").stdout)
        sink = self.sink(port=port)
        posthorn.run("postqueue", "-f")
        posthorn.wait_log("status=sent")
        self.assertEqual(sink.recipients(), ["user@there.test"])

    def test_sizes_from_nothing_to_beyond_a_frame(self):
        sink = self.sink()
        posthorn = self.instance({"message_size_limit": "60000000"}, relay=sink.port)
        head = b"Subject: size\r\nFrom: a@b.test\r\nTo: c@d.test\r\nMessage-ID: <x@y>\r\nDate: Sat, 21 Nov 2026 09:00:00 +0000\r\n\r\n"
        line = b"." + b"x" * 70 + b"\r\n"                       # a leading dot on every line: stuffed and unstuffed
        sizes = [0, 1, 100, 900, 1_000, 15_000, 140_000]          # lines: to about 10 MB
        for lines in sizes:
            posthorn.send(["user@there.test"], content=head + line * lines)
        posthorn.wait_log("status=sent", len(sizes))
        bodies = sorted(len(content.partition(b"\r\n\r\n")[2]) for _, _, content in sink.messages)
        self.assertEqual(bodies, [n * len(line) for n in sizes])

    def test_never_an_open_relay(self):
        posthorn = self.instance({"mynetworks": "192.0.2.0/24", "relayhost": ""})
        with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
            posthorn.send(["user@elsewhere.test"])
        (code, text), = refused.exception.recipients.values()
        self.assertIn(code, (454, 554))
        self.assertIn(b"Relay access denied", text)


if __name__ == "__main__":
    unittest.main()
