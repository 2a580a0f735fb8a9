"""Is this address alive? reject_unverified_recipient and reject_unverified_sender through the whole system."""
import json
import os
import re
import signal
import threading
import time

from journey import Certificate, DelayLine, Journey, SimPeer, Sink, free_port, unittest, wait_until

RCPT = "smtpd_recipient_restrictions"


class Verification(Journey):
    def opened(self, thing):
        self._opened.append(thing)
        return thing

    def verifying(self, sink_port, settings=None):
        return self.instance({"relay_domains": "there.test", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
                              RCPT: "reject_unverified_recipient", "mynetworks": "192.0.2.1", "address_verify_control_domains": "", **(settings or {})}, relay=sink_port)

    def rcpt(self, posthorn, address, sender="sender@example.com"):
        """The reply to RCPT, and the seconds it took."""
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail(sender)
            began = time.monotonic()
            code, text = client.rcpt(address)
            return code, text.decode(), time.monotonic() - began

    def test_an_unknown_address_is_probed_while_the_client_waits_and_is_known_afterwards(self):
        sink = self.sink({"RCPT": lambda argument, sink: "550 5.1.1 No such user" if "nobody" in argument else "250 2.1.5 Recipient OK"})
        posthorn = self.verifying(sink.port)
        self.assertEqual(self.rcpt(posthorn, "user@there.test")[:2], (250, "2.1.5 Ok"))
        reply = rf"4\.1\.1 <nobody@there\.test>: Recipient address rejected: unverified address: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 No such user \(in reply to RCPT TO command\)"
        for _ in range(3):
            code, text, _ = self.rcpt(posthorn, "nobody@there.test")
            self.assertEqual(code, 450)
            self.assertRegex(text, reply)
        self.assertEqual(self.rcpt(posthorn, "user@there.test")[0], 250)
        # One probe each, from the probe sender, and no content ever.
        self.assertEqual(sum("RCPT TO:<nobody@" in command for command in sink.commands), 1)
        self.assertEqual(sum("RCPT TO:<user@" in command for command in sink.commands), 1)
        self.assertTrue(all("<double-bounce@" in c for c in sink.commands if c.startswith("MAIL")))
        self.assertNotIn("DATA", sink.commands)
        posthorn.wait_log(r"smtp\[\d+\]: \w+: to=<user@there\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=2\.1\.5, status=deliverable \(250 2\.1\.5 Recipient OK\)")
        posthorn.wait_log(r"smtp\[\d+\]: \w+: to=<nobody@there\.test>, relay=.*dsn=5\.1\.1, status=undeliverable \(host .* said: 550 5\.1\.1 No such user \(in reply to RCPT TO command\)\)")
        posthorn.wait_log(r"NOQUEUE: reject: RCPT from .*: 450 4\.1\.1 <nobody@there\.test>: Recipient address rejected: unverified address: ")
        self.assertEqual(posthorn.queue(), [])
        # Both probes that a client waited for are among whom smtpd asks.
        helpers = {one["kind"]: one for one in map(json.loads, posthorn.run("posthorn", "helpers", "--json").stdout.splitlines())}
        self.assertGreaterEqual(helpers["verification"]["answers"], 2)
        self.assertEqual((helpers["verification"]["failed"], helpers["verification"]["programs"]), (0, ["smtpd"]))
        # What was learned outlives the processes.
        posthorn.wait_log("reject: RCPT")
        time.sleep(1.5)                                              # the cache is written once a second
        posthorn.stop()
        posthorn.start()
        self.assertEqual(self.rcpt(posthorn, "nobody@there.test")[0], 450)
        self.assertEqual(sum("RCPT TO:<nobody@" in command for command in sink.commands), 1)
        found = posthorn.run("postmap", "-q", "nobody@there.test", f"lmdb:{posthorn.dir}/data/verify_cache").stdout
        self.assertRegex(found, r"^2:0:\d+:host 127\.0\.0\.1")

    def test_a_frontbridge_server_verifies_at_the_first_attempt_with_pipelining_on(self):
        posthorn = self.verifying(self.opened(SimPeer("frontbridge")).port)
        code, text, _ = self.rcpt(posthorn, "receiver@there.test")
        self.assertEqual((code, text), (250, "2.1.5 Ok"))
        posthorn.wait_log(r"to=<receiver@there\.test>, .*status=deliverable")
        self.assertNotIn("lost connection with", posthorn.log())

    def test_simultaneous_questions_share_a_probe_and_a_site_shares_sessions(self):
        sink = self.sink(delay=0.02)
        posthorn = self.verifying(sink.port)
        answers = []

        def ask(number):
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                client.mail("sender@example.com")
                for i in range(10):
                    answers.append(client.rcpt(f"user{number % 10}.{i}@there.test")[0])
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [250] * 200)
        asked = [c for c in sink.commands if c.startswith("RCPT")]
        self.assertEqual(len(asked), len(set(asked)))
        self.assertEqual(len(asked), 100)
        self.assertLessEqual(sink.sessions, 3)

    def test_the_recipients_of_a_group_are_asked_about_together(self):
        sink = self.sink(delay=0.05)
        posthorn = self.verifying(sink.port)
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            group = "".join(["MAIL FROM:<sender@example.com>\r\n", *[f"RCPT TO:<user{i}@there.test>\r\n" for i in range(30)], "RSET\r\n"])
            client.send(group)
            replies = [client.getreply()[0] for _ in range(32)]
        self.assertEqual(replies, [250] * 32)
        self.assertLessEqual(sink.sessions, 2)
        posthorn.wait_log(r"status=deliverable", 30)
        # As many together as a server may refuse before it becomes slow.
        self.assertRegex(posthorn.log(), r"from=<double-bounce@\S+>, size=0, nrcpt=10 \(queue active\)")
        self.assertLessEqual(len(re.findall(r"nrcpt=\d+ \(queue active\)", posthorn.log())), 5)

    def test_an_unknown_address_costs_four_round_trips_and_one_on_a_session_that_stands(self):
        for peer in ("frontbridge", "data-only"):
            line = self.opened(DelayLine(self.opened(SimPeer(peer)).port, 100))
            posthorn = self.verifying(line.port, {"smtp_connection_cache_time_limit": "60s"})
            self.assertEqual(self.rcpt(posthorn, "first@there.test")[0], 250)
            answered = len(line.reads)
            self.assertEqual(self.rcpt(posthorn, "second@there.test")[0], 250)
            said = [(connection, text.split()[0]) for connection, way, _, _, text in line.reads if way == ">"]
            first = line.reads[0][0]
            # SYN, the greeting, EHLO, the envelope; then the next envelope.
            self.assertEqual(said[:2], [(first, "EHLO"), (first, "MAIL")])
            self.assertIn(said[2], [(first, "RSET"), (first, "MAIL")])
            self.assertEqual({connection for connection, _ in said}, {first})
            self.assertEqual(len([1 for _, way, _, _, _ in line.reads[:answered] if way == ">"]), 2)
            self.assertEqual(len(said), 3)

    def test_a_probe_over_tls_that_breaks_is_not_said_again_in_the_clear(self):
        certificate = self.opened(Certificate("127.0.0.1"))
        sink = self.sink({"RCPT": None}, tls=certificate.server())          # hangs up on the probe
        posthorn = self.verifying(sink.port, {"smtp_tls_security_level": "may"})
        for address in ("one@there.test", "two@there.test"):
            code, text, _ = self.rcpt(posthorn, address)
            self.assertEqual(code, 450)
            self.assertRegex(text, "lost connection with .* while sending RCPT TO")
        self.assertEqual(sink.sessions, len(sink.tls_sessions))
        self.assertEqual(sum(c.startswith("STARTTLS") for c in sink.commands), sink.sessions)

    def test_frontbridge_with_tls_stays_encrypted_even_where_postfix_grouping_loses_the_probe(self):
        for grouping, sessions in (("no", 1), ("yes", 2)):
            line = self.opened(DelayLine(self.opened(SimPeer("frontbridge")).port, 0))
            posthorn = self.verifying(line.port, {"smtp_tls_security_level": "may", "smtp_quit_in_group": grouping, "smtp_peer_rules": ""})
            self.assertEqual(self.rcpt(posthorn, "receiver@there.test")[0], 250)
            def so_far():
                return [text for _, way, _, _, text in line.reads if way == ">"]
            # The line's own report of a read may come after the answer that it led to.
            wait_until(lambda: sum(text.startswith("STARTTLS") for text in so_far()) >= sessions, f"{sessions} sessions say STARTTLS")
            said = so_far()
            self.assertEqual(sum(text.startswith("STARTTLS") for text in said), sessions)
            self.assertFalse([text for text in said if text.startswith(("MAIL", "RCPT"))])

    def test_the_longest_wait_is_poll_count_times_poll_delay_and_the_answer_comes_later(self):
        gate = threading.Event()

        def slow(argument, sink):
            gate.wait(30)
            return "250 2.1.5 Recipient OK"
        sink = self.sink({"RCPT": slow})
        posthorn = self.verifying(sink.port, {"address_verify_poll_count": "2", "address_verify_poll_delay": "1s"})
        code, text, took = self.rcpt(posthorn, "user@there.test")
        self.assertEqual((code, text), (450, "4.1.1 <user@there.test>: Recipient address rejected: unverified address: Address verification in progress"))
        self.assertGreaterEqual(took, 1.9)
        gate.set()
        posthorn.wait_log("status=deliverable")
        self.assertEqual(self.rcpt(posthorn, "user@there.test")[0], 250)

    def test_senders_are_verified_and_the_null_sender_is_not(self):
        sink = self.sink({"RCPT": lambda argument, sink: "550 5.1.1 No such user" if "nobody" in argument else "250 2.1.5 Recipient OK"})
        posthorn = self.verifying(sink.port, {RCPT: "permit", "smtpd_sender_restrictions": "reject_unverified_sender", "unverified_sender_reject_code": "550",
                                              "unverified_sender_reject_reason": "who is that"})
        self.assertEqual(self.rcpt(posthorn, "x@there.test", "nobody@else.test")[:2],
                         (550, "5.1.7 <nobody@else.test>: Sender address rejected: undeliverable address: who is that"))
        self.assertEqual(self.rcpt(posthorn, "x@there.test", "somebody@else.test")[0], 250)
        self.assertEqual(self.rcpt(posthorn, "x@there.test", "")[0], 250)
        # Somebody verifies the sender of our probes: no probe in turn.
        probe_sender, = {re.search("<(.*?)>", command).group(1) for command in sink.commands if command.startswith("MAIL")}
        posthorn.set({RCPT: "reject_unverified_recipient", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"})
        posthorn.run("postfix", "reload")
        wait_until(lambda: self.rcpt(posthorn, "x@foreign.test", "")[0] == 554, "the new restrictions are in force")
        self.assertEqual(self.rcpt(posthorn, probe_sender, "")[0], 250)

    def test_an_alias_is_followed_and_several_are_deliverable(self):
        sink = self.sink({"RCPT": lambda argument, sink: "550 5.1.1 No such user" if "gone" in argument else "250 2.1.5 Recipient OK"})
        posthorn = self.verifying(sink.port, {"virtual_alias_maps": "inline:{ {sales@there.test=gone@else.test} {team@there.test=a@else.test, gone@else.test} }"})
        self.assertEqual(self.rcpt(posthorn, "sales@there.test")[0], 450)
        self.assertEqual(self.rcpt(posthorn, "team@there.test")[0], 250)
        posthorn.wait_log(r"to=<team@there\.test>, relay=none, .*status=deliverable \(aliased to multiple recipients\)")
        self.assertTrue(any("RCPT TO:<gone@else.test>" in c for c in sink.commands))

    def test_a_peer_that_is_away_defers_and_is_tried_again_when_the_answer_is_old(self):
        port = free_port()
        posthorn = self.verifying(port, {"address_verify_negative_refresh_time": "1s"})
        code, text, _ = self.rcpt(posthorn, "user@there.test")
        self.assertEqual(code, 450)
        self.assertRegex(text, r"unverified address: connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Connection refused")
        sink = Sink(port=port)
        self.addCleanup(sink.close)
        wait_until(lambda: (time.sleep(0.5), self.rcpt(posthorn, "user@there.test")[0])[1] == 250, "the refresh finds the peer back")

    def test_a_domain_that_takes_everybody_is_found_out_by_one_random_address_and_its_addresses_count_as_verified(self):
        sink = self.sink({"RCPT": lambda argument, sink: "250 2.1.5 Ok" if "all.test" in argument or "<user" in argument else "550 5.1.1 No such user"})
        posthorn = self.verifying(sink.port, {"relay_domains": "all.test, there.test", "address_verify_control_domains": "$relay_domains",
                                              "mynetworks": "127.0.0.0/8"})
        for address in ("user1@all.test", "user2@all.test", "user1@there.test", "user2@there.test", "user1@stranger.test"):
            self.assertEqual(self.rcpt(posthorn, address)[0], 250)
        posthorn.wait_log(r"verify\[\d+\]: verify-useless: all\.test takes every recipient, also one made up")
        wait_until(lambda: sum("there.test" in c for c in sink.commands if c.startswith("RCPT")) == 3, "the other relay domain has its question")
        asked = [re.search("<(.*)@(.*)>", c).groups() for c in sink.commands if c.startswith("RCPT")]
        made_up = [domain for local, domain in asked if not local.startswith("user")]
        self.assertEqual(sorted(made_up), ["all.test", "there.test"])        # one each, and none to others: it would be harvesting
        self.assertEqual(posthorn.log().count("verify-useless"), 1)
        self.assertEqual(posthorn.run("postconf", "-dh", "address_verify_control_domains").stdout, "$relay_domains\n")
        self.assertEqual(self.rcpt(posthorn, "user3@all.test")[0], 250)
        time.sleep(1.5)                                                     # the cache is written once a second
        for domain, kind in (("all.test", "0"), ("there.test", "2")):
            self.assertTrue(posthorn.run("postmap", "-q", f"control:{domain}", f"lmdb:{posthorn.dir}/data/verify_cache").stdout.startswith(kind + ":0:"))

    def test_what_is_over_the_budget_of_a_site_is_answered_with_the_reason_and_not_remembered(self):
        gate = threading.Event()

        def slow(argument, sink):
            gate.wait(60)
            return "250 2.1.5 Recipient OK"
        sink = self.sink({"RCPT": slow})
        self.addCleanup(gate.set)
        posthorn = self.verifying(sink.port, {"address_verify_site_session_limit": "1", "address_verify_site_pending_limit": "3", "address_verify_poll_count": "3"})
        in_progress, over = "Address verification in progress", "Too many address verification requests for this destination"
        self.assertEqual(self.rcpt(posthorn, "user0@there.test")[1], f"4.1.1 <user0@there.test>: Recipient address rejected: unverified address: {in_progress}")
        said = []
        threads = [threading.Thread(target=lambda i=i: said.append(self.rcpt(posthorn, f"user{i}@there.test")[1].split(": ")[-1])) for i in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(said), 3 * [in_progress] + 5 * [over])      # one is being asked about, three wait
        self.assertEqual(len(posthorn.wait_log(r"warning: 3 addresses of \S+ wait for a probe: no more are asked about \(address_verify_site_pending_limit\)")), 1)
        gate.set()
        wait_until(lambda: all(self.rcpt(posthorn, f"user{i}@there.test")[0] == 250 for i in range(9)), "there is room again, and nothing was remembered")
        self.assertEqual(sink.most_open, 1)

    def test_the_cache_survives_kill_9_and_a_probe_outstanding_then_blocks_nobody(self):
        gate = threading.Event()

        def answer(argument, sink):
            if "slow" in argument:
                gate.wait(60)
            return "550 5.1.1 No such user" if "nobody" in argument else "250 2.1.5 Recipient OK"
        sink = self.sink({"RCPT": answer})
        self.addCleanup(gate.set)
        posthorn = self.verifying(sink.port, {"address_verify_poll_count": "10"})
        for i in range(20):
            self.assertEqual(self.rcpt(posthorn, f"nobody{i}@there.test")[0], 450)
        time.sleep(1.5)
        waiting = threading.Thread(target=lambda: self.rcpt(posthorn, "slow@there.test"))
        waiting.start()
        wait_until(lambda: any("slow@" in c for c in sink.commands), "the probe is under way")
        pid, = posthorn.pids_of("memory")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: posthorn.pids_of("memory") not in ([], [pid]), "memory is started again")
        gate.set()
        waiting.join()
        asked = sum(c.startswith("RCPT") and "nobody" in c for c in sink.commands)
        for i in range(20):
            self.assertEqual(self.rcpt(posthorn, f"nobody{i}@there.test")[0], 450)
        self.assertEqual(sum(c.startswith("RCPT") and "nobody" in c for c in sink.commands), asked)     # all from the file
        wait_until(lambda: self.rcpt(posthorn, "slow@there.test")[0] == 250, "the address is asked about anew")

    def test_the_time_dependent_sender_of_probes_is_known_again_in_mail_and_rcpt(self):
        sink = self.sink()
        posthorn = self.verifying(sink.port, {"address_verify_sender_ttl": "3600s", "smtpd_recipient_restrictions": "reject_unverified_recipient, reject",
                                              "smtpd_sender_restrictions": "reject_unverified_sender"})
        self.assertEqual(self.rcpt(posthorn, "user@there.test", "who@else.test")[0], 554)
        sender, = {re.search("<(.*?)>", c).group(1) for c in sink.commands if c.startswith("MAIL")}
        self.assertRegex(sender, r"^double-bounce[0-9B-DF-HJ-NP-TV-Z]{3,5}@")
        self.assertEqual(self.rcpt(posthorn, sender, "")[0], 250)              # not even `reject` stands before it
        stale = sender.replace("double-bounce", "double-bounce1")
        self.assertEqual(self.rcpt(posthorn, stale, "")[0], 554)
        posthorn.send([sender], sender=sender)
        posthorn.wait_log(r"from=<double-bounce@")

    def test_a_refusal_of_the_probes_sender_says_nothing_of_the_address(self):
        sink = self.sink({"RCPT": lambda argument, sink: "550 5.1.7 <double-bounce@x>: Sender address rejected: undeliverable address: host y said: 550 5.1.1 unknown"})
        posthorn = self.verifying(sink.port, {"unverified_recipient_reject_code": "550", "unverified_sender_reject_code": "550",
                                              "smtpd_sender_restrictions": "reject_unverified_sender"})
        code, text, _ = self.rcpt(posthorn, "user@there.test", "")
        self.assertEqual(code, 450)
        self.assertRegex(text, r"^4\.1\.1 .*unverified address")
        # And what we say of a sender never begins with 5.1.1.
        sink.replies["RCPT"] = lambda argument, sink: "550 5.1.1 unknown"
        code, text, _ = self.rcpt(posthorn, "user@there.test", "dead@else.test")
        self.assertEqual(code, 550)
        self.assertRegex(text, r"^5\.1\.7 <dead@else\.test>: Sender address rejected: undeliverable address: ")


if __name__ == "__main__":
    unittest.main()
