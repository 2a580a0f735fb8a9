"""Real mail programs as peers, taken as they come: mail and probes have the right end with an empty memory and a warm one, nothing twice,
nothing lost, and nothing false is learned of a program that keeps the rules."""
import collections
import re
import shutil
import smtplib
import subprocess
import time

from journey import PATIENCE, Journey, free_port, unittest, wait_until
from real_peers import Aiosmtpd, Exim, NginxMail, OpenSmtpd, SmtpSink

BODY = b"first\r\n.\r\n..two\r\n" + b"x" * 900 + b"\r\nFrom here\r\nlast\r\n"
LARGE = b"".join(b"%07d %s\r\n" % (i, b"y" * 64) for i in range(4000))       # 292 kB


def lines(content):
    """Of the body; peers keep lines in their own manner. An empty last line is the mailbox's."""
    return re.split(b"\r?\n\r?\n", content, 1)[1].replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")


class BesideRealPrograms(Journey):
    def opened(self, thing):
        self._opened.append(thing)
        return thing


class RealPeers(BesideRealPrograms):
    def before(self, peer, settings=None):
        """An instance whose mail all goes to the peer; `verifying` is the port of its line that verifies recipients."""
        posthorn = self.instance({"soft_bounce": "no", "address_verify_control_domains": "", **(settings or {})}, relay=peer.port, start=False)
        posthorn.verifying = free_port()
        posthorn.add_service(f"127.0.0.1:{posthorn.verifying} inet n - n - - smtpd\n  -o smtpd_recipient_restrictions=reject_unverified_recipient\n"
                             "  -o address_verify_poll_count=20")
        posthorn.start()
        return posthorn

    def probe(self, posthorn, names):
        """The replies to RCPTs of one group."""
        with smtplib.SMTP("127.0.0.1", posthorn.verifying, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            client.send("".join(["MAIL FROM:<sender@there.test>\r\n", *[f"RCPT TO:<{name}@there.test>\r\n" for name in names], "RSET\r\n"]))
            return [client.getreply() for _ in range(len(names) + 2)][1:-1]

    def turn(self, posthorn, peer, number, refuses):
        """One of each: message of one recipient, of several, large, many at once, probes. refuses: the peer knows unknown recipients."""
        base, sent = 20 * number, []

        def user(i):
            sent.append(f"user{base + i}@there.test")
            return sent[-1]
        old = collections.Counter(peer.received())
        before = old.total()
        content = b"Subject: test\r\nFrom: sender@there.test\r\nTo: somebody@there.test\r\nMessage-ID: <%d@there.test>\r\n\r\n" % number
        posthorn.send([user(0)], sender="sender@there.test", content=content + BODY)
        posthorn.wait_log(rf"to=<{sent[-1]}>, .*status=sent")
        several = [user(1), user(2), user(3)] + ([f"nobody{number}@there.test"] if refuses else [])
        posthorn.send(several, sender="sender@there.test", content=content + BODY)
        posthorn.send([user(4)], sender="sender@there.test", content=content + LARGE)
        for i in range(5, 11):
            posthorn.send([user(i)], sender="sender@there.test", content=content + BODY)
        expected = len(sent) + (1 if refuses else 0)                         # the bounce
        wait_until(lambda: len(peer.received()) >= before + expected, f"{expected} more are received")
        posthorn.wait_empty()
        received = list((collections.Counter(peer.received()) - old).elements())
        self.assertEqual(sorted(recipient for recipient, _ in received), sorted(sent + (["sender@there.test"] if refuses else [])))
        for recipient, text in received:
            if recipient == sent[4]:
                self.assertEqual(lines(text), lines(content + LARGE))
            elif recipient != "sender@there.test":
                self.assertEqual(lines(text), lines(content + BODY), recipient)
            else:
                self.assertIn(f"nobody{number}@there.test".encode(), text)
        # Good ones, unknown ones, and both in one group; the second time they are known.
        names = [f"user{base + 15}", f"nobody{base + 1}", f"user{base + 16}", f"nobody{base + 2}", f"user{base + 17}"]
        for _ in range(2):
            for name, (code, text) in zip(names, self.probe(posthorn, names)):
                self.assertEqual(code, 450 if refuses and name.startswith("nobody") else 250, (name, text))
        for name in names:
            posthorn.wait_log(rf"to=<{name}@there\.test>, .*status={'undeliverable' if refuses and name.startswith('nobody') else 'deliverable'}")

    def whole(self, peer, refuses=True, settings=None):
        """The turn with an empty memory, then with what it left, then after a restart."""
        self.opened(peer)
        posthorn = self.before(peer, settings)
        self.turn(posthorn, peer, 0, refuses)
        self.turn(posthorn, peer, 1, refuses)
        time.sleep(1.5)                                                      # what was learned is written once a second
        posthorn.stop()
        posthorn.start()
        self.turn(posthorn, peer, 2, refuses)
        log = posthorn.log()
        self.assertNotRegex(log, r"status=deferred|lost connection with|timed out|protocol error|warning: .*(peer|reply)", peer.log()[-3000:])
        self.assertEqual(len(re.findall("status=bounced", log)), 3 if refuses else 0)
        self.assertNotRegex(log, "learned |verify-useless")
        listed = self.known(posthorn)
        self.assertFalse([line for line in listed.splitlines() if not line.endswith(": nothing wrong")], listed)
        return posthorn

    def known(self, posthorn):
        return posthorn.run("posthorn", "peers", "-c", str(posthorn.dir), "list", check=False).stdout

    def test_exim(self):
        self.whole(Exim())

    def test_exim_with_limits_of_recipients_and_mails(self):
        peer = self.opened(Exim("recipients_max = 2\nsmtp_accept_max_per_connection = 3"))
        posthorn = self.before(peer, {"smtp_connection_cache_on_demand": "no"})
        everybody = [f"user{i}@there.test" for i in range(10)]
        posthorn.send(everybody)
        posthorn.wait_log(r"status=deferred \(host .* said: 452 too many recipients", 8)
        wait_until(lambda: "2 recipients per mail" in self.known(posthorn) or "recipients per mail 2" in self.known(posthorn), "it names its limit: that is believed")
        wait_until(lambda: posthorn.queue()[0]["queue_name"] == "deferred", "the first attempt has ended")
        deferred = posthorn.log().count("status=deferred")
        posthorn.run("postqueue", "-f")
        posthorn.wait_empty()
        for i in range(10):
            posthorn.send([f"user{10 + i}@there.test"])
        posthorn.send([f"user{i}@there.test" for i in range(20, 25)])        # and is kept to
        everybody += [f"user{i}@there.test" for i in range(10, 25)]
        wait_until(lambda: len(peer.received()) >= 25, "all are received")
        self.assertEqual(sorted(recipient for recipient, _ in peer.received()), sorted(everybody))
        self.assertEqual(posthorn.log().count("status=deferred"), deferred)
        self.assertNotIn("status=bounced", posthorn.log())
        self.assertEqual([code for code, _ in self.probe(posthorn, [f"user{i}" for i in range(30, 36)] + ["nobody"])], 6 * [250] + [450])

    def test_exim_that_announces_neither_pipelining_nor_chunking(self):
        self.whole(Exim("pipelining_advertise_hosts =\nchunking_advertise_hosts ="))

    def test_exim_that_synchronises_strictly_and_delays_its_refusals(self):
        self.whole(Exim("smtp_enforce_sync = true\nsmtp_ratelimit_rcpt = 2,0.1s,1.02,1s"))

    def test_opensmtpd(self):
        self.whole(OpenSmtpd())

    def test_aiosmtpd(self):
        self.whole(Aiosmtpd())

    def test_nginx_before_a_server_that_refuses_unknown_recipients(self):
        self.whole(NginxMail(Aiosmtpd()))

    def test_nginx_whose_helper_refuses_unknown_recipients(self):
        self.whole(NginxMail(Aiosmtpd(), unknown="auth"))

    def test_nginx_that_announces_pipelining_before_exim(self):
        self.whole(NginxMail(Exim()))

    def test_smtp_sink(self):
        self.whole(SmtpSink(), refuses=False)

    def test_smtp_sink_without_extensions(self):
        self.whole(SmtpSink("-e"), refuses=False)
        self.whole(SmtpSink("-p", "-8", "-E"), refuses=False)

    def sinks_verdict(self, options, pattern, probed=None, settings=None):
        """What becomes of one mail, and of a probe, at a sink with these options."""
        peer = self.opened(SmtpSink(*options))
        posthorn = self.before(peer, settings)
        posthorn.send(["user@there.test"], sender="")
        posthorn.wait_log(pattern)
        if probed:
            self.assertEqual(self.probe(posthorn, ["other"])[0][0], probed[0])
            posthorn.wait_log(probed[1])
        self.assertNotRegex(posthorn.log(), r"learned |status=bounced" if "bounced" not in pattern else "learned ")
        return peer, posthorn

    def test_smtp_sink_that_refuses_for_good_or_for_now(self):
        for command, words in (("connect", "while performing the initial protocol handshake|refused to talk to me"), ("mail", "MAIL FROM"), ("rcpt", "RCPT TO"), ("data", "DATA"), (".", "end of DATA")):
            self.sinks_verdict(["-r", command], rf"status=deferred \(.*450 4\.3\.0 .*({words})|status=deferred \(.*({words}).*450 4\.3\.0",
                               (450, "status=undeliverable") if command in ("connect", "mail", "rcpt") else (250, "status=deliverable"))
        for command in ("mail", "rcpt", "."):
            self.sinks_verdict(["-f", command], r"status=bounced \(host .* said: 500 5\.3\.0 Error: command failed")

    def test_smtp_sink_that_hangs_up_or_says_421(self):
        for option in ("-q", "-Q"):
            for command in ("connect", "ehlo", "mail", "rcpt", "data", "."):
                with self.subTest(option=option, command=command):
                    helped = (option, command) == ("-q", "ehlo")             # then it is HELO
                    self.sinks_verdict([option, command], "status=sent" if helped else "status=deferred",
                                       (250, "status=deliverable") if helped or command in ("data", ".") else (450, "status=undeliverable"))

    def test_smtp_sink_that_ends_sessions_after_some_mails_and_one_that_is_slow(self):
        for options in (["-m", "3"], ["-w", "1"], ["-p", "-W", "rcpt:1", "-W", "ehlo:1"]):
            peer = self.opened(SmtpSink(*options))
            posthorn = self.before(peer)
            for i in range(12):
                posthorn.send([f"user{i}@there.test"])
            posthorn.wait_empty()
            self.assertEqual(sorted(recipient for recipient, _ in peer.received()), sorted(f"user{i}@there.test" for i in range(12)))
            self.assertNotRegex(posthorn.log(), "status=(deferred|bounced)|learned ")


class EximAsClient(BesideRealPrograms):
    """exim4 before us: what it says early, in groups and in chunks."""

    def pair(self, settings, smtp):
        sink = self.sink()
        posthorn = self.instance({"smtpd_pipe_connect_hosts": "127.0.0.0/8", **settings}, relay=sink.port)
        return sink, posthorn, self.opened(Exim(relay=posthorn.port, smtp=smtp))

    def deliver(self, exim, sink, address, content=b"Subject: from exim\r\n\r\nhello\r\n"):
        exim.hand_in(address, content)
        wait_until(lambda: address in sink.recipients(), f"{address} is received")
        return wait_until(lambda: next((line for line in exim.log().splitlines() if f"=> {address} " in line), None), f"exim4 logs {address}")

    def test_the_second_session_speaks_before_our_greeting(self):
        sink, posthorn, exim = self.pair({}, "  hosts_pipe_connect = *")
        for i in range(4):
            line = self.deliver(exim, sink, f"user{i}@onwards.test")
            # exim4 marks groups with L, what was said early with L*.
            self.assertRegex(line, r" L\* " if i > 0 else r" L ", exim.log())
        self.assertNotRegex(posthorn.log(), "improper|lost connection after (EHLO|MAIL|RCPT|DATA|BDAT)|reject:")
        self.assertEqual(sink.recipients(), [f"user{i}@onwards.test" for i in range(4)])

    def test_chunks_and_a_refused_recipient_among_good_ones(self):
        sink, posthorn, exim = self.pair({"smtpd_recipient_restrictions": "check_recipient_access inline:{{bad@onwards.test = REJECT}}, permit"}, "  hosts_try_chunking = *")
        self.deliver(exim, sink, "user@onwards.test", b"Subject: large\r\n\r\n" + LARGE)
        self.assertRegex(posthorn.log(), r"disconnect from .* bdat=\d+ ")
        self.assertEqual(lines(sink.messages[-1][2]), lines(b"\r\n\r\n" + LARGE))
        exim.hand_in("bad@onwards.test,good@onwards.test")
        wait_until(lambda: "good@onwards.test" in sink.recipients(), "the good one is received")
        posthorn.wait_log(r"reject: RCPT from .* <bad@onwards\.test>: Recipient address rejected: Access denied")
        wait_until(lambda: "** bad@onwards.test" in exim.log(), "exim4 knows the refusal")
        self.assertNotIn("bad@onwards.test", sink.recipients())


class SwaksAsClient(BesideRealPrograms):
    def swaks(self, posthorn, *words):
        program = shutil.which("swaks")
        if not program:
            self.skipTest("swaks is not installed")
        done = subprocess.run([program, "--server", "127.0.0.1", "--port", str(posthorn.port), "--helo", "client.test", "--from", "sender@client.test", *words],
                              capture_output=True, text=True, timeout=PATIENCE)
        return done.returncode, done.stdout

    def test_a_group_of_commands_is_answered_in_order_whoever_is_refused(self):
        sink = self.sink()
        posthorn = self.instance({"smtpd_recipient_restrictions": "check_recipient_access inline:{{bad@there.test = REJECT}}, permit"}, relay=sink.port)
        status, said = self.swaks(posthorn, "--pipeline", "--to", "one@there.test,bad@there.test,two@there.test", "--body", "swaks")
        self.assertEqual(status, 0, said)
        replies = re.findall(r"(?m)^<[-*~ *]+ (\d{3})[ ].*$", said)
        self.assertEqual(replies, ["220", "250", "250", "250", "554", "250", "354", "250", "221"], said)
        wait_until(lambda: len(sink.recipients()) == 2, "both are received")
        self.assertEqual(sorted(sink.recipients()), ["one@there.test", "two@there.test"])
        self.assertNotRegex(posthorn.log(), "improper command pipelining")
        status, said = self.swaks(posthorn, "--pipeline", "--to", "bad@there.test")
        self.assertEqual(status, 24, said)                                   # swaks: no recipient was accepted
        status, said = self.swaks(posthorn, "--pipeline", "--to", "late@there.test", "--quit-after", "RCPT")
        self.assertEqual(status, 0, said)


if __name__ == "__main__":
    unittest.main()
