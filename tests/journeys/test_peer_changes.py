"""Other servers change, and it is said: once, with times, and only where it lasts."""
import json
import re
import time

from journey import Certificate, Journey, unittest, wait_until

USUAL = ("PIPELINING", "8BITMIME", "SIZE 20000000", "CHUNKING", "ENHANCEDSTATUSCODES")
SAID = r"postfix/smtp\[\d+\]: (?:warning: )?(?:peer|site) \S+: changed: .*"


class PeerChanges(Journey):
    def start(self, sink, settings=None, relay=None):
        """Each mail in a session of its own."""
        return self.instance({"smtp_connection_cache_on_demand": "no", "smtp_pipe_connect": "no", **(settings or {})}, relay=relay or sink.port)

    def sessions(self, posthorn, sink, count):
        """So many more, one after the other, each over to its end."""
        for _ in range(count):
            before = sink.sessions
            posthorn.send([f"user{before}@there.test"])
            wait_until(lambda: sink.sessions > before and sink.open_now == 0, "the session is over")
        posthorn.wait_empty()

    def said(self, posthorn):
        return re.findall(SAID, posthorn.log())

    def ask(self, posthorn, *words, status=0):
        result = posthorn.run("posthorn", "peers", "-c", str(posthorn.dir), *words, check=False)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout if status == 0 else result.stderr

    def changes(self, posthorn, *words):
        return [json.loads(line) for line in self.ask(posthorn, "--json", "changes", *words).splitlines()]

    def test_a_product_that_is_replaced_is_told_once_with_all_that_went_with_it_and_over_a_restart(self):
        sink = self.sink({"CONNECT": "220 sink.test ESMTP Postfix (Debian/GNU)"}, keywords=USUAL)
        posthorn = self.start(sink)
        self.sessions(posthorn, sink, 6)
        self.assertIn("no change is known", self.ask(posthorn, "changes", status=1))
        posthorn.stop()
        posthorn.start()
        sink.replies["CONNECT"] = lambda *_: f"220 new.test ESMTP Exim 4.96 Wed, 25 Nov 2026 10:00:{time.monotonic_ns() % 60:02} +0000"
        sink.keywords = ("PIPELINING", "8BITMIME", "SIZE 5000000", "DSN", "ENHANCEDSTATUSCODES")
        self.sessions(posthorn, sink, 19)
        self.assertEqual(self.said(posthorn), [])
        self.sessions(posthorn, sink, 1)
        since = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
        posthorn.wait_log(rf"postfix/smtp\[\d+\]: peer new\.test\[127\.0\.0\.1\]: changed: CHUNKING is gone since {since}\n")
        posthorn.wait_log(rf"postfix/smtp\[\d+\]: warning: peer new\.test\[127\.0\.0\.1\]: changed: SIZE is 5000000 since {since}, 20000000 before: "
                          r"less than message_size_limit \(10240000\)\n")
        posthorn.wait_log(rf'changed: the greeting is "ESMTP Exim 4\.96" since {since}, "ESMTP Postfix Debian/GNU" before\n')
        posthorn.wait_log(rf"changed: the host of the greeting is new\.test since {since}, sink\.test before\n")
        posthorn.wait_log(rf"changed: DSN is offered since {since}\n")
        self.sessions(posthorn, sink, 25)
        self.assertEqual(len(self.said(posthorn)), 5)
        told = {change["name"] or change["of"]: change for change in self.changes(posthorn)}
        self.assertEqual(set(told), {"greeting", "host", "SIZE", "CHUNKING", "DSN"})
        self.assertEqual({name: told["SIZE"][name] for name in ("address", "banner_host", "kind", "before", "now", "grave")},
                         {"address": "127.0.0.1", "banner_host": "new.test", "kind": "other", "before": "20000000", "now": "5000000", "grave": True})
        self.assertLess(told["SIZE"]["since"], told["SIZE"]["told"] + "~")
        self.assertEqual(len(self.changes(posthorn, "--since", "1h", "127.0.0.1")), 5)
        self.assertIn("no change is known", self.ask(posthorn, "changes", "other.test", status=1))
        self.assertIn("no change is known", self.ask(posthorn, "changes", "--since", "2100-01-01", status=1))
        self.assertIn("is no time", self.ask(posthorn, "changes", "--since", "yesterday", status=64))
        self.assertRegex(self.ask(posthorn, "changes", "new.test"), r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  new\.test\[127\.0\.0\.1\]  \S+: CHUNKING is gone since \d{4}-")
        self.assertRegex(self.ask(posthorn, "show", "new.test"), r"\n  changed +CHUNKING is gone since ")
        self.assertRegex(self.ask(posthorn, "show", "new.test"), r"\n  changed +warning: SIZE is 5000000 since ")
        self.assertRegex(self.ask(posthorn, "show", "new.test"), r"\n  greeting +ESMTP Exim 4\.96\n")
        why = posthorn.run("posthorn", "why", "-c", str(posthorn.dir), "127.0.0.1").stdout
        self.assertRegex(why, r"\n  changed +CHUNKING is gone since ")
        counted = posthorn.run("posthorn", "counters", "-c", str(posthorn.dir)).stdout
        self.assertRegex(counted, r"peers_changed.*gone.* 1\b")
        self.ask(posthorn, "forget", "127.0.0.1")
        self.assertIn("no change is known", self.ask(posthorn, "changes", status=1))

    def test_two_machines_behind_one_address_are_told_once(self):
        turn = []

        def greet(_, sink):
            turn.append(0)
            odd = len(turn) > 6 and len(turn) % 2
            sink.keywords = ("PIPELINING", "SIZE 20000000") if odd else USUAL
            return "220 sink.test ESMTP Exim 4.96" if odd else "220 sink.test ESMTP Postfix"
        sink = self.sink({"CONNECT": greet}, keywords=USUAL)
        posthorn = self.start(sink)
        self.sessions(posthorn, sink, 40)
        said = [re.sub(r" from \d{4}-.*", "", line.split("changed: ")[1]) for line in self.said(posthorn)]
        self.assertEqual(sorted(said), ["8BITMIME comes and goes: offered, and missing for a while", "CHUNKING comes and goes: offered, and missing for a while",
                                        "ENHANCEDSTATUSCODES comes and goes: offered, and missing for a while",
                                        'the greeting comes and goes: "ESMTP Postfix", and "ESMTP Exim 4.96" for a while'])

    def test_a_server_that_says_something_else_each_time_does_not_fill_the_log(self):
        def greet(_, sink):
            number = time.monotonic_ns()
            sink.keywords = ("PIPELINING", *(f"X{number % 1000003}-{i}" for i in range(20)), f"SIZE {number}", f"EVIL \x1b[31m{number}")
            return f"220 sink.test ESMTP {number:x} \x1b[2J w{number}"
        sink = self.sink({"CONNECT": greet}, keywords=USUAL)
        posthorn = self.start(sink)
        self.sessions(posthorn, sink, 30)
        self.assertEqual(self.said(posthorn), [])
        self.assertNotIn("\x1b", posthorn.log())
        self.assertNotIn("\x1b", self.ask(posthorn, "show", "127.0.0.1"))

    def test_starttls_gone_is_a_warning_and_another_issuer_is_told(self):
        authorities = [Certificate("one.authority.test"), Certificate("two.authority.test")]
        leaves = [Certificate("sink.test", issuer) for issuer in authorities]
        self._opened.extend([*authorities, *leaves])
        sink = self.sink(keywords=USUAL, tls=leaves[0].server())
        posthorn = self.start(sink, {"smtp_tls_security_level": "may", "smtp_tls_session_cache_database": ""})
        self.sessions(posthorn, sink, 6)
        sink.tls = leaves[1].server()
        self.sessions(posthorn, sink, 20)
        posthorn.wait_log(r'changed: the issuer of the certificate is "two\.authority\.test" since .*, "one\.authority\.test" before\n')
        sink.tls = None
        self.sessions(posthorn, sink, 20)
        posthorn.wait_log(r"warning: peer sink\.test\[127\.0\.0\.1\]: changed: STARTTLS is gone since .* UTC: mail goes in clear, or waits where TLS is required\n")
        self.assertEqual(len(self.said(posthorn)), 2)

    def test_a_limit_that_refusals_tell_is_told_when_it_is_learned_and_not_again(self):
        asked = []

        def mail(_, sink):
            asked.clear()
            return "250 2.1.0 Ok"

        def rcpt(_, sink):
            asked.append(0)
            return "452 4.5.3 Too many recipients" if len(asked) > 3 else "250 2.1.5 Ok"
        sink = self.sink({"MAIL": mail, "RCPT": rcpt}, keywords=USUAL)
        posthorn = self.start(sink)
        everybody = [f"user{i}@there.test" for i in range(7)]
        posthorn.send(everybody)
        posthorn.wait_log(r"changed: recipients per mail is 3 since .* UTC, not known before\n")
        for sent in (10, 17):                                            # three of the first mail; the others wait
            posthorn.send(everybody)
            posthorn.wait_log("status=sent", sent)
        self.assertEqual(len(self.said(posthorn)), 1)
        change, = self.changes(posthorn)
        self.assertEqual((change["of"], change["name"], change["now"]), ("limit", "recipients per mail", "3"))

    def test_an_mx_set_that_moves_is_told_of_the_site(self):
        old = self.sink({"CONNECT": "220 old.test ESMTP"}, host="127.0.0.2")
        new = self.sink({"CONNECT": "220 new.test ESMTP"}, host="127.0.0.3", port=old.port)
        hosts = "old.test. A 127.0.0.2\nnew.test. A 127.0.0.3\n"
        posthorn = self.start(old, {"dns_servers": self.dns(hosts + "there.test. MX 10 old.test.\n"), "relayhost": f"there.test:{old.port}"})
        self.sessions(posthorn, old, 6)
        posthorn.set({"dns_servers": self.dns(hosts + "there.test. MX 10 new.test.\n")})
        posthorn.run("postfix", "reload")
        self.sessions(posthorn, new, 20)
        posthorn.wait_log(r"postfix/smtp\[\d+\]: site \S*there\.test\S*: changed: the MX set is new\.test since .* UTC, old\.test before\n")
        self.assertEqual(len(self.said(posthorn)), 1)
        change, = self.changes(posthorn, f"there.test:{old.port}")
        self.assertEqual((change["of"], change["before"], change["now"], change["address"]), ("mx", "old.test", "new.test", ""))


if __name__ == "__main__":
    unittest.main()
