"""As root, in a build without sanitizers: every real service has given up what it does not need, and still does its work."""
import os
import pathlib

from journey import Journey, free_port, unittest


def status_of(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        fields[name] = value.split()
    return fields


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Powers(Journey):
    def test_every_service_is_confined(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        posthorn.send(["user@there.test"])                 # all of them have been at work
        posthorn.wait_log("status=sent")
        services = {pid: name for pid, name in posthorn.processes().items() if " service " in name}
        self.assertEqual({name.split(" service ")[1].split()[0] for name in services.values()}, {"smtpd", "qmgr", "resolve", "memory", "smtp", "lmtp"})
        for pid, name in services.items():
            with self.subTest(name):
                status = status_of(pid)
                self.assertNotIn("0", status["Uid"])
                self.assertNotIn("0", status["Gid"])
                for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                    self.assertEqual(int(status[capabilities][0], 16), 0, capabilities)
                self.assertEqual(status["NoNewPrivs"], ["1"])
                self.assertEqual(status["Seccomp"], ["2"])

    def test_every_thread_is_bound_as_its_process_is(self):
        """What began before would have kept what the process gave up."""
        posthorn = self.instance({"smtpd_sasl_auth_enable": "yes"}, relay=self.sink().port, start=False)
        posthorn.add_service(f"127.0.0.1:{free_port()} inet n - n - 1 admin")
        posthorn.add_service(f"127.0.0.1:{free_port()} inet n - n - - inject")
        posthorn.set({"record_file": str(posthorn.dir / "log" / "records"), "record_hook_url": f"http://127.0.0.1:{free_port()}/"})
        posthorn.start()
        posthorn.send(["user@there.test"])
        posthorn.wait_log("status=sent")
        services = {pid: name.split(" service ")[1].split()[0] for pid, name in posthorn.processes().items() if " service " in name}
        self.assertEqual(set(services.values()), {"smtpd", "qmgr", "resolve", "memory", "smtp", "lmtp", "sasl", "admin", "inject", "hook"})
        for pid, name in services.items():
            with self.subTest(name):
                process = status_of(pid)
                threads = [status_of(f"{pid}/task/{task.name}") for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
                self.assertEqual(["spool"] in [thread["Name"] for thread in threads], name == "qmgr")
                for thread in threads:
                    for power in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
                        self.assertEqual(thread[power], process[power], f"{thread['Name']}: {power}")

    def test_no_service_can_do_what_is_forbidden(self):
        """Each service confines itself by its own statement, as when it serves, and then tries."""
        posthorn = self.instance(start=False)
        posthorn.set({"mail_owner": "daemon", "smtpd_sasl_auth_enable": "yes", "record_file": str(posthorn.dir / "log" / "records"),
                      "record_hook_url": f"http://127.0.0.1:{free_port()}/"})
        with open(posthorn.dir / "conf" / "master.cf", "a") as master:
            master.write("\npolicy unix - n n - - spawn user=nobody argv=/bin/cat\nagent unix - n n - - pipe user=nobody argv=/bin/cat\n"
                         f"127.0.0.1:{free_port()} inet n - n - 1 admin\n"
                         f"127.0.0.1:{free_port()} inet n - n - - inject\n")
        posthorn.start()                                   # beside a running instance, which does not notice
        result = posthorn.run("posthorn", "confinement-check", "-c", str(posthorn.dir / "conf"), check=False)
        report = result.stdout
        self.assertEqual(result.returncode, 0, report + result.stderr)
        facts = {}
        for line in report.splitlines():
            who, what, outcome = (line.split(": ", 2) + [""])[:3]
            facts.setdefault(who.split()[0], {})[what] = outcome
        self.assertEqual(set(facts), {"smtpd", "qmgr", "resolve", "memory", "smtp", "lmtp", "spawn", "pipe", "virtual", "local", "admin", "inject", "sasl", "hook"})
        refused = ("Operation not permitted", "Permission denied", "No such file or directory")
        for program, said in facts.items():
            standing, = (what for what in said if what.startswith("Uid:"))
            with self.subTest(program):
                for what in ("chroot", "mount", "ptrace", "read another's memory", "raw socket"):
                    self.assertIn(said[what], refused, what)
                if program == "spawn":                      # root still, but for little else than to become another
                    self.assertIn("CapEff:00000000000000e0", standing)
                    continue
                if program in ("pipe", "virtual", "local"):  # the same power, of one who owns the queue and reads its sockets
                    self.assertRegex(standing, r"^Uid:([1-9]\d*) \1 \1 \1, Gid:([1-9]\d*) \2 \2 \2, Groups:, CapPrm:0{14}e0, CapEff:0{14}e0, ")
                    continue
                groups = r"[\d ]*" if program == "sasl" else ""        # those of the user: saslauthd is asked by a group
                self.assertRegex(standing, r"^Uid:(\d+) \1 \1 \1, Gid:(\d+) \2 \2 \2, Groups:" + groups + r", CapPrm:0{16}, CapEff:0{16}, CapBnd:0{16}, NoNewPrivs:1, Seccomp:2$")
                for what in ("execve", "fork", "open /etc/passwd", "open /etc/shadow", "list /etc", "create in /tmp", "setuid", "setgid", "setgroups",
                             "unshare", "signal", "dumpable", "bpf", "io_uring"):
                    self.assertIn(said[what], refused, what)
        for program in ("qmgr", "memory", "admin", "sasl"):
            self.assertIn(facts[program]["internet socket"], refused)
        for program in ("smtp", "lmtp", "memory", "admin", "sasl", "hook"):
            self.assertIn(facts[program]["write content"], refused)
        for program in ("smtpd", "inject", "smtp", "lmtp", "memory", "resolve", "admin", "sasl", "hook"):
            self.assertIn(facts[program]["write the queue"], refused)
        for program in ("smtp", "lmtp", "memory", "qmgr", "sasl", "hook"):
            self.assertIn(facts[program]["executable memory"], refused)


if __name__ == "__main__":
    unittest.main()
