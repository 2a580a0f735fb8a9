"""The tests before the greeting, made by smtpd as it is installed: a line postscreen of master.cf, lists in the DNS, who was let in, a reload."""
import os
import re
import signal
import socket
import time

from journey import PATIENCE, Journey, free_port, unittest, wait_until

ZONE = """
2.0.0.127.bad.test. A 127.0.0.2
2.0.0.127.worse.test. A 127.0.0.4
3.0.0.127.good.test. A 127.0.9.2
"""


class Client:
    """What a client says and hears, from an address of its own."""

    def __init__(self, port, address):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(address, 0))
        self.file = self.stream.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()

    def line(self):
        return self.file.readline().decode()

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "".join(lines)

    def say(self, command):
        self.stream.sendall(command.encode() + b"\r\n")
        return self.reply()


class Postscreen(Journey):
    def screened(self, settings, start=True):
        posthorn = self.instance(start=False)
        posthorn.set({"mynetworks": "127.0.0.1", "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination", "relay_domains": "there.test", "smtpd_peername_lookup": "no",
                      "smtpd_client_connection_count_limit": "0", **settings})
        port = free_port()
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - 1 postscreen\n  -o syslog_name=screened\nsmtpd pass - - n - - smtpd\n  -o smtpd_helo_required=yes\n"
                             "dnsblog unix - - n - 0 dnsblog\ntlsproxy unix - - n - 0 tlsproxy")
        if start:
            posthorn.start()
            wait_until(lambda: self.greets(port), "the line postscreen greets")
        return posthorn, port

    def greets(self, port):
        try:
            with Client(port, "127.0.0.1") as client:
                return client.line().startswith("220")
        except OSError:
            return False

    def test_who_waits_is_heard_and_remembered(self):
        sink = self.sink()
        posthorn, port = self.screened({"postscreen_greet_wait": "2s", "relayhost": f"[127.0.0.1]:{sink.port}"})
        begin = time.monotonic()
        with Client(port, "127.0.0.2") as client:
            self.assertTrue(client.line().startswith("220-"))
            self.assertTrue(client.line().startswith("220 "))
            self.assertGreaterEqual(time.monotonic() - begin, 1.9)
            self.assertTrue(client.say("MAIL FROM:<a@b.test>").startswith("503"), "the options of the line behind it count")
            self.assertIn("250-PIPELINING", client.say("EHLO client.test"))
            self.assertTrue(client.say("MAIL FROM:<a@b.test>").startswith("250"))
            self.assertTrue(client.say("RCPT TO:<c@there.test>").startswith("250"))
            self.assertTrue(client.say("DATA").startswith("354"))
            self.assertTrue(client.say("Subject: hello\r\n\r\nbody\r\n.").startswith("250"))
        wait_until(lambda: sink.messages, "the mail arrives")
        with Client(port, "127.0.0.2") as client:
            self.assertTrue(client.line().startswith("220 "))
        posthorn.wait_log(r"screened/postscreen\[\d+\]: CONNECT from \[127\.0\.0\.2\]:\d+ to \[127\.0\.0\.1\]:" + str(port))
        posthorn.wait_log(r"screened/postscreen\[\d+\]: PASS NEW \[127\.0\.0\.2\]:\d+")
        posthorn.wait_log(r"screened/postscreen\[\d+\]: PASS OLD \[127\.0\.0\.2\]:\d+")
        posthorn.wait_log(r"screened/smtpd\[\d+\]: connect from unknown\[127\.0\.0\.2\]")
        self.assertNotIn("the tests before the greeting are not made", posthorn.log())

    def test_who_speaks_too_early(self):
        posthorn, port = self.screened({"postscreen_greet_action": "enforce", "postscreen_access_list":
                                        "permit_mynetworks, cidr:{{127.0.0.9 permit}, {127.0.0.8 reject}}", "postscreen_denylist_action": "drop"})
        with Client(port, "127.0.0.2") as client:
            self.assertTrue(client.line().startswith("220-"))
            self.assertNotIn("PIPELINING", client.say("EHLO early.test"))
            self.assertTrue(client.say("MAIL FROM:<a@b.test>").startswith("250"))
            self.assertEqual(client.say("RCPT TO:<c@there.test>"), "550 5.5.1 Protocol error\r\n")
            self.assertTrue(client.say("QUIT").startswith("221"))
        with Client(port, "127.0.0.8") as client:
            self.assertEqual(client.line(), "521 5.3.2 Service currently unavailable\r\n")
            self.assertEqual(client.line(), "")
        with Client(port, "127.0.0.9") as client:
            self.assertTrue(client.line().startswith("220 "))
        posthorn.wait_log(r"PREGREET 17 after [\d.]+ from \[127\.0\.0\.2\]:\d+: EHLO early\.test\\r\\n")
        posthorn.wait_log(r"NOQUEUE: reject: RCPT from \[127\.0\.0\.2\]:\d+: 550 5\.5\.1 Protocol error; from=<a@b\.test>, to=<c@there\.test>, proto=ESMTP, helo=<early\.test>")
        posthorn.wait_log(r"DISCONNECT \[127\.0\.0\.2\]:\d+")
        posthorn.wait_log(r"DENYLISTED \[127\.0\.0\.8\]:\d+")
        posthorn.wait_log(r"ALLOWLISTED \[127\.0\.0\.9\]:\d+")
        self.assertNotRegex(posthorn.log(), r"smtpd\[\d+\]: connect from unknown\[127\.0\.0\.[28]\]")

    def test_lists_in_the_dns(self):
        posthorn, port = self.screened({"dns_servers": self.dns(ZONE), "postscreen_dnsbl_sites": "bad.test*2 worse.test=127.0.0.[2..5] good.test*-2",
                                        "postscreen_dnsbl_threshold": "3", "postscreen_dnsbl_action": "enforce", "postscreen_greet_wait": "2s",
                                        "postscreen_dnsbl_allowlist_threshold": "-1"})
        with Client(port, "127.0.0.2") as client:
            client.reply()
            client.say("HELO client.test")
            client.say("MAIL FROM:<a@b.test>")
            self.assertEqual(client.say("RCPT TO:<c@there.test>"), "550 5.7.1 Service unavailable; client [127.0.0.2] blocked using bad.test\r\n")
        posthorn.wait_log(r"DNSBL rank 3 for \[127\.0\.0\.2\]:\d+")
        begin = time.monotonic()
        with Client(port, "127.0.0.3") as client:
            client.reply()
            self.assertLess(time.monotonic() - begin, 1.5)                   # good.test speaks for it: it does not wait
        posthorn.wait_log(r"PASS NEW \[127\.0\.0\.3\]:\d+")

    def test_wrong_values_and_what_is_not_served_are_named(self):
        posthorn, port = self.screened({}, start=False)
        posthorn.set({"postscreen_dnsbl_sites": "a.test*x"})
        posthorn.run("postfix", "start", check=False)
        posthorn.wait_log(r'fatal: bad configuration: postscreen_dnsbl_sites: bad DNSBL weight factor "x" in "a\.test\*x"')
        posthorn.stop()
        posthorn.set({"postscreen_dnsbl_sites": "", "postscreen_cache_map": "btree:$data_directory/x"})
        said = posthorn.run("postfix", "check", check=False)
        self.assertNotIn("postscreen_cache_map", said.stdout + said.stderr)
        self.assertNotIn("before the greeting are not made", said.stdout + said.stderr)

    def waits(self, port, address):
        """Passing the tests; was there a wait?"""
        with Client(port, address) as client:
            first = client.line()
            if first.startswith("220-"):
                client.line()
            return first.startswith("220-")

    def test_who_passed_is_known_after_a_reload_a_restart_and_a_crash(self):
        posthorn, port = self.screened({"postscreen_greet_wait": "1s"})
        # By the database's own word: a page of it may be written and not be part of it yet.
        def stored(address):
            return posthorn.run("postmap", "-q", address, f"lmdb:{posthorn.dir}/data/postscreen_cache", check=False).stdout != ""
        self.assertTrue(self.waits(port, "127.0.0.2"))
        posthorn.wait_log(r"PASS NEW \[127\.0\.0\.2\]")
        wait_until(lambda: stored("127.0.0.2"), "it is stored")
        posthorn.run("postfix", "reload")
        self.assertFalse(self.waits(port, "127.0.0.2"), "after a reload")
        for how in "stop", "abort":
            posthorn.stop(how)
            posthorn.start()
            wait_until(lambda: self.greets(port), "the line postscreen greets")
            self.assertFalse(self.waits(port, "127.0.0.2"), f"after postfix {how}")
        self.assertTrue(self.waits(port, "127.0.0.3"))
        wait_until(lambda: stored("127.0.0.3"), "it is stored")
        for pid in posthorn.pids_of("service memory") + posthorn.pids_of("service smtpd"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.greets(port), "the line postscreen greets")
        for address in "127.0.0.2", "127.0.0.3":
            self.assertFalse(self.waits(port, address), f"{address} after a crash")
        self.assertNotIn("is not stored", posthorn.log())

    def test_all_processes_of_a_line_know_who_passed(self):
        posthorn, _ = self.screened({"postscreen_greet_wait": "1s", "smtpd_processes": "3"}, start=False)
        port = free_port()
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - - smtpd\n  -o smtpd_screen_clients=yes\n  -o postscreen_cache_map=btree:$data_directory/of_its_own")
        posthorn.start()
        wait_until(lambda: self.greets(port), "the line greets")
        self.assertTrue(self.waits(port, "127.0.0.2"))
        time.sleep(0.2)                                                      # memory is told behind the greeting
        waited = [self.waits(port, "127.0.0.2") for _ in range(30)]
        self.assertEqual(waited, [False] * 30)
        self.assertGreater(len(set(re.findall(r"postscreen\[(\d+)\]: PASS OLD \[127\.0\.0\.2\]", posthorn.log()))), 1, "more than one process was asked")
        wait_until(lambda: b"127.0.0.2" in (posthorn.dir / "data" / "of_its_own.db").read_bytes(), "the line's own map is written")
        self.assertNotIn("is not stored", posthorn.log())
        posthorn.stop()
        posthorn.start()
        wait_until(lambda: self.greets(port), "the line greets")
        self.assertFalse(self.waits(port, "127.0.0.2"), "after a restart")

    def test_a_reload_takes_new_words(self):
        posthorn, port = self.screened({"postscreen_greet_wait": "2s"})
        with Client(port, "127.0.0.2") as client:
            self.assertTrue(client.line().startswith("220-"))
        posthorn.set({"postscreen_access_list": "permit"})
        posthorn.run("postfix", "reload")

        def permitted():
            with Client(port, "127.0.0.2") as client:
                return client.line().startswith("220 ")
        wait_until(permitted, "the list of the new configuration counts")


if __name__ == "__main__":
    unittest.main()
