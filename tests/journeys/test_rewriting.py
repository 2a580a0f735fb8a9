"""Content looked at and changed on its way: large messages through files, local mail, a filter beside the queue that hands mail back."""
import re
import socket
import smtplib
import threading

from journey import PATIENCE, Journey, free_port, unittest, wait_until

LINE = b"x" * 70 + b"\r\n"


def body(octets, *special):
    """Lines of x, with some between them."""
    lines = [LINE] * (octets // len(LINE))
    for at, line in special:
        lines[at * len(lines) // 100] = line + b"\r\n"
    return b"".join(lines)


class Rewriting(Journey):
    def test_checks_over_a_large_body_see_and_change_it_and_nothing_else(self):
        sink = self.sink()
        posthorn = self.instance({"body_checks": "regexp:{ {/^change me/ REPLACE changed} {/^refuse me/ REJECT not this} {/^drop me/ IGNORE} }",
                                  "body_checks_size_limit": "5000000"}, relay=sink.port)
        big = body(3_000_000, (10, b"change me"), (95, b"drop me"))
        posthorn.send(["user@there.test"], content=b"Subject: large\r\nFrom: a@b.test\r\n\r\n" + big)
        posthorn.wait_log("status=sent")
        got = sink.messages[-1][2].partition(b"\r\n\r\n")[2]
        self.assertEqual(got, big.replace(b"change me", b"changed").replace(b"drop me\r\n", b""))
        posthorn.wait_log(r"cleanup\[\d+\]: \w+: replace: body change me from \S+\[127\.0\.0\.1\]; from=<sender@example\.com> to=<user@there\.test> "
                          r"proto=ESMTP helo=<\S+>: changed")
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            posthorn.send(["user@there.test"], content=b"Subject: large\r\n\r\n" + body(3_000_000, (99, b"refuse me")))
        self.assertEqual((refused.exception.smtp_code, refused.exception.smtp_error), (550, b"5.7.1 not this"))
        posthorn.wait_empty()
        self.assertEqual(posthorn.contents(), [])

    def test_local_mail_is_looked_at_too_large_and_small_and_what_is_refused_goes_back(self):
        sink = self.sink()
        posthorn = self.instance({"body_checks": "regexp:{ {/^change me/ REPLACE changed} {/^refuse me/ REJECT not this} {/^discard me/ DISCARD gone} }",
                                  "body_checks_size_limit": "5000000", "header_checks": "regexp:{ {/^Subject: held/ HOLD} }"}, relay=sink.port)
        for count, octets in enumerate((100, 400_000), 1):
            text = body(octets, (50, b"change me")).decode().replace("\r\n", "\n")
            posthorn.run("sendmail", "-f", "me@ours.test", "user@there.test", input=f"Subject: local\n\n{text}")
            posthorn.wait_log("status=sent", count)
            self.assertEqual(sink.messages[-1][2].partition(b"\r\n\r\n")[2], text.replace("change me", "changed").replace("\n", "\r\n").encode())
        posthorn.run("sendmail", "-f", "me@there.test", "user@there.test", input="Subject: local\n\nrefuse me\n")
        posthorn.wait_log("status=sent", 3)
        self.assertIn(b"not this", sink.messages[-1][2])
        self.assertEqual(sink.recipients()[-1], "me@there.test")
        posthorn.run("sendmail", "-f", "me@there.test", "user@there.test", input="Subject: local\n\ndiscard me\n")
        posthorn.wait_log("discard: body discard me from local; from=<me@there.test> to=<user@there.test>: gone")
        posthorn.run("sendmail", "-f", "me@there.test", "user@there.test", input="Subject: held\n\nx\n")
        posthorn.wait_log("hold: header Subject: held from local;")
        large = body(400_000, (50, b"discard me")).decode().replace("\r\n", "\n")
        posthorn.run("sendmail", "-f", "me@there.test", "user@there.test", input=f"Subject: large\n\n{large}")
        posthorn.wait_log("discard: body discard me from local", 2)
        wait_until(lambda: not list((posthorn.dir / "queue/maildrop").glob("*")), "it is taken from the maildrop")
        self.assertEqual(posthorn.contents(), [])
        self.assertEqual(len(sink.messages), 3)

    def test_redirect_and_copies(self):
        sink = self.sink()
        posthorn = self.instance({"header_checks": "regexp:{ {/^Subject: turn/ REDIRECT other@there.test} {/^Subject: copy/ BCC copy@there.test} }",
                                  "always_bcc": "log@there.test"}, relay=sink.port)
        posthorn.send(["a@there.test", "b@there.test"], content=b"Subject: turn\r\n\r\nx\r\n")
        posthorn.wait_log(r"to=<other@there\.test>, orig_to=<a@there\.test>.*status=sent")
        posthorn.wait_empty()
        self.assertEqual(sink.recipients(), ["other@there.test"])
        posthorn.send(["a@there.test"], content=b"Subject: copy\r\n\r\nx\r\n")
        posthorn.wait_log("status=sent", 4)
        self.assertEqual(sorted(sink.recipients()[1:]), ["a@there.test", "copy@there.test", "log@there.test"])

    def test_an_address_that_leads_through_us_is_logged_with_what_it_was(self):
        sink = self.sink()
        posthorn = self.instance({"mydestination": "here.test, sub.here.test", "local_recipient_maps": "", "transport_maps": "inline:{ {err.test = error:5.0.0 no} }",
                                  "virtual_alias_maps": "inline:{ {Case@there.test = case@there.test} }"}, relay=sink.port)
        for written, reached in (("u%there.test@here.test", "u@there.test"), ("there.test!v@here.test", "v@there.test"), ("w%there.test%sub.here.test@here.test", "w@there.test")):
            posthorn.send([written])
            posthorn.wait_log(rf"to=<{reached}>, orig_to=<{written}>, relay=.*status=sent")
        self.assertEqual(sink.recipients(), ["u@there.test", "v@there.test", "w@there.test"])
        posthorn.run("sendmail", "-f", "", "x%err.test@here.test", input="Subject: x\n\nx\n")
        posthorn.wait_log(r"error\[\d+\]: \w+: to=<x@err\.test>, orig_to=<x%err\.test@here\.test>, relay=none, .*status=bounced \(no\)")
        posthorn.send(["Case@there.test"])
        posthorn.wait_log(r"to=<case@there\.test>, relay=.*status=sent")                 # letters alone are no other address, as in Postfix

    def test_a_content_filter_hands_mail_back_and_it_is_filtered_once(self):
        sink = self.sink()
        back = free_port()
        taken = []

        def again(content, _):
            """The filter: marks what it got, and hands it in at the other line."""
            message = b"X-Filtered: yes\r\n" + content
            taken.append(content)

            def hand_in():
                with smtplib.SMTP("127.0.0.1", back, timeout=PATIENCE) as client:
                    client.ehlo("filter.test")
                    client.docmd("XFORWARD", "NAME=origin.test ADDR=203.0.113.9 IDENT=ORIG123")
                    client.sendmail("sender@example.com", ["user@there.test"], message)
            thread = threading.Thread(target=hand_in)
            thread.start()
            thread.join(PATIENCE)
            return "250 2.0.0 Ok: filtered"
        scanner = self.sink({"DOT": again})
        posthorn = self.instance({"content_filter": f"scan:[127.0.0.1]:{scanner.port}"}, relay=sink.port, start=False)
        posthorn.add_service("scan unix - - n - 2 smtp\n  -o smtp_send_xforward_command=no\n")
        posthorn.add_service(f"127.0.0.1:{back} inet n - n - - smtpd\n  -o content_filter=\n  -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n"
                             "  -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_address_mappings\n")
        posthorn.start()
        posthorn.send(["user@there.test"])
        posthorn.wait_log("status=sent", 2)
        posthorn.wait_empty()
        self.assertEqual(len(taken), 1)
        self.assertEqual(len(sink.messages), 1)
        self.assertIn(b"X-Filtered: yes", sink.messages[0][2])
        self.assertRegex(posthorn.log(), r"client=\S+\[127\.0\.0\.1\], orig_queue_id=ORIG123, orig_client=origin\.test\[203\.0\.113\.9\]")

    def test_a_load_balancer_says_who_the_client_is(self):
        sink = self.sink()
        port = free_port()
        posthorn = self.instance(relay=sink.port, start=False)
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - - smtpd\n  -o smtpd_upstream_proxy_protocol=haproxy\n  -o smtpd_peername_lookup=no\n")
        posthorn.start()
        v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([203, 0, 113, 7, 127, 0, 0, 1, 0x12, 0x67, 0, 25])
        for header, said in ((b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 25\r\n", b"203.0.113.9"), (v2, b"203.0.113.7")):
            with socket.create_connection(("127.0.0.1", port), 30) as connection:
                connection.sendall(header)
                stream = connection.makefile("rb")
                self.assertTrue(stream.readline().startswith(b"220 "))
                connection.sendall(b"QUIT\r\n")
                stream.readline()
            posthorn.wait_log(rf"connect from unknown\[{re.escape(said.decode())}\]")

    def test_addresses_and_fields_change_on_the_way_out_alone(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_generic_maps": "inline:{ {me@inside.local=public@outside.test} }",
                                  "smtp_header_checks": "regexp:{ {/^X-Secret/ IGNORE} {/^Subject/ PREPEND X-Out: yes} }",
                                  "message_size_limit": "5000000"}, relay=sink.port)
        for count, octets in enumerate((100, 1_000_000), 1):
            text = body(octets)
            posthorn.send(["user@there.test"], sender="me@inside.local", content=b"From: me@inside.local\r\nX-Secret: x\r\nSubject: y\r\n\r\n" + text)
            posthorn.wait_log("status=sent", count)
            sender, _, content = sink.messages[-1]
            self.assertTrue(sender.startswith("FROM:<public@outside.test>"))
            head, _, got = content.partition(b"\r\n\r\n")
            self.assertIn(b"From: public@outside.test", head)
            self.assertIn(b"X-Out: yes\r\nSubject: y", head)
            self.assertNotIn(b"X-Secret", head)
            self.assertEqual(got, text)
        self.assertIn("from=<me@inside.local>", posthorn.log())

    def test_what_a_check_makes_of_a_folded_field_has_whole_line_ends(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_header_checks": "regexp:{ {/^(X-Long: )first(.*)/ REPLACE $${1}other$$2} }"}, relay=sink.port)
        posthorn.send(["user@there.test"], content=b"X-Long: first\r\n\tsecond\r\n third\r\nSubject: y\r\n\r\nbody\r\n")
        posthorn.wait_log("status=sent")
        self.assertIn(b"\r\nX-Long: other\r\n\tsecond\r\n third\r\nSubject: y\r\n", sink.messages[-1][2])
        self.assertNotIn(b"\n", sink.messages[-1][2].replace(b"\r\n", b""))


if __name__ == "__main__":
    unittest.main()
