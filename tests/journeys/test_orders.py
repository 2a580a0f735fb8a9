"""What an operator orders for destinations: their mail waits, or goes back to its senders, over restarts and kills, by commands and over HTTP."""
import collections
import http.client
import json
import os
import random
import re
import signal
import subprocess
import time

from journey import BIN, PATIENCE, Journey, Load, free_port, parse, unittest, wait_until

TOKEN = "a-token-of-this-test-0123456789"
LINE = r"status=deferred \(deliveries to there\.test suspended by an operator: their disk is full\)"


class Orders(Journey):
    def house(self, settings=None, **more):
        self.peer = self.sink()
        # A next try that is far away: what goes before was let go.
        return self.instance({"minimal_backoff_time": "1h", "maximal_backoff_time": "1h", **(settings or {})}, relay=self.peer.port, **more)

    def orders(self, posthorn):
        return [json.loads(line) for line in posthorn.run("posthorn", "orders", "--json").stdout.splitlines()]

    def arrived(self, *recipients):
        wait_until(lambda: set(recipients) <= set(self.peer.recipients()), f"{recipients} arrive")

    def test_suspended_mail_waits_says_why_survives_kills_and_goes_at_once(self):
        posthorn = self.house()
        said = posthorn.run("posthorn", "suspend", "There.Test", "--reason", "their disk is full").stdout
        self.assertRegex(said, r"^suspend there\.test, by \S+ since .* until it is ended: their disk is full \(0 messages wait\)\n$")
        posthorn.send(["a@there.test", "b@elsewhere.test"])
        posthorn.wait_log(LINE)
        self.arrived("b@elsewhere.test")
        self.assertIn("deliveries to there.test suspended by an operator: their disk is full", posthorn.run("mailq").stdout)
        [message] = posthorn.queue()
        for word in (message["queue_id"], "there.test"):
            why = posthorn.run("posthorn", "why", word).stdout
            self.assertIn("posthorn resume there.test\n", why)
            self.assertIn("their disk is full", why)
        told = json.loads(posthorn.run("posthorn", "why", "--json", message["queue_id"]).stdout)
        self.assertEqual([(one["wait"], one["command"]) for one in told["waiting"]], [("order", "posthorn resume there.test")])
        self.assertIn('queue_orders{order="suspend"} 1', " ".join(posthorn.run("posthorn", "counters").stdout.split()))

        # Killed at once, qmgr alone and all: it is in force as soon as the command has said so.
        posthorn.run("posthorn", "suspend", ".later.test", "--for", "2h")
        for pid in posthorn.pids_of("qmgr"):
            os.kill(pid, signal.SIGKILL)
        posthorn.send(["c@there.test"])
        posthorn.wait_log(LINE, 2)
        posthorn.send(["d@deep.later.test"])
        posthorn.wait_log(r"status=deferred \(deliveries to later\.test suspended by an operator\)")
        for pid in list(posthorn.processes()) + [posthorn.master_pid()]:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: posthorn.master_pid() is None, "all have ended")
        posthorn.start()
        posthorn.send(["e@there.test"])
        posthorn.wait_log(LINE, 3)
        posthorn.run("postfix", "reload")
        posthorn.run("postqueue", "-f")
        posthorn.wait_log(LINE, 6)
        posthorn.run("postfix", "drain")
        wait_until(lambda: posthorn.master_pid() is None, "it has ended")
        posthorn.start()
        self.assertEqual(set(self.peer.recipients()), {"b@elsewhere.test"})
        held = {order["destination"]: order["held_up"] for order in self.orders(posthorn)}
        self.assertEqual(held, {"there.test": 3, ".later.test": 1})

        said = posthorn.run("posthorn", "resume", "there.test").stdout
        self.assertEqual(said, "suspend there.test: ended, 3 messages go now\n")
        self.arrived("a@there.test", "c@there.test", "e@there.test")                # an hour before their next try
        self.assertEqual(posthorn.run("posthorn", "resume", "--all").stdout, "suspend .later.test: ended, 1 message goes now\n")
        posthorn.wait_empty()
        self.assertEqual(sorted(self.peer.recipients()), ["a@there.test", "b@elsewhere.test", "c@there.test", "d@deep.later.test", "e@there.test"])
        self.assertEqual(posthorn.run("posthorn", "orders").stdout, "no order is in force\n")

    def test_a_backup_of_the_living_queue_has_what_was_ordered(self):
        posthorn = self.house()
        posthorn.run("posthorn", "suspend", "there.test", "--reason", "their disk is full")
        posthorn.send(["a@there.test"])
        posthorn.wait_log(LINE)
        self.assertEqual(posthorn.run("posthorn", "queue", "--backup", "copy").stdout, "copy\n")
        self.assertIn("copy: File exists", posthorn.run("posthorn", "queue", "--backup", "copy", check=False).stderr)
        posthorn.run("posthorn", "resume", "--all")
        posthorn.wait_empty()
        self.assertEqual(self.orders(posthorn), [])

        # As docs/from-postfix.md has it.
        posthorn.run("postfix", "stop")
        spool, away = posthorn.dir / "queue" / "spool", posthorn.dir / "queue" / "away"
        spool.rename(away)
        (away / "copy").rename(spool)
        posthorn.start()
        self.assertEqual([(order["destination"], order["held_up"]) for order in self.orders(posthorn)], [("there.test", 1)])
        self.assertEqual(posthorn.run("posthorn", "resume", "there.test").stdout, "suspend there.test: ended, 1 message goes now\n")
        wait_until(lambda: self.peer.recipients() == ["a@there.test"] * 2, "it goes as the queue had it")

    def test_a_bounce_returns_what_waits_and_what_comes_once_with_the_reason(self):
        posthorn = self.house({"myhostname": "mail.example.com"})
        self.peer.replies["RCPT"] = lambda argument, _: "451 4.3.0 later" if "@there.test" in argument else "250 2.1.5 Ok"
        posthorn.send(["a@there.test", "x@other.test"], sender="one@example.com")
        posthorn.send(["h@there.test"], sender="held@example.com")
        posthorn.wait_log(r"451 4\.3\.0 later", 2)
        held = next(m["queue_id"] for m in posthorn.queue() if m["sender"] == "held@example.com")
        posthorn.run("postsuper", "-h", held)
        said = posthorn.run("posthorn", "bounce", "there.test", "--reason", "no such company any more").stdout
        self.assertRegex(said, r"^bounce there\.test, by \S+ since (\S+ \S+) until (\S+ \S+): no such company")
        posthorn.send(["b@there.test"], sender="two@example.com")
        self.arrived("x@other.test", "one@example.com", "two@example.com")
        wait_until(lambda: [m["queue_id"] for m in posthorn.queue()] == [held], "all but what is on hold has left")
        returned = collections.Counter()
        for sender, recipients, content in self.peer.messages:
            report = parse(content)
            if report.get_content_type() != "multipart/report":
                continue
            status = report.get_payload()[1].get_payload()
            returned[status[1]["Final-Recipient"]] += 1
            self.assertEqual(status[1]["Action"], "failed")
            self.assertEqual(status[1]["Status"], "5.7.1")
            text = " ".join(report.get_payload()[0].get_payload(decode=True).decode().split())
            self.assertIn("mail to there.test is returned by order of an operator of this mail system: no such company any more", text)
        self.assertEqual(returned, {"rfc822; a@there.test": 1, "rfc822; b@there.test": 1})
        # Its end, while it is down: mail goes its way again.
        posthorn.run("posthorn", "bounce", "there.test", "--for", "2s")
        posthorn.run("postfix", "stop")
        self.peer.replies.clear()
        time.sleep(2)
        posthorn.start()
        posthorn.wait_log(r"order of \S+ is over, its time is over: mail to there\.test is returned by order of an operator of this mail system: mail of")
        posthorn.send(["c@there.test"])
        posthorn.run("postsuper", "-H", held)
        self.arrived("c@there.test", "h@there.test")

    def test_under_load_each_mail_arrives_or_is_returned_once(self):
        posthorn = self.house({"smtpd_client_connection_count_limit": "0"})
        allowed = [0]
        load = Load(posthorn, pause=lambda load: len(load.acknowledged) >= allowed[0])

        def more():
            """However fast the machine is, there is mail for each step, and no more than that."""
            allowed[0] = len(load.acknowledged) + 300
            load.wait_for(30)
        for destination in ("there.test", "smtp:", "*", f"smtp:[127.0.0.1]:{self.peer.port}", ".test"):
            for command in (["suspend"], ["bounce", "--yes"]):
                more()
                posthorn.run("posthorn", *command, destination)
                more()
                time.sleep(random.uniform(0, 0.2))
                posthorn.run("posthorn", "resume", destination)
        acknowledged = load.stop()
        posthorn.wait_empty()
        arrived = collections.Counter(address for address in self.peer.recipients() if address.startswith("m"))
        returned = collections.Counter(re.search(rb"Final-Recipient: rfc822; (\S+)", content).group(1).decode()
                                       for _, recipients, content in self.peer.messages if b"multipart/report" in content)
        self.assertTrue(acknowledged <= set(arrived) | set(returned))
        self.assertEqual(max((arrived + returned).values()), 1)                     # none twice, none both ways
        self.assertTrue(arrived and returned)

    def test_a_suspension_ends_with_its_time(self):
        posthorn = self.house()
        posthorn.run("posthorn", "suspend", "smtp:", "--from", "@example.com", "--for", "4s")
        posthorn.send(["a@there.test"])
        posthorn.send(["b@there.test"], sender="sender@another.example")
        self.arrived("b@there.test")
        posthorn.wait_log(r"status=deferred \(deliveries by smtp from @example\.com suspended by an operator\)")
        self.arrived("a@there.test")
        posthorn.wait_log(r"order of \S+ is over, its time is over: deliveries by smtp from @example\.com suspended by an operator: 1 messages go now")
        posthorn.wait_empty()

    def test_addresses_of_a_suspended_domain_are_not_refused(self):
        posthorn = self.house({"smtpd_recipient_restrictions": "reject_unverified_recipient", "unverified_recipient_defer_code": "450",
                               "address_verify_poll_count": "3"})
        posthorn.run("posthorn", "suspend", "there.test")
        posthorn.run("posthorn", "bounce", "far.test")
        for address in ("a@there.test", "b@far.test"):
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                client.mail("sender@example.com")
                code, text = client.rcpt(address)
                self.assertEqual((code, address, b"operator" in text), (450, address, True), text)
        self.assertEqual(self.peer.sessions, 0)

    def test_wrong_words_are_refused_and_nothing_is_in_force(self):
        posthorn = self.house()
        for words, said in ((["suspend", "a b"], 'destination "a b"'), (["suspend", "mx.there.test:25"], "smtp:mx.there.test:25"),
                            (["suspend", "there.test", "--for", "30"], "a number with its unit"), (["suspend", "there.test", "--from", "example.com"], "@domain or <>"),
                            (["suspend", "there.test", "--reason", "x" * 300], "longer than 200 octets"), (["bounce", "*"], "--yes"), (["suspend"], "usage:"),
                            (["suspend", "there.test", "--yes"], "usage:"), (["resume"], "usage:"), (["resume", "--all", "there.test"], "usage:"),
                            (["orders", "there.test"], "usage:"), (["bounce", "there.test", "--for"], "usage:")):
            refused = posthorn.run("posthorn", *words, check=False)
            self.assertEqual(refused.returncode, 64, words)
            self.assertIn(said, refused.stderr)
        refused = posthorn.run("posthorn", "resume", "there.test", check=False)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn("there.test: no such order is in force", refused.stderr)
        self.assertEqual(self.orders(posthorn), [])
        self.assertIn('no transport "smpt"', posthorn.run("posthorn", "suspend", "smpt:").stderr)
        posthorn.run("posthorn", "resume", "smpt:")
        posthorn.send(["a@there.test"])
        self.arrived("a@there.test")
        posthorn.stop()
        down = posthorn.run("posthorn", "suspend", "there.test", check=False)
        self.assertEqual(down.returncode, 69, down.stderr)

    def test_a_damaged_file_is_said_and_set_aside(self):
        posthorn = self.house()
        posthorn.run("posthorn", "suspend", "there.test")
        posthorn.stop()
        file = posthorn.dir / "queue" / "spool" / "orders"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        file.write_bytes(file.read_bytes()[:-1])
        posthorn.start()
        posthorn.wait_log(r"what operators ordered for destinations cannot be read, and their mail goes: orders: it is damaged; it is kept as orders\.damaged")
        posthorn.send(["a@there.test"])
        self.arrived("a@there.test")

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
    def test_others_may_not(self):
        posthorn = self.house()
        for words in (["suspend", "there.test"], ["bounce", "there.test"], ["resume", "--all"]):
            command = ["setpriv", "--reuid", "nobody", "--clear-groups", "--no-new-privs"]
            self.assertNotEqual(self.as_nobody(posthorn, command, words), 0, words)
        self.assertEqual(self.orders(posthorn), [])

    def as_nobody(self, posthorn, command, words):
        return subprocess.run([*command, str(BIN / "posthorn"), *words], env=posthorn.env(), capture_output=True, timeout=PATIENCE).returncode

    # ---- over HTTP

    def served(self):
        posthorn = self.house(start=False)
        self.port = free_port()
        token = posthorn.dir / "conf" / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        posthorn.set({"admin_token_file": str(token)})
        posthorn.add_service(f"127.0.0.1:{self.port} inet n - n - 1 admin")
        posthorn.start()
        wait_until(lambda: self.ask("GET", "/api")[0] == 200, "the admin service answers")
        return posthorn

    def ask(self, method, path, token=TOKEN):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def test_over_http_as_by_commands(self):
        posthorn = self.served()
        self.assertEqual(json.loads(self.ask("GET", "/api/orders")[1]), {"orders": []})
        for path, status in (("suspend?destination=there.test&for=30", 400), ("suspend?destination=a%20b", 400), ("suspend", 400), ("bounce?destination=*", 400),
                             ("suspend?destination=a.test&yes=yes", 400), ("resume", 400), ("resume?all=no", 400), ("resume?destination=there.test", 404)):
            self.assertEqual(self.ask("POST", f"/api/orders/{path}")[0], status, path)
        self.assertEqual(self.ask("POST", "/api/orders/suspend?destination=there.test", token="wrong")[0], 401)
        self.assertEqual(self.ask("GET", "/api/orders/suspend?destination=there.test")[0], 405)
        status, body = self.ask("POST", "/api/orders/suspend?destination=There.test&from=%40example.com&for=1h&reason=their+disk+is+full")
        self.assertEqual(status, 200, body)
        order = json.loads(body)["order"]
        self.assertEqual((order["order"], order["destination"], order["sender"], order["by"], order["reason"]),
                         ("suspend", "there.test", "@example.com", "client [127.0.0.1]", "their disk is full"))
        posthorn.wait_log(r"admin\[\d+\]: suspend there\.test --from @example\.com by client \[127\.0\.0\.1\]")
        posthorn.send(["a@there.test"])
        wait_until(lambda: self.orders(posthorn)[0]["held_up"] == 1, "the message is held up")
        self.assertEqual(json.loads(self.ask("GET", "/api/orders")[1])["orders"], self.orders(posthorn))
        page = self.ask("GET", "/")[1]
        self.assertIn("Orders of operators", page)
        self.assertIn("their disk is full", page)
        self.assertTrue(re.search(r'posthorn_queue_orders\{[^}]*order="suspend"\} 1\n', self.ask("GET", "/metrics")[1]))
        self.assertEqual(self.ask("POST", "/api/orders/resume?destination=there.test")[0], 200)
        self.arrived("a@there.test")
        self.assertEqual(self.ask("POST", "/api/orders/bounce?destination=*&yes=yes&for=1m")[0], 200)
        posthorn.send(["b@there.test"], sender="back@example.com")
        self.arrived("back@example.com")
        self.assertNotIn("b@there.test", self.peer.recipients())
        self.assertEqual(len(json.loads(self.ask("POST", "/api/orders/resume?all=yes")[1])["ended"]), 1)
        self.assertEqual(self.orders(posthorn), [])


if __name__ == "__main__":
    unittest.main()
