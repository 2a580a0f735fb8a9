"""posthorn check: our own server keeps the rules, FrontBridge does not, and the exit status says so."""
import json
import subprocess

from journey import BIN, Journey, free_port, unittest, wait_until


class Check(Journey):
    def check(self, *arguments):
        return subprocess.run([str(BIN / "posthorn"), "check", *arguments], capture_output=True, text=True, timeout=300)

    def test_our_own_server_keeps_every_rule_that_can_be_tested(self):
        sink = self.sink()
        posthorn = self.instance({"relay_domains": "there.test", "smtpd_hard_error_limit": "20"}, relay=sink.port)
        result = self.check(f"127.0.0.1:{posthorn.port}", "--from", "probe@example.com", "--to", "user@there.test", "--json")
        examination = json.loads(result.stdout)
        self.assertEqual([rule for rule in examination["rules"] if rule["outcome"] == "broken"], [])
        self.assertEqual(result.returncode, 0)
        kept = {rule["rule"] for rule in examination["rules"] if rule["outcome"] == "kept"}
        self.assertLessEqual({"greeting", "ehlo", "order", "quit", "data", "bdat", "parameters", "null-sender", "postmaster", "stream", "line", "bye"}, kept)
        self.assertEqual(sink.messages, [])
        self.assertEqual(posthorn.queue(), [])

    def test_a_broken_server_is_named_with_its_transcript_and_a_report(self):
        port = free_port()
        peer = subprocess.Popen([str(BIN / "posthorn"), "peer", "frontbridge", "--port", str(port)], stdout=subprocess.PIPE, text=True)

        def end():
            peer.terminate()
            peer.wait(10)
            peer.stdout.close()
        self.addCleanup(end)
        wait_until(lambda: peer.stdout.readline().startswith("* frontbridge listens"), "the peer listens")
        result = self.check(f"127.0.0.1:{port}", "--from", "probe@example.com", "--to", "user@there.test")
        self.assertEqual(result.returncode, 1)
        self.assertIn("C: QUIT\n   S: 221 2.0.0 Service closing transmission channel\n      <the server closes>\n      <3 more replies were due>\n", result.stdout)
        self.assertIn("Subject: SMTP server", self.check(f"127.0.0.1:{port}", "--to", "user@there.test", "--report").stdout)

    def test_wrong_arguments_and_nobody_there(self):
        self.assertEqual(self.check("--json").returncode, 64)
        self.assertEqual(self.check("127.0.0.1:99999").returncode, 64)
        self.assertEqual(self.check("127.0.0.1:25", "--from", "<a@b>").returncode, 64)
        result = self.check(f"127.0.0.1:{free_port()}")
        self.assertEqual((result.returncode, "Connection refused" in result.stderr), (69, True))


if __name__ == "__main__":
    unittest.main()
