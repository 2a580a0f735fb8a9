"""A way to a server that drops large segments and tells nobody (path MTU): noticed, worked around, remembered. In networks of its own; root only."""
import ctypes
import os
import subprocess

from journey import BIN, PATIENCE, Journey, unittest

NETWORK = """
ip link set lo up
ip link add here type veth peer name near netns {router}
ip addr add 10.9.0.1/24 dev here
ip link set here up gso_max_segs 1
ip route add default via 10.9.0.254
nsenter -t {router} -n sh -e <<'END'
ip link set lo up
ip addr add 10.9.0.254/24 dev near
ip link set near up
ip link add far type veth peer name there netns {server}
ip addr add 10.8.0.254/24 dev far
ip link set far up mtu 1300
echo 1 > /proc/sys/net/ipv4/ip_forward
ip rule add iif lo to 10.9.0.0/24 pref 1 blackhole
END
nsenter -t {server} -n sh -e <<'END'
ip link set lo up
ip addr add 10.8.0.2/24 dev there
ip link set there up
ip route add default via 10.8.0.254
END
"""


class Way(Journey):
    """here -- router that forwards at most 1300 octets, and whose word of that nobody hears -- server"""

    def elsewhere(self):
        """A process in a network namespace of its own, which lives as long."""
        process = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo there; exec sleep 100000"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate, timeout=PATIENCE)
        self.addCleanup(process.kill)
        process.stdout.readline()
        return process.pid

    def setUp(self):
        super().setUp()
        if os.getuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:        # CLONE_NEWNET: of this process and its children
            self.skipTest("needs networks of its own: root")
        router, server = self.elsewhere(), self.elsewhere()
        made = subprocess.run(["sh", "-e"], input=NETWORK.format(router=router, server=server), text=True, capture_output=True)
        if made.returncode != 0:
            self.skipTest(f"no such networks here: {made.stderr.strip()}")
        self.peer = subprocess.Popen(["nsenter", "-t", str(server), "-n", str(BIN / "posthorn"), "peer", "data-only", "--address", "10.8.0.2"],
                                     stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.peer.communicate, timeout=PATIENCE)
        self.addCleanup(self.peer.terminate)
        self.port = int(self.peer.stdout.readline().rsplit(":", 1)[1])

    def test_large_segments_that_are_lost_are_noticed_and_small_ones_sent_from_then_on(self):
        posthorn = self.instance({"relayhost": f"[10.8.0.2]:{self.port}", "inet_protocols": "ipv4"})
        posthorn.send(["small@example.test"], content="Subject: x\r\n\r\nhello\r\n")
        posthorn.wait_log(r"to=<small@example\.test>, .*status=sent")
        large = "Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 600
        posthorn.send(["first@example.test"], content=large)
        posthorn.wait_log(r"to=<first@example\.test>, .*dsn=4\.4\.2, status=deferred \(conversation with 10\.8\.0\.2\[10\.8\.0\.2\] timed out while sending [^:]*: "
                          r"segments of \d+ octets are lost on the way\)")
        posthorn.wait_log(r"peer \S+\[10\.8\.0\.2\]: segments of \d+ octets never arrived, although they were repeated: they are lost on the way; segments are small there, until")
        posthorn.wait_log(r"to=<first@example\.test>, .*status=sent")             # by itself, soon
        posthorn.wait_log(r"peer \S+\[10\.8\.0\.2\]: small segments arrive, of \d+ octets none did")
        ask = lambda *words: posthorn.run("posthorn", "peers", "-c", str(posthorn.dir / "conf"), *words).stdout
        self.assertRegex(ask(), r"(?m)^10\.8\.0\.2  the way there: segments of \d+ octets are lost, small ones are sent until \S+ \S+$")
        self.assertRegex(ask("--json", "list", "10.8.0.2"), r'(?m)^{"way": "10\.8\.0\.2", "segments_lost": \d+, "proved": true, ')
        posthorn.stop()
        posthorn.start()
        posthorn.send(["second@example.test"], content=large)
        posthorn.wait_log(r"to=<second@example\.test>, .*status=sent")
        self.assertNotRegex(posthorn.log(), r"to=<second@example\.test>, .*status=deferred")
        ask("forget", "10.8.0.2")
        self.assertNotIn("the way there", ask())

    def test_by_itself_nothing_is_sent_otherwise(self):
        posthorn = self.instance({"relayhost": f"[10.8.0.2]:{self.port}", "inet_protocols": "ipv4", "smtp_peer_learning": "report",
                                  "smtp_data_xfer_timeout": "45s", "smtp_data_done_timeout": "45s"})
        posthorn.send(["first@example.test"], content="Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 600)
        posthorn.wait_log(r"peer \S+\[10\.8\.0\.2\]: segments of \d+ octets never arrived, .*would change: segments are small there")


if __name__ == "__main__":
    unittest.main()
