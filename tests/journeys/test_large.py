"""50 MB in and out: every octet arrives, and no process holds it in memory. And sizes that are refused, early and late."""
import base64
import hashlib
import os
import pathlib
import re
import socket

from journey import PATIENCE, Journey, unittest

SIZE = int(os.environ.get("POSTHORN_LARGE_OCTETS", "50000000"))
GROWTH = 24 << 20                                     # octets that a process may need beyond what it held at rest


def peak(pid):
    return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) << 10


class Large(Journey):
    def setUp(self):
        super().setUp()
        # What a sanitizer keeps of freed memory is none of the program's.
        before = os.environ.get("ASAN_OPTIONS")
        os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [before, "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"]))
        self.addCleanup(lambda: os.environ.pop("ASAN_OPTIONS") if before is None else os.environ.update(ASAN_OPTIONS=before))

    def body(self, octets):
        """Lines of 76 that no compression helps, every tenth with a leading dot."""
        text = base64.b64encode(os.urandom(octets * 73 // 104)).decode()
        lines = [text[i:i + 76] for i in range(0, len(text), 76)]
        return ("\r\n".join("." + line[1:] if i % 10 == 0 else line for i, line in enumerate(lines)) + "\r\n").encode()

    def test_in_and_out_with_equal_hashes_and_bounded_memory(self):
        by_data = self.sink()
        by_chunks = self.sink(keywords=("PIPELINING", "8BITMIME", "SIZE 0", "ENHANCEDSTATUSCODES", "CHUNKING"))
        posthorn = self.instance({"message_size_limit": str(SIZE + (1 << 20)),
                                  "transport_maps": f"inline:{{chunks.test=smtp:[127.0.0.1]:{by_chunks.port}}}"}, relay=by_data.port)
        posthorn.send(["user@there.test", "user@chunks.test"])        # everybody has been at work once
        posthorn.wait_log("status=sent", 2)
        processes = {**posthorn.processes(), posthorn.master_pid(): "master"}
        before = {pid: peak(pid) for pid in processes}
        body = self.body(SIZE)
        self.assertGreater(len(body), SIZE * 95 // 100)
        posthorn.send(["user@there.test", "user@chunks.test"], content=b"Subject: large\r\nFrom: a@b.test\r\n\r\n" + body)
        posthorn.wait_log("status=sent", 4)
        posthorn.wait_empty()
        expected = hashlib.sha256(body).hexdigest()
        for sink in (by_data, by_chunks):
            self.assertEqual(hashlib.sha256(sink.messages[-1][2].partition(b"\r\n\r\n")[2]).hexdigest(), expected)
        self.assertTrue(any(command.startswith("BDAT") for command in by_chunks.commands))
        grown = {name: peak(pid) - before[pid] for pid, name in processes.items()}
        print({re.sub(r".* service ", "", name): f"{octets / 1e6:.1f} MB" for name, octets in grown.items()}, flush=True)
        self.assertFalse({name: octets for name, octets in grown.items() if octets > GROWTH})
        self.assertEqual(posthorn.contents(), [])

    def test_the_file_of_a_message_that_has_left_is_written_over_by_the_next(self):
        """Confined as they are, smtpd may take it and qmgr may keep it; and what is delivered is the next, to the octet."""
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        incoming = posthorn.dir / "queue" / "spool" / "incoming"
        seen = set()
        for octets in (300_000, 900_000, 100_000):
            body = self.body(octets)
            posthorn.send(["user@there.test"], content=b"Subject: one\r\nFrom: a@b.test\r\n\r\n" + body)
            posthorn.wait_empty()
            self.assertEqual(sink.messages[-1][2].partition(b"\r\n\r\n")[2], body)
            left = list(incoming.iterdir())
            self.assertEqual([file.name[:6] for file in left], ["spare-"])
            seen.add(left[0].stat().st_ino)
        self.assertEqual(len(seen), 1)

    def test_too_large_is_refused_where_it_is_first_known(self):
        posthorn = self.instance({"message_size_limit": "1000000"})
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            self.assertEqual(client.esmtp_features["size"], "1000000")
            self.assertEqual(client.mail("a@ours.test", ["SIZE=1000001"]), (552, b"5.3.4 Message size exceeds fixed limit"))
            self.assertEqual(client.mail("a@ours.test", ["SIZE=1000000"])[0], 250)
            client.rset()
            # It did not say so beforehand: it hears it after the final dot, and the session goes on.
            for octets, answer in ((1_100_000, 552), (900_000, 250)):
                client.mail("a@ours.test")
                client.rcpt("user@there.test")
                code, text = client.data(self.body(octets))
                self.assertEqual(code, answer, text)
                if code == 552:
                    self.assertEqual(text, b"5.3.4 Error: message file too big")
            # Or at the first chunk that is too much, and nothing of it becomes a command.
            client.mail("a@ours.test")
            client.rcpt("user@there.test")
            client.sock.sendall(b"BDAT 1100000 LAST\r\n" + (b"RSET\r\n" * 200_000)[:1_100_000])
            self.assertEqual(client.getreply()[0], 552)
            self.assertEqual(client.noop()[0], 250)
        self.assertEqual(len(posthorn.wait_log(r"from=<a@ours\.test>.*\(queue active\)")), 1)
        self.assertRegex(posthorn.log(), r"reject: MAIL from .*552 5\.3\.4 Message size exceeds fixed limit")
        self.assertRegex(posthorn.log(), r"reject: END-OF-MESSAGE from .*552 5\.3\.4 Error: message file too big")

    def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(self):
        posthorn = self.instance()
        with socket.create_connection(("127.0.0.1", posthorn.port), timeout=PATIENCE) as s:
            s.recv(1000)
            for command in (b"HELO client.test", b"MAIL FROM:<a@ours.test>", b"RCPT TO:<user@there.test>", b"DATA"):
                s.sendall(command + b"\r\n")
                s.recv(1000)
            s.sendall(b"Subject: half\r\n\r\n" + b"x" * 70 + b"\r\n" + self.body(500_000))
        posthorn.wait_log(r"lost connection after DATA \(\d+ bytes\) from")
        self.assertEqual(posthorn.queue(), [])
        self.assertEqual(posthorn.contents(), [])


if __name__ == "__main__":
    unittest.main()
