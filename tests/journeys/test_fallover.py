"""Several MX hosts: where one fails, the next takes the mail; and domains that want none."""
import os
import re
import subprocess

from journey import BIN, Journey, free_port, parse, unittest


class Fallover(Journey):
    def two_hosts(self, first, port=0, settings=None):
        """An instance for there.test, whose MX hosts are 127.0.0.2 (`first`: replies, or None for nobody) and 127.0.0.3."""
        second = self.sink(host="127.0.0.3", port=port)
        first = None if first is None else self.sink(first, host="127.0.0.2", port=second.port)
        server = self.dns("there.test. MX 10 one.there.test.\nthere.test. MX 20 two.there.test.\n"
                          "one.there.test. A 127.0.0.2\ntwo.there.test. A 127.0.0.3\n")
        posthorn = self.instance({"dns_servers": server, "relayhost": f"there.test:{second.port}", **(settings or {})})
        return posthorn, first, second

    def delivered_by_the_second(self, posthorn, second):
        posthorn.wait_log(rf"to=<user@there\.test>, relay=two\.there\.test\[127\.0\.0\.3\]:{second.port}, .*status=sent")
        posthorn.wait_empty()
        self.assertEqual(second.recipients(), ["user@there.test"])
        self.assertNotRegex(posthorn.log(), "status=(deferred|bounced)")

    @unittest.skipUnless(os.geteuid() == 0, "needs a resolv.conf of its own, and so root")
    def test_short_names_are_searched_for_where_that_is_wanted(self):
        sink = self.sink(host="127.0.0.2")
        posthorn = self.instance({"dns_servers": self.dns("mail.there.test. A 127.0.0.2\n"), "relayhost": f"[mail]:{sink.port}", "inet_protocols": "ipv4",
                                  "smtp_dns_resolver_options": "res_defnames"}, start=False)
        names = posthorn.dir / "resolv.conf"
        names.write_text("search there.test else.test\n")
        if subprocess.run(["unshare", "--mount", "sh", "-c", f"mount --bind {names} /etc/resolv.conf && exec {BIN}/postfix start"], env=posthorn.env(),
                          capture_output=True).returncode != 0:
            self.skipTest("no mounts of one's own here")
        posthorn.send(["user@far.test"])
        posthorn.wait_log(rf"to=<user@far\.test>, relay=mail\[127\.0\.0\.2\]:{sink.port}, .*status=sent")

    def test_the_first_refuses_connections(self):
        posthorn, _, second = self.two_hosts(None)
        posthorn.send(["user@there.test"])
        self.delivered_by_the_second(posthorn, second)
        self.assertRegex(posthorn.log(), rf"smtp\[\d+\]: connect to one\.there\.test\[127\.0\.0\.2\]:{second.port}: Connection refused\n")

    def test_the_first_greets_with_421(self):
        posthorn, first, second = self.two_hosts({"CONNECT": "421 4.3.2 not today"})
        posthorn.send(["user@there.test"])
        self.delivered_by_the_second(posthorn, second)
        self.assertEqual(first.sessions, 1)
        self.assertRegex(posthorn.log(), r"host one\.there\.test\[127\.0\.0\.2\] refused to talk to me: 421 4\.3\.2 not today\n")

    def test_the_first_breaks_off_in_mid_session(self):
        """Nothing of the content was said: learning asks the first host once more, without what it may have stumbled over."""
        for verb, learning, sessions in (("MAIL", "no", 1), ("RCPT", "no", 1), ("DATA", "no", 1), ("RCPT", "yes", 2)):
            with self.subTest(f"{verb}, learning {learning}"):
                posthorn, first, second = self.two_hosts({verb: None}, settings={"smtp_peer_learning": learning})
                posthorn.send(["user@there.test"])
                self.delivered_by_the_second(posthorn, second)
                self.assertEqual((first.sessions, first.messages), (sessions, []))
                self.assertRegex(posthorn.log(), rf"lost connection with one\.there\.test\[127\.0\.0\.2\] while (sending|receiving)")

    def test_the_first_refuses_for_now(self):
        """A 4xx to one recipient: the next host is asked about that one, and only that one."""
        posthorn, first, second = self.two_hosts({"RCPT": lambda argument, sink: "450 4.2.0 later" if "other" in argument else "250 2.1.5 Ok"})
        posthorn.send(["user@there.test", "other@there.test"])
        posthorn.wait_log("status=sent", 2)
        posthorn.wait_empty()
        self.assertEqual((first.recipients(), second.recipients()), (["user@there.test"], ["other@there.test"]))

    def test_the_first_refuses_for_good(self):
        """A 5xx is an answer: the second host is not asked."""
        posthorn, first, second = self.two_hosts({"RCPT": "550 5.1.1 nobody here"})
        posthorn.send(["user@there.test"], sender="")
        posthorn.wait_log(r"relay=one\.there\.test\[127\.0\.0\.2\]:\d+, .*dsn=5\.1\.1, status=bounced")
        posthorn.wait_empty()
        self.assertEqual((first.sessions, second.sessions), (1, 0))

    def test_both_are_away_and_then_one_comes_back(self):
        port = free_port()
        posthorn = self.instance({"dns_servers": self.dns("there.test. MX 10 one.there.test.\nthere.test. MX 20 two.there.test.\n"
                                                          "one.there.test. A 127.0.0.2\ntwo.there.test. A 127.0.0.3\n"),
                                  "relayhost": f"there.test:{port}", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s"})
        posthorn.send(["user@there.test"])
        posthorn.wait_log(rf"status=deferred \(connect to two\.there\.test\[127\.0\.0\.3\]:{port}: Connection refused\)")
        sink = self.sink(host="127.0.0.2", port=port)
        posthorn.wait_log("status=sent")
        self.assertEqual(sink.recipients(), ["user@there.test"])

    def test_a_domain_with_a_null_mx_takes_no_mail(self):
        sink = self.sink()
        posthorn = self.instance({"dns_servers": self.dns("null.test. MX 0 .\n"), "transport_maps": f"inline:{{ours.test=smtp:[127.0.0.1]:{sink.port}}}"})
        posthorn.send(["user@null.test"], sender="me@ours.test")
        posthorn.wait_log(r"to=<user@null\.test>, relay=none, .*dsn=5\.1\.10, status=bounced \(Domain null\.test does not accept mail \(nullMX\)\)")
        posthorn.wait_empty()
        (_, _, content), = sink.messages
        fields = parse(content).get_payload()[1].get_payload()[1]
        self.assertEqual((fields["Action"], fields["Status"]), ("failed", "5.1.10"))

    def test_who_asks_while_the_mail_comes_in_hears_of_the_null_mx_there(self):
        posthorn = self.instance({"dns_servers": self.dns("null.test. MX 0 .\n"), "smtpd_recipient_restrictions": "reject_unknown_recipient_domain"})
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("me@ours.test")
            self.assertEqual(client.rcpt("user@null.test"),
                             (556, b"5.1.10 <user@null.test>: Recipient address rejected: Domain null.test does not accept mail (nullMX)"))

    def test_the_server_asks_for_no_signatures_where_the_client_does(self):
        """A name server that has none, as many beside `smtp_tls_security_level = dane`: clients and senders are no strangers for that."""
        posthorn = self.instance({"dns_servers": self.dns("there.test. MX 10 mx.there.test.\nmx.there.test. A 127.0.0.3\n"), "smtp_dns_support_level": "dnssec",
                                  "smtpd_sender_restrictions": "reject_unknown_sender_domain"})
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("me@there.test")
            self.assertEqual(client.rcpt("user@ours.test")[0], 250)

    def test_a_name_server_without_signatures_holds_up_no_mail(self):
        """DANE where the name server passes no signatures on: said once, and the mail goes; where there must be some, it waits."""
        sink = self.sink(host="127.0.0.3")
        posthorn = self.instance({"dns_servers": self.dns("there.test. MX 10 mx.there.test.\nmx.there.test. A 127.0.0.3\n"), "smtp_dns_support_level": "dnssec",
                                  "smtp_tls_security_level": "dane", "smtp_tcp_port": str(sink.port), "inet_protocols": "ipv4"})
        posthorn.send(["one@there.test"])
        posthorn.send(["two@there.test"])
        posthorn.wait_log(r"to=<one@there\.test>, relay=mx\.there\.test\[127\.0\.0\.3\]:\d+, .*status=sent")
        posthorn.wait_log(r"to=<two@there\.test>, .*status=sent")
        self.assertEqual(len(re.findall(r"smtp\[\d+\]: warning: DNSSEC validation is unavailable: the name servers pass no signatures on", posthorn.log())), 1)
        posthorn.set({"smtp_tls_policy_maps": "inline:{there.test=dane-only}"})
        posthorn.run("postfix", "reload")
        posthorn.send(["three@there.test"])
        posthorn.wait_log(r"to=<three@there\.test>, .*dsn=4\.7\.5, status=deferred \(non DNSSEC destination\)")

    def test_hosts_and_ports_of_srv_records(self):
        """use_srv_lookup: the best host is away, the next one is at its own port; without SRV records the mail is returned, or goes by MX records."""
        sink = self.sink(host="127.0.0.3")
        server = self.dns(f"_submission._tcp.there.test. SRV 0 0 {free_port()} one.there.test.\n"
                          f"_submission._tcp.there.test. SRV 1 0 {sink.port} two.there.test.\n"
                          "one.there.test. A 127.0.0.2\ntwo.there.test. A 127.0.0.3\nother.test. MX 0 two.there.test.\n")
        for fallback in ("no", "yes"):
            posthorn = self.instance({"dns_servers": server, "use_srv_lookup": "submission, submissions", "allow_srv_lookup_fallback": fallback,
                                      "transport_maps": f"inline:{{there.test=smtp:there.test:submission, other.test=smtp:other.test:submission,"
                                                        f" example.com=smtp:[127.0.0.3]:{sink.port}}}"})
            posthorn.send(["user@there.test"])
            posthorn.wait_log(rf"to=<user@there\.test>, relay=two\.there\.test\[127\.0\.0\.3\]:{sink.port}, .*status=sent")
            posthorn.send(["user@other.test"])
            if fallback == "yes":
                posthorn.wait_log(r"to=<user@other\.test>, .*status=deferred \(connect to two\.there\.test\[127\.0\.0\.3\]:587: Connection refused\)")
            else:
                posthorn.wait_log(r"to=<user@other\.test>, relay=none, .*dsn=5\.4\.4, status=bounced "
                                  r"\(Host or domain name not found\. Name service error for name=_submission\._tcp\.other\.test type=SRV: Host not found\)")

    def test_an_mx_that_is_ourselves_is_a_loop_and_no_delivery(self):
        """By its address, whatever the name. Our name at another address is another host, as in Postfix."""
        sink = self.sink()
        zone = "loop.test. MX 10 alias.test.\nalias.test. A 127.0.0.1\nnamed.test. MX 10 me.ours.test.\nme.ours.test. A 127.0.0.9\n"
        posthorn = self.instance({"dns_servers": self.dns(zone), "myhostname": "me.ours.test", "mydestination": "",
                                  "transport_maps": f"inline:{{sender.test=smtp:[127.0.0.1]:{sink.port}}}"})
        posthorn.send(["user@loop.test"], sender="me@sender.test")
        posthorn.wait_log(r"to=<user@loop\.test>, relay=none, .*dsn=5\.4\.6, status=bounced \(mail for loop\.test loops back to myself\)")
        posthorn.wait_empty()
        self.assertEqual(parse(sink.messages[0][2]).get_payload()[1].get_payload()[1]["Status"], "5.4.6")
        posthorn.send(["user@named.test"], sender="me@sender.test")
        posthorn.wait_log(r"to=<user@named\.test>, relay=none, .*status=deferred \(connect to me\.ours\.test\[127\.0\.0\.9\]:25: Connection refused\)")

    def test_whose_best_mx_is_ourselves_goes_by_best_mx_transport(self):
        """Mail, and the question whether the address exists; nobody is asked on port 25."""
        sink = self.sink({"RCPT": lambda argument, _: "550 5.1.1 nobody" if "nobody" in argument else "250 2.1.5 Ok"})
        posthorn = self.instance({"dns_servers": self.dns("loop.test. MX 10 me.ours.test.\nme.ours.test. A 127.0.0.1\n"), "myhostname": "me.ours.test",
                                  "mydestination": "", "best_mx_transport": f"relay:[127.0.0.1]:{sink.port}", 
                                  "smtpd_recipient_restrictions": "reject_unverified_recipient", "unverified_recipient_reject_code": "550"})
        posthorn.send(["one@loop.test", "two@loop.test"])
        posthorn.wait_log(rf"smtp\[\d+\]: \w+: to=<two@loop\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}, .*status=sent")
        posthorn.wait_empty()
        self.assertEqual(sorted(sink.recipients()), ["one@loop.test", "two@loop.test"])
        self.assertRegex(posthorn.log(), r"mail for loop\.test loops back to myself: relay:\S+ has it\n")
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("me@ours.test")
            code, text = client.rcpt("nobody@loop.test")
            self.assertEqual(code, 550, text)
            self.assertIn(b"said: 550 5.1.1 nobody", text)


if __name__ == "__main__":
    unittest.main()
