"""Workarounds by hand: EHLO keywords that are overlooked by the peer's address, from the very file that the seed's page shows."""
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess

from journey import BIN, PATIENCE, Journey, unittest, wait_until

# Sharp: two of its lines have a comma, two have not.
SEED = """\
    # This is likely to be incomplete.
    216.32.0.0/16 silent-discard, pipelining
    213.199.0.0/16 silent-discard, pipelining
    65.55.0.0/16  silent-discard pipelining
    94.245.0.0/16 silent-discard pipelining
"""


def as_the_page_has_it():
    """The file's lines begin at the margin: what the page indents is the page's."""
    return "".join(line[4:] + "\n" for line in SEED.splitlines())


def own_network():
    """A network namespace for this process and its children, where the loopback interface has the peers' addresses. Root only."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:                       # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))                # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
        for n, address in enumerate(("216.32.180.22", "65.55.1.1", "192.0.2.7")):
            fcntl.ioctl(s, 0x8916, struct.pack("16sHH4s8x", f"lo:{n}".encode(), socket.AF_INET, 0, socket.inet_aton(address)))   # SIOCSIFADDR


class Peer:
    """`posthorn peer NAME`."""

    def __init__(self, name, address="127.0.0.1"):
        self.process = subprocess.Popen([str(BIN / "posthorn"), "peer", name, "--address", address], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE)


class Keywords(Journey):
    def peer(self, name, address="127.0.0.1"):
        peer = Peer(name, address)
        self.addCleanup(lambda: peer.process.poll() is None and peer.close())
        return peer

    def groups(self, posthorn):
        """The commands of smtp's transcript, those between two replies in one word: "MAIL RCPT DATA" went out together."""
        groups = []
        for direction, verb in re.findall(r"[sl]mtp\[\d+\]: ([<>]) \S+: (\w+)", posthorn.log()):
            if direction == "<":
                groups.append("")
            elif groups:
                groups[-1] = f"{groups[-1]} {verb}".strip()
        return [group for group in groups if group]

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_the_file_of_the_page_as_it_stands(self):
        own_network()
        for address, pipelined in (("216.32.180.22", False), ("65.55.1.1", False), ("192.0.2.7", True)):
            with self.subTest(address):
                peer = self.peer("frontbridge", address)
                posthorn = self.instance(start=False)
                (posthorn.dir / "discard_ehlo_keywords").write_text(as_the_page_has_it())
                posthorn.set({"relayhost": f"[{address}]:{peer.port}", "smtp_chunking": "no", "debug_peer_list": address,
                              "smtp_discard_ehlo_keyword_address_maps": f"cidr:{posthorn.dir}/discard_ehlo_keywords"})
                posthorn.start()
                posthorn.send(["user@bigfish.test"])
                posthorn.wait_log(r"status=sent")
                posthorn.stop()
                self.assertNotIn("discarding EHLO keywords", posthorn.log())
                self.assertEqual(self.groups(posthorn)[:2], ["EHLO", "MAIL RCPT DATA" if pipelined else "MAIL"])

    def test_without_silent_discard_it_is_said_and_a_changed_file_counts_from_then_on(self):
        peer = self.peer("frontbridge")
        posthorn = self.instance(start=False)
        table = posthorn.dir / "keywords"
        table.write_text("127.0.0.0/8 pipelining, dsn\n")
        table.chmod(0o600)                                  # root's, as root: the broker passes it
        posthorn.set({"relayhost": f"[127.0.0.1]:{peer.port}", "smtp_chunking": "no", "smtp_discard_ehlo_keywords": "8bitmime",
                      "smtp_discard_ehlo_keyword_address_maps": f"cidr:{table}", "smtp_connection_cache_on_demand": "no",
                      "debug_peer_list": "127.0.0.1"})
        posthorn.start()
        posthorn.send(["one@bigfish.test"])
        posthorn.wait_log(r"status=sent")
        posthorn.wait_log(r"smtp\[\d+\]: discarding EHLO keywords: PIPELINING\n")     # DSN was not announced; the table outvotes the list
        table.write_text("127.0.0.0/8 silent-discard size\n")

        def nothing_more_is_said():
            before = posthorn.log().count("discarding EHLO keywords")
            sent = posthorn.log().count("status=sent")
            posthorn.send(["two@bigfish.test"])
            wait_until(lambda: posthorn.log().count("status=sent") > sent, "the next message is delivered")
            return posthorn.log().count("discarding EHLO keywords") == before
        wait_until(nothing_more_is_said, "the changed file is in force")
        groups = self.groups(posthorn)
        self.assertEqual(groups[:4], ["EHLO", "MAIL", "RCPT", "DATA"])                  # the first session: one by one
        self.assertIn("MAIL RCPT DATA", groups)                                         # the last: together

    def test_a_table_that_cannot_be_read_defers(self):
        peer = self.peer("frontbridge")
        posthorn = self.instance({"relayhost": f"[127.0.0.1]:{peer.port}", "smtp_discard_ehlo_keyword_address_maps": "cidr:/nonexistent/table"})
        posthorn.send(["user@bigfish.test"])
        posthorn.wait_log(r"dsn=4\.3\.0, status=deferred \(discard keyword lookup for 127\.0\.0\.1\[127\.0\.0\.1\]")

    def test_lmtp_has_tables_of_its_own(self):
        sink = self.sink()
        posthorn = self.instance(start=False)
        (posthorn.dir / "keywords").write_text("127.0.0.1 pipelining\n")
        posthorn.set({"transport_maps": f"inline:{{box.test=lmtp:inet:127.0.0.1:{sink.port}}}", "debug_peer_list": "127.0.0.1",
                      "lmtp_discard_lhlo_keyword_address_maps": f"texthash:{posthorn.dir}/keywords",
                      "smtp_discard_ehlo_keyword_address_maps": "static:8bitmime"})
        posthorn.start()
        posthorn.send(["user@box.test"])
        posthorn.wait_log(r"lmtp\[\d+\]: \w+: to=<user@box\.test>.*status=sent")
        posthorn.wait_log(r"lmtp\[\d+\]: discarding EHLO keywords: PIPELINING\n")
        self.assertEqual(self.groups(posthorn)[:2], ["LHLO", "MAIL"])

    def test_the_server_hides_keywords_by_the_clients_address(self):
        posthorn = self.instance(start=False)
        table = posthorn.dir / "keywords"
        table.write_text("127.0.0.0/8 pipelining, dsn chunking\n")
        posthorn.set({"smtpd_discard_ehlo_keyword_address_maps": f"cidr:{table}"})
        posthorn.start()
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            for hidden in ("pipelining", "dsn", "chunking"):
                self.assertFalse(client.has_extn(hidden), hidden)
            self.assertTrue(client.has_extn("8bitmime"))
        posthorn.wait_log(r"smtpd\[\d+\]: discarding EHLO keywords: PIPELINING DSN CHUNKING")


if __name__ == "__main__":
    unittest.main()
