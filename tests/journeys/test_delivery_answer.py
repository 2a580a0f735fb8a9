"""smtpd_delivery_answer_domains: what the next host refuses is refused to the client, which still waits, and nobody is sent a bounce."""
import os
import re
import signal
import smtplib
import threading

from journey import PATIENCE, Journey, free_port, unittest, wait_until

SPAM = b"Subject: spam\r\n\r\nbuy\r\n"
HAM = b"Subject: ham\r\n\r\nhello\r\n"
REFUSED = (550, b"5.7.1 Message rejected as spam")


class DeliveryAnswer(Journey):
    def setUp(self):
        super().setUp()
        self.held = threading.Event()
        self.held.set()
        self.arrived = threading.Event()
        self.inner = self.sink(replies={"DOT": self.judge})
        self.outer = self.sink()                                    # where bounces would go
        self.addCleanup(self.held.set)

    def judge(self, content, sink):
        self.arrived.set()
        self.held.wait(PATIENCE)
        if b"Subject: spam" in content:
            return "550 5.7.1 Message rejected as spam"
        return "451 4.3.0 Not now" if b"Subject: later" in content else "250 2.0.0 Ok: taken"

    def gateway(self, settings=None, **more):
        return self.instance({"smtpd_delivery_answer_domains": "inner.test", "transport_maps": f"inline:{{ {{inner.test = smtp:[127.0.0.1]:{self.inner.port}}} }}",
                              **(settings or {})}, relay=self.outer.port, **more)

    def refused(self, posthorn, content, recipients=("u@inner.test",), **more):
        with self.assertRaises(smtplib.SMTPDataError) as told:
            posthorn.send(list(recipients), content=content, **more)
        return told.exception.smtp_code, told.exception.smtp_error

    def bounces(self):
        return [content for sender, _, content in list(self.outer.messages) if sender.startswith("FROM:<>")]

    def test_the_client_hears_what_the_next_host_says_and_no_bounce_is_made(self):
        posthorn = self.gateway()
        self.assertEqual(self.refused(posthorn, SPAM), REFUSED)
        posthorn.wait_empty()
        (queue_id,) = posthorn.wait_log(r"([0-9A-F]+): to=<u@inner\.test>, .* status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.7\.1 Message rejected as spam")
        posthorn.wait_log(rf"{queue_id}: the client that waits is told that it was refused; nothing is returned to the sender")
        posthorn.wait_log(rf"{queue_id}: removed")
        posthorn.wait_log(rf"smtpd\[\d+\]: {queue_id}: reject: END-OF-MESSAGE from \S+: 550 5\.7\.1 Message rejected as spam; from=<sender@example\.com> to=<u@inner\.test>")
        # In a file of its own, and by BDAT ahead of replies.
        self.assertEqual(self.refused(posthorn, SPAM + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 4000), REFUSED)
        wait_until(lambda: not posthorn.contents(), "its file is gone")
        with posthorn.smtp() as client:
            client.ehlo("c.test")
            mails = [SPAM, HAM, SPAM]
            client.sock.sendall(b"".join(b"MAIL FROM:<s@ours.test>\r\nRCPT TO:<u@inner.test>\r\nBDAT %d LAST\r\n%b" % (len(mail), mail) for mail in mails))
            replies = [[client.getreply() for _ in range(3)][2] for _ in mails]
            self.assertEqual([code for code, _ in replies], [550, 250, 550])
        posthorn.send(["u@inner.test"], content=HAM)
        self.assertEqual(len(self.inner.messages), 2)
        # What is handed in here has no client that waits: its sender is told.
        posthorn.run("sendmail", "-f", "me@ours.test", "u@inner.test", input=SPAM)
        wait_until(lambda: len(self.bounces()) == 1, "the bounce of a local mail")
        posthorn.wait_empty()
        self.assertEqual(len(self.bounces()), 1)
        self.assertNotIn("warning:", "".join(line for line in posthorn.log().splitlines() if "smtpd[" in line))
        self.assertIn("qmgr_refused_to_client 4", re.sub(" +", " ", posthorn.run("posthorn", "counters").stdout))

    def test_what_is_not_refused_for_good_is_queued_and_who_refuses_alone_is_reported(self):
        posthorn = self.gateway({"smtpd_delivery_answer_domains": "inner.test, away.test"})
        posthorn.set({"transport_maps": f"inline:{{ {{inner.test = smtp:[127.0.0.1]:{self.inner.port}}} {{away.test = smtp:[127.0.0.1]:{free_port()}}} }}", "always_bcc": "archive@outer.test"})
        posthorn.run("postfix", "reload")
        posthorn.send(["u@inner.test"], content=b"Subject: later\r\n\r\nx\r\n")
        posthorn.send(["u@away.test"], content=HAM)
        wait_until(lambda: sorted(r["address"] for m in posthorn.queue() for r in m["recipients"]) == ["u@away.test", "u@inner.test"], "both are deferred")
        # Copies for others have no say.
        self.assertEqual(self.refused(posthorn, SPAM), REFUSED)
        self.assertEqual(self.bounces(), [])
        # One takes it, one does not: the client is told 250, the sender the rest.
        self.inner.replies["RCPT"] = lambda argument, sink: "550 5.1.1 No such user" if "<none@" in argument else "250 2.1.5 Ok"
        posthorn.send(["none@inner.test", "u@inner.test"], content=HAM)
        (bounce,) = wait_until(self.bounces, "the sender is told")
        self.assertIn(b"5.1.1 No such user", bounce)
        self.assertEqual(self.refused(posthorn, HAM, ["none@inner.test"]), (550, b"5.1.1 No such user"))
        # A domain that is not listed is as ever.
        self.inner.replies["RCPT"] = lambda argument, sink: "250 2.1.5 Ok"
        self.outer.replies["DOT"] = lambda content, sink: "550 5.7.1 spam" if b"Subject: spam" in content and b"MAILER-DAEMON" not in content else "250 2.0.0 Ok"
        posthorn.send(["u@inner.test", "v@outer.test"], content=HAM)
        posthorn.send(["v@outer.test"], content=SPAM)
        wait_until(lambda: len(self.bounces()) == 2, "the second bounce")

    def test_a_filter_behind_the_queue_refuses_before_it(self):
        posthorn = self.gateway({"content_filter": f"smtp:[127.0.0.1]:{self.inner.port}", "smtpd_delivery_answer_domains": "static:all"})
        self.assertEqual(self.refused(posthorn, SPAM, ["u@anywhere.test"]), REFUSED)
        posthorn.send(["u@anywhere.test"], content=HAM)
        self.assertEqual(self.inner.recipients(), ["u@anywhere.test"])
        posthorn.wait_empty()
        self.assertEqual(self.bounces(), [])

    def test_nobody_waits_longer_than_the_limit(self):
        posthorn = self.gateway({"smtpd_delivery_answer_time_limit": "1s"})
        self.held.clear()
        posthorn.send(["u@inner.test"], content=SPAM)               # 250
        self.held.set()
        (bounce,) = wait_until(self.bounces, "the sender is told")
        self.assertIn(b"Message rejected as spam", bounce)
        posthorn.wait_empty()

    def waiting(self, posthorn, content):
        """A client that waits, and what it hears in the end."""
        heard = []

        def hand_in():
            client = posthorn.smtp()
            try:
                client.sendmail("sender@example.com", ["u@inner.test"], content)
                heard.append(250)
            except (OSError, smtplib.SMTPException) as trouble:
                heard.append(trouble)
            client.close()
        self.held.clear()
        self.arrived.clear()
        thread = threading.Thread(target=hand_in, daemon=True)
        thread.start()
        self.assertTrue(self.arrived.wait(PATIENCE))
        self.assertEqual(heard, [])
        return thread, heard

    def test_a_queue_manager_that_is_killed_loses_nothing_and_its_client_is_told_that_it_is_stored(self):
        posthorn = self.gateway()
        thread, heard = self.waiting(posthorn, SPAM)
        (qmgr,) = posthorn.pids_of("qmgr")
        os.kill(qmgr, signal.SIGKILL)
        thread.join(PATIENCE)
        self.assertEqual(heard, [250])
        self.held.set()
        wait_until(self.bounces, "the sender is told")
        posthorn.wait_empty()
        self.assertEqual(len(self.bounces()), 1)

    def test_who_waits_when_the_system_is_stopped_is_told_that_it_is_stored(self):
        posthorn = self.gateway({"service_stop_time": "5s"})
        thread, heard = self.waiting(posthorn, HAM)
        stop = threading.Thread(target=posthorn.stop)
        stop.start()
        thread.join(PATIENCE)
        self.assertEqual(heard, [250])
        self.held.set()
        stop.join()
        posthorn.start()
        posthorn.wait_empty()
        self.assertEqual(set(self.inner.recipients()), {"u@inner.test"})


if __name__ == "__main__":
    unittest.main()
