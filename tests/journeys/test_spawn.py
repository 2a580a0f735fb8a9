"""spawn(8): a command per connection, with the connection as its three descriptors, as another user."""
import os
import pwd
import socket
import time

from journey import PATIENCE, Journey, free_port, unittest, wait_until

# What a policy service does: attributes up to an empty line, one action for each request.
POLICY = r'''
import os, sys
for line in sys.stdin:
    if line.startswith("whoami"):
        print("uid=%d gid=%d groups=%s" % (os.getuid(), os.getgid(), sorted(os.getgroups())), flush=True)
    elif line.startswith("environment"):
        print(" ".join(sorted(os.environ)), flush=True)
    elif line.startswith("value"):
        print(os.environ.get(line.split()[1]), flush=True)
    elif line.startswith("power"):
        print([l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")][0], len(os.listdir("/proc/self/fd")), flush=True)
    elif line.startswith("stderr"):
        print("an error", file=sys.stderr, flush=True)
    elif line.startswith("exit"):
        sys.exit(3)
    elif not line.strip():
        print("action=DUNNO\n", flush=True)
'''


class Spawn(Journey):
    def policy(self, arguments="", options="", limit="-", user=None, name="policy", command=None, settings=None):
        posthorn = self.instance(start=False)
        program = posthorn.dir / "policy.py"
        program.write_text(POLICY)
        program.chmod(0o755)
        self.user = user or ("nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
        if os.geteuid() == 0:                               # the mail system is someone else than the command
            settings = {"mail_owner": "daemon", **(settings or {})}
        with open(posthorn.dir / "conf" / "master.cf", "a") as master:
            kind = "inet n" if ":" in name else "unix -"
            master.write(f"\n{name} {kind} n n - {limit} spawn {options} user={self.user} "
                         f"argv={command or f'/usr/bin/python3 {program}'} {arguments}\n")
        posthorn.set(settings or {})
        posthorn.start()
        return posthorn

    def connect(self, posthorn, name="policy"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        s.connect(str(posthorn.dir / "queue" / "private" / name))
        talk = s.makefile("rw")
        self.addCleanup(s.close)
        self.addCleanup(talk.close)
        return s, talk

    def test_import_environment_sets_what_export_environment_hands_on(self):
        posthorn = self.policy(settings={"import_environment": "LANG=C COLOUR=red {CITY = New York}", "export_environment": "COLOUR CITY LANG"})

        def value(name):
            _, talk = self.connect(posthorn)
            talk.write(f"value {name}\n")
            talk.flush()
            return talk.readline().strip()
        self.assertEqual([value(name) for name in ("COLOUR", "CITY", "LANG")], ["red", "New York", "C"])
        posthorn.set({"import_environment": "COLOUR=blue"})
        posthorn.run("postfix", "reload")
        wait_until(lambda: value("COLOUR") == "blue", "another value")
        self.assertEqual(value("CITY"), "None")

    def test_home_is_handed_on_only_where_it_is_named(self):
        posthorn = self.policy(settings={"export_environment": "HOME", "import_environment": "LANG=C"})

        def home():
            _, talk = self.connect(posthorn)
            talk.write("value HOME\n")
            talk.flush()
            return talk.readline().strip()
        self.assertEqual(home(), "None")
        posthorn.set({"import_environment": "LANG=C, HOME"})
        posthorn.run("postfix", "reload")
        wait_until(lambda: home() == os.environ["HOME"], "it is named")

    def test_a_policy_service_answers_as_its_user_and_with_nothing_of_ours(self):
        posthorn = self.policy()
        _, talk = self.connect(posthorn)

        def ask(question):
            talk.write(question + "\n")
            talk.flush()
            return talk.readline().strip()
        talk.write("request=smtpd_access_policy\nsender=a@b\n\n")
        talk.flush()
        self.assertEqual(talk.readline(), "action=DUNNO\n")
        self.assertEqual(talk.readline(), "\n")
        user = pwd.getpwnam(self.user)
        said = ask("whoami")
        self.assertIn(f"uid={user.pw_uid} gid={user.pw_gid}", said)
        if os.geteuid() == 0:
            self.assertTrue(said.endswith(f"groups=[{user.pw_gid}]"), said)
        capabilities, descriptors = ask("power").split()
        self.assertEqual(int(capabilities, 16), 0)
        self.assertEqual(descriptors, "4")                  # three, and the folder it lists
        self.assertNotIn("HOME", ask("environment").split())
        self.assertEqual(ask("stderr"), "an error")
        # A second connection is a second process.
        _, other = self.connect(posthorn)
        other.write("\n")
        other.flush()
        self.assertEqual(other.readline(), "action=DUNNO\n")
        talk.write("exit\n")
        talk.flush()
        self.assertEqual(talk.readline(), "")
        posthorn.wait_log(r"spawn\[\d+\]: warning: command /usr/bin/python3 exit status 3")

    def test_a_tcp_listener(self):
        port = free_port()
        posthorn = self.policy(name=f"127.0.0.1:{port}", command="/bin/cat")
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
            s.sendall(b"there and back\n")
            self.assertEqual(s.recv(100), b"there and back\n")
        self.assertTrue(posthorn.pids_of("spawn"))

    def test_the_time_limit_and_the_process_limit(self):
        posthorn = self.policy(limit="1", command="/bin/cat", settings={"policy_time_limit": "2s"})
        first, _ = self.connect(posthorn)
        second, waiting = self.connect(posthorn)           # in the queue of the socket until the first has ended
        waiting.write("hello\n")
        waiting.flush()
        second.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            second.recv(1)
        second.settimeout(30)
        self.assertEqual(second.recv(100), b"hello\n")
        self.assertEqual(first.recv(1), b"")
        posthorn.wait_log(r"spawn\[\d+\]: warning: /bin/cat: process id \d+: command time limit exceeded")

    def test_what_cannot_be_executed_is_said(self):
        posthorn = self.policy(command="/nonexistent/program")
        _, talk = self.connect(posthorn)
        self.assertEqual(talk.readline(), "")
        posthorn.wait_log(r"spawn\[\d+\]: error: execute /nonexistent/program: No such file or directory")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_root_and_the_mail_system_are_refused(self):
        for user, reason in (("root", "root privileges are not given to commands"),
                             ("daemon", "the privileges of the mail system owner are not given to commands")):
            with self.subTest(user):
                posthorn = self.policy(user=user)
                posthorn.wait_log(rf"spawn\[\d+\]: fatal: user={user}: {reason}")
                self.assertTrue(posthorn.answers())         # the others serve

    def test_a_reload_lets_commands_end_and_a_stop_ends_them(self):
        posthorn = self.policy(settings={"service_stop_time": "2s"})
        _, old = self.connect(posthorn)
        old.write("\n")
        old.flush()
        self.assertEqual([old.readline(), old.readline()], ["action=DUNNO\n", "\n"])
        before = posthorn.pids_of("spawn")
        posthorn.run("postfix", "reload")
        wait_until(lambda: set(posthorn.pids_of("spawn")) - set(before), "a new spawn process")
        _, new = self.connect(posthorn)
        for talk in (new, old):
            talk.write("\n")
            talk.flush()
            self.assertEqual(talk.readline(), "action=DUNNO\n")
        began = time.monotonic()
        posthorn.stop()
        self.assertLess(time.monotonic() - began, 30)
        for talk in (new, old):
            self.assertEqual(talk.read().strip(), "")


if __name__ == "__main__":
    unittest.main()
