"""posthorn counters: what each process has cost, asked of the running instance."""
import os
import pwd
import re
import subprocess

from journey import BIN, Journey, unittest, wait_until


class Counters(Journey):
    def rows(self, posthorn):
        """program -> (messages, cpu us, us/message, budget) of the processes that have seen messages, as text."""
        out = posthorn.run("posthorn", "counters").stdout
        self.assertTrue(out.startswith("service "), out)
        return {m[1]: m.groups()[1:] for m in re.finditer(r"^(?:\S+ +)?(smtpd|qmgr|resolve|smtp|all) +(?:\d+ +)?([1-9]\d*) +(\d+) +(\S+) +(\d+)$", out, re.M)}, out

    def test_messages_and_processor_time_of_every_station(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        for number in range(5):
            posthorn.send([f"r{number}@there.test"])
        posthorn.wait_empty()
        wait_until(lambda: len(sink.messages) == 5, "five messages")
        rows, out = self.rows(posthorn)
        self.assertEqual({program: row[0] for program, row in rows.items()}, {"smtpd": "5", "qmgr": "5", "resolve": "5", "smtp": "5", "all": "5"}, out)
        self.assertEqual({program: row[3] for program, row in rows.items()}, {"smtpd": "35", "qmgr": "30", "resolve": "10", "smtp": "20", "all": "100"}, out)
        for program, (messages, spent, each, _) in rows.items():
            self.assertAlmostEqual(float(each), int(spent) / int(messages), delta=0.06, msg=program)
        self.assertRegex(out, r"(?m)^qmgr \d+: qmgr_removed 5$")
        self.assertRegex(out, r"(?m)^smtpd \d+: smtpd_accepted 5$")

    def test_they_follow_a_reload_and_end_with_the_instance(self):
        posthorn = self.instance(relay=self.sink().port)
        posthorn.run("postfix", "reload")
        posthorn.wait_log("reload -- version")
        self.assertIn("master", posthorn.run("posthorn", "counters").stdout)
        posthorn.stop()
        after = posthorn.run("posthorn", "counters", check=False)
        self.assertEqual((after.returncode, after.stdout), (69, ""))
        self.assertIn("posthorn.master: No such file or directory", after.stderr)

    @unittest.skipUnless(os.getuid() == 0, "needs another user")
    def test_others_are_not_answered(self):
        posthorn = self.instance(relay=self.sink().port)
        # The folder keeps others out already; a service, which is inside, is refused by who it is.
        owner = pwd.getpwnam(posthorn.run("postconf", "-h", "mail_owner").stdout.strip())
        asked = subprocess.run([str(BIN / "posthorn"), "counters"], env=posthorn.env(), user=owner.pw_uid, group=owner.pw_gid, extra_groups=[], capture_output=True, text=True)
        self.assertEqual((asked.returncode, asked.stdout), (69, ""))
        self.assertIn("permission denied", asked.stderr)


if __name__ == "__main__":
    unittest.main()
