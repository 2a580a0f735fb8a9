"""Servers that break the rules: found out from sessions, kept over a restart, without a table."""
import os
import pathlib
import re
import signal
import socketserver
import subprocess
import threading
import time

from journey import BIN, Journey, unittest, wait_until


class Peer:
    """`posthorn peer NAME`: one of sim/peers on a port of its own, with its transcript."""

    def __init__(self, name):
        self._process = subprocess.Popen([str(BIN / "posthorn"), "peer", name, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.lines = []
        self.port = int(re.search(r":(\d+)", self._process.stdout.readline()).group(1))
        self._reader = threading.Thread(target=lambda: self.lines.extend(iter(self._process.stdout.readline, "")), daemon=True)
        self._reader.start()

    def said(self):
        """What clients said."""
        return [line.split("C: ", 1)[1].strip() for line in list(self.lines) if "C: " in line]

    def close(self):
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()


class Greylister(socketserver.ThreadingTCPServer):
    """Puts every envelope off for two seconds from its first attempt; no script has a memory over sessions."""
    allow_reuse_address = daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), GreylistedSession)
        self.port = self.server_address[1]
        self.first, self.taken, self.says = {}, [], "451 4.7.1 Greylisting in action, please come back in 00:00:02"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self.shutdown()
        self.server_close()
        self._thread.join(10)


class GreylistedSession(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda text: self.wfile.write(text.encode() + b"\r\n")
        say("220 grey.test ESMTP")
        sender = recipient = None
        for line in iter(self.rfile.readline, b""):
            line = line.decode().strip()
            verb = line[:4].upper()
            if verb in ("EHLO", "HELO"):
                say("250 grey.test")
            elif verb == "MAIL":
                sender = line
                say("250 2.1.0 Ok")
            elif verb == "RCPT":
                recipient = line
                begun = self.server.first.setdefault((sender.split(" SIZE")[0], recipient), time.monotonic())
                say("250 2.1.5 Ok" if time.monotonic() - begun >= 2 else self.server.says)
            elif verb == "DATA":
                say("354 go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                self.server.taken.append(recipient)
                say("250 2.0.0 Ok")
            elif verb == "QUIT":
                say("221 2.0.0 Bye")
                return
            else:
                say("250 2.0.0 Ok")


class Peers(Journey):
    def peer(self, name):
        peer = Peer(name)
        self._opened.append(peer)
        return peer

    def quits(self, peer, count):
        return wait_until(lambda: (lambda said: said if said.count("QUIT") >= count else None)(peer.said()), f"{count} sessions ended")

    def test_frontbridge_is_found_out_by_its_goodbye_and_known_after_a_restart(self):
        peer = self.peer("frontbridge")
        posthorn = self.instance({"smtp_connection_cache_on_demand": "no", "smtp_peer_rules": ""}, relay=peer.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"status=sent \(250 2\.6\.0")
        line, = posthorn.wait_log(r"postfix/smtp\[\d+\]: (peer VA3EHSMHS018.*)")
        self.assertRegex(line, r"^peer VA3EHSMHS018\.bigfish\.com\[127\.0\.0\.1\]: learned quit-alone: RSET QUIT: 221; QUIT now travels alone, until \d{4}-\d\d-\d\d \d\d:\d\d UTC; "
                               r"by hand: smtp_discard_ehlo_keyword_address_maps, \"127\.0\.0\.1 silent-discard, pipelining\"$")
        self.quits(peer, 1)
        posthorn.stop()
        self.assertTrue(list(posthorn.dir.rglob("peers.lmdb")))
        posthorn.start()
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"status=sent", 2)
        said = self.quits(peer, 2)
        self.assertEqual(said[-1], "QUIT")
        self.assertNotIn("RSET", said)                            # the first one was lost by the peer,
        self.assertEqual(len([line for line in peer.lines if "commands of the group are forgotten" in line]), 1)    # the second was not said
        self.assertEqual(len(re.findall("learned quit-alone", posthorn.log())), 1)

    def test_the_shipped_rules_know_frontbridge_before_the_first_session(self):
        peer = self.peer("frontbridge")
        posthorn = self.instance({"smtp_connection_cache_on_demand": "no"}, relay=peer.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"status=sent \(250 2\.6\.0")
        self.quits(peer, 1)
        self.assertFalse([line for line in peer.lines if "forgotten" in line])
        self.assertNotIn("learned", posthorn.log())

    def test_a_peer_that_refuses_groups_takes_the_mail_at_the_first_attempt(self):
        peer = self.peer("refuses-groups")
        posthorn = self.instance(relay=peer.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"status=sent \(250 2\.6\.0")
        posthorn.wait_log(r"learned one-command-per-flight: MAIL RCPT DATA: 250 500")
        self.assertNotRegex(posthorn.log(), "status=(deferred|bounced)")

    def test_learning_can_be_off_and_the_rule_file_speaks_all_the_same(self):
        peer = self.peer("refuses-groups")
        posthorn = self.instance({"smtp_peer_learning": "no", "smtp_peer_rules": "$config_directory/rules, /nonexistent"}, relay=peer.port, start=False)
        (posthorn.dir / "conf" / "rules").write_text("/^220 peer\\.test ESMTP/ one-command-per-flight\n")
        posthorn.start()
        posthorn.send(["user@there.test"])
        posthorn.wait_log(r"status=sent \(250 2\.6\.0")
        posthorn.wait_log(r"warning: smtp_peer_rules: open /nonexistent: No such file or directory: the file is not used")
        self.assertNotIn("learned", posthorn.log())

    def test_greylisting_is_waited_for_by_its_own_time(self):
        peer = Greylister()
        self._opened.append(peer)
        posthorn = self.instance(relay=peer.port)
        posthorn.send(["one@there.test"])
        posthorn.send(["two@there.test"])
        posthorn.wait_log(r"status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 451 4\.7\.1 Greylisting in action")
        posthorn.wait_log(r"status=sent \(250 2\.0\.0 Ok", 2)            # the general back-off is five minutes
        self.assertEqual(len(peer.taken), 2)

    def killed_and_started_again(self, posthorn):
        time.sleep(2.5)                                                  # what is learned is written once a second
        pids = [posthorn.master_pid(), *posthorn.processes()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

        def lives(pid):
            try:
                return "State:\tZ" not in pathlib.Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return False
        wait_until(lambda: not any(map(lives, pids)), "all are gone")
        posthorn.start()

    def test_the_time_of_a_greylisting_host_outlives_kill_9(self):
        peer = Greylister()
        peer.says = "451 4.7.1 Greylisting in action"                    # no time is named
        self._opened.append(peer)
        posthorn = self.instance(relay=peer.port)
        posthorn.send(["one@there.test"])
        posthorn.wait_log(r"to=<one@there\.test>.*status=deferred")
        time.sleep(2)
        posthorn.run("postqueue", "-f")                                  # the general back-off is five minutes
        posthorn.wait_log(r"to=<one@there\.test>.*status=sent")
        self.killed_and_started_again(posthorn)
        posthorn.send(["two@there.test"])
        posthorn.wait_log(r"to=<two@there\.test>.*status=deferred")
        posthorn.wait_log(r"to=<two@there\.test>.*status=sent")
        self.assertEqual(len(peer.taken), 2)

    def test_the_sessions_that_a_site_takes_at_once_outlive_kill_9(self):
        refused = []

        def greeting(argument, sink):
            if sink.open_now > 2:
                refused.append(sink.open_now)
                return "421 4.7.0 Too many connections from your address"
            return "220 sink.test ESMTP"
        sink = self.sink({"CONNECT": greeting}, delay=0.05)
        posthorn = self.instance({"smtp_peer_rules": "", "smtp_destination_recipient_limit": "1", "initial_destination_concurrency": "10"}, relay=sink.port)

        def send(name):
            posthorn.send([f"{name}{i}@there.test" for i in range(12)])
        send("a")
        posthorn.wait_log("status=sent", 12)
        self.assertTrue(refused)
        self.killed_and_started_again(posthorn)
        wait_until(lambda: sink.open_now == 0, "the sessions of before are over")
        before = len(refused)
        send("b")
        posthorn.wait_log("status=sent", 24)
        self.assertEqual(len(refused), before)
        self.assertEqual(len(sink.recipients()), 24)
        posthorn.wait_log(r"site .*: .*sessions at once are what it lately took")

    def test_a_site_that_asks_for_silence_is_left_alone_and_the_log_says_until_when(self):
        peer = self.peer("slow-down")
        posthorn = self.instance(relay=peer.port)
        posthorn.send(["one@there.test"])
        posthorn.wait_log(r"postfix/qmgr\[\d+\]: site 127\.0\.0\.1: nothing is sent until \d{4}-\d\d-\d\d \d\d:\d\d UTC, then one delivery at a time: "
                          r"host 127\.0\.0\.1\[127\.0\.0\.1\] said: 421 4\.7\.0 \[TSS04\]")
        posthorn.send(["two@there.test"])
        posthorn.wait_log(r"to=<two@there\.test>.*status=deferred \(delivery temporarily suspended: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 421")
        self.assertEqual(len([line for line in peer.said() if line.startswith("EHLO")]), 1)
        self.assertNotIn("status=bounced", posthorn.log())

    def test_the_silence_that_a_site_asked_for_outlives_kill_9_is_listed_and_can_be_forgotten(self):
        peer = self.peer("slow-down")
        posthorn = self.instance(relay=peer.port)
        posthorn.send(["one@there.test"])
        posthorn.wait_log(r"site 127\.0\.0\.1: nothing is sent until")
        self.killed_and_started_again(posthorn)
        posthorn.send(["two@there.test"])
        posthorn.wait_log(r"to=<two@there\.test>.*status=deferred \(delivery temporarily suspended: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 421")
        sessions = lambda: len([line for line in peer.said() if line.startswith("EHLO")])
        self.assertEqual(sessions(), 1)
        ask = lambda *words: posthorn.run("posthorn", "peers", "-c", str(posthorn.dir / "conf"), *words).stdout
        self.assertRegex(ask(), r"(?m)^127\.0\.0\.1  serves smtp:\[127\.0\.0\.1\]:\d+: nothing is sent until \S+ \S+, then one delivery at a time$")
        self.assertRegex(ask("show", "127.0.0.1"), r"(?m)^  asked +host 127\.0\.0\.1\[127\.0\.0\.1\] said: 421 4\.7\.0 \[TSS04\]")
        self.assertIn(" and 1 MX sets forgotten", ask("forget", "127.0.0.1"))
        posthorn.wait_log(r"site 127\.0\.0\.1: an operator had forgotten what it asked for")
        posthorn.send(["three@there.test"])
        posthorn.wait_log(r"to=<three@there\.test>.*said: 421 4\.7\.0 \[TSS04\]")
        self.assertEqual(sessions(), 2)


if __name__ == "__main__":
    unittest.main()
