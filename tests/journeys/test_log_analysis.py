"""The log, read by a program of others: Debian's pflogsumm counts what happened. The package is unpacked, never installed."""
import collections
import glob
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

from journey import PATIENCE, Journey, unittest, wait_until


def pflogsumm(folder):
    """The program; None where it cannot be had."""
    if shutil.which("pflogsumm"):
        return shutil.which("pflogsumm")
    given = os.environ.get("POSTHORN_PFLOGSUMM_DEB")
    if not given:
        subprocess.run(["apt-get", "download", "-q", "pflogsumm"], cwd=folder, capture_output=True)
    for deb in [given] if given else glob.glob(f"{folder}/*.deb"):
        subprocess.run(["dpkg-deb", "-x", deb, f"{folder}/root"], check=True)
        return f"{folder}/root/usr/sbin/pflogsumm"
    return None


class LogAnalysis(Journey):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-pflogsumm."))
        self.program = pflogsumm(self.folder)

    def tearDown(self):
        super().tearDown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def summary(self, posthorn):
        text = subprocess.run(["perl", self.program, str(posthorn.log_path)], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
        return text, {name: int(count) for count, name in re.findall(r"(?m)^ +(\d+)[km]? +([a-z][a-z/ ]+?)(?: +\(.*\))?$", text[:text.index("Per-")])}

    def test_pflogsumm_counts_what_happened(self):
        if not self.program:
            self.skipTest("pflogsumm cannot be had here")
        waits = {"slow@there.test": 1}

        def rcpt(argument, sink):
            address = re.search(r"<(.*?)>", argument).group(1)
            if address.startswith("gone"):
                return "550 5.1.1 no such user"
            if waits.get(address, 0) > 0:
                waits[address] -= 1
                return "451 4.2.0 not now"
            return "250 2.1.5 Ok"
        sink = self.sink(replies={"RCPT": rcpt})
        posthorn = self.instance({"mydestination": "ours.test", "local_recipient_maps": "inline:{user=x}"}, relay=sink.port)
        for i in range(5):
            posthorn.send([f"a{i}@there.test", f"b{i}@elsewhere.test"], sender="one@example.com")
        posthorn.send(["gone1@there.test", "gone2@there.test"], sender="two@example.com")
        posthorn.send(["slow@there.test"], sender="one@example.com")
        posthorn.run("sendmail", "-f", "local@ours.test", "c@there.test", input="Subject: x\n\nx\n")
        with posthorn.smtp() as client:                           # refused
            client.ehlo()
            client.mail("x@example.com")
            self.assertEqual(client.rcpt("nobody@ours.test")[0], 550)
        posthorn.wait_log("status=deferred")
        wait_until(lambda: len(posthorn.queue()) == 1, "all but one are gone")
        posthorn.run("postqueue", "-f")
        posthorn.wait_empty()
        posthorn.run("postfix", "stop")
        text, counts = self.summary(posthorn)
        self.assertEqual(counts["received"], 8, text)             # seven by SMTP, one by sendmail
        self.assertEqual(counts["delivered"], 13, text)           # ten, the slow one, the local one, and the bounce
        self.assertEqual(counts["deferred"], 1, text)
        self.assertEqual(counts["bounced"], 2, text)
        self.assertEqual(counts["rejected"], 1, text)
        self.assertEqual(counts["senders"], 3, text)
        self.assertGreaterEqual(counts["recipients"], 13, text)
        self.assertEqual(len(re.findall(r"status=sent", posthorn.log())), counts["delivered"])

    def test_what_was_said_first_stands_first_whichever_process_said_it(self):
        sink = self.sink()
        posthorn = self.instance({}, relay=sink.port)

        def client(number):
            for i in range(25):
                posthorn.send([f"c{number}.{i}@there.test"])
        clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        posthorn.wait_empty()
        posthorn.run("postfix", "stop")
        of_message = collections.defaultdict(list)
        for line in posthorn.log().splitlines():
            if found := re.search(r"/(smtpd|cleanup|qmgr|smtp)\[\d+\]: (\w+): (client|message-id|from|to|removed)\b", line):
                of_message[found.group(2)].append(" ".join(found.group(1, 3)))
        self.assertEqual(len(of_message), 200)
        for queue_id, said in of_message.items():
            self.assertEqual(said, ["smtpd client", "cleanup message-id", "qmgr from", "smtp to", "qmgr removed"], queue_id)


if __name__ == "__main__":
    unittest.main()
