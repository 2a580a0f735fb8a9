"""Reload: a new generation of smtpd and smtp beside the old one, which ends its work and takes no more."""
import smtplib
import socket
import threading
import time

from journey import PATIENCE, Journey, unittest, wait_until


class Generations(Journey):
    def reload(self, posthorn):
        """Until the new smtpd serves."""
        before = set(posthorn.pids_of("smtpd"))
        posthorn.run("postfix", "reload")
        wait_until(lambda: set(posthorn.pids_of("smtpd")) - before, "a new smtpd")
        return before

    def test_an_old_session_goes_on_until_the_grace_is_over_and_then_begins_no_more_mail(self):
        sink = self.sink()
        posthorn = self.instance({"reload_grace_time": "4s"}, relay=sink.port)
        old = posthorn.smtp()
        old.ehlo("client.test")
        (before,) = self.reload(posthorn)
        began = time.monotonic()
        with posthorn.smtp() as fresh:                      # the new generation takes new sessions meanwhile
            self.assertEqual(fresh.mail("a@example.com")[0], 250)
        self.assertIn(before, posthorn.pids_of("smtpd"))
        # Within the grace the old one still takes mail.
        self.assertLess(time.monotonic() - began, 4, "this machine is too slow for the test's grace")
        old.sendmail("early@example.com", ["user@there.test"], "Subject: early\r\n\r\nx\r\n")
        wait_until(lambda: sink.recipients() == ["user@there.test"], "the old session's mail is delivered")
        # A transaction that has begun goes on, whatever the time.
        self.assertEqual(old.mail("late@example.com")[0], 250)
        time.sleep(5)
        self.assertEqual(old.rcpt("user@there.test")[0], 250)
        self.assertEqual(old.data("Subject: late\r\n\r\nx\r\n")[0], 250)
        # The next does not begin.
        code, text = old.mail("too-late@example.com")
        self.assertEqual((code, text[:5]), (421, b"4.3.2"))
        with self.assertRaises(smtplib.SMTPServerDisconnected):
            old.noop()
        wait_until(lambda: before not in posthorn.pids_of("smtpd"), "the old smtpd has ended")
        wait_until(lambda: len(sink.recipients()) == 2, "both are delivered")

    def test_no_connection_is_refused_or_reset_while_it_is_reloaded_again_and_again(self):
        sink = self.sink()
        posthorn = self.instance({"reload_grace_time": "1s"}, relay=sink.port)
        stop, failures, served = threading.Event(), [], [0]

        def knock():
            while not stop.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", posthorn.port), timeout=PATIENCE) as s:
                        talk = s.makefile("rwb")
                        if not (greeting := talk.readline()).startswith(b"220"):
                            raise OSError(f"greeted with {greeting}")
                        talk.write(b"QUIT\r\n")
                        talk.flush()
                        if not (goodbye := talk.readline()).startswith(b"221"):
                            raise OSError(f"dismissed with {goodbye}")
                        served[0] += 1
                except OSError as error:
                    failures.append(error)
        knockers = [threading.Thread(target=knock) for _ in range(4)]
        for knocker in knockers:
            knocker.start()
        try:
            for _ in range(4):
                self.reload(posthorn)
                time.sleep(0.5)
        finally:
            stop.set()
            for knocker in knockers:
                knocker.join()
        self.assertEqual(failures, [])
        self.assertGreater(served[0], 20)
        # What the old generations had is all handed over.
        wait_until(lambda: len(posthorn.pids_of("smtpd")) == 1, "one smtpd is left")

    def test_smtp_hands_its_destinations_back_and_ends_what_it_has_in_hand(self):
        slow = self.sink(delay=1.5)
        posthorn = self.instance({"smtp_destination_concurrency_limit": "3"}, relay=slow.port)
        (before,) = posthorn.pids_of(r"service smtp smtp")
        for n in range(6):
            posthorn.send([f"user{n}@there.test"])
        wait_until(lambda: slow.open_now > 0, "deliveries are on their way")
        self.reload(posthorn)
        wait_until(lambda: len(slow.recipients()) == 6, "all are delivered", 120)
        posthorn.wait_empty()
        self.assertEqual(sorted(slow.recipients()), [f"user{n}@there.test" for n in range(6)])   # once each
        wait_until(lambda: before not in posthorn.pids_of(r"service smtp smtp"), "the old smtp has ended")
        log = posthorn.log()
        self.assertNotIn("status=deferred", log)
        self.assertNotIn("ended during delivery", log)


if __name__ == "__main__":
    unittest.main()
