"""Reload, stop and start while mail is pumped through: nothing is lost, nothing comes twice, nobody is sent away by a reload."""
import collections
import os
import re
import signal
import socket
import threading

from journey import PATIENCE, Journey, Load, unittest, wait_until

RETRY = {"minimal_backoff_time": "1s", "maximal_backoff_time": "3s", "queue_run_delay": "1s", "smtpd_client_connection_count_limit": "0"}


class Callers:
    """Connect, read the greeting, say goodbye, over and over; whatever is not a greeting is kept."""

    def __init__(self, posthorn):
        self.greetings, self.troubles, self._posthorn, self._stop = set(), [], posthorn, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._posthorn.port), timeout=PATIENCE) as s, s.makefile("rb") as file:
                    greeting = file.readline().decode()
                    s.sendall(b"QUIT\r\n")
                    if not greeting.startswith("220") or not file.readline().startswith(b"221"):
                        raise ConnectionError(f"greeted by {greeting!r}, then silence")
                    self.greetings.add(greeting.split()[1])
            except OSError as trouble:
                self.troubles.append(trouble)

    def stop(self):
        self._stop.set()
        self._thread.join(90)


class Reload(Journey):
    def all_arrived(self, load, sink, posthorn):
        acknowledged = load.stop()
        wait_until(lambda: acknowledged <= set(sink.recipients()), f"all {len(acknowledged)} acknowledged messages arrive")
        posthorn.wait_empty()
        twice = {address: times for address, times in collections.Counter(sink.recipients()).items() if times > 1}
        self.assertEqual(twice, {})
        self.assertEqual(set(sink.recipients()) - acknowledged - load.unsure, set())
        print(f"{len(acknowledged)} acknowledged, {len(sink.recipients())} delivered", flush=True)

    def test_reload_under_load(self):
        sink = self.sink()
        posthorn = self.instance(RETRY, relay=sink.port)
        qmgr, resolve = posthorn.pids_of("qmgr"), posthorn.pids_of("resolve")
        callers, load = Callers(posthorn), Load(posthorn)
        for round in range(5):
            load.wait_for(10)
            posthorn.set({"smtpd_banner": f"banner{round}.test ESMTP", "smtp_helo_name": f"helo{round}.test"})
            posthorn.run("postfix", "reload")
            # In force for who comes in and for what goes out.
            wait_until(lambda: f"banner{round}.test" in callers.greetings, "the new greeting")
            wait_until(lambda: f"EHLO helo{round}.test" in sink.commands, "the new name in EHLO")
        load.wait_for(10)
        callers.stop()
        self.all_arrived(load, sink, posthorn)
        # Not one connection was refused or reset, not one session ended but by its client.
        self.assertEqual((callers.troubles, load.troubles), ([], []))
        self.assertEqual(len(re.findall(r"master\[\d+\]: reload -- version", posthorn.log())), 5)
        self.assertEqual((posthorn.pids_of("qmgr"), posthorn.pids_of("resolve")), (qmgr, resolve))
        self.assertNotRegex(posthorn.log(), r"status=(deferred|bounced)|panic|fatal|exit status|killed")

    def test_the_queue_manager_takes_new_settings_in_place(self):
        """From the next verdict on: a message that was to wait an hour is tried again in a second."""
        answers = []

        def rcpt(argument, sink):
            answers.append(argument)
            return "450 4.2.0 later" if len(answers) <= 2 else "250 2.1.5 Ok"
        sink = self.sink({"RCPT": rcpt})
        posthorn = self.instance({"minimal_backoff_time": "1h", "maximal_backoff_time": "2h"}, relay=sink.port)
        posthorn.send(["user@there.test"])
        posthorn.wait_log("status=deferred")
        posthorn.set({"minimal_backoff_time": "1s", "maximal_backoff_time": "2s"})
        posthorn.run("postfix", "reload")
        posthorn.wait_log("reload -- version")
        posthorn.run("postqueue", "-f")
        posthorn.wait_log("status=sent")
        self.assertEqual(len(answers), 3)

    def test_stop_and_start_under_load(self):
        sink = self.sink(delay=0.002)
        posthorn = self.instance(RETRY, relay=sink.port)
        load = Load(posthorn)
        for _ in range(3):
            load.wait_for(10)
            stopped = posthorn.stop()
            self.assertEqual(stopped.returncode, 0, stopped.stderr)
            wait_until(lambda: posthorn.master_pid() is None, "the master has ended")
            posthorn.start()
        load.wait_for(10)
        self.all_arrived(load, sink, posthorn)
        self.assertEqual(len(re.findall(r"master\[\d+\]: terminating on signal 15", posthorn.log())), 3)
        # A stop is no failure of any delivery: whatever was not tried is due at the next start.
        self.assertNotRegex(posthorn.log(), r"panic|fatal|exit status|killed|status=(deferred|bounced)")

    def test_what_only_a_service_can_judge_is_refused_as_well(self):
        sink = self.sink()
        posthorn = self.instance({"smtpd_banner": "good.test ESMTP"}, relay=sink.port)
        processes = posthorn.processes()
        for name, value, reason in (("smtpd_relay_restrictions", "permit_everything", "unknown smtpd restriction"),
                                    ("smtpd_tls_security_level", "perhaps", "invalid TLS level"),
                                    ("smtp_tls_security_level", "perhaps", "smtp_tls_security_level")):
            with self.subTest(name):
                before = len(posthorn.log())
                posthorn.set({name: value, "smtpd_banner": "bad.test ESMTP"})
                os.kill(posthorn.master_pid(), signal.SIGHUP)
                wait_until(lambda: "reload refused: the running configuration stays" in posthorn.log()[before:], "the refusal")
                said = posthorn.log()[before:]
                self.assertRegex(said, rf"master\[\d+\]: error: {re.escape(str(posthorn.dir))}/conf/main\.cf, line \d+: service \S+: .*{reason}")
                self.assertNotRegex(said, "throttling|reload -- version")
                with posthorn.smtp() as client:
                    self.assertIn(b"good.test", client.ehlo()[1] + client.docmd("NOOP")[1] + posthorn.greeting())
                posthorn.run("postconf", "-X", name)
        self.assertEqual(posthorn.processes(), processes)
        posthorn.set({"smtpd_banner": "better.test ESMTP"})
        posthorn.run("postfix", "reload")
        wait_until(lambda: b"better.test" in posthorn.greeting(), "a right configuration is taken again")

    def test_after_the_command_the_very_next_mail_meets_the_new_settings(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_connection_cache_on_demand": "no"}, relay=sink.port)
        for round in range(5):
            posthorn.set({"smtp_helo_name": f"round{round}.test"})
            posthorn.run("postfix", "reload")
            posthorn.run("sendmail", "-f", "ann@example.com", "user@there.test", input=b"Subject: x\n\nhello\n")
            posthorn.wait_log("status=sent", round + 1)
            self.assertEqual([c for c in sink.commands if c.startswith("EHLO")][-1], f"EHLO round{round}.test")
        posthorn.set({"smtpd_relay_restrictions": "permit_everything"})
        refused = posthorn.run("postfix", "reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"main\.cf, line \d+: service \S+: .*unknown smtpd restriction")

    def test_a_broken_configuration_is_refused_and_the_running_one_stays(self):
        sink = self.sink()
        posthorn = self.instance({"smtpd_banner": "good.test ESMTP"}, relay=sink.port)
        main_cf, master_cf = posthorn.dir / "conf" / "main.cf", posthorn.dir / "conf" / "master.cf"
        processes = posthorn.processes()
        for file, line, reason in ((main_cf, "message_size_limit = lots", r"{file}(: line |, line ){line}: .*message_size_limit.*lots"),
                                   (main_cf, "smtpd_recipient_limit = -3", r"{file}(: line |, line ){line}: .*smtpd_recipient_limit.*-3"),
                                   (main_cf, "this is no setting", r"{file}(: line |, line ){line}: missing '='"),
                                   (master_cf, "nonsense inet n - n", r"{file}(: line |, line ){line}: missing \"wakeup\" field")):
            with self.subTest(line):
                good, before = file.read_text(), len(posthorn.log())
                file.write_text(good + "smtpd_banner = bad.test ESMTP\n" * (file == main_cf) + line + "\n")
                number = len(file.read_text().splitlines())
                reason = reason.format(file=re.escape(str(file)), line=number)
                refused = posthorn.run("postfix", "reload", check=False)
                self.assertNotEqual(refused.returncode, 0)
                self.assertRegex(refused.stderr, reason)
                # Whoever sends the signal by himself (systemd does) finds the same in the log.
                os.kill(posthorn.master_pid(), signal.SIGHUP)
                wait_until(lambda: "reload refused: the running configuration stays" in posthorn.log()[before:], "the refusal")
                said = posthorn.log()[before:]
                self.assertRegex(said, r"master\[\d+\]: error: " + reason)
                self.assertNotIn("reload -- version", said)
                file.write_text(good)
                self.assertEqual(posthorn.processes(), processes)
                self.assertIn(b"good.test", posthorn.greeting())
        posthorn.send(["user@there.test"])
        posthorn.wait_log("status=sent")
        posthorn.set({"smtpd_banner": "better.test ESMTP"})
        posthorn.run("postfix", "reload")
        wait_until(lambda: b"better.test" in posthorn.greeting(), "the mended configuration is in force")


if __name__ == "__main__":
    unittest.main()
