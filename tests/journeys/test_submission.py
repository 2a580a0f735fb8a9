"""Mail handed in by sendmail."""

from journey import Journey, parse, unittest


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

    def test_no_recipients_is_a_usage_error_and_nothing_is_queued(self):
        posthorn = self.instance()
        result = posthorn.run("sendmail", "-f", "me@ours.test", "-t", input="Subject: nobody\n\nbody\n", check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("recipient", (result.stderr + result.stdout).lower())
        self.assertEqual(posthorn.queue(), [])


if __name__ == "__main__":
    unittest.main()
