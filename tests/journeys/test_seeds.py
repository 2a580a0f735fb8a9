"""The two documents that this house began with: what they show happens here, line for line, when Posthorn groups commands as Postfix does."""
import re

import seed_transcripts
from journey import Journey, unittest
from test_keywords import Peer


class Seeds(Journey):
    def peer(self, name):
        peer = Peer(name)
        self.addCleanup(lambda: peer.process.poll() is None and peer.close())
        return peer

    def instance_for(self, recipient, peer):
        """The reports go elsewhere: what is looked at is the session about `recipient`."""
        return self.instance({"transport_maps": f"inline:{{{{{recipient}=smtp:[127.0.0.1]:{peer.port}}}, {{example.com=discard:}}}}",
                              "debug_peer_list": "127.0.0.1", "smtp_quit_in_group": "yes", "smtp_peer_learning": "no", "smtp_peer_rules": "",
                              "smtp_helo_name": "amnesiac.example.com", "smtp_chunking": "no", "smtp_tls_security_level": "none"})

    def test_the_sessions_of_the_page(self):
        for name, recipient, bv, verdict in (
                ("frontbridge", "receiver@example.com", True, r"dsn=4\.4\.2, status=undeliverable \(lost connection with \S+ while sending RCPT TO\)"),
                ("exchange-2007", "recipient@example.com", True, r"dsn=2\.1\.5, status=deliverable \(250 2\.1\.5 Recipient OK\)"),
                ("exchange-engineering", "recipient@example.com", True, r"dsn=2\.1\.5, status=deliverable"),
                ("frontbridge-db3-006", "recipient@example.com", True, r"dsn=4\.4\.2, status=undeliverable"),
                ("frontbridge-db3-003", "recipient@example.com", False, r"dsn=2\.6\.0, status=sent")):
            with self.subTest(name):
                peer = self.peer(name)
                posthorn = self.instance_for(recipient, peer)
                if name != "frontbridge":                           # by hand the page's author used neither; the first session is Postfix's own
                    posthorn.set({"smtp_discard_ehlo_keywords": "silent-discard, size, dsn"})
                    posthorn.run("postfix", "reload")
                posthorn.run("sendmail", "-f", "sender@example.com", *(["-bv"] if bv else []), recipient, input="Subject: x\n\nhello\n")
                posthorn.wait_log(rf"to=<{re.escape(recipient)}>.*{verdict}")
                posthorn.stop()                                     # the goodbye is in the log as well
                self.assertEqual(seed_transcripts.difference(posthorn.log(), name, f":{peer.port}"), "")
                posthorn.close()

    def test_the_line_of_the_german_document(self):
        peer = self.peer("exchange-2010-sp1")
        posthorn = self.instance_for("user@example.com", peer)
        posthorn.run("sendmail", "-f", "address-verify@example.com", "-bv", "user@example.com")
        posthorn.wait_log(r"to=<user@example\.com>.*status=undeliverable")
        line = next(line for line in posthorn.log().splitlines() if "status=undeliverable" in line)
        self.assertEqual(seed_transcripts.delivery_line(line), seed_transcripts.delivery_line(seed_transcripts.GERMAN_LINE))
        said = [line[3:] for line in seed_transcripts.spoken(posthorn.log(), f":{peer.port}") if line.startswith("C: ")]
        self.assertEqual([re.sub(r" SIZE=\d+| ORCPT=\S+", "", command) for command in said[1:]],
                         ["MAIL FROM:<address-verify@example.com>", "RCPT TO:<user@example.com>", "RSET", "QUIT"])
        self.assertIn("S: 221 2.0.0 Service closing transmission channel", seed_transcripts.spoken(posthorn.log(), f":{peer.port}"))


if __name__ == "__main__":
    unittest.main()
