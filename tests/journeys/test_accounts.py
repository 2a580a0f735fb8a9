"""Who hands mail in: what an account may, what looks as if it were somebody else's mail, and what an operator decides, over kills."""
import contextlib
import http.client
import json
import os
import pwd
import signal
import smtplib
import subprocess

from journey import BIN, PATIENCE, Journey, free_port, unittest, wait_until


class Accounts(Journey):
    def setUp(self):
        super().setUp()
        self.peer = self.sink()

    def house(self, settings=None, **more):
        return self.instance({"smtpd_authorized_xclient_hosts": "127.0.0.1", "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "private/nobody",
                              "smtpd_sasl_exceptions_networks": "0.0.0.0/0", "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject", **(settings or {})}, relay=self.peer.port, **more)

    def hand_in(self, posthorn, login, recipients, address="192.0.2.7", chunks=False):
        """As a client that proved to be `login`; the reply to the content."""
        with posthorn.smtp() as client:
            client.ehlo("proxy.test")
            self.assertEqual(client.docmd(f"XCLIENT NAME=c.test ADDR={address} LOGIN={login}")[0], 220)
            client.ehlo("c.test")
            client.mail("s@ours.test")
            for recipient in recipients:
                self.assertEqual(client.rcpt(recipient)[0], 250)
            content = b"Subject: x\r\n\r\nx\r\n"
            if not chunks:
                return client.data(content)
            client.send(b"BDAT %d LAST\r\n" % len(content) + content)
            return client.getreply()

    def accounts(self, posthorn, *words):
        return {one["account"]: one for one in map(json.loads, posthorn.run("posthorn", "accounts", "--json", *words).stdout.splitlines())}

    def on_hold(self, posthorn):
        return sorted(r["address"] for m in posthorn.queue() if m["queue_name"] == "hold" for r in m["recipients"])

    def arrived(self, *recipients):
        wait_until(lambda: set(recipients) <= set(self.peer.recipients()), f"{recipients} arrive")

    def kill_all(self, posthorn):
        for pid in list(posthorn.processes()) + [posthorn.master_pid()]:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: posthorn.master_pid() is None, "all have ended")

    def test_what_is_beyond_a_limit_is_put_off_over_a_restart_and_nobody_else_is(self):
        posthorn = self.house({"account_limit_maps": "inline:{ {bob@ours.test = recipients=3/h} {@mass.test = messages=1/d, over=reject} {login: = recipients=5/d over=hold} }"})
        self.assertEqual(self.hand_in(posthorn, "bob@ours.test", ["a@there.test", "b@there.test"])[0], 250)
        self.assertEqual(self.hand_in(posthorn, "bob@ours.test", ["c@there.test"])[0], 250)
        for chunks in (False, True):
            code, text = self.hand_in(posthorn, "bob@ours.test", ["d@there.test"], chunks=chunks)
            self.assertEqual((code, text), (450, b"4.7.1 Error: this account may send to no more than 3 recipients within an hour"))
        posthorn.wait_log(r"reject: END-OF-MESSAGE from c\.test\[192\.0\.2\.7\]: 450 4\.7\.1 Error: this account .*; from=<s@ours\.test>", 2)
        self.assertEqual(len(posthorn.wait_log(r"warning: account bob@ours\.test: beyond 3 recipients within an hour \(account_limit_maps\): it is put off")), 1)
        # The others have limits of their own, or none.
        self.assertEqual(self.hand_in(posthorn, "x@mass.test", ["e@there.test"])[0], 250)
        self.assertEqual(self.hand_in(posthorn, "x@mass.test", ["f@there.test"]), (554, b"5.7.1 Error: this account may send no more than 1 message within a day"))
        self.assertEqual(self.hand_in(posthorn, "eve", [f"g{n}@there.test" for n in range(5)])[0], 250)
        self.assertEqual(self.hand_in(posthorn, "eve", ["held@there.test"])[0], 250)
        posthorn.send(["nobody@there.test"])
        self.arrived("a@there.test", "b@there.test", "c@there.test", "e@there.test", "g4@there.test", "nobody@there.test")
        self.assertEqual(self.on_hold(posthorn), ["held@there.test"])
        posthorn.wait_log(r"hold: account eve: beyond 5 recipients within a day")
        self.assertEqual(len([r for r in self.peer.recipients() if r in ("d@there.test", "f@there.test", "held@there.test")]), 0)

        posthorn.stop()
        wait_until(lambda: posthorn.master_pid() is None, "it has ended")
        posthorn.start()
        self.assertEqual(self.hand_in(posthorn, "bob@ours.test", ["d@there.test"])[0], 450)
        told = self.accounts(posthorn)
        self.assertEqual((told["login:bob@ours.test"]["hour"]["recipients"], told["login:bob@ours.test"]["hour"]["messages"]), (3, 2))
        # An operator lets it through.
        posthorn.run("posthorn", "accounts", "allow", "bob@ours.test", "--for", "1h")
        self.assertEqual(self.hand_in(posthorn, "bob@ours.test", ["d@there.test"] + [f"d{n}@there.test" for n in range(8)])[0], 250)
        self.arrived("d@there.test")
        self.assertEqual(posthorn.run("posthorn", "accounts", "release", "eve").stdout, "1 message released from hold\n")
        self.arrived("held@there.test")

    def test_what_an_operator_says_holds_when_all_are_killed(self):
        posthorn = self.house()
        self.peer.replies["RCPT"] = lambda argument, _: "451 4.3.0 later" if "later@" in argument else "250 2.1.5 Ok"
        self.assertEqual(self.hand_in(posthorn, "bob", ["later@there.test"])[0], 250)
        self.assertEqual(self.hand_in(posthorn, "alice", ["later@there.test"])[0], 250)
        posthorn.wait_log(r"451 4\.3\.0 later", 2)
        said = posthorn.run("posthorn", "accounts", "hold", "bob", "--reason", "password stolen").stdout
        self.assertEqual(said, "account bob: new mail of it is put on hold; 1 message of it in the queue put on hold\n")
        posthorn.run("posthorn", "accounts", "refuse", "login:mallory")
        self.kill_all(posthorn)
        posthorn.start()
        self.assertEqual(self.hand_in(posthorn, "bob", ["a@there.test"])[0], 250)
        self.assertEqual(self.hand_in(posthorn, "mallory", ["b@there.test"]), (554, b"5.7.1 Error: this account is suspended"))
        self.assertEqual(self.hand_in(posthorn, "alice", ["c@there.test"])[0], 250)
        self.arrived("c@there.test")
        posthorn.wait_log(r"hold: account bob: put on hold by \S+: password stolen")
        self.assertEqual(self.on_hold(posthorn), ["a@there.test", "later@there.test"])
        self.assertRegex(posthorn.run("posthorn", "accounts").stdout, r"\nbob .* on hold since .* by \S+: password stolen\n")
        self.assertIn("of 0 that were tried", posthorn.run("posthorn", "accounts", "show", "bob").stdout)
        # Its mail is deleted where that is said twice, and nobody else's.
        refused = posthorn.run("posthorn", "accounts", "delete", "bob", check=False)
        self.assertEqual(refused.returncode, 64)
        self.assertIn("--yes", refused.stderr)
        self.assertEqual(posthorn.run("posthorn", "accounts", "delete", "bob", "--yes").stdout, "2 messages deleted\n")
        self.assertEqual([m["recipients"][0]["address"] for m in posthorn.queue()], ["later@there.test"])
        posthorn.run("posthorn", "accounts", "resume", "bob")
        self.assertEqual(self.hand_in(posthorn, "bob", ["d@there.test"])[0], 250)
        self.arrived("d@there.test")
        posthorn.run("posthorn", "accounts", "forget", "bob")
        self.assertNotIn("login:bob", self.accounts(posthorn))
        self.assertNotIn("a@there.test", self.peer.recipients())

    def test_a_stolen_password_is_noticed_held_up_and_told(self):
        port = free_port()
        posthorn = self.house({"account_watch": "hold"}, start=False)
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - - admin")
        (posthorn.dir / "conf" / "token").write_text("the-token-of-this-test\n")
        posthorn.set({"admin_token_file": str(posthorn.dir / "conf" / "token")})
        posthorn.start()
        for network in range(5):
            self.assertEqual(self.hand_in(posthorn, "bob@ours.test", [f"n{network}@there.test"], address=f"203.{network}.0.1")[0], 250)
        self.arrived(*[f"n{network}@there.test" for network in range(5)])
        self.assertEqual(self.hand_in(posthorn, "bob@ours.test", ["spam@there.test"], address="203.99.0.1")[0], 250)
        posthorn.wait_log(r"warning: account bob@ours\.test: mail from 6 networks within an hour, 6 of them new: is it somebody else's mail\? It is put on hold")
        self.hand_in(posthorn, "bob@ours.test", ["more@there.test"], address="203.0.0.1")
        self.assertEqual(self.on_hold(posthorn), ["more@there.test", "spam@there.test"])

        # An account most of whose mail comes back is noticed by that.
        self.peer.replies["RCPT"] = lambda argument, _: "550 5.1.1 No such user" if "gone" in argument else "250 2.1.5 Ok"
        self.hand_in(posthorn, "eve", [f"gone{n}@there.test" for n in range(50)])
        posthorn.wait_log(r"warning: account eve: mail for 50 of 50 recipients within an hour was returned: ")
        self.hand_in(posthorn, "eve", ["later@there.test"])
        self.assertIn("later@there.test", self.on_hold(posthorn))
        self.assertEqual(sorted(self.accounts(posthorn, "list", "--strange")), ["login:bob@ours.test", "login:eve"])
        self.assertIn('account_alarms{cause="networks"} 1', " ".join(posthorn.run("posthorn", "counters").stdout.split()))

        def asked(method, path):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
                connection.request(method, path, headers={"Authorization": "Bearer the-token-of-this-test"})
                reply = connection.getresponse()
                return reply.status, reply.read().decode()
        status, text = asked("GET", "/api/accounts?of=login:eve")
        self.assertEqual((status, json.loads(text)["accounts"][0]["alarm"]["cause"]), (200, "refused"))
        self.assertIn("mail from 6 networks within an hour", asked("GET", "/")[1])
        self.assertEqual(asked("POST", "/api/accounts/eve/hold")[0], 400)
        self.assertEqual(asked("POST", "/api/accounts/login:eve/praise")[0], 404)
        status, text = asked("POST", "/api/accounts/login:eve/resume")
        self.assertEqual((status, json.loads(text)["account"]["alarm"]), (200, None))
        self.hand_in(posthorn, "bob@ours.test", ["held@there.test"])
        self.assertEqual(asked("POST", "/api/accounts/login:bob@ours.test/allow?for=2h")[0], 200)
        self.assertEqual(self.hand_in(posthorn, "bob@ours.test", ["late@there.test"])[0], 250)
        self.arrived("late@there.test")

    def test_mail_of_a_user_of_this_machine_waits_or_goes_back(self):
        user = pwd.getpwuid(os.getuid()).pw_name
        posthorn = self.house({"account_limit_maps": f"inline:{{ {{{user} = recipients=2/h}} }}"})

        def sendmail(recipient):
            subprocess.run([str(BIN / "sendmail"), "-f", "me@ours.test", recipient], env=posthorn.env(), input=b"Subject: x\n\nx\n", check=True, timeout=PATIENCE)
        sendmail("a@there.test")
        sendmail("b@there.test")
        self.arrived("a@there.test", "b@there.test")
        sendmail("c@there.test")
        posthorn.wait_log(r"this account may send to no more than 2 recipients within an hour")
        self.assertEqual(len(list((posthorn.dir / "queue" / "maildrop").iterdir())), 1)
        # By name or number, which is kept.
        for name in (user, str(os.getuid()), f"uid:{user}", f"uid:{os.getuid()}"):
            self.assertIn(f"account uid:{os.getuid()} ({user})\n", posthorn.run("posthorn", "accounts", "show", name).stdout)
        self.assertEqual([(one["account"], one["user"]) for one in self.accounts(posthorn).values()], [(f"uid:{os.getuid()}", user)])
        self.assertIn(f"\nuid:{os.getuid()} ({user}) ", posthorn.run("posthorn", "accounts").stdout)
        # Nothing is lost: it goes when it may.
        posthorn.set({"account_limit_maps": ""})
        posthorn.stop()
        wait_until(lambda: posthorn.master_pid() is None, "it has ended")
        posthorn.start()
        self.arrived("c@there.test")
        self.assertEqual(self.peer.recipients().count("c@there.test"), 1)
        posthorn.set({"account_limit_maps": "inline:{ {local: = recipients=0/h over=reject} }", "relayhost": f"[127.0.0.1]:{self.peer.port}"})
        posthorn.run("postfix", "reload")
        sendmail("d@there.test")
        self.arrived("me@ours.test")
        self.assertIn(b"<d@there.test>: this account may send to no more than 0 recipients within an hour", b" ".join(self.peer.messages[-1][2].split()))
        self.assertNotIn("d@there.test", self.peer.recipients())

    def test_mail_that_a_filter_gives_back_is_counted_once(self):
        back, logins = free_port(), []

        def give_back(content, _):
            with smtplib.SMTP("127.0.0.1", back, timeout=PATIENCE) as second:
                second.ehlo("filter.test")
                if logins:
                    self.assertEqual(second.docmd(f"XCLIENT NAME=c.test ADDR=192.0.2.7 LOGIN={logins[0]}")[0], 220)
                    second.ehlo("c.test")
                second.mail("s@ours.test")
                second.rcpt("a@there.test")
                code, text = second.data(content.replace(b"\r\n", b"\n"))
                return f"{code} {text.decode()}"
        filter_before = self.sink({"DOT": give_back})
        posthorn = self.house({"smtpd_proxy_filter": f"127.0.0.1:{filter_before.port}", "account_limit_maps": "inline:{ {bob = messages=1/d} }"}, start=False)
        posthorn.add_service(f"127.0.0.1:{back} inet n - n - - smtpd -o smtpd_proxy_filter=")
        posthorn.start()
        self.assertEqual(self.hand_in(posthorn, "bob", ["a@there.test"])[0], 250)
        self.arrived("a@there.test")
        self.assertEqual(self.accounts(posthorn), {})             # of a filter that says nobody's name
        logins.append("bob")
        self.assertEqual(self.hand_in(posthorn, "bob", ["a@there.test"])[0], 250)
        bob = self.accounts(posthorn)["login:bob"]
        self.assertEqual((bob["hour"]["messages"], bob["hour"]["recipients"], len(self.accounts(posthorn))), (1, 1, 1))
        self.assertEqual(self.hand_in(posthorn, "bob", ["a@there.test"])[0], 450)
        self.assertEqual(self.accounts(posthorn)["login:bob"]["hour"]["messages"], 1)

    def test_wrong_words_are_refused_and_nothing_is_done(self):
        posthorn = self.house()
        for words, what in ((["praise", "bob"], "usage:"), (["hold"], "usage:"), (["hold", "bob", "--for", "1h"], "usage:"), (["allow", "bob", "--for", "5"], "a number with its unit"),
                            (["hold", "login:"], "is no account"), (["hold", "uid:no such"], "no user of this machine is called so"), (["hold", "4711"], "say login:4711 or uid:4711"), (["resume", "nobody@ours.test"], "nothing is known of account nobody@ours.test"),
                            (["hold", "bob", "--reason", "x" * 300], "longer than 200 octets"), (["list", "bob"], "usage:"), (["delete", "bob"], "--yes")):
            refused = posthorn.run("posthorn", "accounts", *words, check=False)
            self.assertEqual(refused.returncode, 64, words)
            self.assertIn(what, refused.stderr, words)
        self.assertEqual(posthorn.run("posthorn", "accounts", "show", "login:bob", check=False).returncode, 1)
        self.assertEqual(posthorn.run("posthorn", "accounts").stdout, "There is none.\n")
        self.assertEqual(posthorn.run("postconf", "-e", "account_watch=maybe").returncode, 0)
        self.assertIn("account_watch", posthorn.run("postfix", "reload", check=False).stderr + posthorn.log())


if __name__ == "__main__":
    unittest.main()
