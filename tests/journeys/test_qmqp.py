"""Mail that comes by QMQP: what is acknowledged arrives once, as it was said; what is refused is said so; and nothing is lost, whatever becomes of the process."""
import os
import signal
import socket
import threading

from journey import PATIENCE, Journey, free_port, unittest, wait_until


def netstring(octets):
    return b"%d:%s," % (len(octets), octets)


def packet(content=b"Subject: test\n\nbody\n", sender=b"sender@example.com", recipients=(b"user@there.test",)):
    return netstring(netstring(content) + netstring(sender) + b"".join(map(netstring, recipients)))


class Qmqp(Journey):
    def service(self, settings=None, relay=None, options=""):
        posthorn = self.instance({"qmqpd_authorized_clients": "127.0.0.1", "qmqpd_error_delay": "0", **(settings or {})}, relay=relay, start=False)
        self.port = free_port()
        posthorn.add_service(f"127.0.0.1:{self.port} inet n - n - - qmqpd {options}")
        posthorn.start()
        wait_until(self.listens, "the QMQP server listens")
        return posthorn

    def listens(self):
        try:
            self.talk(b"")
            return True
        except OSError:
            return False

    def talk(self, octets):
        """What the server says until it closes."""
        heard = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as stream:
            stream.sendall(octets)
            stream.shutdown(socket.SHUT_WR)
            while piece := stream.recv(4096):
                heard += piece
        return heard

    def test_a_message_arrives_as_it_was_said(self):
        sink = self.sink()
        posthorn = self.service(relay=sink.port)
        content = b"From: me@example.com\nSubject: hi\n\n.Hello\n" + b"x" * 900 + b"\nlast"
        answer = self.talk(packet(content, recipients=(b"one@there.test", b"two@there.test")))
        self.assertRegex(answer, rb"^\d+:KOk: queued as [0-9A-Za-z]+,$")
        wait_until(lambda: sorted(sink.recipients()) == ["one@there.test", "two@there.test"], "it arrives")
        arrived = sink.messages[0][2]
        arrived = (arrived if isinstance(arrived, str) else arrived.decode()).replace("\r\n", "\n")
        self.assertRegex(arrived, r"^Received: from (localhost|unknown) \((localhost|unknown) \[127\.0\.0\.1\]\)\n\tby \S+ \(\S+\) with QMQP\n\tid \w+; ")
        self.assertTrue(arrived.rstrip("\n").endswith("\n\n.Hello\n" + "x" * 900 + "\nlast"), arrived[-200:])
        self.assertIn("\nMessage-Id: <", arrived)
        posthorn.wait_log(r"qmqpd\[\d+\]: connect from \S+\[127\.0\.0\.1\]")
        posthorn.wait_log(r"qmqpd\[\d+\]: \w+: client=\S+\[127\.0\.0\.1\]")
        posthorn.wait_log(r"qmqpd\[\d+\]: disconnect from \S+\[127\.0\.0\.1\]")

    def test_restrictions_and_filters_of_smtp_are_none_of_its_business_and_wrong_ones_do_not_keep_it_from_serving(self):
        sink = self.sink()
        posthorn = self.service({"header_checks": "regexp:{ {/^Subject: bad/ REJECT no such subject} }"}, relay=sink.port,
                                options="\n  -o smtpd_relay_restrictions= -o smtpd_recipient_restrictions= -o smtpd_milters=inet:127.0.0.1:1"
                                        "\n  -o smtpd_tls_security_level=encrypt -o smtpd_client_restrictions=reject -o smtpd_proxy_filter=127.0.0.1:1")
        self.assertIn(b":KOk: queued as ", self.talk(packet()))
        wait_until(lambda: sink.recipients() == ["user@there.test"], "it arrives")
        self.assertEqual(self.talk(packet(b"Subject: bad\n\n")), b"29:DError: 5.7.1 no such subject,")
        posthorn.wait_log(r"warning: \w+: \S+\[127\.0\.0\.1\]: Error: 5\.7\.1 no such subject")

    def test_who_is_not_named_hands_in_nothing(self):
        posthorn = self.service({"qmqpd_authorized_clients": "192.0.2.0/24"})
        self.assertRegex(self.talk(packet()), rb"^\d+:DError: \S+\[127\.0\.0\.1\] is not authorized to use this service,$")
        self.assertEqual(posthorn.queue(), [])
        self.assertNotIn("client=", posthorn.log())

    def test_what_was_acknowledged_survives_the_death_of_the_process_and_is_there_once(self):
        sink = self.sink()
        posthorn = self.service(relay=sink.port)
        acknowledged, stop = [], threading.Event()

        def send(worker):
            for number in range(1000):
                if stop.is_set():
                    return
                recipient = b"w%d-%d@there.test" % (worker, number)
                try:
                    if b":KOk" in self.talk(packet(recipients=(recipient,))):
                        acknowledged.append(recipient.decode())
                except OSError:
                    pass
        workers = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        for _ in range(3):
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) >= before + 20, "mail is taken")
            for pid in posthorn.pids_of("qmqpd"):
                os.kill(pid, signal.SIGKILL)
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) >= before + 20, "mail is taken again")
        stop.set()
        for worker in workers:
            worker.join()
        wait_until(lambda: set(acknowledged) <= set(sink.recipients()), "all that was acknowledged arrives")
        wait_until(lambda: not posthorn.queue(), "nothing is left")
        arrived = sink.recipients()
        self.assertEqual(len(arrived), len(set(arrived)))


if __name__ == "__main__":
    unittest.main()
