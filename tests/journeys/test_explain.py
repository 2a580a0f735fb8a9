"""Eyes: what was said in a failed session, why something waits, what is known of other servers."""
import json
import re
import threading

from journey import Journey, free_port, unittest, wait_until
from test_peers import Peer


class Explain(Journey):
    def peer(self, name):
        peer = Peer(name)
        self._opened.append(peer)
        return peer

    def ask(self, posthorn, *words, status=0):
        result = posthorn.run("posthorn", words[0], "-c", str(posthorn.dir), *words[1:], check=False)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout if status == 0 else result.stderr

    def why(self, posthorn, word):
        return json.loads(self.ask(posthorn, "why", "--json", word))

    def waiting_for(self, posthorn, word, wait):
        """The answer, once the message waits for that."""
        def look():
            said = self.why(posthorn, word)
            return said if any(one["wait"] == wait for one in said.get("waiting", [])) else None
        return wait_until(look, f"{word} waits for {wait}")

    def queue_id(self, posthorn, address):
        return wait_until(lambda: next((m["queue_id"] for m in posthorn.queue() if any(r["address"] == address for r in m["recipients"])), None),
                          f"{address} is in the queue")

    def transcript(self, posthorn, word):
        return wait_until(lambda: posthorn.run("posthorn", "transcript", "-c", str(posthorn.dir), word, check=False).stdout, f"a transcript of {word}")

    def test_a_failed_session_is_told_by_queue_id_without_content_and_is_there_while_the_system_is_down(self):
        sink = self.sink({"RCPT": lambda argument, sink: "450 4.2.1 Mailbox busy" if "busy" in argument else "250 2.1.5 Ok"})
        posthorn = self.instance(relay=sink.port)
        posthorn.send(["busy@there.test", "fine@there.test"], content=b"Subject: private words\r\n\r\nnobody else reads this\r\n")
        posthorn.wait_log(r"to=<busy@there\.test>, .*status=deferred")
        queue_id = self.queue_id(posthorn, "busy@there.test")
        text = self.transcript(posthorn, queue_id)
        self.assertRegex(text, r"^session with 127\.0\.0\.1\[127\.0\.0\.1\]:\d+, by smtp, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\n")
        self.assertRegex(text, rf"\nfailed: {queue_id}: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 450 4\.2\.1 Mailbox busy \(in reply to RCPT TO command\)\n")
        self.assertRegex(text, r"\(the next 4 lines in one segment\)\n +(?:\d+\.\d{3})?  C: MAIL FROM:<sender@example\.com>.*\n +C: RCPT TO:<busy@there\.test>.*\n"
                               r" +C: RCPT TO:<fine@there\.test>.*\n +C: DATA\n")
        self.assertIn("S: 450 4.2.1 Mailbox busy", text)
        self.assertRegex(text, r"C: \[\d+ octets of content\]")
        folder = posthorn.dir / "data" / "transcripts"
        for file in folder.iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600)
            self.assertNotIn(b"private words", file.read_bytes())
            self.assertNotIn(b"nobody else", file.read_bytes())
        self.assertEqual(self.transcript(posthorn, "busy@there.test"), text)
        told = json.loads(self.ask(posthorn, "transcript", "--json", queue_id).splitlines()[0])
        self.assertEqual(told["queue_ids"], [queue_id])
        self.assertIn(queue_id, self.ask(posthorn, "transcript"))
        self.assertIn("none kept of nobody", self.ask(posthorn, "transcript", "nobody", status=1))
        self.assertIn("usage", self.ask(posthorn, "transcript", "a", "b", status=64))
        posthorn.stop()
        self.assertEqual(self.transcript(posthorn, queue_id).splitlines()[0], text.splitlines()[0])
        said = posthorn.run("posthorn", "why", "-c", str(posthorn.dir), queue_id).stdout
        self.assertIn("(the mail system is down: the queue is not asked)", said)
        self.assertIn("S: 450 4.2.1 Mailbox busy", said)

    def test_of_a_site_it_says_how_fast_its_mail_goes_and_when_that_is_gone(self):
        go_on, taken = threading.Event(), []
        def slowly(content, sink):
            taken.append(0)
            go_on.wait(60 if len(taken) > 8 else 0.5)                # the others come meanwhile: the site always has mail
            return "250 2.0.0 Ok"
        sink = self.sink({"DOT": slowly})
        posthorn = self.instance({"default_destination_concurrency_limit": "1", "initial_destination_concurrency": "1"}, relay=sink.port)
        for i in range(40):
            posthorn.send([f"user{i}@there.test"])
        posthorn.wait_log("status=sent", 8)
        def looked():
            site = next(iter(self.why(posthorn, "there.test")["sites"]), None)
            return site if site and site["left_per_minute"] >= 5 and site["waiting_recipients"] else None
        site = wait_until(looked, "some have left")
        self.assertAlmostEqual(site["empties_in"], site["waiting_recipients"] * 60 / site["left_per_minute"], delta=site["empties_in"] * 0.05 + 2)
        self.assertRegex(self.ask(posthorn, "why", "there.test"), r"\n    pace         [0-9.]+ recipients a minute leave, [0-9.]+ come; empties in (less than|about) ")
        go_on.set()
        posthorn.wait_log("status=sent", 40)

    def test_of_a_delivery_under_way_it_says_what_that_waits_for(self):
        held = threading.Event()
        def slowly(content, sink):
            held.wait(60)
            return "250 2.0.0 Ok"
        sink = self.sink({"DOT": slowly})
        posthorn = self.instance(relay=sink.port)
        posthorn.send(["user@there.test"])
        queue_id = self.queue_id(posthorn, "user@there.test")
        def looked():
            said = self.why(posthorn, queue_id)["waiting"][0]
            return said if "end of data" in said["now"] else None
        said = wait_until(looked, "the content has been sent")
        self.assertEqual((said["wait"], said["now"]), ("delivery", f"127.0.0.1[127.0.0.1]:{sink.port}, sending end of data -- message may be sent more than once"))
        self.assertRegex(said["now_since"], r"^\d{4}-\d\d-\d\dT")
        self.assertRegex(self.ask(posthorn, "why", queue_id), rf"\n +now +127\.0\.0\.1\[127\.0\.0\.1\]:{sink.port}, sending end of data -- message may be sent more than once, since \d{{4}}-")
        held.set()
        posthorn.wait_empty()

    def test_the_ring_holds_the_last_good_ones_and_no_more_octets_than_it_may(self):
        sink = self.sink({"RCPT": lambda argument, sink: "550 5.1.1 unknown" if "nobody" in argument else "250 2.1.5 Ok"})
        posthorn = self.instance({"smtp_transcript_good_count": "3", "smtp_transcript_size": "32768", "smtp_connection_cache_on_demand": "no",
                                  "soft_bounce": "no"}, relay=sink.port)
        for i in range(6):
            posthorn.send([f"user{i}@there.test"])
            posthorn.wait_log("status=sent", i + 1)
        def good():
            return [line for line in self.ask(posthorn, "transcript", "--json").splitlines() if not json.loads(line)["failures"]]
        wait_until(lambda: any("user5@" in line for line in good()), "the last one is told")
        self.assertEqual(len(good()), 3)
        folder = posthorn.dir / "data" / "transcripts"
        for i in range(60):
            posthorn.send([f"nobody{i}@there.test"], sender="")
        posthorn.wait_log("status=bounced", 60)
        wait_until(lambda: "nobody59@" in self.ask(posthorn, "transcript", "--json"), "the last failure is told")
        self.assertLessEqual(sum(file.stat().st_size for file in folder.iterdir()), 32768)
        self.assertNotIn("nobody0@", self.ask(posthorn, "transcript", "--json"))

    def test_where_no_transcripts_are_wanted_there_are_none(self):
        sink = self.sink({"RCPT": "450 4.2.1 Mailbox busy"})
        posthorn = self.instance({"smtp_transcript_size": "0"}, relay=sink.port)
        posthorn.send(["busy@there.test"])
        posthorn.wait_log("status=deferred")
        self.assertIn("none kept", self.ask(posthorn, "transcript", status=1))

    def test_why_names_the_wait_of_a_message_that_is_deferred_held_or_whose_site_is_dead(self):
        sink = self.sink({"RCPT": lambda argument, sink: "450 4.2.1 Mailbox busy" if "busy" in argument else "250 2.1.5 Ok"})
        away = free_port()
        posthorn = self.instance({"transport_maps": f"inline:{{ {{away.test=smtp:[127.0.0.1]:{away}}} }}", "minimal_backoff_time": "200s"}, relay=sink.port)
        posthorn.send(["busy@there.test"])
        posthorn.wait_log(r"to=<busy@there\.test>, .*status=deferred")
        busy = self.queue_id(posthorn, "busy@there.test")
        said = self.waiting_for(posthorn, busy, "retry-time")
        one, = said["waiting"]
        self.assertEqual(said["queue_name"], "deferred")
        self.assertEqual((one["recipient"], one["tries"], one["transport"]), ("busy@there.test", 1, "smtp"))
        self.assertIn("450 4.2.1 Mailbox busy", one["reason"])
        self.assertGreater(one["next_try"], one["since"])
        self.assertEqual((one["setting"], one["command"]), ("maximal_backoff_time, minimal_backoff_time", f"postqueue -i {busy}"))
        said = wait_until(lambda: (now := self.why(posthorn, busy))["transcript"] and now, "the transcript is kept")
        self.assertIn(busy, said["transcript"]["queue_ids"])
        self.assertRegex(self.ask(posthorn, "why", busy), r"(?s)waits for +retry-time: .*changed by +the setting maximal_backoff_time, minimal_backoff_time; "
                                                         rf"at once: postqueue -i {busy}\n.*the last transcript: session with ")
        # Of the address and of its domain the same is said.
        self.assertEqual([m["queue_id"] for m in self.why(posthorn, "busy@there.test")["waiting"]], [busy])
        domain = self.why(posthorn, "there.test")
        self.assertEqual((domain["messages"], domain["recipients"], domain["queue_ids"]), (1, 1, [busy]))
        self.assertEqual(domain["waiting"][0]["waiting"][0]["wait"], "retry-time")

        posthorn.run("postsuper", "-h", busy)
        one, = self.waiting_for(posthorn, busy, "hold")["waiting"]
        self.assertEqual(one["command"], f"postsuper -H {busy}")
        self.assertEqual(self.why(posthorn, "there.test")["on_hold"], 1)

        for i in range(30):
            posthorn.send([f"user{i}@away.test"])
        posthorn.wait_log(r"to=<user\d+@away\.test>, .*status=deferred", 30)
        last = self.queue_id(posthorn, "user29@away.test")
        said = self.waiting_for(posthorn, last, "dead-site")
        self.assertIn("Connection refused", said["waiting"][0]["trouble"])
        self.assertTrue(said["sites"][0]["dead_until"])
        text = self.ask(posthorn, "why", "away.test")
        self.assertRegex(text, r"in the queue +30 messages with 30 recipients")
        self.assertRegex(text, r"waits for +dead-site: ")

        self.assertIn("nothing is known of it", self.ask(posthorn, "why", "3zzzzzzzzzzzz", status=1))
        self.assertIn("usage", self.ask(posthorn, "why", status=64))

    def test_why_names_the_wait_of_a_delivery_and_of_the_mail_behind_it(self):
        gate = threading.Event()

        def slow(argument, sink):
            gate.wait(60)
            return "250 2.1.5 Ok"
        sink = self.sink({"RCPT": slow})
        self.addCleanup(gate.set)
        posthorn = self.instance({"smtp_destination_concurrency_limit": "1", "initial_destination_concurrency": "1"}, relay=sink.port)
        posthorn.send(["first@there.test"])
        first = self.queue_id(posthorn, "first@there.test")
        self.waiting_for(posthorn, first, "delivery")
        posthorn.send(["second@there.test"])
        second = self.queue_id(posthorn, "second@there.test")
        one, = self.waiting_for(posthorn, second, "concurrency-window")["waiting"]
        self.assertEqual(one["setting"], "smtp_destination_concurrency_limit")
        gate.set()
        posthorn.wait_empty()
        self.assertIn("not in the queue", wait_until(lambda: posthorn.run("posthorn", "why", "-c", str(posthorn.dir), first, check=False).stdout, "its transcript"))

    def test_why_says_what_is_known_of_an_address_and_that_it_is_being_asked(self):
        gate = threading.Event()

        def slow(argument, sink):
            if "slow" in argument:
                gate.wait(60)
            return "550 5.1.1 No such user"
        sink = self.sink({"RCPT": slow})
        self.addCleanup(gate.set)
        posthorn = self.instance({"relay_domains": "there.test", "smtpd_recipient_restrictions": "reject_unverified_recipient", "mynetworks": "192.0.2.1",
                                  "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination", "address_verify_poll_count": "1"}, relay=sink.port)

        def rcpt(address):
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                client.mail("sender@example.com")
                return client.rcpt(address)
        self.assertEqual(rcpt("slow@there.test")[0], 450)
        said = wait_until(lambda: (lambda s: s if s["verification"]["wait"] else None)(self.why(posthorn, "slow@there.test")), "the probe is under way")
        self.assertEqual((said["verification"]["wait"], said["verification"]["known"], said["verification"]["waiting"]), ("probe", False, 0))
        self.assertTrue(said["verification"]["asked_since"])
        gate.set()
        posthorn.wait_log("to=<slow@there.test>.*status=undeliverable")
        said = wait_until(lambda: (lambda s: s if s["verification"]["known"] else None)(self.why(posthorn, "slow@there.test")), "the answer is known")
        self.assertEqual((said["verification"]["status"], said["verification"]["wait"]), ("undeliverable", None))
        self.assertIn("550 5.1.1 No such user", said["verification"]["text"])
        self.assertLess(said["verification"]["updated"], said["verification"]["expires"])
        self.assertRegex(self.ask(posthorn, "why", "slow@there.test"), r"known +undeliverable since .*550 5\.1\.1 No such user")
        # The cache and the transcript say it while the system is down.
        posthorn.stop()
        said = self.why(posthorn, "slow@there.test")
        self.assertEqual(said["verification"]["status"], "undeliverable")
        self.assertTrue(said["transcript"]["probe"])

    def test_why_says_who_knows_what_of_frontbridge(self):
        peer = self.peer("frontbridge")
        posthorn = self.instance({"smtp_connection_cache_on_demand": "no"}, relay=peer.port)
        posthorn.send(["user@bridge.test"])
        posthorn.wait_log("status=sent")
        said = wait_until(lambda: (lambda s: s if s["peers"] and s["peers"][0]["rule_file"] else None)(self.why(posthorn, "bridge.test")), "the peer is known")
        self.assertIn("quit-alone", said["peers"][0]["rule_file"])
        self.assertEqual(said["peers"][0]["server"]["banner_host"], "VA3EHSMHS018.bigfish.com")
        posthorn.set({"smtp_discard_ehlo_keyword_address_maps": "inline:{ {127.0.0.1=silent-discard pipelining} }"})
        text = self.ask(posthorn, "why", "bridge.test")
        self.assertRegex(text, r"rule file +.*quit-alone.* \(smtp_peer_rules; outvotes what is learned\)")
        self.assertRegex(text, r"administrator +smtp_discard_ehlo_keyword_address_maps: 127\.0\.0\.1 silent-discard pipelining \(outvotes both\)")
        self.assertIn("S: 220 VA3EHSMHS018.bigfish.com", text)

    def test_peers_are_listed_shown_forgotten_exported_and_taken_over_at_once(self):
        peer = self.peer("frontbridge")
        posthorn = self.instance({"smtp_connection_cache_on_demand": "no", "smtp_peer_rules": ""}, relay=peer.port)

        def deliver(count):
            posthorn.send(["user@there.test"])
            posthorn.wait_log("status=sent", count)
            wait_until(lambda: peer.said().count("QUIT") >= count, f"{count} sessions ended")
        deliver(1)
        posthorn.wait_log("learned quit-alone")
        self.assertRegex(self.ask(posthorn, "peers"), r"(?m)^127\.0\.0\.1  VA3EHSMHS018\.bigfish\.com  \S+  1 sessions, last .*: quit-alone$")
        shown = self.ask(posthorn, "peers", "show", "bigfish.com")
        self.assertRegex(shown, r"quit-alone +learned; in force until \d{4}-")
        self.assertRegex(shown, r"seen: RSET QUIT: 221, the last time \d{4}-")
        self.assertIn('by hand: smtp_discard_ehlo_keyword_address_maps, "127.0.0.1 silent-discard, pipelining"', shown)
        told, = [json.loads(line) for line in self.ask(posthorn, "peers", "--json", "show", "127.0.0.1").splitlines()]
        self.assertEqual((told["quirks"][0]["quirk"], told["quirks"][0]["in_force"]), ("quit-alone", True))
        exported = self.ask(posthorn, "peers", "export")
        self.assertTrue(exported.startswith("posthorn-peers 1\npeer 127.0.0.1 VA3EHSMHS018.bigfish.com "))

        # Forgotten: the next session falls into it again, and learns it again.
        self.assertEqual(self.ask(posthorn, "peers", "forget", "bigfish.com"), "1 servers forgotten\n")
        self.assertIn("nothing is known", self.ask(posthorn, "peers", "list", status=1))
        deliver(2)
        posthorn.wait_log("learned quit-alone", 2)
        # Forgotten and taken over from the file: it is in force for the next session, which falls into nothing.
        self.ask(posthorn, "peers", "forget", "--all")
        file = posthorn.dir / "peers.txt"
        file.write_text(exported)
        self.assertEqual(self.ask(posthorn, "peers", "import", str(file)), "1 servers taken over\n")
        deliver(3)
        self.assertEqual(peer.said()[-1], "QUIT")
        self.assertEqual(len([line for line in peer.lines if "commands of the group are forgotten" in line]), 2)
        self.assertEqual(len(re.findall("learned quit-alone", posthorn.log())), 2)

        # What is wrong is refused whole.
        file.write_text(exported.replace("127.0.0.1", "192.0.2.1") + " quirk no-tls convicted\n")
        line = exported.count("\n") + 1
        self.assertIn(f"{file}, line {line}: no-tls is never learned", self.ask(posthorn, "peers", "import", str(file), status=65))
        self.assertNotIn("192.0.2.1", self.ask(posthorn, "peers"))
        self.assertIn("usage", self.ask(posthorn, "peers", "forget", status=64))
        posthorn.stop()
        self.assertIn("quit-alone", self.ask(posthorn, "peers"))
        self.assertIn("the mail system is down", self.ask(posthorn, "peers", "forget", "--all", status=69))
        self.assertIn("quit-alone", self.ask(posthorn, "peers"))


if __name__ == "__main__":
    unittest.main()
