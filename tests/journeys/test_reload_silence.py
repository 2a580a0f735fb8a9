"""A reload while one of the processes that take it in place does not answer. The supervisor waits ten seconds for each answer: for scripts/nightly.
"""
import os
import signal
import subprocess

from journey import BIN, PATIENCE, Journey, unittest, wait_until


class ReloadSilence(Journey):
    def test_a_process_that_answers_too_late_goes_on_as_it_was(self):
        for service in ("memory", "resolve", "qmgr"):
            with self.subTest(service):
                self.refused_while_silent(service)

    def refused_while_silent(self, service):
        sink = self.sink()
        posthorn = self.instance({"relay_transport": "smtp"}, relay=sink.port)
        before = [posthorn.pids_of(one) for one in ("memory", "resolve", "qmgr")]
        (silent,) = posthorn.pids_of(service)
        posthorn.set({"always_bcc": "archive@there.test", "defer_transports": "smtp"})
        os.kill(silent, signal.SIGSTOP)
        reload = subprocess.Popen([BIN / "postfix", "-c", posthorn.dir / "conf", "reload"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            posthorn.wait_log("request timed out")
        finally:
            os.kill(silent, signal.SIGCONT)
        said = reload.communicate(timeout=PATIENCE)[0]
        self.assertEqual(reload.returncode, 1)
        self.assertIn("not reloaded: the running configuration stays", said)
        posthorn.run("sendmail", "-f", "ann@example.com", "one@there.test", input=b"Subject: x\n\nhello\n")
        wait_until(lambda: "one@there.test" in sink.recipients(), "it arrives")
        posthorn.wait_empty()
        self.assertEqual(sink.recipients(), ["one@there.test"])
        self.assertEqual([posthorn.pids_of(one) for one in ("memory", "resolve", "qmgr")], before)


if __name__ == "__main__":
    unittest.main()
