"""ETRN makes the queue try a site, and transcripts of the sessions of listed peers."""
import re

from journey import Journey, unittest, wait_until


class Etrn(Journey):
    def test_etrn_tries_what_waits_for_the_site_and_no_other(self):
        refusing = [True]
        sink = self.sink({"RCPT": lambda argument, _: "450 4.2.1 not now" if refusing[0] else "250 2.1.5 Ok"})
        posthorn = self.instance({"fast_flush_domains": "branch.test", "smtpd_etrn_restrictions": "permit_mynetworks, reject"}, relay=sink.port)
        posthorn.send(["user@branch.test"])
        posthorn.send(["user@other.test"])
        posthorn.wait_log(r"status=deferred", 2)
        refusing[0] = False
        with posthorn.smtp() as client:
            client.ehlo("branch.test")
            self.assertTrue(client.has_extn("etrn"))
            self.assertEqual(client.docmd("ETRN", "other.test"), (459, b"<other.test>: service unavailable"))
            self.assertEqual(client.docmd("ETRN", "branch.test"), (250, b"Queuing started"))
        wait_until(lambda: sink.recipients() == ["user@branch.test"], "what waited for the site is delivered")
        self.assertEqual([r["address"] for m in posthorn.queue() for r in m["recipients"]], ["user@other.test"])
        posthorn.wait_log(r"warning: reject: ETRN other\.test\.\.\. from localhost\[127\.0\.0\.1\]|warning: reject: ETRN other\.test\.\.\. from unknown")


class DebugPeers(Journey):
    def test_sessions_of_listed_peers_are_logged_line_by_line_without_content(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        table, listed = posthorn.dir / "peers", posthorn.dir / "listed"
        table.write_text("127.0.0.0/8 yes\n")
        listed.write_text("!192.0.2.0/24\nexample.org\n")
        table.chmod(0o600)
        posthorn.set({"debug_peer_list": f"example.net, {listed}, cidr:{table}", "debug_peer_level": "1"})
        posthorn.start()
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.docmd("AUTH", "PLAIN AHVzZXIAc2VjcmV0")
            client.sendmail("sender@example.com", ["user@there.test"], "Subject: x\r\n\r\nthe content\r\n")
        posthorn.wait_log(r"status=sent")
        there = rf"127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}"
        for line in (rf"smtp\[\d+\]: < {there}: 220 sink\.test ESMTP", rf"smtp\[\d+\]: > {there}: MAIL FROM:<sender@example\.com>",
                     rf"smtp\[\d+\]: < {there}: 250 2\.1\.5 Ok"):
            posthorn.wait_log(line)
        here = r"\S+\[127\.0\.0\.1\]"
        for line in (rf"smtpd\[\d+\]: > {here}: 220 ", rf"smtpd\[\d+\]: < {here}: ehlo client\.test", rf"smtpd\[\d+\]: > {here}: 250[ -]PIPELINING",
                     rf"smtpd\[\d+\]: < {here}: (rcpt|RCPT) TO:<user@there\.test>"):
            posthorn.wait_log(line)
        log = posthorn.log()
        self.assertNotIn("AHVzZXIAc2VjcmV0", log)
        self.assertNotIn("the content", log)

    def test_others_are_not(self):
        sink = self.sink()
        posthorn = self.instance({"debug_peer_list": "!127.0.0.1, 0.0.0.0/0, there.test"}, relay=sink.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"status=sent")
        self.assertIsNone(re.search(r"smtpd?\[\d+\]: [<>] ", posthorn.log()))


if __name__ == "__main__":
    unittest.main()
