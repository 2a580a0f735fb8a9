"""pipe(8): a command per delivery, with the message on its standard input, as another user."""
import json
import os
import pathlib
import pwd
import signal
import unittest

from journey import Journey, wait_until

# Writes down what it was given. What it does then is told by the local part of its first recipient.
COMMAND = r'''
import json, os, signal, subprocess, sys, time
folder, words = sys.argv[1], sys.argv[2:]
recipient = words[-1].split("@")[0]
name = "%s/%s.%d" % (folder, recipient, os.getpid())
if recipient == "early":
    sys.exit(0)                                             # without a look at the message
with open(name + ".started", "w") as out:
    out.write(str(os.getpid()))
said = {"words": words, "message": sys.stdin.buffer.read().decode("latin-1"), "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
        "environment": dict(os.environ), "directory": os.getcwd(), "descriptors": len(os.listdir("/proc/self/fd")),
        "capabilities": [l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")][0], "mask": os.umask(0)}
with open(name + ".part", "w") as out:
    json.dump(said, out)
os.rename(name + ".part", name + ".json")
if recipient.startswith("exit"):
    print("some reason\non two lines")
    sys.exit(int(recipient[4:]))
if recipient == "says":
    print("4.2.2 the mailbox is full")
    sys.exit(1)
if recipient == "signal":
    os.kill(os.getpid(), signal.SIGKILL)
if recipient == "leaves":
    subprocess.Popen(["sleep", "600"])                      # with both streams still open
if recipient == "hangs":
    child = subprocess.Popen(["sleep", "600"])
    with open(name + ".child", "w") as out:
        out.write(str(child.pid))
    time.sleep(600)
if recipient == "waits":
    while not os.path.exists(folder + "/go"):
        time.sleep(0.02)
if recipient == "loud":
    sys.stdout.write("x" * 1000000)
    sys.stdout.flush()
    sys.exit(75)
'''


class Pipe(Journey):
    def pipe(self, attributes="", words="${recipient}", settings=None, user=None, limit="-", command=None):
        posthorn = self.instance(start=False)
        self.told = posthorn.dir / "told"
        self.told.mkdir()
        self.told.chmod(0o777)
        program = posthorn.dir / "command.py"
        program.write_text(COMMAND)
        program.chmod(0o755)
        self.user = pwd.getpwnam(user) if user else pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        posthorn.add_service(f"agent unix - n n - {limit} pipe {attributes} user={self.user.pw_name} "
                             f"argv={command or f'/usr/bin/python3 {program} {self.told}'} {words}")
        owner = {"mail_owner": "daemon"} if os.geteuid() == 0 else {}      # somebody else than the command
        posthorn.set({"relay_domains": "piped.test", "transport_maps": "inline:{piped.test=agent:Next.Hop}", "recipient_delimiter": "+",
                      "agent_destination_recipient_limit": "1", **owner, **(settings or {})})
        posthorn.start()
        return posthorn

    def told_of(self, recipient, count=1):
        def found():
            files = sorted(self.told.glob(f"{recipient}.*.json"))
            return [json.loads(f.read_text()) for f in files] if len(files) >= count else None
        return wait_until(found, f"the command was started for {recipient}")

    def test_the_command_has_the_message_its_words_and_nothing_of_ours(self):
        posthorn = self.pipe("flags=DRhuFO. directory=/usr", "-f ${sender} ${user} ${extension} ${domain} ${nexthop} ${size} ${queue_id} x$$y ${recipient}",
                             {"export_environment": "TZ NAME=value"})
        self.assertEqual(posthorn.pids_of("pipe"), [])                     # it is started with its first mail
        posthorn.send(["User+Ext@Piped.TEST"], content=b"Subject: one\r\n\r\n.dot\r\nFrom here\r\n")
        said = self.told_of("user+ext")[0]
        queue_id = posthorn.wait_log(r"pipe\[\d+\]: (\S+): to=<User\+Ext@Piped.TEST>, relay=agent, delay=[\d.]+, delays=[\d./]+, dsn=2.0.0, "
                                     r"status=sent \(delivered via agent service\)")[0]
        size = posthorn.wait_log(rf"{queue_id}: from=<sender@example.com>, size=(\d+)")[0]
        self.assertEqual(said["words"], ["-f", "sender@example.com", "user", "ext", "piped.test", "next.hop", size, queue_id, "x$y", "user+ext@piped.test"])
        lines = said["message"].split("\n")
        self.assertRegex(lines[0], r"^From sender@example.com  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$")
        self.assertEqual(lines[1:4], ["Return-Path: <sender@example.com>", "X-Original-To: User+Ext@Piped.TEST", "Delivered-To: User+Ext@Piped.TEST"])
        self.assertTrue(said["message"].endswith("\n\n..dot\nFrom here\n"), said["message"])
        self.assertNotIn("\r", said["message"])
        self.assertEqual((said["uid"], said["gid"], said["directory"], said["mask"]), (self.user.pw_uid, self.user.pw_gid, "/usr", 0o077))
        self.assertEqual(int(said["capabilities"], 16), 0)
        self.assertEqual(said["descriptors"], 4)                           # three, and the folder it lists
        if os.geteuid() == 0:
            self.assertEqual(said["groups"], [self.user.pw_gid])
        self.assertEqual(said["environment"]["NAME"], "value")
        self.assertLessEqual(set(said["environment"]), {"NAME", "TZ", "PATH", "LC_CTYPE"})     # the last is python's own

    @unittest.skipUnless(os.geteuid() == 0 and os.path.exists("/usr/lib64") and os.path.exists("/usr/bin/sh"), "needs root, and /usr as a root folder with a shell")
    def test_a_command_behind_another_root_folder(self):
        posthorn = self.pipe("chroot=/usr directory=/share", command="sh -c", words="{while read -r line; do :; done; test -e /usr || echo 4.2.2 in $$PWD as $$(id -u) with $$0; exit 1} ${user}")
        posthorn.send(["inside@piped.test"])
        posthorn.wait_log(rf"to=<inside@piped.test>, relay=agent, .* dsn=4.2.2, status=deferred \(.*in /share as {self.user.pw_uid} with inside")
        other = self.pipe("chroot=/nonexistent", command="/bin/sh -c", words="{exit 0}")
        other.send(["outside@piped.test"])
        other.wait_log(r"change the root folder to /nonexistent: No such file or directory")
        other.wait_log(r"to=<outside@piped.test>, relay=agent, .* dsn=4.3.0, status=deferred")

    def test_one_command_has_all_recipients_where_it_may(self):
        posthorn = self.pipe(words="-- ${recipient}", settings={"agent_destination_recipient_limit": "2"})
        posthorn.send([f"u{n}@piped.test" for n in range(3)])
        posthorn.wait_log(r"status=sent \(delivered via agent service\)", 3)
        posthorn.wait_empty()
        commands = [json.loads(f.read_text())["words"] for f in self.told.glob("*.json")]
        self.assertEqual(sorted(len(words) for words in commands), [2, 3])
        self.assertEqual(sorted(word for words in commands for word in words[1:]), [f"u{n}@piped.test" for n in range(3)])

    def test_the_exit_status_and_what_was_said_decide(self):
        sink = self.sink()
        posthorn = self.pipe(settings={"relayhost": f"[127.0.0.1]:{sink.port}"})
        wanted = {"exit67": (r"5.1.1, status=bounced \(user unknown. Command output: some reason on two lines \)"),
                  "exit75": (r"4.3.0, status=deferred \(temporary failure. Command output: some reason on two lines \)"),
                  "exit9": (r'5.3.0, status=bounced \(Command died with status 9: "/usr/bin/python3". Command output: some reason on two lines \)'),
                  "says": (r"4.2.2, status=deferred \(the mailbox is full \)"),
                  "signal": (r'4.3.0, status=deferred \(Command died with signal 9: "/usr/bin/python3"\)'),
                  "early": (r"2.0.0, status=sent \(delivered via agent service\)"),
                  "leaves": (r"2.0.0, status=sent \(delivered via agent service\)"),
                  "loud": (r"4.3.0, status=deferred \(temporary failure. Command output: x{4096}\)")}
        # Larger than a pipe holds: a command that does not read it to its end has had enough.
        posthorn.send([f"{name}@piped.test" for name in wanted], content=b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 20000)
        for name, line in wanted.items():
            posthorn.wait_log(rf"to=<{name}@piped.test>, relay=agent, delay=[\d.]+, delays=[\d./]+, dsn={line}")
        # Those that failed leave with their report, when all were tried.
        wait_until(lambda: [{r["address"].split("@")[0] for r in message["recipients"]} for message in posthorn.queue()] == [{"exit75", "says", "signal", "loud"}],
                   "those that are deferred wait, and nobody else")
        wait_until(lambda: sink.messages, "the sender hears of those that failed")
        report = sink.messages[0][2].decode()
        self.assertIn("exit67@piped.test", report)
        self.assertIn("Status: 5.1.1", report)
        self.assertEqual(len(self.told_of("leaves")[0]["message"].split("\n")[-20001:-1]), 20000)

    def test_the_time_limit_ends_the_command_and_all_it_started(self):
        posthorn = self.pipe(settings={"agent_time_limit": "2s", "relayhost": f"[127.0.0.1]:{self.sink().port}"})
        posthorn.send(["hangs@piped.test"])
        posthorn.wait_log(r'dsn=5.3.0, status=bounced \(Command time limit exceeded: "/usr/bin/python3"\)')
        child = int(wait_until(lambda: list(self.told.glob("*.child")), "it started one")[0].read_text())

        def gone():
            try:
                return pathlib.Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            except OSError:
                return True
        wait_until(gone, "what it started is gone")

    def test_whoever_is_killed_the_mail_is_not_lost(self):
        posthorn = self.pipe(settings={"minimal_backoff_time": "1s", "maximal_backoff_time": "1s"})
        for count, victim in enumerate(("pipe", "qmgr")):
            posthorn.send(["waits@piped.test"])
            wait_until(lambda: len(list(self.told.glob("waits.*.started"))) > 2 * count, "a command runs")
            pid = posthorn.pids_of(victim)[0]
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: posthorn.pids_of(victim) not in ([], [pid]), f"another {victim}")
            if victim == "pipe":                                           # its command is told to end, the mail goes to another
                wait_until(lambda: len(list(self.told.glob("waits.*.started"))) > 1, "the mail is tried again")
            (self.told / "go").touch()
            posthorn.wait_log(r"status=sent \(delivered via agent service\)", count + 1)
            posthorn.wait_empty()
            (self.told / "go").unlink()
        # The kill of qmgr alone makes no duplicate.
        self.assertEqual(len(list(self.told.glob("waits.*.started"))), 3)

    def test_a_delivered_to_of_the_same_recipient_is_a_loop(self):
        posthorn = self.pipe("flags=D", settings={"relayhost": f"[127.0.0.1]:{self.sink().port}"})
        posthorn.send(["u@piped.test"], content=b"Delivered-To: U@piped.test\r\nSubject: x\r\n\r\nx\r\n")
        posthorn.wait_log(r"dsn=5.4.6, status=bounced \(mail forwarding loop for u@piped.test\)")

    def test_what_is_wrong_with_a_line_defers_its_mail_alone(self):
        posthorn = self.pipe(settings={"transport_maps": "inline:{piped.test=agent:, stock.test=maildrop:, bad.test=bad:, root.test=root:, gone.test=gone:}",
                                       "relay_domains": "piped.test stock.test bad.test root.test gone.test"})
        posthorn.stop()
        for line in ("maildrop unix - n n - - pipe flags=DRXhu user=no-such-user argv=/usr/bin/maildrop -d ${recipient}",
                     "bad unix - n n - - pipe flags=Z user=nobody argv=/bin/cat", "root unix - n n - - pipe user=root argv=/bin/cat",
                     f"gone unix - n n - - pipe user={self.user.pw_name} argv=/nonexistent/program"):
            posthorn.add_service(line)
        posthorn.start()
        posthorn.send([f"u@{domain}.test" for domain in ("stock", "bad", "root", "gone", "piped")])
        posthorn.wait_log(r"to=<u@piped.test>, .* status=sent")
        posthorn.wait_log(r"pipe\[\d+\]: warning: service maildrop: user=no-such-user: unknown user")
        posthorn.wait_log(r"to=<u@stock.test>, relay=maildrop, .* dsn=4.3.5, status=deferred \(mail system configuration error\)")
        posthorn.wait_log(r"pipe\[\d+\]: fatal: flags=Z: unknown flag: Z")
        posthorn.wait_log(r"to=<u@bad.test>, relay=none, .* status=deferred \(mail transport unavailable\)")
        posthorn.wait_log(r"to=<u@gone.test>, .* dsn=4.3.0, status=deferred \(temporary failure. execute /nonexistent/program: No such file or directory\)")
        if os.geteuid() == 0:
            posthorn.wait_log(r"pipe\[\d+\]: warning: service root: user=root: root privileges are not given to commands")
        posthorn.wait_log(r"to=<u@root.test>, .* dsn=4.3.5, status=deferred")

    def test_a_large_message_and_many_at_once(self):
        posthorn = self.pipe(limit="3")
        line = b"0123456789abcdef" * 60 + b"\r\n"
        posthorn.send(["big@piped.test"], content=b"Subject: x\r\n\r\n" + line * 3000)
        self.assertEqual(self.told_of("big")[0]["message"].count("0123456789abcdef" * 60 + "\n"), 3000)
        posthorn.send([f"m{n}@piped.test" for n in range(20)])
        posthorn.wait_log(r"status=sent \(delivered via agent service\)", 21)
        posthorn.wait_empty()
        self.assertEqual(len(list(self.told.glob("m*.json"))), 20)

    def test_posthorn_why_names_the_command_that_is_waited_for(self):
        posthorn = self.pipe()
        posthorn.send(["waits@piped.test"])
        wait_until(lambda: list(self.told.glob("waits.*.started")), "a command runs")
        queue_id = next(iter(posthorn.queue()))["queue_id"]
        one = wait_until(lambda: json.loads(posthorn.run("posthorn", "why", "-c", str(posthorn.dir), "--json", queue_id).stdout)["waiting"][0], "it is asked")
        self.assertEqual(one["wait"], "delivery")
        self.assertRegex(one["now"], r"^the command \S*python3\S* .* waits@piped\.test$")
        self.assertRegex(one["now_since"], r"^\d{4}-\d\d-\d\dT")
        (self.told / "go").touch()
        posthorn.wait_empty()

    def test_a_reload_lets_commands_end(self):
        posthorn = self.pipe("flags=D")
        posthorn.send(["waits@piped.test"])
        wait_until(lambda: list(self.told.glob("waits.*.started")), "a command runs")
        old = posthorn.pids_of("pipe")
        posthorn.run("postfix", "reload")
        posthorn.send(["new@piped.test"])
        self.told_of("new")
        (self.told / "go").touch()
        posthorn.wait_log(r"status=sent \(delivered via agent service\)", 2)
        posthorn.wait_empty()
        self.assertEqual(len(list(self.told.glob("waits.*.started"))), 1)
        wait_until(lambda: not set(old) & set(posthorn.pids_of("pipe")), "the process of before the reload has ended")

    def test_verification_starts_no_command(self):
        posthorn = self.pipe()
        posthorn.run("sendmail", "-bv", "u@piped.test")
        posthorn.wait_log(r"to=<u@piped.test>, relay=agent, .* dsn=2.0.0, status=deliverable \(delivers to command: /usr/bin/python3\)")
        self.assertEqual(list(self.told.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
