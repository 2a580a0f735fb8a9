"""Milters: Debian's libmilter (python3-milter) behind smtpd and behind what sendmail submits, as main.cf names them."""
import json
import os
import pathlib
import smtplib
import socket
import subprocess

from journey import PATIENCE, Journey, free_port, parse, unittest, wait_until

HERE = pathlib.Path(__file__).resolve().parent


class RunningFilter:
    """pymilter.py as a program of its own. `place`: what main.cf says; a path is a Unix socket, a number a port of loopback."""

    def __init__(self, test, folder, at, name="one"):
        self.log_path = pathlib.Path(folder) / f"milter-{name}.log"
        self.log_path.touch()
        unix = isinstance(at, (str, pathlib.Path))
        self.place = f"unix:{at}" if unix else f"inet:127.0.0.1:{at}"
        where = f"unix:{at}" if unix else f"inet:{at}@127.0.0.1"
        self.program = subprocess.Popen(["/usr/bin/python3", str(HERE / "pymilter.py"), where, str(self.log_path), name])
        test.addCleanup(self.close)

        def listens():
            self.program.poll()
            assert self.program.returncode is None, "the filter did not start"
            with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as probe:   # a path is there before anybody listens at it
                return probe.connect_ex(str(at) if unix else ("127.0.0.1", at)) == 0
        wait_until(listens, "the filter listens")
        if unix:
            os.chmod(at, 0o666)

    def close(self):
        if self.program.poll() is None:
            self.program.kill()
        self.program.wait(PATIENCE)

    def events(self, *kinds):
        found = [json.loads(line) for line in self.log_path.read_text().splitlines() if line.endswith("]")]
        return [event for event in found if not kinds or event[0] in kinds]


def message(subject, more=""):
    return f"From: a@ours.test\r\nTo: user@there.test\r\nSubject: {subject}\r\nDate: Thu, 26 Nov 2026 09:00:00 +0000\r\nMessage-ID: <x@ours.test>\r\n{more}\r\nthe old body\r\n"


class Milters(Journey):
    def deliver(self, posthorn, subject, recipients=("user@there.test",), more=""):
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            for recipient in recipients:
                client.rcpt(recipient)
            return client.data(message(subject, more).encode())

    def beside_a_filter(self, parameter, settings):
        """Sink, system and filter, all running."""
        sink = self.sink()
        posthorn = self.instance(settings, relay=sink.port, start=False)
        one = RunningFilter(self, posthorn.dir, free_port())
        posthorn.set({parameter: one.place})
        posthorn.start()
        return sink, posthorn, one

    def test_what_a_filter_wants_is_done(self):
        sink = self.sink()
        posthorn = self.instance({"relay_domains": "there.test", "mynetworks": "127.0.0.0/8"}, relay=sink.port, start=False)
        one, two = (RunningFilter(self, posthorn.dir, free_port(), name) for name in ("one", "two"))
        posthorn.set({"smtpd_milters": f"{one.place}, {{ {two.place}, connect_timeout=10s, default_action=tempfail }}", "milter_header_checks": "regexp:{{/^X-Second-two:/ IGNORE}}"})
        posthorn.start()

        # The header: each filter sees what the one before it made, and neither sees our Received:.
        self.assertEqual(self.deliver(posthorn, "add change", more="X-Old: old\r\nX-Gone: gone\r\n")[0], 250)
        wait_until(lambda: sink.messages, "the message arrives")
        names = [field for field in parse(sink.messages[0][2]).keys()]
        self.assertEqual(names, ["X-Top-one", "X-Second-one", "Received", "From", "To", "Subject", "Date", "Message-ID", "X-Old", "X-Added-one"])
        got = parse(sink.messages[0][2])
        self.assertEqual((got["Subject"], got["X-Old"], got["X-Added-one"]), ("changed by one", "new", "first line\r\n\tsecond"))
        seen = [[field[0] for field in event[1]] for event in one.events("eom") + two.events("eom")]
        self.assertEqual(seen[0], ["From", "To", "Subject", "Date", "Message-ID", "X-Old", "X-Gone"])
        self.assertEqual(seen[1], ["X-Top-one", "X-Second-one", "From", "To", "Subject", "Date", "Message-ID", "X-Old", "X-Added-one"])

        # The events, and the macros that go with them.
        queue_id = one.events("eom")[0][-1]["i"]
        self.assertEqual([event[:-1] for event in one.events("helo", "mail", "rcpt", "data")][-4:],
                         [["helo", "client.test"], ["mail", "<a@ours.test>"], ["rcpt", "<user@there.test>"], ["data"]])
        self.assertEqual(one.events("connect")[-1][2], "127.0.0.1")
        macros = one.events("connect")[-1][-1]
        self.assertEqual(macros["j"], macros["{daemon_name}"])
        self.assertRegex(macros["_"], r"\[127\.0\.0\.1\]")
        self.assertEqual(one.events("mail")[-1][-1]["{mail_addr}"], "a@ours.test")
        self.assertEqual(one.events("rcpt")[-1][-1], {"{rcpt_addr}": "user@there.test", "{rcpt_host}": f"[127.0.0.1]:{sink.port}", "{rcpt_mailer}": "relay"})
        self.assertEqual(one.events("data")[-1][-1], {"i": queue_id})

        # Body and envelope.
        self.assertEqual(self.deliver(posthorn, "body sender rcpt", ["user@there.test", "removed@there.test"])[0], 250)
        wait_until(lambda: len(sink.recipients()) == 3, "both recipients are delivered")
        for sender, recipients, text in sink.messages[1:]:
            self.assertIn("<changed@ours.test>", sender)
            self.assertEqual(parse(text).get_payload().replace("\r\n", "\n"), "a new body\nby two\n")
        self.assertEqual(sorted(sink.recipients()), ["added@there.test", "user@there.test", "user@there.test"])
        posthorn.wait_empty()

    def test_verdicts_and_their_log_lines(self):
        sink = self.sink()
        posthorn = self.instance({"relay_domains": "there.test"}, relay=sink.port, start=False)
        place = posthorn.dir / "filter.sock"
        one = RunningFilter(self, posthorn.dir, place)
        posthorn.set({"smtpd_milters": one.place})
        posthorn.start()
        who = r"from=<a@ours.test> to=<user@there.test> proto=ESMTP helo=<client.test>"
        client_text = r"\S+\[127\.0\.0\.1\]"
        self.assertEqual(self.deliver(posthorn, "reject"), (550, b"5.7.1 no such subject"))
        posthorn.wait_log(rf"cleanup\[\d+\]: \w+: milter-reject: END-OF-MESSAGE from {client_text}: 5\.7\.1 no such subject; {who}")
        self.assertEqual(self.deliver(posthorn, "tempfail"), (451, b"4.7.1 Service unavailable - try again later"))
        self.assertEqual(self.deliver(posthorn, "discard")[0], 250)
        posthorn.wait_log(rf"cleanup\[\d+\]: \w+: milter-discard: END-OF-MESSAGE from {client_text}: milter triggers DISCARD action; {who}")
        self.assertEqual(posthorn.queue(), [])
        self.assertEqual(self.deliver(posthorn, "hold")[0], 250)
        posthorn.wait_log(rf"cleanup\[\d+\]: \w+: milter-hold: END-OF-MESSAGE from {client_text}: milter triggers HOLD action; {who}")
        self.assertEqual(len(posthorn.queue()), 1)
        self.assertEqual(sink.messages, [])
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            self.assertEqual(client.rcpt("refused@there.test"), (550, b"5.7.7 not for 100%\n5.7.7 really"))
            self.assertEqual(client.rcpt("later@there.test")[0], 451)
            self.assertEqual(client.rcpt("user@there.test")[0], 250)
            self.assertEqual(client.docmd("HUH")[0], 500)
            client.rset()
        posthorn.wait_log(rf"smtpd\[\d+\]: NOQUEUE: milter-reject: RCPT from {client_text}: 451 4\.7\.1 Service unavailable - try again later; "
                          r"from=<a@ours.test> to=<later@there.test> proto=ESMTP helo=<client.test>")
        with posthorn.smtp() as client:
            self.assertEqual(client.ehlo("bad.test"), (250, client.ehlo_resp))
            self.assertEqual(client.esmtp_features, {"enhancedstatuscodes": ""})
            self.assertEqual(client.mail("a@ours.test"), (550, b"5.7.1 Command rejected"))
        wait_until(lambda: len(one.events("close")) == len(one.events("connect")), "each session was ended")
        self.assertEqual([event[1] for event in one.events("unknown")], ["HUH"])

        # It goes: mail waits at its client, which is told so; it comes back, and nobody restarts anything.
        one.close()
        os.unlink(place)
        with self.assertRaises(smtplib.SMTPConnectError) as refused:
            posthorn.smtp()
        self.assertEqual(refused.exception.smtp_code, 421)
        posthorn.wait_log(rf"warning: connect to Milter service unix:{place}: No such file or directory")
        again = RunningFilter(self, posthorn.dir, place, "again")
        self.assertEqual(self.deliver(posthorn, "accept")[0], 250)
        self.assertEqual(len(again.events("eom")), 1)
        wait_until(lambda: sink.messages, "the message arrives")

    def test_large_mail_is_seen_whole_and_stored_changed(self):
        sink, posthorn, one = self.beside_a_filter("smtpd_milters", {"relay_domains": "there.test"})
        body = "".join(f"{line:07} of a large message, above what is kept in memory\r\n" for line in range(20000))
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            client.rcpt("user@there.test")
            self.assertEqual(client.data((message("add") + body).encode())[0], 250)
        wait_until(lambda: sink.messages, "the message arrives")
        self.assertEqual(one.events("eom")[0][2], len(body) + len("the old body\r\n"))
        self.assertTrue(sink.messages[0][2].endswith(body.encode()))
        self.assertEqual(parse(sink.messages[0][2])["X-Added-one"], "first line\r\n\tsecond")
        posthorn.wait_empty()
        self.assertEqual(posthorn.contents(), [])

    def test_mail_of_sendmail_meets_non_smtpd_milters(self):
        sink, posthorn, one = self.beside_a_filter("non_smtpd_milters", {"myorigin": "ours.test"})

        def submit(subject, size=0):
            posthorn.run("sendmail", "-f", "me@ours.test", "user@there.test", input=message(subject).replace("\r\n", "\n") + "a line\n" * size)
        submit("add body")
        wait_until(lambda: sink.messages, "the message arrives")
        got = parse(sink.messages[0][2])
        self.assertEqual(got["X-Added-one"], "first line\r\n\tsecond")
        self.assertEqual(got.get_payload().replace("\r\n", "\n"), "a new body\nby one\n")
        events = [event for event in one.events() if event[0] != "abort"]
        start = [event[0] for event in events].index("helo") - 1
        self.assertEqual([event[:-1] for event in events[start:start + 5]],
                         [["connect", "localhost", "127.0.0.1"], ["helo", "localhost"], ["mail", "me@ours.test"], ["rcpt", "user@there.test"], ["data"]])
        self.assertEqual(events[start][-1]["{daemon_addr}"], "127.0.0.1")
        submit("add", size=50000)                              # by a file
        wait_until(lambda: len(sink.messages) == 2, "the large message arrives")
        self.assertEqual(parse(sink.messages[1][2])["X-Added-one"], "first line\r\n\tsecond")
        self.assertEqual(len(sink.messages[1][2].split(b"a line\r\n")), 50001)
        submit("reject")
        posthorn.wait_log(r"cleanup\[\d+\]: \w+: milter-reject: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: 5\.7\.1 no such subject; "
                          r"from=<me@ours.test> to=<user@there.test>")
        wait_until(lambda: len(sink.messages) == 3, "it goes back to its sender")
        self.assertIn(b"no such subject", sink.messages[2][2])
        submit("discard")
        posthorn.wait_log("milter-discard: END-OF-MESSAGE from localhost")
        submit("hold")
        posthorn.wait_log("milter-hold: END-OF-MESSAGE from localhost")
        wait_until(lambda: len(posthorn.queue()) == 1, "it is held")
        self.assertEqual(len(sink.messages), 3)


if __name__ == "__main__":
    unittest.main()
