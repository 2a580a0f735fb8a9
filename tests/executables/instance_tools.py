#!/usr/bin/env python3
"""postmulti, postkick, postlock, qshape, `postfix tls`: `instance_tools.py BIN`. Private instances in a folder of their own, looked at from outside."""
import fcntl
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "journeys"))
import remains  # noqa: E402
from ports import free_port  # noqa: E402

BIN = pathlib.Path(sys.argv.pop(1)).resolve()


class InstanceTools(unittest.TestCase):
    def setUp(self):
        self.folder = remains.folder("posthorn-tools-")
        self.folder.chmod(0o755)
        self.home = self.folder / "instance"
        made = self.run_("posthorn", "init", self.home, "--smtp-port", free_port())
        self.assertEqual(made.returncode, 0, made.stderr)
        self.conf = self.home / "conf"
        self.started = []

    def tearDown(self):
        for conf in self.started:
            self.run_("postfix", "-c", conf, "abort")
        shutil.rmtree(self.folder)

    def run_(self, program, *words, text="", **environment):
        return subprocess.run([str(BIN / program), *map(str, words)], input=text, capture_output=True, text=True, timeout=60,
                              env={"PATH": f"{BIN}:/usr/bin:/bin", "TZ": "UTC", **environment})

    def says(self, status, message, program, *words, **more):
        done = self.run_(program, *words, **more)
        self.assertEqual(done.returncode, status, (words, done.stdout, done.stderr))
        self.assertIn(message, done.stderr + done.stdout, words)
        return done

    def start(self, conf):
        self.assertEqual(self.run_("postfix", "-c", conf, "start").returncode, 0)
        self.started.append(conf)

    def many(self, *words, **more):
        return self.run_("postmulti", "-c", self.conf, *words, **more)

    def listed(self, *words):
        return [line.split() for line in self.many("-l", *words).stdout.splitlines()]

    def create(self, name, *words):
        place = self.folder / name
        return self.many("-I", name, "-e", "create", *words, *[f"{part}_directory={place}/{part}" for part in ("config", "queue", "data")])

    def test_instances_are_made_listed_named_and_taken_away(self):
        self.assertEqual(self.listed(), [["-", "-", "y", str(self.conf)]])
        self.assertIn("run 'postmulti -e init' first", self.create("postfix-a").stderr)
        self.assertFalse((self.folder / "postfix-a").exists())
        self.assertEqual(self.many("-e", "init").returncode, 0)
        for name, words in (("postfix-a", ("-G", "mta")), ("postfix-b", ()), ("postfix-first", ("-a", "-G", "mta"))):
            done = self.create(name, *words) if not words else self.many(*words, "-I", name, "-e", "create",
                                                                         *[f"{part}_directory={self.folder / name}/{part}" for part in ("config", "queue", "data")])
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = [line[0] for line in self.listed()]
        self.assertEqual(names, ["-", "postfix-first", "postfix-a", "postfix-b"])
        self.assertEqual([line[0] for line in self.listed("-R")], names[::-1])
        self.assertEqual([line[0] for line in self.listed("-g", "mta")], ["postfix-first", "postfix-a"])
        self.assertEqual([line[0] for line in self.listed("-i", self.folder / "postfix-b/config")], ["postfix-b"])
        self.assertEqual(self.listed("-i", "-")[0][2], "y")
        self.assertEqual(self.many("-x", "sh", "-c", "echo $multi_instance_name; test \"$multi_instance_name\" != postfix-a").returncode, 1)
        self.assertEqual(self.many("-g", "mta", "-x", "postconf", "-h", "multi_instance_name").stdout, "postfix-first\npostfix-a\n")

        conflict = self.many("-i", "postfix-a", "-I", "postfix-b", "-e", "assign")
        self.assertEqual(conflict.returncode, 1)
        self.assertIn("multi_instance_name=postfix-b conflicts with instance", conflict.stderr)
        self.assertEqual(self.many("-i", "postfix-a", "-I", "postfix-new", "-G", "-", "-e", "assign").returncode, 0)
        self.assertIn(["postfix-new", "-", "n", f"{self.folder}/postfix-a/config"], self.listed())
        self.assertEqual(self.many("-i", "postfix-b", "-e", "deport").returncode, 0)
        self.assertEqual([line[0] for line in self.listed()], ["-", "postfix-first", "postfix-new"])
        self.assertEqual(self.many("-i", "postfix-new", "-I", "postfix-c", "-e", "import", f"config_directory={self.folder}/postfix-b/config").returncode, 0)
        self.assertEqual([line[0] for line in self.listed()], ["-", "postfix-first", "postfix-c", "postfix-new"])

        self.assertEqual(self.many("-i", "postfix-new", "-e", "enable").returncode, 0)
        self.assertIn("Cannot remove enabled instances", self.many("-i", "postfix-new", "-e", "destroy").stderr)
        self.assertEqual(self.many("-i", "postfix-new", "-e", "disable").returncode, 0)
        (self.folder / "postfix-a/config/access").write_text("mine\n")
        gone = self.many("-i", "postfix-new", "-e", "destroy")
        self.assertEqual(gone.returncode, 0)
        self.assertIn("postfix-a/config has other files: left as it is", gone.stderr)
        self.assertEqual([path.name for path in (self.folder / "postfix-a").rglob("*")], ["config", "access"])
        self.assertEqual(self.many("-i", "postfix-first", "-e", "destroy").stderr, "")
        self.assertEqual(list((self.folder / "postfix-first").iterdir()), [])

    def test_one_command_for_all_of_them(self):
        self.many("-e", "init")
        self.create("postfix-a")
        self.create("postfix-off")
        self.many("-i", "postfix-a", "-e", "enable")
        self.started += [self.conf, self.folder / "postfix-a/config"]
        self.assertEqual(self.many("-p", "start").returncode, 0)
        status = self.many("-p", "status")
        self.assertEqual(status.returncode, 1)                            # one is off
        self.assertEqual(re.findall(r"^(\S+)/postfix-script: the Postfix mail system is (running|not running)", status.stderr, re.M),
                         [("postfix", "running"), ("postfix-a", "running"), ("postfix-off", "not running")])
        self.assertIn("the mail system is running", self.many("-i", "postfix-a", "-e", "disable").stderr + self.many("-i", "postfix-a", "-e", "destroy").stderr)
        self.many("-i", "postfix-a", "-e", "enable")
        stopped = self.many("-p", "stop")
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        self.assertEqual(re.findall(r"^(\S+)/postfix-script: stopping", stopped.stderr, re.M), ["postfix-a", "postfix"])
        # Mail in the maildrop of a stopped instance keeps it from being destroyed.
        self.many("-i", "postfix-a", "-e", "disable")
        sent = self.run_("sendmail", "-C", self.folder / "postfix-a/config/main.cf", "-f", "a@demo.test", "b@demo.test", text="x\n")
        self.assertIn("not allowed to submit mail", sent.stderr)          # as it was made
        self.run_("postconf", "-c", self.folder / "postfix-a/config", "-e", "authorized_submit_users=static:anyone")
        self.assertEqual(self.run_("sendmail", "-C", self.folder / "postfix-a/config/main.cf", "-f", "a@demo.test", "b@demo.test", text="x\n").returncode, 0)
        self.assertIn("the queue is not empty", self.many("-i", "postfix-a", "-e", "destroy").stderr)
        self.assertTrue((self.folder / "postfix-a/config/main.cf").exists())

    def test_the_queue_by_domain_and_age(self):
        self.start(self.conf)
        for sender, recipients in (("a@one.test", ["x@demo.test", "y@demo.test"]), ("", ["z@sub.demo.test"])):
            self.run_("sendmail", "-C", self.conf / "main.cf", "-f", sender, *recipients, text="Subject: x\n\nx\n")
        for _ in range(200):
            if len(re.findall("Connection refused|delivers to", self.run_("postqueue", "-c", self.conf, "-p").stdout)) >= 1 and \
                    not self.run_("qshape", "-c", self.conf, "-b", "1", "active", "incoming", "maildrop").stdout.splitlines()[1].split()[1:] != ["0", "0"]:
                break
            time.sleep(0.05)
        rows = [line.split() for line in self.run_("qshape", "-c", self.conf, "-b", "2", "deferred").stdout.splitlines()]
        self.assertEqual(rows[0], ["T", "5", "5+"])
        self.assertIn(["demo.test", "2", "2", "0"], rows)
        senders = [line.split() for line in self.run_("qshape", "-c", self.conf, "-s", "-b", "2", "deferred").stdout.splitlines()]
        self.assertIn(["one.test", "1", "1", "0"], senders)
        self.says(0, "Can't stat nonsense", "qshape", "-c", self.conf, "nonsense")
        self.says(255, "-b 0: a number from 1 to 40 is needed", "qshape", "-b", "0")
        # A poke: what waits is tried at once.
        log = self.home / "log/maillog"
        before = log.read_text().count("Connection refused")
        self.says(0, "", "postkick", "-c", self.conf, "public", "qmgr", "F")
        for _ in range(200):
            if log.read_text().count("Connection refused") > before:
                break
            time.sleep(0.05)
        self.assertGreater(log.read_text().count("Connection refused"), before)
        self.says(1, "unable to look up public/nosuch: No such file or directory", "postkick", "-c", self.conf, "public", "nosuch", "x")
        self.says(1, "class and service are names", "postkick", "-c", self.conf, "..", "etc", "x")
        self.run_("postfix", "-c", self.conf, "stop")
        self.says(2, "mail system is down", "qshape", "-c", self.conf)
        self.says(1, "perhaps the mail system is down", "postkick", "-c", self.conf, "public", "qmgr", "F")
        self.run_("sendmail", "-C", self.conf / "main.cf", "-f", "a@one.test", "x@maildrop.test", text="Subject: x\n\nx\n")
        self.assertIn("maildrop.test", self.run_("qshape", "-c", self.conf, "maildrop").stdout)

    def test_a_command_while_a_mailbox_is_locked(self):
        box = self.folder / "box"
        done = self.run_("postlock", "-c", self.conf, box, "sh", "-c", f"ls {self.folder}; exit 7")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertEqual(sorted(done.stdout.split()), ["box", "box.lock", "instance"])
        self.assertFalse((self.folder / "box.lock").exists())
        self.assertEqual(box.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.run_("postlock", "-c", self.conf, "-l", "flock", box, "ls", self.folder).stdout.split(), ["box", "instance"])
        self.run_("postconf", "-c", self.conf, "-e", "deliver_lock_attempts=2", "deliver_lock_delay=1")
        with open(box, "a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.says(75, f"open file {box}: unable to lock for exclusive access: Resource temporarily unavailable",
                      "postlock", "-c", self.conf, "-l", "flock", box, "true")
        (self.folder / "box.lock").touch()
        self.says(75, f"open file {box}: unable to create lock file {box}.lock: File exists", "postlock", "-c", self.conf, box, "true")
        self.run_("postconf", "-c", self.conf, "-e", "stale_lock_time=1")
        time.sleep(1.1)                                                   # older than it may be
        self.says(0, "got", "postlock", "-c", self.conf, box, "echo", "got")
        self.says(75, 'unknown mailbox_delivery_lock value "lease" in "fcntl,lease"', "postlock", "-c", self.conf, "-l", "fcntl,lease", box, "true")
        self.says(1, "execvp /no/such: No such file or directory", "postlock", "-c", self.conf, box, "/no/such")
        self.says(75, f"open file {self.folder}: cannot open file: Is a directory", "postlock", "-c", self.conf, self.folder, "true")

    def test_tls_is_switched_on_with_a_key_of_its_own(self):
        tls = ("postfix", "-c", self.conf, "tls")
        self.says(0, "", *tls, "all-default-client")
        self.says(0, "Enabled opportunistic TLS in the Postfix SMTP client.", *tls, "enable-client")
        self.says(1, "", *tls, "all-default-client")
        before = (self.conf / "main.cf").read_text()
        self.says(0, "no changes made", *tls, "enable-client")
        self.assertEqual((self.conf / "main.cf").read_text(), before)
        self.says(1, "No usable keyfile specified or configured", *tls, "output-server-csr")
        self.says(0, "New TLS private key and certificate deployed.", *tls, "enable-server", "mail.demo.test", "other.test")
        key, = self.conf.glob("key-*.pem")
        certificate, = self.conf.glob("cert-*.pem")
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        shown = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-text"], capture_output=True, text=True).stdout
        self.assertIn("DNS:mail.demo.test, DNS:other.test", shown)
        request = self.run_(*tls, "output-server-csr", "third.test").stdout
        shown = subprocess.run(["openssl", "req", "-noout", "-text", "-verify"], input=request, capture_output=True, text=True)
        self.assertIn("DNS:third.test", shown.stdout)
        self.assertIn("OK", shown.stdout + shown.stderr)
        public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], capture_output=True).stdout
        digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=public, capture_output=True).stdout.decode().split()[0]
        self.assertEqual(self.run_(*tls, "output-server-tlsa", "-h", "mx.demo.test").stdout, f"; {key}\n_25._tcp.mx.demo.test. IN TLSA 3 1 1 {digest}\n")
        self.says(0, "To deploy run:", *tls, "new-server-key", "-a", "ecdsa")
        ec_key, = self.conf.glob("eckey-*.pem")
        ec_certificate, = self.conf.glob("eccert-*.pem")
        self.says(1, f"Certificate in {certificate} does not match key in {ec_key}", *tls, "deploy-server-cert", certificate, ec_key)
        self.says(0, "deployed", *tls, "deploy-server-cert", ec_certificate.name, ec_key.name)
        self.assertEqual(self.run_("postconf", "-c", self.conf, "-h", "smtpd_tls_eckey_file").stdout, f"{ec_key}\n")
        time.sleep(1.1)                                                   # names of files count seconds
        self.says(0, "To deploy run:", *tls, "new-server-cert", "renamed.test")
        newest = max(self.conf.glob("key-*.pem"))
        self.assertEqual(newest.read_text(), key.read_text())
        self.assertNotEqual(newest, key)
        for message, *words in (("Unsupported public key algorithm: dsa", "new-server-key", "-a", "dsa"), ("error generating new rsa 12 private key", "new-server-key", "-b", "12"),
                                ("unknown tls command: 'nonsense'", "nonsense"), ("usage: postfix tls deploy-server-cert certfile keyfile", "deploy-server-cert", "x"),
                                ('"a b" is no host name', "new-server-key", "a b"), ("no private key found in file", "deploy-server-cert", "none", "none")):
            files = sorted(self.conf.iterdir())
            self.says(1, message, *tls, *words)
            self.assertEqual(sorted(self.conf.iterdir()), files)

    def test_addresses_in_the_log_and_in_listings(self):
        self.start(self.conf)
        log = self.home / "log/maillog"

        def sent(sender):
            before = len(log.read_text())
            self.run_("sendmail", "-C", self.conf / "main.cf", "-f", sender, '"o p"@demo.test', text="Subject: x\n\nx\n")
            for _ in range(200):
                if "status=deferred" in log.read_text()[before:]:
                    return log.read_text()[before:]
                time.sleep(0.05)
            self.fail("the mail was not tried")
        lines = sent('"q r"@one.test')
        for line in ('pickup.*: uid=\\d+ from=<"q r"@one.test>', 'qmgr.*: from=<"q r"@one.test>, size=', 'relay/smtp.*: to=<"o p"@demo.test>, '):
            self.assertRegex(lines, line.replace("relay/smtp", "smtp"))
        listing = self.run_("postqueue", "-c", self.conf, "-p").stdout
        self.assertIn('"q r"@one.test', listing)
        self.assertIn('"o p"@demo.test', listing)
        self.run_("postconf", "-c", self.conf, "-e", "info_log_address_format=internal")
        self.assertEqual(self.run_("postfix", "-c", self.conf, "reload").returncode, 0)
        lines = sent('"s t"@one.test')
        for line in ("pickup.*: uid=\\d+ from=<s t@one.test>", "qmgr.*: from=<s t@one.test>, size=", "smtp.*: to=<o p@demo.test>, "):
            self.assertRegex(lines, line)

    def test_what_a_servers_tls_is_like(self):
        self.says(0, "deployed", "postfix", "-c", self.conf, "tls", "enable-server", "mail.demo.test")
        self.start(self.conf)
        certificate, = self.conf.glob("cert-*.pem")
        port = re.search(r"127.0.0.1:(\d+) inet", (self.conf / "master.cf").read_text()).group(1)
        where = f"[127.0.0.1]:{port}"
        peer = f"127.0.0.1[127.0.0.1]:{port}"

        def finger(*words):
            return self.run_("posttls-finger", *words, MAIL_CONFIG=str(self.conf))
        whole = finger(where)
        self.assertEqual((whole.returncode, whole.stdout), (0, ""))
        said = [line.removeprefix("posttls-finger: ") for line in whole.stderr.splitlines()]
        self.assertEqual(said[0:3], [f"Connected to {peer}", "< 220 mail.demo.test ESMTP Posthorn", "> EHLO mail.demo.test"])
        for line in ("> STARTTLS", f"certificate verification failed for {peer}: self-signed certificate", "< 221 2.0.0 Bye"):
            self.assertIn(line, said)
        self.assertTrue(any(line.startswith(f"Untrusted TLS connection established to {peer}: TLSv1.3 with cipher ") for line in said))
        self.assertEqual(sum(line.startswith("> EHLO") for line in said), 2)
        quiet = finger("-c", "-l", "secure", "-F", certificate, where, "mail.demo.test").stderr
        self.assertIn(f"{peer}: matched peername: mail.demo.test\n", quiet)
        self.assertIn("Verified TLS connection established", quiet)
        self.assertNotIn("EHLO", quiet)
        self.assertNotIn("Verified", finger("-c", "-l", "secure", "-F", certificate, where, "other.test").stderr)
        digest = re.search(r" fingerprint=([0-9A-F:]+)", quiet).group(1)
        self.assertIn("Verified", finger("-c", "-l", "fingerprint", where, digest.lower().replace(":", "")).stderr)
        self.assertIn("no digest matches", finger("-c", "-l", "fingerprint", where, "AA:BB").stderr)
        self.assertIn("Untrusted", finger("-c", "-l", "may", "-F", certificate, where).stderr)
        self.assertEqual(finger("-c", "-l", "none", where).stderr, "")
        shown = finger("-cC", "-L", "none", where)
        self.assertIn(certificate.read_text(), shown.stdout)
        self.assertIn(" 0 subject: /CN=mail.demo.test\n    issuer: /CN=mail.demo.test\n", shown.stdout)
        self.assertIn("TLSv1.2 with cipher", finger("-c", "-p", "TLSv1.2", "-l", "encrypt", where).stderr)
        again = finger("-c", "-r", "1", "-l", "encrypt", where).stderr
        self.assertIn("Reconnecting after 1 seconds", again)
        self.assertIn("The TLS session was reused", again)
        self.assertIn(f"SSL_connect error to {peer}", finger("-c", "-w", "-l", "encrypt", where).stderr)
        self.assertIn("> EHLO foo.test", finger("-o", "myhostname=foo.test", "-l", "encrypt", where).stderr)
        self.assertIn("Connection refused", finger(f"[127.0.0.1]:{free_port()}").stderr)

    def test_a_server_that_hangs_up_after_the_handshake_is_told_of(self):
        self.says(0, "deployed", "postfix", "-c", self.conf, "tls", "enable-server", "mail.demo.test")
        key, certificate = next(self.conf.glob("key-*.pem")), next(self.conf.glob("cert-*.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def serve():
                for _ in range(2):
                    with listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True):
                        pass
            server = threading.Thread(target=serve, daemon=True)
            server.start()
            done = self.run_("posttls-finger", "-w", "-r", "1", "-m", "1", "-l", "encrypt", f"[127.0.0.1]:{listener.getsockname()[1]}", MAIL_CONFIG=str(self.conf))
            server.join(10)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("lost connection while receiving the initial server greeting"), 2)
        self.assertIn("Maximum reconnect count reached.", done.stderr)

    def test_a_poke_of_a_named_pipe_does_not_wait_for_its_reader(self):
        self.start(self.conf)
        os.mkfifo(self.home / "queue/public/pipe")
        reader = os.open(self.home / "queue/public/pipe", os.O_RDONLY | os.O_NONBLOCK)
        try:                                                              # run_ gives up after 60 s; application_event_drain_time is 100
            self.says(0, "", "postkick", "-c", self.conf, "public", "pipe", "W")
            self.assertEqual(os.read(reader, 10), b"W")
        finally:
            os.close(reader)

    def test_what_set_permissions_cannot_use_is_taken_back(self):
        before = (self.conf / "main.cf").read_text()
        self.says(1, "", "postfix", "-c", self.conf, "set-permissions", "mail_owner=nobody-at-all") if os.getuid() == 0 else None
        self.assertEqual((self.conf / "main.cf").read_text(), before)
        self.says(1, "expected name=value", "postfix", "-c", self.conf, "set-permissions", "relayhost=x")
        self.assertEqual((self.conf / "main.cf").read_text(), before)


if __name__ == "__main__":
    unittest.main()
