"""A sender with several source addresses: pools of transports, what receivers ask of one address, rules for domains."""
import collections
import contextvars

from journey import Journey, Sink, unittest

SOURCE = contextvars.ContextVar("source")


class BySource(Sink):
    """Knows which address each message came from; `throttled` are told to come later."""

    def __init__(self, **more):
        self.throttled, self.by_source, self.told, self.connected = set(), collections.Counter(), collections.Counter(), []
        super().__init__({"MAIL": self.mail, "DOT": self.taken}, **more)

    async def _session(self, reader, writer):
        SOURCE.set(writer.get_extra_info("peername")[0])
        self.connected.append((self._loop.time(), SOURCE.get()))
        await super()._session(reader, writer)

    def mail(self, _argument, _sink):
        if SOURCE.get() in self.throttled:
            self.told[SOURCE.get()] += 1
            return "421 4.7.0 [TSS04] Messages from this address temporarily deferred"
        return "250 2.1.0 Ok"

    def taken(self, _content, _sink):
        self.by_source[SOURCE.get()] += 1
        return "250 2.0.0 Ok"


class Pools(Journey):
    def pooled(self, settings=None):
        peer = BySource()
        self.addCleanup(peer.close)
        posthorn = self.instance({"relayhost": f"[127.0.0.1]:{peer.port}", "default_transport": "bulk",
                                  "pooled_transports": "{ bulk, out2=2, out3=1 }", **(settings or {})}, start=False)
        for last in (2, 3):
            posthorn.add_service(f"out{last} unix - - n - - smtp -o smtp_bind_address=127.0.0.{last} -o smtp_helo_name=out{last}.example.com")
        return posthorn, peer

    def send(self, posthorn, count, name):
        with posthorn.smtp() as client:
            for number in range(count):
                client.sendmail("news@example.com", [f"{name}{number}@there.test"], "Subject: x\r\n\r\nhello\r\n")

    def test_mail_is_shared_and_a_throttled_address_rests_alone(self):
        posthorn, peer = self.pooled()
        posthorn.start()
        self.send(posthorn, 90, "a")
        posthorn.wait_empty()
        self.assertEqual(set(peer.by_source), {"127.0.0.2", "127.0.0.3"})
        self.assertGreater(peer.by_source["127.0.0.2"], peer.by_source["127.0.0.3"])      # 60 and 30, give or take
        self.assertGreater(peer.by_source["127.0.0.3"], 10)
        self.assertIn("EHLO out2.example.com", peer.commands)

        peer.throttled.add("127.0.0.2")
        self.send(posthorn, 1, "w")                                                         # it may be told now or with one of the next
        self.send(posthorn, 30, "b")
        posthorn.wait_log(r"site 127\.0\.0\.1 from 127\.0\.0\.2: nothing is sent until")
        before = peer.told["127.0.0.2"]
        self.send(posthorn, 30, "c")
        posthorn.wait_log(r"to=<c\d+@there\.test>, .*status=sent", 30)
        self.assertEqual(peer.told["127.0.0.2"], before)                                    # nothing is tried from there
        self.assertNotRegex(posthorn.log(), r"site 127\.0\.0\.1 from 127\.0\.0\.3")
        said = posthorn.run("posthorn", "why", "-c", str(posthorn.dir), "there.test").stdout
        self.assertRegex(said, r"out2:\S+(.|\n)*out3:\S+|out3:\S+(.|\n)*out2:\S+")
        self.assertIn("nothing is sent until", said)
        # A flush ends the silence.
        peer.throttled.clear()
        posthorn.run("postqueue", "-f")
        posthorn.wait_empty()
        self.assertEqual(sum(peer.by_source.values()), 90 + 1 + 30 + 30)
        self.assertEqual(len(set(peer.recipients())), len(peer.recipients()))

    def test_a_restart_keeps_the_silence_of_one_address(self):
        posthorn, peer = self.pooled({"default_transport": "smtp", "sender_dependent_default_transport_maps": "inline:{@example.com=bulk}"})
        posthorn.start()
        peer.throttled.add("127.0.0.3")
        self.send(posthorn, 30, "a")
        posthorn.wait_log(r"site 127\.0\.0\.1 from 127\.0\.0\.3: nothing is sent until")
        posthorn.run("postfix", "stop")
        known = posthorn.run("posthorn", "peers").stdout
        self.assertRegex(known, r"127\.0\.0\.1 from 127\.0\.0\.3 .*nothing is sent until")
        peer.throttled.clear()
        before = peer.by_source["127.0.0.3"]
        posthorn.start()
        self.send(posthorn, 30, "b")
        posthorn.wait_log(r"to=<b\d+@there\.test>, .*status=sent", 30)
        self.assertEqual(peer.by_source["127.0.0.3"], before)
        posthorn.run("posthorn", "peers", "forget", "127.0.0.1")                             # its host's name is enough
        self.send(posthorn, 30, "c")
        posthorn.wait_log(r"to=<c\d+@there\.test>, .*status=sent", 30)
        self.assertGreater(peer.by_source["127.0.0.3"], before)

    def test_what_is_wrong_is_said_before_anything_starts(self):
        posthorn, _peer = self.pooled()
        posthorn.set({"pooled_transports": "{ bulk, out2, out9 }, { smtp, out3 }"})
        said = posthorn.run("postfix", "check", check=False).stderr
        self.assertIn("main.cf", said)
        self.assertRegex(said, r"pooled_transports: \S+/master\.cf has no service out9: mail that the pool bulk gives it waits")
        self.assertRegex(said, r"pooled_transports: \S+/master\.cf has a service smtp: the pool of that name has its mail")
        posthorn.set({"pooled_transports": "{ bulk, out2=many }"})
        refused = posthorn.run("postfix", "start", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("pooled_transports: 'out2=many': a weight from 1 to 1000 is wanted", refused.stdout + refused.stderr + posthorn.log())

    def test_rules_for_a_domain_hold_its_mail_and_no_other(self):
        """Two mails in a connection, and two connections a second, for slow.test alone."""
        rules = "domain /^slow\\.test$/ mails-per-session=2 connects=2/s sessions=4\n"
        posthorn, peer = self.pooled({"relayhost": "", "smtp_peer_rules": "$config_directory/site_rules", "default_transport": "smtp"})
        (posthorn.dir / "conf" / "site_rules").write_text(rules)
        posthorn.set({"transport_maps": f"inline:{{slow.test=smtp:slow.test:{peer.port}, fast.test=smtp:fast.test:{peer.port}}}",
                      "dns_servers": self.dns("slow.test. A 127.0.0.1\nfast.test. A 127.0.0.1\n")})
        posthorn.start()
        for domain in ("fast.test", "slow.test"):
            del peer.connected[:]
            with posthorn.smtp() as client:
                for number in range(8):
                    client.sendmail("news@example.com", [f"{number}@{domain}"], "Subject: x\r\n\r\nhello\r\n")
            posthorn.wait_empty()
            if domain == "fast.test":
                continue
            times = [time for time, _ in peer.connected]
            self.assertEqual(len(times), 4)
            for earlier, later in zip(times, times[1:]):
                self.assertGreater(later - earlier, 0.45)
        self.assertEqual(len(peer.messages), 16)


if __name__ == "__main__":
    unittest.main()
