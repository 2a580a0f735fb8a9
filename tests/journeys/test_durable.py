"""The real program under strace: a 250 after the final dot leaves after the sync that covers its message (design rule 1).

The order of lines in strace's file is that of cause and effect: a process whose call has not been written down as ended has not gone on.
"""
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

from journey import BIN, Journey, hand_in_ahead, unittest, wait_until

CALLS = "fsync,fdatasync,pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,openat,renameat2"
LARGE = 200_000                                       # travels as a file of its own


class Trace:
    """Ended calls of all processes, in order: (start, end, pid, call, file, octets, result); start and end are line numbers."""

    def __init__(self, path):
        self.calls, open_calls = [], {}
        with open(path, errors="replace") as lines:
            for number, line in enumerate(lines):
                pid, _, rest = line.partition(" ")
                rest = rest.strip()
                if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
                    start, text = open_calls.pop(pid, (number, ""))
                    rest = text + resumed.group(1)
                elif rest.endswith("<unfinished ...>"):
                    open_calls[pid] = (number, rest.removesuffix("<unfinished ...>").rstrip())
                    continue
                else:
                    start = number
                call = re.match(r"(\w+)\(\d+<([^>]*)>(.*)\) += +(-?\d+)(.*)$", rest)
                if call:
                    self.calls.append((start, number, int(pid), call.group(1), call.group(2), call.group(3), int(call.group(4)), call.group(5)))

    def violations(self, marks):
        """What went out too early; `marks` is queue id -> a text of its content, or None where that is a file."""
        syncs = [(start, end, file) for start, end, _, call, file, _, result, note in self.calls
                 if call in ("fsync", "fdatasync") and result == 0 and "INJECTED" not in note]
        found = []
        for queue_id, mark in marks.items():
            replies = [start for start, _, _, call, _, octets, _, _ in self.calls
                       if call in ("sendto", "sendmsg", "write", "writev") and f"queued as {queue_id}" in octets and "250 2.0.0 Ok" in octets]
            if not replies:
                found.append(f"{queue_id}: no reply seen")
                continue
            # File to be synced -> line of the write that counts: the commit of this message, which is the first that has it in the log
            # (later ones rewrite the page for others), and the last of a file of its own; its folder from when the file has its name.
            wanted = {}
            for start, end, _, call, file, octets, result, _ in self.calls:
                if end > replies[0] or result < 0:
                    continue
                if re.search(f'"incoming/{queue_id}", (RENAME_NOREPLACE|.*O_CREAT)', octets):
                    wanted[file + "/incoming"] = end
                if not call.startswith("pwrite") or result == 0:
                    continue
                if file.endswith("-wal") and (queue_id in octets or (mark and mark in octets)):
                    wanted.setdefault(file, end)
                elif file.endswith("/incoming/" + queue_id):
                    wanted[file] = end
            if not any(file.endswith("-wal") for file in wanted):
                found.append(f"{queue_id}: acknowledged before it was written to the log")
            if mark is None and not any(file.endswith("/incoming") for file in wanted):
                found.append(f"{queue_id}: its file was not seen")
            for file, written in wanted.items():
                if not any(name == file and start > written and end < replies[0] for start, end, name in syncs):
                    found.append(f"{queue_id}: acknowledged before the sync of {file}")
        return found


@unittest.skipUnless(shutil.which("strace"), "needs strace")
class Durable(Journey):
    def traced(self, *injections):
        """An instance whose processes run under strace, and where that writes."""
        posthorn = self.instance({"smtpd_client_connection_count_limit": "0"}, relay=self.sink().port, start=False)
        handle, path = tempfile.mkstemp(prefix="posthorn-strace.")
        os.close(handle)
        self.addCleanup(os.unlink, path)
        tracer = subprocess.Popen(["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "70000", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", path, *injections,
                                   str(BIN / "postfix"), "start"], env=posthorn.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (tracer.poll() is None and tracer.kill(), tracer.wait()))
        wait_until(posthorn.answers, "the SMTP port answers")
        return posthorn, path, tracer

    def hand_in(self, posthorn, mark, content):
        """The queue id from the reply, and how long the reply to the final dot took."""
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("a@ours.test")
            client.rcpt(f"{mark}@there.test")
            code, _ = client.docmd("DATA")
            self.assertEqual(code, 354)
            start = time.monotonic()
            client.send(content.encode() + b".\r\n")
            code, text = client.getreply()
            self.assertEqual(code, 250, text)
            return text.decode().rpartition("queued as ")[2], time.monotonic() - start

    def test_every_acknowledgement_follows_its_sync(self):
        trace, marks = self.acknowledged(turns=8)
        self.assertEqual(len(marks), 48 + 32)
        self.assertEqual(trace.violations(marks), [])

        # The same trace without its syncs is no proof of anything; and neither are syncs that ended after the reply.
        syncs = [call for call in trace.calls if call[3] in ("fsync", "fdatasync")]
        trace.calls = [call for call in trace.calls if call not in syncs]
        self.assertGreaterEqual(len(trace.violations(marks)), len(marks))
        last = trace.calls[-1][1]
        trace.calls += [(call[0], last + 1 + n, *call[2:]) for n, call in enumerate(syncs)]
        self.assertGreaterEqual(len(trace.violations(marks)), len(marks))

    def test_every_acknowledgement_follows_its_sync_where_several_run_at_once(self):
        trace, marks = self.acknowledged("-e", "inject=fdatasync:delay_enter=20ms", turns=4)
        self.assertEqual(len(marks), 24 + 16)
        self.assertEqual(trace.violations(marks), [])
        syncs = sorted((start, end) for start, end, _, call, file, _, result, _ in trace.calls
                       if call == "fdatasync" and file.endswith("-wal") and result == 0)
        self.assertTrue(any(later[0] < earlier[1] for earlier, later in zip(syncs, syncs[1:])), "no commit's sync began while another ran")

    def acknowledged(self, *injections, turns):
        """What the calls were, and the messages that were acknowledged meanwhile, to seven clients at once; one of them sends ahead of the replies."""
        posthorn, path, tracer = self.traced(*injections)
        marks, lock = {}, threading.Lock()

        def client(number):
            for turn in range(turns):
                large = number == 0 and turn % 2 == 0
                mark = f"mark-{number}-{turn}-"
                content = f"Subject: {mark}\r\n\r\n" + (f"{mark}\r\n" * 20 if not large else "x" * 70 + "\r\n") * (1 if not large else LARGE // 72)
                queue_id, _ = self.hand_in(posthorn, mark, content)
                with lock:
                    marks[queue_id] = None if large else mark

        def fast_client():
            with posthorn.smtp() as smtp:
                smtp.ehlo("client.test")
                for turn in range(turns):
                    group = [f"mark-ahead-{turn}-{n}-" for n in range(4)]
                    replies = hand_in_ahead(smtp, "a@ours.test", [(f"{mark}@there.test", f"Subject: {mark}\r\n\r\n" + f"{mark}\r\n" * 20) for mark in group])
                    with lock:
                        marks.update((text.decode().rpartition("queued as ")[2], mark) for (code, text), mark in zip(replies, group) if code == 250)
        clients = [threading.Thread(target=client, args=(n,)) for n in range(6)] + [threading.Thread(target=fast_client)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join(240)
        posthorn.stop()
        tracer.wait(60)
        return Trace(path), marks

    def test_a_slow_sync_holds_back_the_acknowledgement(self):
        posthorn, _, _ = self.traced("-e", "inject=fdatasync:delay_enter=300ms")
        for turn in range(3):
            _, seconds = self.hand_in(posthorn, f"slow-{turn}", "Subject: slow\r\n\r\nhello\r\n")
            self.assertGreaterEqual(seconds, 0.3)


if __name__ == "__main__":
    unittest.main()
