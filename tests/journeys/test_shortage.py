"""No room on the disk, a queue that cannot be written, no descriptors left: 4xx and a reason in the log, nothing acknowledged is lost,
and when the shortage is over everything goes on, with the same processes."""
import collections
import contextlib
import os
import pathlib
import resource
import signal
import smtplib
import socket
import subprocess
import time

import scarce
from journey import BIN, PATIENCE, Journey, free_port, sanitized, unittest, wait_until

RETRY = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "service_throttle_time": "1s"}
SMALL = "Subject: small\r\n\r\nhello\r\n"


POSTMASTER = "postmaster@demo.test"


class Shortage(Journey):
    def attempt(self, posthorn, address, content=SMALL):
        """The code and text of the reply that decided over one message."""
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            for reply in (lambda: client.mail("a@ours.test"), lambda: client.rcpt(address), lambda: client.data(content)):
                try:
                    code, text = reply()
                except smtplib.SMTPDataError as refused:
                    code, text = refused.smtp_code, refused.smtp_error
                if code >= 300:
                    break
            return code, text.decode()

    def accepted(self, posthorn, *addresses, content=SMALL):
        for address in addresses:
            code, text = self.attempt(posthorn, address, content)
            self.assertEqual(code, 250, text)

    def takes_mail_again(self, posthorn, address, content=SMALL):
        wait_until(lambda: self.attempt(posthorn, address, content)[0] == 250, "mail is taken again")

    def each_once(self, sink, posthorn, expected):
        wait_until(lambda: expected <= set(sink.recipients()), f"{sorted(expected - set(sink.recipients()))} arrive")
        posthorn.wait_empty()
        arrived = [address for address in sink.recipients() if address != POSTMASTER]          # who may hear of the shortage
        twice = {address for address, times in collections.Counter(arrived).items() if times > 1}
        self.assertEqual((set(arrived), twice), (expected, set()))

    def the_same_processes(self, posthorn, before):
        self.assertEqual(set(posthorn.processes()), set(before))            # by their ids: one of before may not have had its name yet


class SmallDisk(Shortage):
    @classmethod
    def setUpClass(cls):
        scarce.enter_namespace()

    def on_a_small_disk(self, octets=16 << 20, relay=None, settings=None):
        posthorn = self.instance({**RETRY, "message_size_limit": "1000000", **(settings or {})}, relay=relay, start=False)
        queue = posthorn.dir / "queue"
        scarce.small_disk(queue, octets)
        self.addCleanup(scarce.unmount, queue)
        posthorn.start()
        return posthorn

    def test_a_disk_that_is_nearly_full_is_said_at_mail_from(self):
        sink = self.sink()
        posthorn = self.on_a_small_disk(relay=sink.port)
        self.accepted(posthorn, "first@there.test")
        before = posthorn.processes()
        with scarce.full(posthorn.dir / "queue", spare=1_200_000):        # less than 1.5 times message_size_limit
            wait_until(lambda: self.attempt(posthorn, "x@there.test") == (452, "4.3.1 Insufficient system storage"), "452")
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                self.assertEqual(client.mail("a@ours.test"), (452, b"4.3.1 Insufficient system storage"))
            posthorn.wait_log(r"smtpd\[\d+\]: warning: not enough free space in mail queue: \d+ bytes < 1\.5\*message size limit")
        self.takes_mail_again(posthorn, "second@there.test")
        posthorn.wait_log(r"to=<second@there\.test>.*status=sent")
        self.assertTrue({"first@there.test", "second@there.test"} <= set(sink.recipients()))
        self.the_same_processes(posthorn, before)

    def test_a_disk_that_becomes_full_while_content_comes_in(self):
        sink = self.sink()
        posthorn = self.on_a_small_disk(relay=sink.port)
        before = posthorn.processes()
        line = "x" * 70 + "\r\n"
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            client.rcpt("cut@there.test")
            self.assertEqual(client.docmd("DATA")[0], 354)
            client.send("Subject: large\r\n\r\n" + line * 4000)
            wait_until(lambda: posthorn.contents(), "the content is on its way to the disk")
            with scarce.full(posthorn.dir / "queue"):
                client.send(line * 8000 + ".\r\n")
                self.assertEqual(client.getreply(), (452, b"4.3.1 Insufficient system storage"))
                posthorn.wait_log(r"smtpd\[\d+\]: warning: \w+: write queue file: No space left on device")
            self.assertEqual(client.noop()[0], 250)
        self.assertEqual(posthorn.contents(), [])
        self.takes_mail_again(posthorn, "whole@there.test", "Subject: large\r\n\r\n" + line * 10000)
        self.each_once(sink, posthorn, {"whole@there.test"})
        wait_until(lambda: POSTMASTER in sink.recipients(), "the postmaster hears of it: notify_classes has resource")
        self.the_same_processes(posthorn, before)

    def test_a_full_disk_refuses_for_now_and_loses_nothing(self):
        """Not even the queue's own log can grow: neither new mail nor verdicts find room."""
        port = free_port()
        posthorn = self.on_a_small_disk(relay=port, settings={"message_size_limit": "1000", "minimal_backoff_time": "1h", "maximal_backoff_time": "2h"})
        taken = {f"before{i}@there.test" for i in range(20)}
        self.accepted(posthorn, *taken)
        posthorn.wait_log("status=deferred", 20)
        # Said before it is written: what is not stored yet is not flushed below.
        wait_until(lambda: [one["queue_name"] for one in posthorn.queue()] == ["deferred"] * 20, "all are stored as deferred")
        before = posthorn.processes()
        with scarce.full(posthorn.dir / "queue"):
            for i in range(30):                                         # the log has a little room of its own
                code, text = self.attempt(posthorn, f"during{i}@there.test", "Subject: s\r\n\r\n" + "x" * 800 + "\r\n")
                if code == 250:
                    taken.add(f"during{i}@there.test")
                else:
                    self.assertEqual((code, text), (452, "4.3.1 Insufficient system storage"))
            self.assertLess(len(taken), 45)
            sink = self.sink(port=port)
            posthorn.run("postqueue", "-f")
            posthorn.wait_log("status=sent", 5)                         # delivered, and it cannot be noted yet
        self.takes_mail_again(posthorn, "after@there.test")
        self.each_once(sink, posthorn, taken | {"after@there.test"})
        self.the_same_processes(posthorn, before)
        self.assertRegex(posthorn.log(), r"queue file system is full|not enough free space in mail queue")

    def test_a_queue_that_cannot_be_written(self):
        """As after errors of a disk, when the system mounts it read-only: content finds no place; a queue manager that ends cannot come back."""
        sink = self.sink()
        posthorn = self.instance(RETRY, relay=sink.port)
        large = "Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 2000
        self.accepted(posthorn, "first@there.test", content=large)
        smtpd = posthorn.pids_of("smtpd")
        spool = posthorn.dir / "queue" / "spool"
        with scarce.read_only(spool / "incoming"), scarce.read_only(spool):
            self.assertEqual(self.attempt(posthorn, "x@there.test", large), (451, "4.3.0 Error: queue file write error"))
            posthorn.wait_log(r"smtpd\[\d+\]: warning: \w+: create queue file: Read-only file system")
            self.accepted(posthorn, "second@there.test")
            for pid in posthorn.pids_of("qmgr"):
                os.kill(pid, signal.SIGKILL)
            posthorn.wait_log(r"qmgr\[\d+\]: fatal: open the queue: .*(Read-only file system|read-only)")
            posthorn.wait_log(r"master\[\d+\]: warning: .*qmgr: bad command startup -- throttling")
            # After a while without a queue manager nobody is kept waiting for one.
            def refused_early():
                with posthorn.smtp() as client:
                    client.ehlo("client.test")
                    client.mail("a@ours.test")
                    return client.rcpt("y@there.test") == (451, b"4.3.0 Error: queue file write error")
            wait_until(refused_early, "451")
            posthorn.wait_log(r"smtpd\[\d+\]: warning: no queue manager for 5 seconds: new messages are refused until it is back")
        self.takes_mail_again(posthorn, "third@there.test", large)
        wait_until(lambda: {f"{n}@there.test" for n in ("first", "second", "third")} <= set(sink.recipients()), "all arrive")
        posthorn.wait_empty()
        self.assertFalse({"x@there.test", "y@there.test"} & set(sink.recipients()))
        self.assertEqual(posthorn.pids_of("smtpd"), smtpd)


@unittest.skipIf(sanitized(), "the sanitizers' runtime needs descriptors of its own; journey.descriptors runs these in the release build")
class FewDescriptors(Shortage):
    """Every process has so many at most, and what it serves uses them up, as in life."""
    LIMIT = 560                                                           # the supervisor needs above 512 to start services

    @classmethod
    def setUpClass(cls):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))          # the crowd is ours
    LARGE = "Subject: large\r\n\r\n" + ("x" * 70 + "\r\n") * 2000         # has a file of its own

    def with_few_descriptors(self, relay, settings=None):
        posthorn = self.instance({**RETRY, "smtpd_client_connection_count_limit": "0", **(settings or {})}, relay=relay, start=False)
        posthorn.run("postconf", "-F", "-e", "smtp/unix/process_limit=0")     # one process, as many sessions as it can
        subprocess.run(["sh", "-c", f'ulimit -n {self.LIMIT} && exec "$0" start', BIN / "postfix"], env=posthorn.env(), check=True, capture_output=True)
        wait_until(posthorn.answers, "the SMTP port answers")
        for pid in posthorn.processes():                                  # root that may do it has raised it
            with contextlib.suppress(PermissionError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (self.LIMIT, self.LIMIT))
            self.assertRegex(pathlib.Path(f"/proc/{pid}/limits").read_text(), rf"Max open files\s+{self.LIMIT}\s")
        return posthorn

    def test_the_server_has_none_left(self):
        sink = self.sink()
        posthorn = self.with_few_descriptors(sink.port)
        before, (smtpd,) = posthorn.processes(), posthorn.pids_of("smtpd")
        with posthorn.smtp() as early, contextlib.ExitStack() as crowd:
            early.ehlo("client.test")
            greetings = []
            for number in range(self.LIMIT):
                if number % 50 == 0:
                    early.noop()                                              # under stress who is idle for 10 s has to go
                client = crowd.enter_context(socket.create_connection(("127.0.0.1", posthorn.port), timeout=PATIENCE))
                greetings.append(client.recv(100)[:3])
            # As many as there is room for are greeted; the others hear at once to come again.
            self.assertEqual(set(greetings[:20]), {b"220"})
            self.assertEqual(set(greetings[-10:]), {b"421"})
            posthorn.wait_log(r"smtpd\[\d+\]: warning: accept: Too many open files")
            # Who is in can still send what needs no file of its own; for what does, there is none.
            early.sendmail("a@ours.test", ["small@there.test"], SMALL)
            with self.assertRaises(smtplib.SMTPDataError) as refused:
                early.sendmail("a@ours.test", ["x@there.test"], self.LARGE)
            self.assertEqual((refused.exception.smtp_code, refused.exception.smtp_error), (451, b"4.3.0 Error: queue file write error"))
            posthorn.wait_log(r"smtpd\[\d+\]: warning: \w+: create queue file: Too many open files")
        self.takes_mail_again(posthorn, "large@there.test", self.LARGE)
        self.each_once(sink, posthorn, {"small@there.test", "large@there.test"})
        self.assertLess(posthorn.log().count("accept: Too many open files"), 30)   # said, not shouted
        self.the_same_processes(posthorn, before)

    def test_the_queue_manager_has_none_left(self):
        """It opens the file of a large message when it takes it, and when it sends it."""
        sink = self.sink({"RCPT": lambda argument, sink: "450 4.2.0 later" if "waits" in argument and sink.busy else "250 2.1.5 Ok"})
        sink.busy = True
        posthorn = self.with_few_descriptors(sink.port)
        self.accepted(posthorn, "waits@there.test", content=self.LARGE)
        posthorn.wait_log(r"to=<waits@there\.test>, .*status=deferred")
        before = posthorn.processes()
        with contextlib.ExitStack() as crowd:
            for _ in range(self.LIMIT):                                   # those it cannot take wait in the kernel's queue
                client = crowd.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(posthorn.dir / "queue" / "private" / "posthorn.qmgr"))
            qmgr, = posthorn.pids_of("qmgr")
            with contextlib.suppress(PermissionError):
                wait_until(lambda: len(os.listdir(f"/proc/{qmgr}/fd")) >= self.LIMIT, "the queue manager has no descriptor left")
            time.sleep(1)                                                     # for who may not look
            self.assertEqual(self.attempt(posthorn, "x@there.test", self.LARGE), (451, "4.3.0 Error: queue file write error"))
            posthorn.wait_log(r"smtpd\[\d+\]: warning: \w+: content file \w+: Too many open files")
            self.accepted(posthorn, "small@there.test")
            posthorn.wait_log(r"to=<small@there\.test>, .*status=sent")
            posthorn.wait_log(r"to=<waits@there\.test>, .*dsn=4\.3\.0, status=deferred \(.*Too many open files")
        sink.busy = False
        self.takes_mail_again(posthorn, "large@there.test", self.LARGE)
        self.each_once(sink, posthorn, {"waits@there.test", "large@there.test", "small@there.test"})
        self.the_same_processes(posthorn, before)

    def test_the_client_takes_no_more_than_its_descriptors_are_enough_for(self):
        """Peers that take the connection and say nothing hold what it has; the rest of the mail waits, and is not put off for it."""
        sink = self.sink()
        deaf = socket.create_server(("127.0.0.2", sink.port), backlog=1000)
        self.addCleanup(deaf.close)
        sites = [f"site{i}.deaf.test" for i in range(self.LIMIT)]
        posthorn = self.with_few_descriptors(None, {
            "dns_servers": self.dns("*.deaf.test. A 127.0.0.2\n"), "smtp_tcp_port": str(sink.port), "smtp_helo_timeout": "600s",
            "transport_maps": f"inline:{{there.test=smtp:[127.0.0.1]:{sink.port}}}"})
        before = posthorn.processes()
        with posthorn.smtp() as client:
            for site in sites:
                client.sendmail("", [f"user@{site}"], SMALL)
            client.sendmail("a@ours.test", ["user@there.test"], SMALL)
        posthorn.wait_log(r"\(queue active\)", len(sites) + 1)
        time.sleep(2)
        self.assertNotRegex(posthorn.log(), "Too many open files|status=")
        self.assertEqual(sink.recipients(), [])                           # its turn has not come
        deaf.close()                                                       # resets whoever waits
        wait_until(lambda: sink.recipients() == ["user@there.test"], "mail goes out again")
        posthorn.wait_log("status=deferred", len(sites))
        self.assertEqual(len(posthorn.queue()), len(sites))
        self.assertNotIn("Too many open files", posthorn.log())
        self.the_same_processes(posthorn, before)


if __name__ == "__main__":
    unittest.main()
