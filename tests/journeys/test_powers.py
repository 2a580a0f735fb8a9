"""As root, in a release build: every real service has given up what it does not need, and still does its work."""
import os
import pathlib

from journey import Journey, unittest


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


if __name__ == "__main__":
    unittest.main()
