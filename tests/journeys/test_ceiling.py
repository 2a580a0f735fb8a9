"""Many senders at once, nowhere to put their mail: memory stays below the ceiling, 4xx past it, and it recovers.

CI: 150 senders of 1 MB against a ceiling of 4 MiB. In nightly the whole size: POSTHORN_SENDERS=1000 POSTHORN_SENDER_OCTETS=50000000 and
POSTHORN_CEILING=33554432, on a disk that holds a few of the messages.
"""
import asyncio
import collections
import os
import pathlib
import re

import scarce
from journey import PATIENCE, Journey, free_port, unittest, wait_until

SENDERS = int(os.environ.get("POSTHORN_SENDERS", "150"))
OCTETS = int(os.environ.get("POSTHORN_SENDER_OCTETS", "1000000"))
CEILING = int(os.environ.get("POSTHORN_CEILING", str(4 << 20)))
DISK = int(os.environ.get("POSTHORN_SENDER_DISK", "0"))                # octets; 0: the one there is
LINE = b"x" * 76 + b"\r\n"


def resident(pid, what="VmRSS"):
    return int(re.search(rf"{what}:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) << 10


class Senders:
    """All hold 60 KB of content in the server's memory before any of them goes on."""

    def __init__(self, port, count, octets):
        self.port, self.count, self.octets, self.answers = port, count, octets, collections.Counter()

    async def one(self, number, everybody_is_there):
        there = False
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                for command in (None, b"EHLO client.test", b"MAIL FROM:<a@ours.test>", b"RCPT TO:<u%d@there.test>" % number, b"DATA"):
                    if command:
                        writer.write(command + b"\r\n")
                    while (line := await reader.readline())[3:4] == b"-":
                        pass
                    if not line or line[:1] not in b"23":
                        self.answers[line[:3].decode()] += 1
                        return
                writer.write(b"Subject: much\r\n\r\n" + LINE * 770)
                await writer.drain()
                there = True
                await everybody_is_there.arrive()
                block = LINE * 1000
                for _ in range(self.octets // len(block)):
                    writer.write(block)
                    await writer.drain()
                writer.write(b".\r\n")
                self.answers[(await reader.readline())[:3].decode()] += 1
            finally:
                writer.close()
        except ConnectionError:
            self.answers["lost"] += 1
        finally:
            if not there:
                await everybody_is_there.arrive(wait=False)

    async def all(self, at_the_top):
        meeting = Meeting(self.count, at_the_top)
        await asyncio.gather(*[self.one(i, meeting) for i in range(self.count)])


class Meeting:
    def __init__(self, count, at_the_top):
        self._missing, self._open, self._at_the_top = count, asyncio.Event(), at_the_top

    async def arrive(self, wait=True):
        self._missing -= 1
        if self._missing == 0:
            await asyncio.sleep(0.5)                                    # what was written is read by then, or stays in the sockets
            self._at_the_top()
            self._open.set()
        if wait:
            await self._open.wait()


class Ceiling(Journey):
    def test_senders_beyond_the_ceiling_get_4xx_and_it_recovers(self):
        if DISK:
            scarce.enter_namespace()
        before = os.environ.get("ASAN_OPTIONS")                         # what a sanitizer keeps of freed memory is none of the program's
        os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [before, "quarantine_size_mb=1:thread_local_quarantine_size_kb=64"]))
        self.addCleanup(lambda: os.environ.pop("ASAN_OPTIONS") if before is None else os.environ.update(ASAN_OPTIONS=before))
        posthorn = self.instance({"smtpd_memory_limit": str(CEILING), "message_size_limit": str(OCTETS + 1_000_000), "default_process_limit": "2000",
                                  "smtpd_client_connection_count_limit": "0", "smtpd_timeout": "300s"}, relay=free_port(), start=False)
        if DISK:
            scarce.small_disk(posthorn.dir / "queue", DISK)
            self.addCleanup(scarce.unmount, posthorn.dir / "queue")
        posthorn.start()
        posthorn.send(["first@there.test"])
        processes = posthorn.processes()
        at_rest = {pid: resident(pid, "VmHWM") for pid in processes}
        (smtpd,) = posthorn.pids_of("smtpd")
        held = []
        senders = Senders(posthorn.port, SENDERS, OCTETS)
        asyncio.run(asyncio.wait_for(senders.all(lambda: held.append(resident(smtpd))), PATIENCE * 10 + SENDERS * OCTETS / 2_000_000))
        answers = senders.answers
        grown = {processes[pid].split(" service ")[1]: resident(pid, "VmHWM") - octets for pid, octets in at_rest.items()}
        print(dict(answers), {name: f"{octets / 1e6:.1f} MB" for name, octets in grown.items()}, flush=True)
        self.assertEqual(sum(answers.values()), SENDERS)
        self.assertLessEqual(set(answers), {"250", "452", "421"})
        self.assertGreater(answers["250"], 0)
        self.assertGreater(answers["452"] + answers["421"], 0)          # it was too much
        # The ceiling counts what sessions hold; the allocator, and the sessions' own frames, may add as much again.
        for name, octets in grown.items():
            self.assertLess(octets, 2 * CEILING + (16 << 20), name)
        self.assertRegex(posthorn.log(), rf"smtpd\[\d+\]: warning: (\w+: )?memory of sessions and content: \d+ bytes are held, and smtpd_memory_limit is {CEILING}")
        # Nothing acknowledged is lost, nothing refused is kept.
        self.assertEqual(len([mail for mail in posthorn.queue() if not mail["sender"].startswith("double-bounce@")]), answers["250"] + 1)
        # And it takes mail as before, in the same processes.
        posthorn.run("postsuper", "-d", "ALL")
        posthorn.wait_empty()
        wait_until(lambda: not posthorn.send(["last@there.test"], content=b"Subject: large\r\n\r\n" + LINE * (min(OCTETS, 5_000_000) // len(LINE))), "mail is taken")
        self.assertEqual(posthorn.processes(), processes)


if __name__ == "__main__":
    unittest.main()
