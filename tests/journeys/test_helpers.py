"""Who makes clients wait: filters, policy servers, tables and lists in the DNS, timed and counted as they are asked; one that does not answer is named while it does not."""
import json
import re
import socketserver
import threading
import unittest
import urllib.request

from journey import PATIENCE, Journey, free_port, wait_until
from test_milters import RunningFilter
from test_policy import PolicyServer


class Socketmap:
    """Knows known@ours.test; of broken@ours.test it says that it cannot tell."""

    def __init__(self):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while (size := b"".join(iter(lambda: self.rfile.read(1), b":"))) and not size.isspace():
                    asked = self.rfile.read(int(size) + 1)[:-1].decode().split(" ", 1)[1]
                    answer = {"known@ours.test": b"OK user@there.test", "broken@ours.test": b"TEMP not today"}.get(asked, b"NOTFOUND ")
                    self.wfile.write(b"%d:%s," % (len(answer), answer))
                    self.wfile.flush()
        socketserver.ThreadingTCPServer.allow_reuse_address = socketserver.ThreadingTCPServer.daemon_threads = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Helpers(Journey):
    def setUp(self):
        super().setUp()
        self.open_the_gate = threading.Event()
        self.addCleanup(self.open_the_gate.set)

    def helpers(self, posthorn):
        lines = posthorn.run("posthorn", "helpers", "--json").stdout.splitlines()
        return {f"{one['kind']} {one['name']}": one for one in map(json.loads, lines)}

    def test_who_is_asked_how_often_and_how_long_it_took(self):
        table = Socketmap()
        self.addCleanup(table.close)
        policy = PolicyServer(("127.0.0.1", 0), lambda asked: "DUNNO")
        self.addCleanup(policy.close)
        sink = self.sink()
        dns = self.dns("2.0.0.127.list.test. A 127.0.0.2\n")
        posthorn = self.instance(relay=sink.port, start=False)
        filter = RunningFilter(self, posthorn.dir, free_port())
        service, map = f"inet:127.0.0.1:{policy.server.server_address[1]}", f"socketmap:inet:127.0.0.1:{table.port}:users"
        admin = free_port()
        posthorn.add_service(f"127.0.0.1:{admin} inet n - n - 1 admin")
        posthorn.set({"smtpd_milters": filter.place, "virtual_alias_domains": "ours.test", "virtual_alias_maps": map, "dns_servers": dns,
                      "smtpd_recipient_restrictions": f"reject_rbl_client list.test, check_policy_service {service}", "smtpd_peername_lookup": "no"})
        posthorn.start()
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            for _ in range(3):
                client.sendmail("a@example.com", ["known@ours.test"], "Subject: one\r\n\r\nbody\r\n")
            client.mail("a@example.com")
            self.assertEqual(client.rcpt("nobody@ours.test")[0], 550)
            self.assertEqual(client.rcpt("broken@ours.test")[0], 451)
        wait_until(lambda: len(sink.messages) == 3, "the mail arrived")

        found = self.helpers(posthorn)
        self.assertLessEqual({f"milter {filter.place}", f"policy {service}", f"table {map}", "dns-list list.test", "queue store", "dns resolver"}, set(found), found)
        self.assertGreaterEqual(found[f"policy {service}"]["answers"], 4)
        self.assertEqual(found["queue store"]["answers"], 3)
        self.assertEqual(found["queue store"]["programs"], ["smtpd"])
        # Those of one session ask the same list of lists once per recipient; at least one question was asked of each, and all had an answer.
        self.assertGreaterEqual(found["dns-list list.test"]["answers"], 1)
        self.assertGreaterEqual(found[f"table {map}"]["failed"], 1)
        self.assertGreater(found[f"table {map}"]["answers"], found[f"table {map}"]["failed"])
        for name, one in found.items():
            self.assertEqual(one["open"], 0, name)
            self.assertEqual(one["oldest_open"], None, name)
            self.assertLessEqual(one["mean"], one["longest_lately"] + 1e-6, name)
            self.assertIsNotNone(one["half_within"], name)
            if not name.startswith("table"):
                self.assertEqual(one["failed"], 0, name)
        text = posthorn.run("posthorn", "helpers").stdout
        self.assertRegex(text, rf"(?m)^milter {re.escape(filter.place)} +smtpd +\d+ +0 +\d")

        # The same over HTTP, for Prometheus, and for people.
        ask = lambda path: urllib.request.urlopen(f"http://127.0.0.1:{admin}{path}", timeout=PATIENCE).read().decode()
        self.assertEqual({f"{one['kind']} {one['name']}" for one in json.loads(ask("/api/helpers"))["helpers"]}, set(self.helpers(posthorn)))
        self.assertIn(f"milter {filter.place}", ask("/"))
        metrics = ask("/metrics")
        answers = found["queue store"]["answers"]
        self.assertIn('posthorn_asked_seconds_count{service="smtp/inet",program="smtpd",kind="queue",name="store"} %d\n' % answers,
                      re.sub(r'service="[^"]*/inet"', 'service="smtp/inet"', metrics))
        self.assertIn('kind="queue",name="store",le="+Inf"} %d\n' % answers, metrics)
        self.assertNotRegex(posthorn.run("posthorn", "counters").stdout, r"\basked_")   # they have a table of their own

    def test_one_that_hangs_is_named_while_it_does(self):
        policy = PolicyServer(("127.0.0.1", 0), lambda asked: self.open_the_gate.wait(60) and "DUNNO")
        self.addCleanup(policy.close)
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        service = f"inet:127.0.0.1:{policy.server.server_address[1]}"
        posthorn.set({"relay_domains": "there.test", "smtpd_recipient_restrictions": f"check_policy_service {service}", "helper_warn_time": "1s"})
        posthorn.start()
        sender = threading.Thread(target=lambda: posthorn.send(["user@there.test"]), daemon=True)
        sender.start()
        posthorn.wait_log(rf"(?m)smtpd\[\d+\]: warning: policy {re.escape(service)}: no answer for \d+ s$")
        one = self.helpers(posthorn)[f"policy {service}"]
        self.assertEqual((one["open"], one["answers"]), (1, 0))
        self.assertGreaterEqual(one["oldest_open"], 1)
        first = posthorn.run("posthorn", "helpers").stdout.splitlines()[1]
        self.assertRegex(first, rf"^policy {re.escape(service)} .* 1, for \d")
        self.open_the_gate.set()
        posthorn.wait_log(rf"(?m)smtpd\[\d+\]: policy {re.escape(service)}: answers again, after \d+ s$")
        sender.join(PATIENCE)
        wait_until(lambda: len(sink.messages) == 1, "the mail arrived")
        self.assertEqual(self.helpers(posthorn)[f"policy {service}"]["open"], 0)
        self.assertEqual(len(re.findall("no answer for", posthorn.log())), 1)

    def test_while_the_system_is_down_and_wrong_words(self):
        posthorn = self.instance(start=False)
        self.assertEqual(posthorn.run("posthorn", "helpers", check=False).returncode, 69)
        self.assertEqual(posthorn.run("posthorn", "helpers", "--what", check=False).returncode, 64)
        posthorn.start()
        self.assertEqual(posthorn.run("posthorn", "helpers", "--json").stdout, "")


if __name__ == "__main__":
    unittest.main()
