"""Workarounds by hand, each set with -o on a line of its own in master.cf, against the peer it is for."""
import re

from journey import Journey, unittest
from test_keywords import Peer

LONG = b"Subject: long\r\nFrom: a@ours.test\r\n\r\n" + b"y" * 250 + b"\r\n"

# name, peer, options of its line, recipient, what the log must say, what the peer must have heard (or must not: "!..."), content
ROWS = [
    ("pixmap", "pix", "-o smtp_pix_workaround_maps=inline:{127.0.0.1=disable_esmtp}", "user@pixmap.test",
     r"enabling PIX workarounds: disable_esmtp for 127\.0\.0\.1", r"> HELO ", None),
    ("pixdot", "pix", "-o smtp_pix_workarounds=delay_dotcrlf -o smtp_pix_workaround_threshold_time=0 -o smtp_pix_workaround_delay_time=1s",
     "user@pixdot.test", r"enabling PIX workarounds: delay_dotcrlf for 127\.0\.0\.1", r"> EHLO ", None),
    ("reply", "data-only", "-o { smtp_reply_filter = regexp:{{/^354/ 450 4.3.0 not today}} }", "user@reply.test",
     r"to=<user@reply\.test>.*dsn=4\.3\.0, status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.3\.0 not today \(in reply to DATA command\)\)",
     r"> DATA", None),
    ("helo", "data-only", "-o smtp_never_send_ehlo=yes", "user@helo.test", r"to=<user@helo\.test>.*status=sent", r"> HELO ", None),
    ("ehlo", "helo-only", "-o smtp_always_send_ehlo=no", "user@ehlo.test", r"to=<user@ehlo\.test>.*status=sent", r"> HELO ", None),
    ("greeting", "refuses-greeting", "-o smtp_skip_5xx_greeting=no", "user@greeting.test",
     r"to=<user@greeting\.test>.*dsn=5\.7\.1, status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] refused to talk to me: 554 5\.7\.1", None, None),
    ("lines", "exchange-2007", "-o smtp_line_length_limit=100", "user@lines.test",
     r"\w+: breaking line > 100 bytes with <CR><LF>SPACE\n", r"> DATA", LONG),
    ("quotes", "data-only", "-o smtp_quote_rfc821_envelope=no", '"a b"@quotes.test', r"status=sent", r"> RCPT TO:<a b@quotes\.test>", None),
    ("softer", "refuses-recipients", "-o { smtp_delivery_status_filter = regexp:{{/^5.1.1 host/ 4.1.1 perhaps later}} }", "user@softer.test",
     r"to=<user@softer\.test>.*dsn=4\.1\.1, status=deferred \(perhaps later\)", None, None),
    ("group", "exchange-2010-sp1", "-o smtp_discard_ehlo_keywords=pipelining", "user@group.test",
     r"smtp\[\d+\]: discarding EHLO keywords: PIPELINING\n", None, None),
]


class Workarounds(Journey):
    def peer(self, name):
        peer = Peer(name)
        self.addCleanup(lambda: peer.process.poll() is None and peer.close())
        return peer

    def test_every_row(self):
        posthorn = self.instance(start=False)
        routes = []
        for name, peer, options, *_ in ROWS:
            port = self.peer(peer).port
            posthorn.add_service(f"{name} unix - - n - - smtp -o syslog_name=postfix/{name} {options}")
            routes.append(f"{{{name}.test={name}:[127.0.0.1]:{port}}}")
        posthorn.set({"transport_maps": "inline:{" + ", ".join(routes) + "}", "debug_peer_list": "127.0.0.1", "smtp_peer_learning": "no"})
        posthorn.start()
        for name, _, _, recipient, _, _, content in ROWS:
            posthorn.send([recipient], content=content)
        for name, _, _, _, said, heard, _ in ROWS:
            with self.subTest(name):
                posthorn.wait_log(said)
                if heard:
                    command = heard.removeprefix("> ")
                    posthorn.wait_log(rf"postfix/{name}/smtp\[\d+\]: > \S+: {command}")
        posthorn.wait_log(r"to=<user@group\.test>.*status=sent")
        self.assertNotRegex(posthorn.log(), r"postfix/lines/smtp\[\d+\]: > \S+: BDAT")

    def test_the_lines_of_the_german_document_as_they_stand(self):
        for service in ("relay", "smtp"):
            with self.subTest(service):
                peer = self.peer("exchange-2010-sp1")
                posthorn = self.instance({"transport_maps": f"inline:{{box.test={service}:[127.0.0.1]:{peer.port}}}", "debug_peer_list": "127.0.0.1",
                                          "smtp_quit_in_group": "yes", "smtp_peer_learning": "no"})
                verify = ("sendmail", "-f", "sender@example.com", "-bv", "user@box.test")
                posthorn.run(*verify)
                posthorn.wait_log(r"to=<user@box\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=[\d.]+, delays=[\d./]+, dsn=4\.4\.2, "
                                  r"status=undeliverable \(lost connection with 127\.0\.0\.1\[127\.0\.0\.1\] while sending RCPT TO\)")
                master = posthorn.dir / "conf" / "master.cf"
                text, count = re.subn(rf"(?m)^{service}\s+unix\b.*(\n[ \t]+.*)*", f"{service} unix - - n - - smtp -o smtp_discard_ehlo_keywords=pipelining",
                                      master.read_text())
                self.assertEqual(count, 1)
                master.write_text(text)
                posthorn.run("postfix", "reload")
                posthorn.run(*verify)
                posthorn.wait_log(r"to=<user@box\.test>.*dsn=2\.1\.5, status=deliverable")
                posthorn.wait_log(r"discarding EHLO keywords: PIPELINING\n")
                posthorn.close()

    def test_probes_that_ask_at_data(self):
        refuses, takes = self.peer("rejects-at-data"), self.peer("exchange-2007")
        posthorn = self.instance({"transport_maps": f"inline:{{no.test=smtp:[127.0.0.1]:{refuses.port}, yes.test=smtp:[127.0.0.1]:{takes.port}}}",
                                  "smtp_address_verify_target": "data", "debug_peer_list": "127.0.0.1"})
        posthorn.run("sendmail", "-f", "sender@example.com", "-bv", "user@no.test", "user@yes.test")
        posthorn.wait_log(r"to=<user@no\.test>.*dsn=5\.7\.1, status=undeliverable \(.*said: 554 5\.7\.1 Not here \(in reply to DATA command\)\)")
        posthorn.wait_log(r"to=<user@yes\.test>.*status=deliverable")

    def test_lmtp_has_twins_of_its_own(self):
        sink = self.sink()
        posthorn = self.instance({"transport_maps": f"inline:{{box.test=lmtp:inet:127.0.0.1:{sink.port}}}",
                                  "lmtp_delivery_status_filter": "regexp:{{/^2.*taken/ 2.9.9 put into the box}}",
                                  "smtp_delivery_status_filter": "static:{4.0.0 not this one}"})
        posthorn.send(["user@box.test"])
        posthorn.wait_log(r"lmtp\[\d+\]: \w+: to=<user@box\.test>.*dsn=2\.9\.9, status=sent \(put into the box\)")

    def test_a_filter_file_of_roots_alone_is_passed_to_the_confined_client(self):
        peer = self.peer("refuses-recipients")
        posthorn = self.instance(start=False)
        table = posthorn.dir / "filter"
        table.write_text("/^5.1.1 host/ 4.1.1 perhaps later\n")
        table.chmod(0o600)
        posthorn.set({"relayhost": f"[127.0.0.1]:{peer.port}", "default_delivery_status_filter": f"regexp:{table}"})
        posthorn.start()
        posthorn.send(["user@box.test"])
        posthorn.wait_log(r"to=<user@box\.test>.*dsn=4\.1\.1, status=deferred \(perhaps later\)")

    def test_a_table_that_only_a_list_file_names_is_passed_too(self):
        peer = self.peer("data-only")
        posthorn = self.instance(start=False)
        table, listing, outer = (posthorn.dir / name for name in ("nets", "list", "outer"))
        table.write_text("127.0.0.0/8 yes\n")
        table.chmod(0o600)                                          # as root: only the broker can open it
        listing.write_text(f"# who is looked at\ncidr:{table}\n")
        outer.write_text(f"{listing}\n")
        posthorn.set({"relayhost": f"[127.0.0.1]:{peer.port}", "debug_peer_list": str(outer)})
        posthorn.start()
        posthorn.send(["user@box.test"])
        posthorn.wait_log(r"status=sent")
        posthorn.wait_log(r"smtp\[\d+\]: > \S+: MAIL FROM")            # the client's and the server's own sessions both
        posthorn.wait_log(r"smtpd\[\d+\]: < \S+: MAIL FROM|smtpd\[\d+\]: < \S+: mail FROM")
        self.assertNotRegex(posthorn.log(), "warning: debug_peer_list")


if __name__ == "__main__":
    unittest.main()
