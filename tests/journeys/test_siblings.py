"""Gateways side by side tell each other what they learned of servers and addresses: the second one never meets the fault, an address is probed once."""
import json
import os
import pwd
import signal
import socket
import subprocess
import threading
import time

from journey import BIN, Journey, unittest, wait_until
from test_peers import Peer

VERIFYING = {"relay_domains": "there.test", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination", "mynetworks": "192.0.2.1",
             "smtpd_recipient_restrictions": "reject_unverified_recipient", "address_verify_control_domains": ""}
LEARNING = {"smtp_connection_cache_on_demand": "no", "smtp_peer_rules": ""}


# What ssh is here: the command of a spawn line is neither root's nor the mail system owner's, what it starts on the other machine may be.
SSH = r"""
import socket, sys, threading, os
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def carry(read, write, over):
    while octets := read():
        write(octets)
    over()
threading.Thread(target=carry, args=(lambda: os.read(0, 65536), s.sendall, lambda: s.shutdown(socket.SHUT_WR)), daemon=True).start()
carry(lambda: s.recv(65536), lambda octets: os.write(1, octets), lambda: None)
"""


class Sshd:
    """Runs `command` for each connection, which is its standard input, output and error."""

    def __init__(self, command):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port, self._command, self._running = self._socket.getsockname()[1], command, []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._running.append(subprocess.Popen(self._command, stdin=connection, stdout=connection, stderr=connection))

    def close(self):
        self._socket.close()
        for process in self._running:
            process.kill()
            process.wait()


class Siblings(Journey):
    """`one` connects to `two`."""

    def two_instances(self, settings, relay):
        self.two = self.instance({"myhostname": "mx2.test", **settings}, relay=relay)
        self.one = self.with_line({"myhostname": "mx1.test", **settings}, relay, self.ssh_to(self.two))

    def ssh_to(self, instance):
        sshd = Sshd([str(BIN / "posthorn"), "share", "-c", str(instance.dir / "conf")])
        self._opened.append(sshd)
        program = instance.dir / "ssh.py"
        program.write_text(SSH)
        program.chmod(0o755)
        return f"/usr/bin/python3 {program} {sshd.port}"

    def with_line(self, settings, relay, command):
        """An instance with a spawn line mx2."""
        one = self.instance({**settings, **self.owner()}, relay=relay, start=False)
        self.add_line(one, command)
        return one

    def owner(self):
        return {"mail_owner": "daemon"} if os.geteuid() == 0 else {}

    def add_line(self, one, command):
        user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        one.set({"memory_siblings": "mx2"})
        one.add_service(f"mx2 unix - n n - 1 spawn user={user} argv={command}")
        one.start()

    def status(self, posthorn):
        return [json.loads(line) for line in posthorn.run("posthorn", "share", "--status", "--json").stdout.splitlines()]

    def connected(self, posthorn, name):
        return wait_until(lambda: [one for one in self.status(posthorn) if one["name"] == name and one["connected"]], f"{name} is connected")[0]

    def both_connected(self):
        self.connected(self.one, "mx2")
        self.connected(self.two, "mx1.test")

    def rcpt(self, posthorn, address):
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("sender@example.com")
            return client.rcpt(address)[0]

    def peer(self, name):
        peer = Peer(name)
        self._opened.append(peer)
        return peer

    def test_a_fault_that_one_met_is_worked_round_by_the_other_at_its_first_contact(self):
        peer = self.peer("frontbridge")
        self.two_instances(LEARNING, peer.port)
        self.both_connected()
        self.two.send(["user@there.test"])
        self.two.wait_log(r"learned quit-alone: RSET QUIT: 221")
        line, = self.one.wait_log(r"postfix/smtp\[\d+\]: (peer VA3EHSMHS018.*)")
        self.assertRegex(line, r"^peer VA3EHSMHS018\.bigfish\.com\[127\.0\.0\.1\]: told by mx2: quit-alone; QUIT now travels alone, until \d{4}-\d\d-\d\d \d\d:\d\d UTC$")
        wait_until(lambda: peer.said().count("QUIT") >= 1, "the session of the one that learned it is over")
        forgotten = lambda: len([line for line in peer.lines if "commands of the group are forgotten" in line])
        self.assertEqual(forgotten(), 1)
        wait_until(lambda: "quit-alone" in self.one.run("posthorn", "peers", check=False).stdout, "it is stored")
        self.one.send(["user@there.test"])
        self.one.wait_log(r"status=sent \(250 2\.6\.0")
        wait_until(lambda: peer.said().count("QUIT") >= 2, "the session of the other is over")
        self.assertEqual(forgotten(), 1)                              # the other one never met it
        self.assertNotIn("learned", self.one.log())
        self.assertIn("quit-alone (told by mx2)", self.one.run("posthorn", "peers").stdout)
        self.assertRegex(self.one.run("posthorn", "peers", "show", "127.0.0.1").stdout, r"quit-alone +told by mx2; in force until")
        self.assertRegex(self.one.run("posthorn", "why", "user@there.test").stdout, r"quit-alone +told by mx2; in force until")
        # Nothing echoes, and what is forgotten here is not brought back, nor forgotten there.
        self.assertNotIn("told by", self.two.run("posthorn", "peers").stdout)
        self.assertNotIn("told by", self.two.log())
        self.one.run("posthorn", "peers", "forget", "--all")
        self.one.run("postfix", "reload")
        for posthorn in (self.one, self.two):
            before = posthorn.pids_of("memory")
            os.kill(before[0], signal.SIGKILL)
            wait_until(lambda: (now := posthorn.pids_of("memory")) and now != before and posthorn.run("posthorn", "share", "--status", check=False).returncode == 0, "memory is another")
        self.both_connected()
        wait_until(lambda: self.connected(self.one, "mx2")["heard"] >= 1, "it was told again")
        self.assertNotIn("quit-alone", self.one.run("posthorn", "peers", check=False).stdout)
        self.assertIn("quit-alone", self.two.run("posthorn", "peers").stdout)

    def test_an_address_that_one_verified_is_answered_by_the_other_without_a_probe(self):
        sink = self.sink({"RCPT": lambda argument, sink: "550 5.1.1 No such user" if "nobody" in argument else "250 2.1.5 Recipient OK"})
        self.two_instances(VERIFYING, sink.port)
        self.assertEqual(self.rcpt(self.two, "before@there.test"), 250)
        self.both_connected()
        self.assertEqual(self.rcpt(self.one, "user@there.test"), 250)
        self.assertEqual(self.rcpt(self.one, "nobody@there.test"), 450)
        wait_until(lambda: self.connected(self.two, "mx1.test")["news"] >= 2, "both are told")
        sessions = sink.sessions
        self.assertEqual(self.rcpt(self.two, "user@there.test"), 250)
        self.assertEqual(self.rcpt(self.two, "nobody@there.test"), 450)
        self.assertEqual(self.rcpt(self.one, "before@there.test"), 250)
        self.assertEqual(sink.sessions, sessions)
        for address in ("user", "nobody", "before"):
            self.assertEqual(sum(f"RCPT TO:<{address}@" in command for command in sink.commands), 1, address)
        self.assertRegex(self.two.run("posthorn", "why", "user@there.test").stdout, r"told by +mx1\.test: its probe")
        self.assertIn("told by  ", self.one.run("posthorn", "why", "before@there.test").stdout)
        counters = self.two.run("posthorn", "counters").stdout
        self.assertRegex(counters, r"siblings_connected\s+1\b")
        self.assertRegex(counters, r"siblings_news\s+2\b")

    def test_an_address_that_one_asks_about_is_not_asked_about_by_the_other_meanwhile(self):
        sink = self.sink({"RCPT": lambda argument, sink: "250 2.1.5 Recipient OK"}, delay=0.8)
        self.two_instances(VERIFYING, sink.port)
        self.both_connected()
        with self.one.smtp() as client, self.two.smtp() as other:
            for session in (client, other):
                session.ehlo("client.test")
                session.mail("sender@example.com")
            client.send("RCPT TO:<user@there.test>\r\n")
            time.sleep(0.6)
            self.assertEqual(other.rcpt("user@there.test")[0], 250)
            self.assertEqual(client.getreply()[0], 250)
        self.assertEqual(sum("RCPT TO:<user@" in command for command in sink.commands), 1)

    def test_one_is_killed_and_comes_back_and_hears_what_it_missed(self):
        sink = self.sink()
        self.two_instances(VERIFYING, sink.port)
        self.both_connected()
        self.two.stop()
        self.one.wait_log(r"warning: sibling mx2: away: it ended")
        self.assertEqual(self.rcpt(self.one, "user@there.test"), 250)
        self.one.wait_log(r"sibling mx2: no connection: it says what is none of ours: \"posthorn share: fatal: the mail system is down")
        state, = self.status(self.one)
        self.assertIsNone(state["connected"])
        self.assertIn("the mail system is down", state["trouble"])
        self.two.start()
        self.both_connected()
        wait_until(lambda: self.connected(self.two, "mx1.test")["news"] >= 1, "it was told what it missed")
        self.assertEqual(self.rcpt(self.two, "user@there.test"), 250)
        self.assertEqual(sum("RCPT TO:<user@" in command for command in sink.commands), 1)
        text = self.one.run("posthorn", "share", "--status").stdout
        self.assertRegex(text, r"^mx2  connected since \S+ \S+ \(memory_siblings\): mx2\.test, version \S+\n    told \d+, heard \d+, news \d+\n    last trouble ")
        # Who is not named any more is left.
        self.one.set({"memory_siblings": ""})
        self.one.run("postfix", "reload")
        wait_until(lambda: self.status(self.one) == [] and self.status(self.two) == [], "they have parted")
        self.assertIn("No siblings", self.one.run("posthorn", "share", "--status").stdout)

    def test_the_line_that_leads_to_a_sibling_has_no_time_limit_unless_one_is_written(self):
        self.two_instances({"command_time_limit": "1s", "reload_grace_time": "1s"}, self.sink().port)
        self.both_connected()
        since = self.connected(self.one, "mx2")["connected"]
        time.sleep(2.5)
        self.assertEqual(self.connected(self.one, "mx2")["connected"], since)
        self.one.set({"mx2_time_limit": "1s"})
        self.one.run("postfix", "reload")
        self.one.wait_log("command time limit exceeded")

    def test_garbage_in_place_of_a_sibling_changes_nothing_and_so_does_the_instance_itself(self):
        sink = self.sink()
        for command, says in ((r"/usr/bin/printf 'Welcome\040to\040mx2'", "it says what is none of ours"),
                              ("/usr/bin/head -c 3000000 /dev/urandom", "it (says what is none of ours|does not|says what is not understood|ended)"),
                              ("/bin/false", "(it ended before it said who it is|lost connection)")):
            sink.commands.clear()
            one = self.with_line(VERIFYING, sink.port, command)
            one.wait_log(rf"sibling mx2: no connection: {says}")
            self.assertEqual(self.rcpt(one, "user@there.test"), 250)
            self.assertNotIn("told by", one.run("posthorn", "peers", check=False).stdout)
            one.stop()
        one = self.instance({**VERIFYING, **self.owner()}, relay=sink.port, start=False)
        self.add_line(one, self.ssh_to(one))
        one.wait_log(r"sibling mx2: no connection: it (is this memory itself: the command leads back here|says: it is this memory itself)")

    def test_share_wants_a_command_at_its_other_end(self):
        posthorn = self.instance()
        self.assertEqual(posthorn.run("posthorn", "share", "--json", check=False).returncode, 64)
        self.assertEqual(posthorn.run("posthorn", "share", "word", check=False).returncode, 64)
        posthorn.stop()
        done = subprocess.run([str(BIN / "posthorn"), "share", "-c", str(posthorn.dir / "conf")], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(done.returncode, 69)
        self.assertIn("the mail system is down", done.stderr)


if __name__ == "__main__":
    unittest.main()
