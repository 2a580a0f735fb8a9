"""What a stricter setting would have refused: restrictions behind warn_if_reject, levels of TLS on trial. The mail goes in all of it."""
import json
import os
import signal

from journey import Certificate, Journey, SignedZone, unittest, wait_until


class Trials(Journey):
    def listed(self, posthorn, *arguments):
        found = posthorn.run("posthorn", "trials", "--json", *arguments, check=False)
        return {one["tried"]: one for one in map(json.loads, found.stdout.splitlines())}

    def judged(self, posthorn, tried, count):
        def enough():
            one = self.listed(posthorn).get(tried)
            return one if one and one["judged"] + one["unknown"] == count else None
        return wait_until(enough, f"{count} are judged by {tried}")

    def certificate(self, name, issuer=None):
        made = Certificate(name, issuer)
        self.addCleanup(made.close)
        return made

    def routes(self, ports):
        return "inline:{" + ", ".join(f"{name}.test=smtp:{name}.test:{port}" for name, port in ports.items()) + "}"

    def test_verify_is_tried_with_hosts_that_could_and_could_not_meet_it(self):
        authority = self.certificate("Authority")
        good, own, clear = (self.sink(tls=self.certificate("mx.good.test", authority).server()), self.sink(tls=self.certificate("mx.own.test").server()), self.sink())
        zone = "".join(f"{name}.test. MX 10 mx.{name}.test.\nmx.{name}.test. A 127.0.0.1\n" for name in ("good", "own", "clear", "left"))
        ports = {"good": good.port, "own": own.port, "clear": clear.port, "left": own.port}
        posthorn = self.instance({"dns_servers": self.dns(zone), "inet_protocols": "ipv4", "smtp_tls_security_level": "may", "smtp_tls_CAfile": str(authority.path),
                                  "smtp_tls_trial_level": "verify", "smtp_tls_trial_maps": f"inline:{{left.test:{own.port}=none}}", "transport_maps": self.routes(ports)})
        self.assertIn("Nothing was judged.", posthorn.run("posthorn", "trials").stdout)
        for name in ports:
            posthorn.send([f"user@{name}.test"])
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent")
        verify = self.judged(posthorn, "verify", 3)
        self.assertEqual((verify["direction"], verify["passed"], verify["refused"], verify["unknown"]), ("out", 1, 2, 0))
        entries = {one["whom"].partition(":")[0]: one for one in verify["entries"]}
        self.assertEqual(sorted(entries), ["clear.test", "own.test"])
        self.assertEqual((entries["own.test"]["host"], entries["own.test"]["reason"]), ("mx.own.test", "Server certificate not trusted: self-signed certificate"))
        self.assertEqual(entries["clear.test"]["reason"], "STARTTLS is not offered")
        [sample] = entries["own.test"]["samples"]
        self.assertEqual((sample["sender"], sample["recipient"], sample["peer"]), ("sender@example.com", "user@own.test", "mx.own.test[127.0.0.1]"))
        posthorn.wait_log(r"TLS trial: at level verify no mail had gone to mx\.own\.test\[127\.0\.0\.1\]:\d+ for own\.test:\d+: Server certificate not trusted")
        text = posthorn.run("posthorn", "trials", "--out", "own").stdout
        self.assertIn("out  verify: 3 sessions judged: 1 passed, 2 would have been refused\n", text)
        self.assertIn("own.test", text)
        self.assertNotIn("clear.test", text)
        self.assertEqual(self.listed(posthorn, "--in"), {})

    def test_dane_is_tried_by_records_that_match_that_do_not_and_that_nobody_vouches_for(self):
        theirs, other = self.certificate("sink.test"), self.certificate("elsewhere.test")
        sink = self.sink(tls=theirs.server())
        zone = SignedZone()
        self.addCleanup(zone.close)
        for name, certificate in (("right", theirs), ("wrong", other), ("none", None)):
            zone.mx(f"{name}.test.", f"mx.{name}.test.")
            zone.address(f"mx.{name}.test.", "127.0.0.1")
            if certificate:
                zone.tlsa(f"_{sink.port}._tcp.mx.{name}.test.", certificate)
        names = ("right", "wrong", "none")
        posthorn = self.instance({"dns_servers": self.dns(zone.text), "dns_trust_anchors": zone.anchor, "smtp_dns_support_level": "dnssec", "inet_protocols": "ipv4",
                                  "smtp_tls_security_level": "may", "smtp_tls_trial_level": "dane", "transport_maps": self.routes({name: sink.port for name in names})})
        for name in names:
            posthorn.send([f"user@{name}.test"])
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent")
        dane = self.judged(posthorn, "dane", 3)
        self.assertEqual((dane["passed"], dane["without_records"], dane["refused"], dane["unknown"]), (1, 0, 1, 1))
        entries = {one["whom"].partition(".")[0]: one for one in dane["entries"]}
        self.assertEqual(sorted(entries), ["none", "wrong"])
        self.assertTrue(entries["wrong"]["known"])
        self.assertRegex(entries["wrong"]["reason"], r"^Server certificate not trusted: .*was not asked for mx\.wrong\.test\)$")
        # That it has none nobody signed: no answer is no refusal.
        self.assertFalse(entries["none"]["known"])
        self.assertEqual(entries["none"]["reason"], f"TLSA lookup error for mx.none.test:{sink.port}")
        self.assertEqual(sorted(sink.recipients()), [f"user@{name}.test" for name in sorted(names)])

    def test_restrictions_behind_warn_if_reject_are_listed_over_restarts_and_what_was_written_over_a_kill(self):
        sink = self.sink()
        posthorn = self.instance({"smtpd_recipient_restrictions": "warn_if_reject reject_non_fqdn_sender, warn_if_reject check_sender_access inline:{bad.test=REJECT}, "
                                                                  "permit_mynetworks, reject_unauth_destination"}, relay=sink.port)
        access = "check_sender_access inline:{bad.test=REJECT}"
        for sender in ("a@bad.test", "b@bad.test", "c@good.test", "nodot@x"):
            posthorn.send(["user@there.test"], sender=sender)
        wait_until(lambda: len(sink.messages) == 4, "all of it arrives")
        self.assertEqual(len(posthorn.wait_log(r"NOQUEUE: reject_warning: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 <[ab]@bad\.test>: Sender address rejected: "
                                               r"Access denied; from=<[ab]@bad\.test> to=<user@there\.test> proto=ESMTP helo=", 2)), 2)
        tried = self.judged(posthorn, access, 4)
        self.assertEqual((tried["direction"], tried["passed"], tried["refused"]), ("in", 2, 2))
        [entry] = tried["entries"]
        self.assertIn(entry["whom"], ("127.0.0.0/24", "localhost"))   # whether the machine has a name for the address
        self.assertEqual((entry["count"], entry["reason"]), (2, "554 5.7.1 <*>: Sender address rejected: Access denied"))
        self.assertEqual([one["sender"] for one in entry["samples"]], ["b@bad.test", "a@bad.test"])
        fqdn = self.judged(posthorn, "reject_non_fqdn_sender", 4)
        self.assertEqual((fqdn["passed"], fqdn["refused"]), (3, 1))
        posthorn.run("postfix", "stop")
        posthorn.start()
        self.assertEqual(self.listed(posthorn)[access], tried)
        # A kill loses what was not written yet, and nothing more.
        kept = posthorn.dir / "data" / "trials"
        before = kept.read_bytes()
        posthorn.send(["user@there.test"], sender="a@bad.test")
        wait_until(lambda: kept.read_bytes() != before, "it is written")
        posthorn.send(["user@there.test"], sender="a@bad.test")
        for pid in posthorn.pids_of("memory"):
            os.kill(pid, signal.SIGKILL)
        after = wait_until(lambda: self.listed(posthorn).get(access), "another memory has the list")
        self.assertIn(after["refused"], (3, 4))
        posthorn.run("posthorn", "trials", "forget")
        self.assertEqual(self.listed(posthorn), {})
        wait_until(lambda: len(sink.messages) == 6, "all of it arrives")


if __name__ == "__main__":
    unittest.main()
