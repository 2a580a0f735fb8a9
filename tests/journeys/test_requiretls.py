"""Mail that requires TLS on all its way (RFC 8689): taken in, sent on, returned; and mail that does not insist on TLS."""
import smtplib

from journey import PATIENCE, Certificate, Journey, SignedZone, free_port, unittest

OFFERS = ("PIPELINING", "8BITMIME", "SIZE 0", "ENHANCEDSTATUSCODES", "DSN", "REQUIRETLS")
FIELD = b"Require-TLS-ESMTP: yes\r\n"


class RequireTls(Journey):
    def certificate(self, name):
        made = Certificate(name)
        self.addCleanup(made.close)
        return made

    def showing(self, name, **kwargs):
        made = self.certificate(name)
        sink = self.sink(tls=made.server(), **kwargs)
        self.shown[sink.port] = made
        return sink

    def setUp(self):
        super().setUp()
        self.ours, self.shown = self.certificate("me.ours.test"), {}

    def hosts(self, **sinks):
        """NAME.test is mx.NAME.test, at that port; DNSSEC vouches for it and for a certificate, made by showing() or nobody's."""
        zone = SignedZone()
        self.addCleanup(zone.close)
        for name, port in sinks.items():
            zone.mx(f"{name}.test.", f"mx.{name}.test.")
            zone.address(f"mx.{name}.test.", "127.0.0.1")
            zone.tlsa(f"_{port}._tcp.mx.{name}.test.", self.shown.get(port, self.ours))
        return {"dns_servers": self.dns(zone.text), "dns_trust_anchors": zone.anchor, "smtp_dns_support_level": "dnssec", "inet_protocols": "ipv4",
                "smtp_tls_loglevel": "1",
                "transport_maps": "inline:{" + ", ".join(f"{name}.test=smtp:{name}.test:{port}" for name, port in sinks.items()) + "}"}

    def posthorn(self, settings=None, **kwargs):
        return self.instance({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": f"{self.ours.key}, {self.ours.path}",
                              "smtp_tls_security_level": "may", **(settings or {})}, **kwargs)

    def secure(self, posthorn):
        client = posthorn.smtp()
        client.ehlo("client.test")
        client.starttls(context=self.ours.client())
        client.ehlo("client.test")
        return client

    def hand_in(self, posthorn, recipients, sender="a@back.test", options=("REQUIRETLS",), content=b"Subject: secret\r\n\r\nthe body\r\n"):
        with self.secure(posthorn) as client:
            client.sendmail(sender, recipients, content, mail_options=options)

    def said(self, sink, verb="MAIL"):
        return [line for line in sink.commands if line.startswith(verb)]

    def test_it_is_offered_inside_tls_and_kept_to_on_the_way_out(self):
        has, lacks, back = self.showing("mx.has.test", keywords=OFFERS), self.showing("mx.lacks.test"), self.showing("mx.back.test", keywords=OFFERS)
        forged, plain = self.sink(keywords=OFFERS, tls=self.certificate("mx.forged.test").server()), self.sink(keywords=OFFERS)
        posthorn = self.posthorn(self.hosts(has=has.port, lacks=lacks.port, forged=forged.port, plain=plain.port, back=back.port))
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            self.assertFalse(client.has_extn("requiretls"))
            self.assertEqual(client.docmd("MAIL FROM:<a@back.test> REQUIRETLS"), (555, b"5.5.4 Unsupported option: REQUIRETLS"))
        with self.secure(posthorn) as client:
            self.assertTrue(client.has_extn("requiretls"))
        self.hand_in(posthorn, [f"user@{name}.test" for name in ("has", "lacks", "forged", "plain")])
        posthorn.wait_log(r"to=<user@has\.test>, .*status=sent")
        posthorn.wait_log(r"Verified TLS connection established to mx\.has\.test\[127\.0\.0\.1\]:\d+: TLSv1\.3")
        posthorn.wait_log(r"to=<user@lacks\.test>, .*dsn=5\.7\.30, status=bounced \(the message requires TLS \(REQUIRETLS\), and host mx\.lacks\.test\[127\.0\.0\.1\] does not offer REQUIRETLS\)")
        posthorn.wait_log(r"to=<user@forged\.test>, .*dsn=5\.7\.10, status=bounced \(the message requires TLS \(REQUIRETLS\), and host mx\.forged\.test\[127\.0\.0\.1\] has not shown who it is: ")
        posthorn.wait_log(r"to=<user@plain\.test>, .*dsn=5\.7\.10, status=bounced \(the message requires TLS \(REQUIRETLS\), and host mx\.plain\.test\[127\.0\.0\.1\] does not offer STARTTLS\)")
        posthorn.wait_log(r"to=<a@back\.test>, .*status=sent")
        self.assertEqual([line.endswith(" REQUIRETLS") for line in self.said(has)], [True])
        self.assertIn(FIELD, has.messages[0][2])
        self.assertRegex(has.messages[0][2].decode(), r"with ESMTPS id \w+")
        for sink in (lacks, forged, plain):
            self.assertEqual(self.said(sink), [])
            self.assertEqual(sink.messages, [])
        # The report is one with the message: it requires TLS, and has the header alone.
        self.assertTrue(self.said(back)[0].startswith("MAIL FROM:<>"))
        self.assertIn("REQUIRETLS", self.said(back)[0])
        report = back.messages[0][2]
        self.assertIn(b"Subject: secret\r\n", report)
        self.assertNotIn(b"the body", report)
        for name in ("lacks", "forged", "plain"):
            self.assertIn(f"Final-Recipient: rfc822; user@{name}.test\r\n".encode(), report)
        # Other mail goes there as ever: a site is none that cannot be had because it has no REQUIRETLS.
        posthorn.send(["other@lacks.test", "other@plain.test"])
        posthorn.wait_log(r"to=<other@lacks\.test>, .*status=sent")
        posthorn.wait_log(r"to=<other@plain\.test>, .*status=sent")

    def test_from_one_posthorn_to_the_next_and_what_a_report_does_where_nobody_takes_it_so(self):
        end, back = self.sink(), self.sink()
        next_one = self.certificate("mx.next.test")
        second = self.instance({"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": f"{next_one.key}, {next_one.path}"}, relay=end.port)
        self.shown[second.port] = next_one
        first = self.posthorn(self.hosts(next=second.port, back=back.port, plain=back.port))
        self.hand_in(first, ["user@next.test"])
        first.wait_log(r"to=<user@next\.test>, .*status=sent")
        # A relay by its address is inside: there it is said where it can be.
        second.wait_log(r"to=<user@next\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\].*status=sent")
        self.assertIn(FIELD, end.messages[0][2])
        self.assertNotIn("REQUIRETLS", self.said(end)[0])
        self.hand_in(first, ["user@plain.test"])
        first.wait_log(r"to=<user@plain\.test>, .*dsn=5\.7\.10, status=bounced")
        first.wait_log(r"to=<a@back\.test>, .*status=sent")
        self.assertNotIn(b"the body", back.messages[0][2])

    def test_through_a_content_filter_and_back(self):
        has = self.showing("mx.has.test", keywords=OFFERS)
        back, taken = free_port(), []
        scanner = self.sink(replies={"DOT": lambda content, sink: taken.append(content) or "250 2.0.0 Ok"})
        posthorn = self.posthorn({**self.hosts(has=has.port), "content_filter": f"smtp:[127.0.0.1]:{scanner.port}"}, start=False)
        posthorn.add_service(f"127.0.0.1:{back} inet n - n - - smtpd -o content_filter= -o syslog_name=back")
        posthorn.start()
        self.hand_in(posthorn, ["user@has.test"])
        posthorn.wait_log(r"to=<user@has\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\].*status=sent")
        self.assertIn(FIELD, taken[0])
        with smtplib.SMTP("127.0.0.1", back, timeout=PATIENCE) as client:
            client.sendmail("a@back.test", ["user@has.test"], bytes(taken[0]))
        posthorn.wait_log(r"to=<user@has\.test>, relay=mx\.has\.test\[127\.0\.0\.1\].*status=sent")
        self.assertIn("REQUIRETLS", self.said(has)[0])
        self.assertEqual(has.messages[0][2].count(FIELD), 1)

    def test_aliases_and_copies_keep_it_and_the_commands_say_it(self):
        plain = self.sink()
        posthorn = self.posthorn({**self.hosts(plain=plain.port), "virtual_alias_maps": "inline:{{list@ours.test=one@plain.test, two@plain.test}}",
                                  "virtual_alias_domains": "ours.test", "always_bcc": "copy@plain.test", "defer_transports": "smtp"})
        posthorn.run("sendmail", "-O", "requiretls=yes", "-f", "a@back.test", "list@ours.test", input="Subject: x\n\nx\n")
        posthorn.wait_log(r"postfix/qmgr\[\d+\]: (\w+): from=<a@back\.test>")
        message, = [entry for entry in posthorn.queue() if entry["sender"] == "a@back.test"]
        shown = posthorn.run("postcat", "-qe", message["queue_id"]).stdout
        self.assertIn("named_attribute: requiretls=yes\n", shown)
        self.assertIn("requires TLS on all its way (REQUIRETLS)", posthorn.run("posthorn", "why", message["queue_id"]).stdout)
        posthorn.set({"defer_transports": ""})
        posthorn.run("postfix", "reload")
        posthorn.run("postqueue", "-f")
        for user in ("one", "two", "copy"):
            posthorn.wait_log(rf"to=<{user}@plain\.test>, .*dsn=5\.7\.10, status=bounced")
        self.assertEqual(plain.messages, [])

    def test_tls_required_no(self):
        plain = self.sink()
        posthorn = self.posthorn({**self.hosts(plain=plain.port), "smtp_tls_security_level": "encrypt", "defer_transports": "smtp"})
        posthorn.send(["user@plain.test"], content=b"Subject: your certificate\r\nTLS-Required: No\r\n\r\nhas expired\r\n")
        posthorn.send(["other@plain.test"])
        posthorn.wait_log(r"qmgr\[\d+\]: \w+: from=<sender@example\.com>", 2)
        optional, = [entry["queue_id"] for entry in posthorn.queue() if entry["recipients"][0]["address"] == "user@plain.test"]
        self.assertIn("named_attribute: tls_required=no\n", posthorn.run("postcat", "-qe", optional).stdout)
        self.assertIn("(TLS-Required: no)", posthorn.run("posthorn", "why", optional).stdout)
        posthorn.set({"defer_transports": ""})
        posthorn.run("postfix", "reload")
        posthorn.run("postqueue", "-f")
        posthorn.wait_log(rf"{optional}: TLS-Required: no: TLS with mx\.plain\.test is may, not encrypt")
        posthorn.wait_log(r"to=<user@plain\.test>, .*status=sent")
        posthorn.wait_log(r"to=<other@plain\.test>, .*status=deferred \(TLS is required, but was not offered")
        self.assertEqual(plain.recipients(), ["user@plain.test"])

    def test_policies_by_next_hop(self):
        plain = self.sink()
        posthorn = self.posthorn({**self.hosts(plain=plain.port, low=plain.port, file=plain.port, **{"sub.parent": plain.port}), "mydomain": "parent.test"}, start=False)
        table = posthorn.dir / "requiretls"
        table.write_text("file.test opportunistic\n")
        posthorn.start()
        names = ("plain", "low", "file", "sub.parent")
        self.hand_in(posthorn, [f"user@{name}.test" for name in names], sender="")
        for name in names:                                            # a report, as it seems
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent")
        self.hand_in(posthorn, [f"user@{name}.test" for name in names])
        for name in names:                                            # the default has opportunistic for mydomain and what is below it
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*" + ("status=sent" if name == "sub.parent" else r"dsn=5\.7\.10, status=bounced"), 2 if name == "sub.parent" else 1)
        posthorn.set({"smtp_requiretls_policy": f"inline:{{{{low.test=opportunistic}}}} texthash:{table}, enforced"})
        refused = posthorn.run("postfix", "reload", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("bad value of smtp_requiretls_policy: enforced", refused.stderr)
        posthorn.set({"smtp_requiretls_policy": f"inline:{{{{low.test=opportunistic}}}} texthash:{table}, enforce"})
        posthorn.run("postfix", "reload")
        self.hand_in(posthorn, [f"user@{name}.test" for name in names])
        for name, times in (("low", 2), ("file", 2)):
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent", times)
        for name, times in (("plain", 2), ("sub.parent", 1)):
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*dsn=5\.7\.10, status=bounced", times)


if __name__ == "__main__":
    unittest.main()
