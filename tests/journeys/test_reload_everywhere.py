"""One reload that changes something for every service, and each acts on it: those with processes of their own, and those that are lines of another's."""
from journey import Journey, unittest, wait_until


class ReloadEverywhere(Journey):
    def test_every_service_acts_on_what_changed(self):
        probers = []

        def mail(argument, sink):
            if "prob" in argument:
                probers.append(argument)
            return "250 2.1.0 Ok"
        first, second, filter_, relay, lmtp = self.sink({"MAIL": mail}), self.sink({"MAIL": mail, "RCPT": lambda a, s: "550 5.1.1 no" if "<bad" in a else "250 2.1.5 Ok"}), self.sink(), self.sink(), self.sink()
        posthorn = self.instance({"address_verify_map": "", "address_verify_sender": "prober1@ours.test", "smtpd_recipient_restrictions": "permit_mynetworks, reject",
                                  "transport_maps": f"inline:{{{{slow.test=slow:}}, {{relay.test=relay:[127.0.0.1]:{relay.port}}}, {{lmtp.test=lmtp:inet:127.0.0.1:{lmtp.port}}}}}",
                                  "anvil_status_update_time": "600s", "smtpd_client_connection_rate_limit": "1000", "smtpd_client_event_limit_exceptions": ""},
                                 relay=first.port, start=False)
        posthorn.add_service("slow unix - - n - - smtp")
        posthorn.start()
        submit = lambda *to: posthorn.run("sendmail", "-f", "ann@ours.test", *to, input=b"Subject: x\n\nhello\n")  # noqa: E731
        submit("user@there.test")
        posthorn.send(["other@there.test", "x@relay.test", "x@lmtp.test"], sender="ann@ours.test")
        wait_until(lambda: sorted(first.recipients()) == ["other@there.test", "user@there.test"], "mail goes the old way")
        wait_until(lambda: relay.recipients() and lmtp.recipients(), "by the other transports as well")

        resolve, memory, qmgr = (posthorn.pids_of(service) for service in ("resolve", "memory", "qmgr"))
        posthorn.set({"smtpd_banner": "fresh.test ESMTP", "always_bcc": "archive@there.test", "relayhost": f"[127.0.0.1]:{second.port}", "smtp_helo_name": "fresh-smtp.test",
                      "lmtp_lhlo_name": "fresh-lmtp.test", "defer_transports": "slow", "address_verify_sender": "prober2@ours.test",
                      "smtpd_recipient_restrictions": "reject_unverified_recipient, permit_mynetworks, reject", "anvil_status_update_time": "1s", "mail_name": "Freshhorn"})
        posthorn.run("postconf", "-Pe", f"pickup/unix/content_filter=smtp:[127.0.0.1]:{filter_.port}", "relay/unix/smtp_helo_name=fresh-relay.test")
        posthorn.run("postfix", "reload")

        self.assertIn(b"fresh.test", posthorn.greeting())                                       # smtpd
        submit("user2@there.test")
        wait_until(lambda: {"user2@there.test", "archive@there.test"} <= set(filter_.recipients()), "pickup's filter, cleanup's copy")
        self.assertIn(b"(Freshhorn, from userid", filter_.messages[-1][2])
        posthorn.send(["other2@there.test", "x@relay.test", "x@lmtp.test"], sender="ann@ours.test")
        wait_until(lambda: {"other2@there.test", "archive@there.test"} <= set(second.recipients()), "trivial-rewrite's relayhost, smtpd's cleanup")
        self.assertEqual(probers[-1], "FROM:<prober2@ours.test>")                                # verify
        self.assertIn("EHLO fresh-smtp.test", second.commands)                                  # smtp
        wait_until(lambda: "EHLO fresh-relay.test" in relay.commands, "relay, a line with its own option")
        wait_until(lambda: "LHLO fresh-lmtp.test" in lmtp.commands, "lmtp")
        posthorn.wait_log(r"anvil\[\d+\]: statistics: max connection")                          # anvil
        posthorn.run("postconf", "-PX", "pickup/unix/content_filter")
        posthorn.run("postfix", "reload")
        submit("x@slow.test")
        posthorn.wait_log("to=<x@slow.test>.*deferred transport")                               # qmgr
        self.assertEqual([posthorn.pids_of(service) for service in ("resolve", "memory", "qmgr")], [resolve, memory, qmgr])

        # A setting that resolve has from its start alone makes it another process, whatever that setting is.
        posthorn.set({"enable_long_queue_ids": "yes"})
        posthorn.run("postfix", "reload")
        self.assertEqual([posthorn.pids_of(service) for service in ("memory", "qmgr")], [memory, qmgr])
        self.assertNotEqual(posthorn.pids_of("resolve"), resolve)
        submit("user4@there.test")
        posthorn.wait_log(r"pickup\[\d+\]: [0-9A-Za-z]{12,}: uid=.*")

        # What none of them can take in place: all are others afterwards.
        before = len(posthorn.log())
        template = posthorn.dir / "bounce.cf"
        template.write_text("failure_template = <<EOF\nCharset: us-ascii\nFrom: MAILER-DAEMON (Mail)\nSubject: words of our own\n\nit failed\nEOF\n")
        template.chmod(0o600)
        posthorn.set({"bounce_template_file": str(template), "syslog_name": "fresh"})
        posthorn.run("postfix", "reload")
        posthorn.send(["other3@there.test"], sender="ann@ours.test")
        submit("bad@there.test")
        wait_until(lambda: any(b"Subject: words of our own" in content for _, _, content in second.messages), "bounce's template")
        posthorn.wait_log(r"fresh/anvil\[\d+\]: statistics: max connection")
        said = posthorn.log()[before:]
        said = said[said.index("reload -- version"):]
        for service in ("master", "smtpd", "cleanup", "pickup", "qmgr", "smtp", "bounce", "anvil"):
            self.assertRegex(said, rf" fresh/{service}\[\d+\]: ")
        self.assertNotRegex(posthorn.log(), r"panic|fatal|exit status|killed|throttling")


if __name__ == "__main__":
    unittest.main()
