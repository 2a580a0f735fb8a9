"""SMTPUTF8 from end to end: addresses and headers beyond ASCII go to peers that take them, and come back from those that do not."""
import email
import email.policy

from journey import Journey, parse, unittest

SENDER, RECIPIENT = "jürgen@absender.test", "用户@例子.test"
CONTENT = ("Subject: Grüße an 用户\r\nFrom: Jürgen <jürgen@absender.test>\r\nTo: 用户@例子.test\r\nMessage-ID: <1@absender.test>\r\n"
           "Date: Sat, 21 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nÄpfel und 苹果\r\n").encode()


class Utf8(Journey):
    def send(self, posthorn):
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            self.assertTrue(client.has_extn("smtputf8"))
            client.command_encoding = "utf-8"
            client.putcmd(f"mail FROM:<{SENDER}> SMTPUTF8 BODY=8BITMIME")
            self.assertEqual(client.getreply()[0], 250)
            client.putcmd(f"rcpt TO:<{RECIPIENT}>")
            self.assertEqual(client.getreply()[0], 250)
            self.assertEqual(client.data(CONTENT)[0], 250)

    def test_to_a_peer_that_takes_it_it_goes_unchanged(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        self.send(posthorn)
        posthorn.wait_log("status=sent")
        posthorn.wait_empty()
        (sender, (recipient,), content), = sink.messages
        self.assertTrue(sender.startswith(f"FROM:<{SENDER}> "), sender)
        self.assertIn(" SMTPUTF8", sender)
        self.assertIn(" BODY=8BITMIME", sender)
        self.assertEqual(recipient.split(">")[0], f"TO:<{RECIPIENT}")
        self.assertTrue(content.endswith(CONTENT), content)
        received = content[:-len(CONTENT)].decode()
        self.assertRegex(received, r"with UTF8SMTP id \w+")           # RFC 6531 4.3, and the address as it is
        self.assertIn(f"for <{RECIPIENT}>", received)
        self.assertIn(f"to=<{RECIPIENT}>", posthorn.log())

    def test_a_domain_beyond_ascii_is_asked_for_in_its_ascii_form(self):
        sink = self.sink(host="127.0.0.2")
        server = self.dns("xn--fsqu00a.test. MX 10 mx.there.test.\nmx.there.test. A 127.0.0.2\n")
        posthorn = self.instance({"dns_servers": server, "smtp_tcp_port": str(sink.port)})
        self.send(posthorn)
        posthorn.wait_log(r"relay=mx\.there\.test\[127\.0\.0\.2\]:\d+, .*status=sent")
        self.assertEqual(sink.recipients(), [RECIPIENT])

    def test_from_a_peer_that_does_not_take_it_it_comes_back(self):
        sink = self.sink(keywords=("PIPELINING", "8BITMIME", "SIZE 0", "ENHANCEDSTATUSCODES", "DSN"))
        home = self.sink()
        posthorn = self.instance({"transport_maps": f"inline:{{absender.test=smtp:[127.0.0.1]:{home.port}}}"}, relay=sink.port)
        self.send(posthorn)
        posthorn.wait_log(rf"to=<{RECIPIENT}>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}, .*dsn=5\.6\.7, status=bounced "
                          r"\(SMTPUTF8 is required, but was not offered by host 127\.0\.0\.1\[127\.0\.0\.1\]\)")
        posthorn.wait_empty()
        self.assertEqual(sink.messages, [])
        (sender, (recipient,), content), = home.messages
        self.assertIn(" SMTPUTF8", sender)
        self.assertEqual(recipient.split(">")[0], f"TO:<{SENDER}")
        # RFC 6533: a report that may speak of such addresses.
        report = email.message_from_bytes(content, policy=email.policy.SMTPUTF8)
        _, status, returned = report.get_payload()
        self.assertEqual(status.get_content_type(), "message/global-delivery-status")
        self.assertEqual(returned.get_content_type(), "message/global")
        self.assertIn(f"Final-Recipient: utf-8; {RECIPIENT}".encode(), content)
        self.assertIn(b"Status: 5.6.7", content)
        self.assertIn(CONTENT, content)

    def test_only_the_header_is_beyond_ascii(self):
        """Plain addresses and no SMTPUTF8 parameter: such mail went before RFC 6531, and it still does."""
        sink = self.sink(keywords=("PIPELINING", "8BITMIME", "SIZE 0", "ENHANCEDSTATUSCODES"))
        posthorn = self.instance(relay=sink.port)
        posthorn.send(["user@there.test"], content=CONTENT, options=["BODY=8BITMIME"])
        posthorn.wait_log("status=sent")
        self.assertTrue(sink.messages[0][2].endswith(CONTENT))
        self.assertEqual(parse(sink.messages[0][2]).get_content_type(), "text/plain")


if __name__ == "__main__":
    unittest.main()
