#!/usr/bin/env python3
"""The commands as programs: `commands.py BIN`. A private instance in a folder of its own; everything is looked at from outside."""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "journeys"))
import remains  # noqa: E402
from ports import free_port  # noqa: E402

BIN = pathlib.Path(sys.argv.pop(1)).resolve()


class Commands(unittest.TestCase):
    def setUp(self):
        self.folder = remains.folder("posthorn-commands-")
        self.folder.chmod(0o755)
        self.home = self.folder / "instance"
        self.done = self.run_(["posthorn", "init", str(self.home), "--smtp-port", str(free_port())])
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        self.conf = str(self.home / "conf" / "main.cf")

    def tearDown(self):
        self.run_(["postfix", "-c", str(self.home), "abort"])
        shutil.rmtree(self.folder)

    def run_(self, words, text=""):
        return subprocess.run([str(BIN / words[0]), *words[1:]], input=text.encode(), capture_output=True, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "TZ": "UTC"})

    def maildrop(self):
        folder = self.home / "queue" / "maildrop"
        return [path for path in folder.iterdir()] if folder.exists() else []

    def check_made(self):
        made = self.run_(["postfix", "-c", str(self.home), "check"])
        self.assertEqual(made.returncode, 0, made.stderr)

    def test_init_leaves_an_instance_alone_that_is_there(self):
        before = (self.home / "conf" / "main.cf").read_text()
        again = self.run_(["posthorn", "init", str(self.home)])
        self.assertEqual(again.returncode, 73)
        self.assertIn(b"exists: nothing was changed", again.stderr)
        self.assertEqual((self.home / "conf" / "main.cf").read_text(), before)
        self.assertEqual(self.run_(["posthorn", "init"]).returncode, 64)
        self.assertEqual(self.run_(["posthorn", "init", "x", "--smtp-port", "70000"]).returncode, 64)
        self.assertEqual(self.run_(["posthorn", "init", str(self.folder / "a b")]).returncode, 64)

    def test_a_service_manager_is_told_when_the_sockets_listen_and_how_long_a_stop_takes(self):
        """Type=notify of systemd."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.folder / "notify"))
            manager.settimeout(60)
            running = subprocess.Popen([str(BIN / "postfix"), "-c", self.conf.rpartition("/")[0], "start-fg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "NOTIFY_SOCKET": str(self.folder / "notify")})
            try:
                self.assertEqual(manager.recv(100), b"READY=1")
                port = int(next(line for line in pathlib.Path(self.conf).with_name("master.cf").read_text().splitlines() if " inet " in line).split(":")[1].split()[0])
                socket.create_connection(("127.0.0.1", port), timeout=60).close()
                own = pathlib.Path(f"/proc/{running.pid}/cmdline").read_bytes()
                for child in pathlib.Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split():
                    while pathlib.Path(f"/proc/{child}/cmdline").read_bytes() == own:     # a copy yet, with what this one was given
                        time.sleep(0.01)
                    self.assertNotIn(b"NOTIFY_SOCKET", pathlib.Path(f"/proc/{child}/environ").read_bytes())
                # However long its sessions may take, that is said before the manager's own time is up.
                running.terminate()
                self.assertRegex(manager.recv(100), rb"^STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000$")
            finally:
                running.terminate()
                self.assertEqual(running.wait(60), 0)

    def test_a_service_manager_is_told_when_trying_again_does_not_help(self):
        """EX_CONFIG; start keeps Postfix's 1."""
        main_cf = pathlib.Path(self.conf)
        right = main_cf.read_text()
        for wrong, commands in (("maximal_backoff_time = soon\n", {"start-fg": 78, "start": 1, "check": 1}), ("= nothing\n", {"start-fg": 78})):
            main_cf.write_text(right + wrong)
            for command, status in commands.items():
                done = self.run_(["postfix", "-c", str(main_cf.parent), command])
                self.assertEqual((wrong, command, done.returncode), (wrong, command, status))
                self.assertIn(b"fatal: ", done.stderr)
        main_cf.write_text(right)
        self.check_made()

    def killed_init(self, home, call, number, words):
        """The exit status of posthorn init that is killed in the system call of this name and number."""
        return subprocess.run(["strace", "-f", "-o", os.devnull, "-e", f"trace=?{call}", "-e", f"inject=?{call}:signal=KILL:when={number}",
                               str(BIN / "posthorn"), "init", str(home), *words], capture_output=True, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "TZ": "UTC"}).returncode

    def is_whole(self, home, words, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        conf = home / "conf"
        self.assertEqual(sorted(path.name for path in conf.iterdir()), ["admin_token", "main.cf", "master.cf"])
        self.assertRegex((conf / "admin_token").read_text(), r"^[0-9A-F]{48}\n$")
        self.assertEqual((conf / "admin_token").stat().st_mode & 0o777, 0o600)
        self.assertIn(f"127.0.0.1:{words[3]} inet n - n - 1 admin", (conf / "master.cf").read_text())
        self.assertIn(f"admin_token_file = {conf}/admin_token\n", (conf / "main.cf").read_text())
        self.assertTrue((home / "queue" / "maildrop").is_dir())
        made = self.run_(["postfix", "-c", str(home), "check"])
        self.assertEqual(made.returncode, 0, made.stderr)

    def test_init_makes_a_line_that_takes_mail_over_http(self):
        home, port = self.folder / "http", str(free_port())
        done = self.run_(["posthorn", "init", str(home), "--smtp-port", str(free_port()), "--inject-port", port])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"POST http://127.0.0.1:{port}/api/inject/v1".encode(), done.stdout)
        self.assertIn(f"127.0.0.1:{port} inet n - n - - inject\n", (home / "conf" / "master.cf").read_text())
        self.assertEqual(self.run_(["postfix", "-c", str(home), "check"]).returncode, 0)

    def test_init_that_was_killed_is_completed_by_the_next_one(self):
        words = ["--smtp-port", str(free_port()), "--admin-port", str(free_port())]
        # What a killed one had left: a token without all the rest, whole or not; files half made.
        for number, files in enumerate([{"admin_token": ""}, {"admin_token": "0123456789abcdef\n", "master.cf": "smtp in"},
                                        {".unfinished/admin_token": "0", ".unfinished/main.cf": "queue_dir", "master.cf": "x\n"}]):
            home = self.folder / f"left{number}"
            for name, text in files.items():
                (home / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
                (home / "conf" / name).write_text(text)
            done = self.run_(["posthorn", "init", str(home), *words])
            self.assertIn(b"An earlier posthorn init of this folder had not come to its end: all of it has been made anew.\n", done.stdout)
            self.is_whole(home, words, done)
        fresh = self.folder / "fresh"
        done = self.run_(["posthorn", "init", str(fresh), *words])
        self.is_whole(fresh, words, done)
        self.assertNotIn(b"An earlier", done.stdout)

    @unittest.skipUnless(shutil.which("strace"), "needs strace")
    def test_init_that_is_killed_anywhere_is_whole_or_completed(self):
        words = ["--smtp-port", str(free_port()), "--admin-port", str(free_port())]
        killed = {}
        for call in ("mkdir", "write", "rename", "chmod", "fchmod", "chown", "rmdir"):
            number = 1
            while self.killed_init(home := self.folder / f"{call}{number}", call, number, words) != 0:
                with self.subTest(call=call, number=number):
                    if (home / "conf" / "main.cf").exists():
                        (home / "conf" / ".unfinished").exists() and (home / "conf" / ".unfinished").rmdir()         # nothing reads it
                        self.is_whole(home, words, subprocess.CompletedProcess([], 0))
                    else:
                        self.is_whole(home, words, self.run_(["posthorn", "init", str(home), *words]))
                shutil.rmtree(home)
                number += 1
            killed[call] = number - 1
        self.assertEqual(killed["rename"], 3)
        self.assertGreater(killed["mkdir"], 10)

    @unittest.skipUnless(os.geteuid() == 0, "without root there is one user only")
    def test_init_as_root_keeps_the_queue_from_the_commands_of_strangers(self):
        settings = dict(line.split(" = ", 1) for line in self.run_(["postconf", "-c", str(self.home / "conf"), "mail_owner", "default_privs"]).stdout.decode().splitlines())
        self.assertNotEqual(settings["mail_owner"], settings["default_privs"])
        if settings["mail_owner"] == "nobody":
            self.assertIn(b"posthorn init: warning: there is no user posthorn or postfix: ", self.done.stderr)
            self.assertIn("# Note: there is no user posthorn or postfix", (self.home / "conf" / "main.cf").read_text())
        else:
            self.assertEqual(self.done.stderr, b"")

    def test_mail_is_taken_while_the_mail_system_is_down(self):
        self.check_made()
        sent = self.run_(["sendmail", "-C", self.conf, "-i", "-f", "me@demo.test", "you@demo.test"], "Subject: x\n\n.\nbody\n")
        self.assertEqual((sent.returncode, sent.stderr), (0, b""))
        files = self.maildrop()
        self.assertEqual(len(files), 1)
        octets = files[0].read_bytes()
        self.assertTrue(octets.startswith(b"PHdrop1\n"))
        length = struct.unpack(">I", octets[8:12])[0]
        self.assertIn(b"you@demo.test", octets[12:12 + length])
        self.assertTrue(octets.endswith(struct.pack(">I", 23) + b"Subject: x\r\n\r\n.\r\nbody\r\n" + struct.pack(">I", 0)), octets)

    def test_recipients_from_the_header(self):
        self.check_made()
        sent = self.run_(["sendmail", "-C", self.conf, "-t"], "To: a@demo.test\nBcc: b@demo.test\n\nx\n.\nnot this\n")
        self.assertEqual((sent.returncode, sent.stderr), (0, b""))
        octets = self.maildrop()[0].read_bytes()
        for word in (b"a@demo.test", b"b@demo.test", b"\r\nx\r\n"):
            self.assertIn(word, octets)
        self.assertNotIn(b"not this", octets)
        none = self.run_(["sendmail", "-C", self.conf, "-t"], "Subject: x\n\nx\n")
        self.assertEqual(none.returncode, 64)
        self.assertIn(b"No recipient addresses found in message header", none.stderr)
        self.assertEqual(len(self.maildrop()), 1)

    def test_wrong_usage_and_what_cannot_be_taken(self):
        self.check_made()
        for words, status, said in [
            (["sendmail", "-C", self.conf], 64, b"Recipient addresses must be specified"),
            (["sendmail", "-C", self.conf, "-Z"], 64, b"unknown option: -Z"),
            (["sendmail", "-C", self.conf, "-f", "a@b c@d,", "x@demo.test"], 64, b"bad sender address"),
            (["sendmail", "-C", "/nonexistent/main.cf", "x@demo.test"], 78, b"/nonexistent/main.cf"),
            (["postqueue", "-c", str(self.home)], 69, b"usage: postqueue"),
            (["postqueue", "-c", str(self.home), "-p", "-f"], 69, b"usage: postqueue"),
            (["postqueue", "-c", str(self.home), "-i", "../x"], 69, b"invalid name: \"../x\""),
            (["postqueue", "-c", str(self.home), "-s", "a b"], 69, b"invalid destination"),
            (["postqueue", "-c", str(self.home), "-p"], 69, b"mail system is down"),
            (["mailq", "-C", self.conf], 69, b"mail system is down"),
            (["postqueue", "-c", str(self.home), "-f"], 69, b"mail system is down"),
            (["postsuper", "-c", str(self.home), "-d", "ALL"], 69, b"mail system is down"),
            (["postsuper", "-c", str(self.home), "-d", "ALL", "corrupt/.."], 1, b"invalid directory name"),
            (["postcat", "-c", str(self.home), "x"], 1, b"use -q"),
            (["posthorn", "nonsense"], 64, b"usage: posthorn"),
            (["postfix", "-c", str(self.home), "nonsense"], 1, b"unknown command: 'nonsense'"),
            (["postfix", "-c", str(self.home), "reload"], 1, b"the Postfix mail system is not running"),
            (["postfix", "-c", str(self.home), "stop"], 1, b"the Postfix mail system is not running"),
            (["postfix", "-c", str(self.home), "status"], 1, b"the Postfix mail system is not running"),
        ]:
            with self.subTest(words=words):
                got = self.run_(words)
                self.assertEqual(got.returncode, status, got.stderr)
                self.assertIn(said, got.stderr)
        self.assertEqual(self.maildrop(), [])

    def test_too_big_and_broken_off(self):
        with open(self.conf, "a") as file:
            file.write("message_size_limit = 1000\n")
        self.check_made()
        big = self.run_(["sendmail", "-C", self.conf, "x@demo.test"], "Subject: x\n\n" + "line\n" * 1000)
        self.assertEqual(big.returncode, 69)
        self.assertIn(b"message file too big", big.stderr)
        cut = self.run_(["postdrop", "-c", str(self.home / "conf")], "PHdrop1\n")
        self.assertEqual(cut.returncode, 65)
        self.assertIn(b"broken off", cut.stderr)
        self.assertEqual(self.maildrop(), [])

    def test_a_broken_configuration_is_named_and_nothing_starts(self):
        with open(self.conf, "a") as file:
            file.write("default_process_limit = many\n")
        for command in ("check", "start"):
            got = self.run_(["postfix", "-c", str(self.home), command])
            self.assertEqual(got.returncode, 1)
            self.assertIn(b"default_process_limit", got.stderr)
        self.assertFalse((self.home / "queue" / "pid" / "master.pid").exists())

    def test_what_is_in_no_journal_is_said_to_it(self):
        """Standard error is the journal, the log is a file."""
        with open(self.folder / "said", "w+b") as said:
            about = os.fstat(said.fileno())
            subprocess.run([str(BIN / "postfix"), "-c", str(self.home), "status"], stderr=said, timeout=60, check=False,
                           env={"PATH": "/usr/bin:/bin", "TZ": "UTC", "JOURNAL_STREAM": f"{about.st_dev}:{about.st_ino}"})
            said.seek(0)
            self.assertEqual(said.read().count(b"the Postfix mail system is not running"), 1)

    def test_start_status_stop(self):
        log = self.home / "log" / "maillog"
        started = self.run_(["postfix", "-c", str(self.home), "start"])
        self.assertEqual(started.returncode, 0, started.stderr)
        self.assertIn(b"postfix/postfix-script: starting the Postfix mail system", started.stderr)
        again = self.run_(["postfix", "-c", str(self.home), "start"])
        self.assertEqual(again.returncode, 1)
        self.assertIn(b"fatal: the Postfix mail system is already running", again.stderr)
        status = self.run_(["posthorn", "-c", str(self.home), "status"])
        self.assertEqual(status.returncode, 0)
        pid = int((self.home / "queue" / "pid" / "master.pid").read_text())
        self.assertIn(b"the Postfix mail system is running: PID: %d" % pid, status.stderr)
        self.assertEqual(self.run_(["postlog", "-c", str(self.home), "-p", "warn", "-t", "postfix/test", "hello", "log"]).returncode, 0)
        stopped = self.run_(["postfix", "-c", str(self.home), "stop"])
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        for _ in range(100):                                   # the lock goes first, then the process; whoever adopted it may leave a zombie
            if not os.path.exists(f"/proc/{pid}/cmdline") or not open(f"/proc/{pid}/cmdline").read():
                break
            time.sleep(0.05)
        else:
            self.fail("the master is still there")
        text = log.read_text()
        for line in ("postfix/postfix-script[", "daemon started -- version ", "terminating on signal 15", "warning: hello log"):
            self.assertIn(line, text)
        rotated = self.run_(["postfix", "-c", str(self.home), "logrotate"])
        self.assertEqual(rotated.returncode, 0, rotated.stderr)
        self.assertEqual(len([name for name in os.listdir(log.parent) if name.startswith("maillog.") and name.endswith(".gz")]), 1)

    def test_the_texts_of_notifications(self):
        template = self.folder / "templates"
        template.write_text("# ours\nfailure_template = <<END\nCharset: utf-8\nFrom: us <mailer@ours.test>\nSubject: no\nPostmaster-Subject: copy\n\n"
                            "at $myhostname after $maximal_queue_lifetime_hours hours\nEND\n")
        self.run_(["postconf", "-c", str(self.home / "conf"), "-e", f"bounce_template_file={template}", "maximal_queue_lifetime=2d"])
        shown = self.run_(["postconf", "-c", str(self.home / "conf"), "-t"]).stdout.decode()
        self.assertTrue(shown.startswith("failure_template = <<EOF\nCharset: utf-8\nFrom: us <mailer@ours.test>\nSubject: no\nPostmaster-Subject: copy\n\n"
                                         "at $myhostname after $maximal_queue_lifetime_hours hours\nEOF\n\ndelay_template = <<EOF\n"), shown)
        expanded = self.run_(["postconf", "-c", str(self.home / "conf"), "-b"]).stdout.decode()
        self.assertTrue(expanded.startswith("expanded_failure_text = <<EOF\nat mail.demo.test after 48 hours\nEOF\n\n"), expanded)
        self.assertNotIn("at mail.demo.test after", self.run_(["postconf", "-c", str(self.home / "conf"), "-b", ""]).stdout.decode())

    def test_check_names_what_does_nothing(self):
        with open(self.conf, "a") as file:
            file.write("smtpd_tls_enable_rpk = yes\nnonsense = 1\nbest_mx_transport = nowhere:\ndefault_transport = error:5.1.1 nobody\nmailbox_transport = smtp\n"
                       "queue_standby = second\nmemory_siblings = smtp, third\n")
        os.chmod(self.conf, 0o666)
        got = self.run_(["postfix", "-c", str(self.home), "check"])
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertEqual(got.stderr.count(b"has no service"), 3)
        for way in (b"queue_standby: " + str(self.home / "conf").encode() + b"/master.cf has no service second: it leads nowhere", b"has no service third: it leads nowhere"):
            self.assertIn(way, got.stderr)
        for said in (b"main.cf, line ", b": best_mx_transport: " + str(self.home / "conf").encode() + b"/master.cf has no service nowhere: mail for it waits",
                     b"smtpd_tls_enable_rpk is accepted but not acted on yet: raw public keys need OpenSSL 3.2, and are not used", b"unused parameter: nonsense=1", b"group or other writable: " + self.conf.encode()):
            self.assertIn(said, got.stderr)

    def test_a_peer_that_had_no_processor_for_a_while_ends_when_it_is_told(self):
        for _ in range(10):
            peer = subprocess.Popen([str(BIN / "posthorn"), "peer", "pix"], stdout=subprocess.PIPE)
            peer.stdout.readline()
            for signal_number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
                os.kill(peer.pid, signal_number)
                time.sleep(0.12 if signal_number == signal.SIGSTOP else 0)
            try:
                self.assertEqual(peer.wait(60), 0)
            finally:
                peer.kill()
                peer.stdout.close()

    def test_version(self):
        got = self.run_(["posthorn", "--version"])
        self.assertEqual(got.returncode, 0)
        self.assertTrue(got.stdout.startswith(b"Posthorn "))


if __name__ == "__main__":
    unittest.main()
