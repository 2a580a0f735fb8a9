"""posthorn-delayproxy keeps the time of a long line: never early, and in order. Nothing is asserted about how late a loaded machine is."""
import pathlib
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "journeys"))
from journey import BIN, DelayLine  # noqa: E402

ROUND_TRIP = 0.1


class Greeter:
    """Greets, then sends back what it hears, and closes when the client does."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with self._listener.accept()[0] as client:
            client.sendall(b"220 hello\r\n")
            while octets := client.recv(65536):
                client.sendall(octets)

    def close(self):
        self._listener.close()
        self._thread.join(10)


class DelayProxy(unittest.TestCase):
    def setUp(self):
        self.greeter = Greeter()
        self.addCleanup(self.greeter.close)
        self.line = DelayLine(self.greeter.port, int(ROUND_TRIP * 1000))
        self.addCleanup(self.line.close)
        self.begun = time.monotonic()
        self.client = socket.create_connection(("127.0.0.1", self.line.port), timeout=60)
        self.addCleanup(self.client.close)

    def trips(self):
        return (time.monotonic() - self.begun) / ROUND_TRIP

    def read(self, count):
        octets = b""
        while len(octets) < count and (more := self.client.recv(65536)):
            octets += more
        return octets

    def test_a_greeting_takes_two_round_trips_and_each_answer_one_more(self):
        self.assertEqual(self.read(11), b"220 hello\r\n")
        self.assertGreaterEqual(self.trips(), 2)
        self.client.sendall(b"one\r\n")
        self.assertEqual(self.read(5), b"one\r\n")
        self.assertGreaterEqual(self.trips(), 3)
        self.client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.client.recv(1), b"")
        self.assertGreaterEqual(self.trips(), 4)
        for _, direction, at, octets, first in self.line.reads:
            self.assertGreaterEqual(at, {"220 hello": 1.5, "one": 2 if direction == ">" else 2.5}[first])

    def test_what_is_said_before_the_greeting_is_answered_with_it(self):
        self.client.sendall(b"early\r\n")
        self.assertEqual(self.read(18), b"220 hello\r\nearly\r\n")
        self.assertGreaterEqual(self.trips(), 2)

    def test_much_arrives_whole_and_in_order(self):
        self.read(11)
        sent = bytes(range(256)) * 4096
        threading.Thread(target=self.client.sendall, args=(sent,), daemon=True).start()
        self.assertEqual(self.read(len(sent)), sent)

    def test_bad_words_are_refused(self):
        for words in ([], ["100ms"], ["100", "127.0.0.1:0=127.0.0.1:1"], ["100ms", "127.0.0.1:0"], ["100ms", "127.0.0.1:0=127.0.0.1:70000"]):
            done = subprocess.run([str(BIN.parent / "tests" / "tools" / "posthorn-delayproxy"), *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 64, words)
            self.assertRegex(done.stderr, "usage|is not ADDRESS")


if __name__ == "__main__":
    unittest.main()
