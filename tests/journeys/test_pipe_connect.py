"""PIPECONNECT between two instances over a long line: learned from three sessions, used from the fourth on, never where it is refused."""
import re
import time

from journey import DelayLine, Journey, unittest, wait_until


class PipeConnect(Journey):
    def line(self, server, milliseconds=100):
        line = DelayLine(server.port, milliseconds)
        self._opened.append(line)
        return line

    def pair(self, server_settings, client_settings=()):
        """Sink, server, client: the client's mail goes over the line to the server."""
        sink = self.sink()
        server = self.instance(dict(server_settings), relay=sink.port)
        line = self.line(server)
        client = self.instance({"smtp_connection_cache_on_demand": "no", **dict(client_settings)}, relay=line.port)
        return sink, server, client, line

    def deliver(self, client, server, sink, line, count):
        """One after the other, each when the session before it is over."""
        for i in range(count):
            before = len(sink.messages)
            client.send([f"user{before}@there.test"])
            client.wait_log("status=sent", before + 1)
            wait_until(lambda: len(sink.messages) > before, "the server's own delivery")
            wait_until(lambda: len(re.findall(r"disconnect from .* quit=1", server.log())) > before, "the goodbye")
            time.sleep(2 * line.round_trip)                     # it has to arrive; what was seen is told behind it

    def teach(self, client, server, sink, line):
        self.deliver(client, server, sink, line, 3)
        for _ in range(4):                                      # on a crowded machine the third is perhaps not told yet
            self.deliver(client, server, sink, line, 1)
            if self.first_words(line)[-1][0] == ">":
                return
        self.fail("it never spoke first")

    def first_words(self, line):
        first = {}
        for number, direction, at, _, text in line.reads:
            first.setdefault(number, (direction, text))
        return [first[number] for number in sorted(first)]

    def test_three_sessions_teach_it_and_the_fourth_saves_two_round_trips(self):
        sink, server, client, line = self.pair({"smtpd_pipe_connect_hosts": "127.0.0.0/8"})
        self.teach(client, server, sink, line)
        words = self.first_words(line)
        self.assertEqual([direction for direction, _ in words[:3]], ["<"] * 3)
        self.assertTrue(all(text.startswith("220 ") for _, text in words[:3]))
        self.assertEqual(words[-1][0], ">")
        self.assertTrue(words[-1][1].startswith("EHLO "))
        self.assertNotRegex(server.log(), "improper command pipelining")
        self.assertNotRegex(client.log(), "status=(deferred|bounced)")
        self.assertEqual(len(sink.recipients()), len(words))
        # By the clock: the server's last word of the mail cannot have been said before, and need not come later.
        answered = {number: at for number, direction, at, _, text in line.reads if direction == "<" and "queued as" in text}
        self.assertGreaterEqual(answered[1], 4.5)
        self.assertGreaterEqual(answered[len(words)], 2.5)

    def test_a_server_that_forbids_it_meanwhile_gets_the_mail_all_the_same_and_only_once(self):
        sink, server, client, line = self.pair({"smtpd_pipe_connect_hosts": "127.0.0.0/8"})
        self.teach(client, server, sink, line)
        taken = len(sink.messages)
        server.set({"smtpd_pipe_connect_hosts": "", "smtpd_discard_ehlo_keywords": "etrn"})
        server.run("postfix", "reload")
        client.send(["last@there.test"])
        client.wait_log(r"status=sent", taken + 1)
        server.wait_log(r"status=sent", taken + 1)
        self.assertEqual(sorted(sink.recipients()), ["last@there.test", *(f"user{i}@there.test" for i in range(taken))])
        line_of_log, = client.wait_log(r"peer .*learned no-early: .*")
        self.assertRegex(line_of_log, r"nothing is said before its greeting, until \d{4}-")
        client.send(["after@there.test"])
        client.wait_log(r"status=sent", taken + 2)
        words = self.first_words(line)
        self.assertEqual([direction for direction, _ in words[-4:]], [">", ">", "<", "<"])
        # Whether the early words come before or just behind the greeting is the network's to say; a second time they do not come.
        self.assertLessEqual(server.log().count("improper command pipelining after CONNECT"), 1)

    def test_the_administrator_can_have_it_off(self):
        sink, server, client, line = self.pair({"smtpd_pipe_connect_hosts": "127.0.0.0/8"}, {"smtp_pipe_connect": "no"})
        self.deliver(client, server, sink, line, 4)
        self.assertEqual([direction for direction, _ in self.first_words(line)], ["<"] * 4)


if __name__ == "__main__":
    unittest.main()
