"""A copy of the queue on another machine: what was acknowledged is on both; when the first burns, the second goes on, each message once."""
import collections
import json
import os
import random
import signal
import smtplib
import socket
import subprocess
import threading
import time

from journey import BIN, PATIENCE, Journey, Load, unittest, wait_until

ROUNDS = int(os.environ.get("POSTHORN_KILL_ROUNDS", "3"))
LATER = {"minimal_backoff_time": "1h", "maximal_backoff_time": "1h", "message_size_limit": "20000000"}
SOON = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "service_throttle_time": "1s", "message_size_limit": "20000000"}

# What ssh is elsewhere: standard input and output, at a port of this machine.
WAY = r'''
import os, socket, sys, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def carry(read, write, end):
    try:
        while octets := read():
            write(octets)
    except OSError:
        pass
    end()
threading.Thread(target=carry, args=(lambda: os.read(0, 65536), s.sendall, lambda: s.shutdown(socket.SHUT_WR)), daemon=True).start()
carry(lambda: s.recv(65536), lambda octets: os.write(1, octets), lambda: os._exit(0))
'''


class Way:
    """Leads to a `posthorn standby receive` of `target`; it can be cut, closed, and replaced by something else."""

    def __init__(self, target):
        self.target, self.open, self.command = target, True, None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.running = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                if self.open:
                    command = self.command or [str(BIN / "posthorn"), "standby", "receive", "-c", str(self.target.dir / "conf")]
                    self.running.append(subprocess.Popen(command, stdin=connection, stdout=connection, stderr=connection, env=self.target.env()))

    def cut(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.running = []

    def close(self):
        self.listener.close()
        self.cut()


class Standby(Journey):
    def machine(self, name, settings, relay):
        machine = self.instance({"myhostname": name, **settings}, relay=relay, start=False)
        (machine.dir / "way.py").write_text(WAY)
        return machine

    def keeps_copy_at(self, machine, other, **settings):
        way = Way(other)
        self.addCleanup(way.close)
        user = "daemon" if os.geteuid() == 0 else subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
        machine.add_service(f"second unix - n n - 1 spawn user={user} argv=/usr/bin/python3 {machine.dir}/way.py {way.port}")
        machine.set({"queue_standby": "second", **settings})
        return way

    def pair(self, settings=None, replies=None, reload=False, **standby):
        self.peer = self.sink()
        self.busy = self.sink({"RCPT": "450 4.2.1 busy"} if replies is None else replies)
        self.first = self.machine("first.test", {**LATER, **(settings or {})}, self.busy.port)
        self.second = self.machine("second.test", SOON, self.peer.port)
        if reload:
            self.first.start()
        self.way = self.keeps_copy_at(self.first, self.second, **standby)
        self.first.run("postfix", "reload") if reload else self.first.start()

    def state(self, machine):
        return json.loads(machine.run("posthorn", "standby", "--json", check=False).stdout)

    def wait_in_step(self, machine):
        wait_until(lambda: machine.run("posthorn", "standby", check=False).returncode == 0, "the copy is in step")

    def burn(self, machine, way):
        """All at once, as the machine would: nothing more leaves it."""
        way.open = False
        master, others = machine.master_pid(), list(machine.processes())
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (master, *others):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in others), "it is dead")
        way.cut()

    def test_the_second_machine_goes_on_with_all_that_was_acknowledged(self):
        self.pair(reload=True)
        self.wait_in_step(self.first)
        self.first.wait_log(r"the queue has a second copy on second\.test, in step")
        large = b"Subject: large\r\n\r\n" + b"".join(b"%070d\r\n" % number for number in range(40_000))
        self.first.send(["large@there.test"], content=large)
        self.first.send([f"u{number}@there.test" for number in range(30)])
        self.first.send(["held@there.test"])
        self.first.run("sendmail", "-f", "me@ours.test", "local@there.test", input="Subject: local\n\nx\n")
        self.first.wait_log(r"450 4\.2\.1 busy", 33)
        wait_until(lambda: all(m["queue_name"] == "deferred" for m in self.first.queue()), "all are deferred")
        before = {m["queue_id"]: m for m in self.first.queue()}
        held = next(i for i, m in before.items() if m["recipients"][0]["address"] == "held@there.test")
        self.first.run("postsuper", "-h", held)
        self.first.run("posthorn", "suspend", "elsewhere.test")
        self.assertEqual(self.state(self.first)["state"], "in step")
        self.assertEqual(self.state(self.second)["role"], "copy")
        said = subprocess.run([str(BIN / "postfix"), "-c", str(self.second.dir / "conf"), "start"], capture_output=True, text=True, env=self.second.env())
        self.assertNotEqual(said.returncode, 0)
        self.assertIn("holds the copy of the queue of first.test", said.stderr)
        said = self.second.run("posthorn", "standby", "promote", check=False)
        self.assertEqual(said.returncode, 75)
        self.assertIn("the queue of first.test is connected", said.stderr)

        self.burn(self.first, self.way)
        self.assertIn("nobody sends to it now", self.second.run("posthorn", "standby").stdout)
        self.assertIn("is the queue of this machine now (epoch 2)", self.second.run("posthorn", "standby", "promote").stdout)
        self.second.start()
        self.assertEqual({m["queue_id"] for m in self.second.queue()} - {held}, set(before) - {held} & {m["queue_id"] for m in self.second.queue()})
        self.assertIn("elsewhere.test", self.second.run("posthorn", "orders").stdout)
        self.second.run("postqueue", "-f")
        [left] = wait_until(lambda: (lambda q: q if len(q) == 1 else None)(self.second.queue()), "all but what is on hold are delivered")
        self.assertEqual((left["queue_id"], left["queue_name"]), (held, "hold"))
        self.second.run("postsuper", "-H", held)
        self.second.wait_empty()
        self.assertEqual(sorted(self.peer.recipients()), sorted(["large@there.test", "held@there.test", "local@there.test", *(f"u{n}@there.test" for n in range(30))]))
        arrived = next(content for _, recipients, content in self.peer.messages if "large@" in recipients[0])
        self.assertTrue(arrived.endswith(large.partition(b"\r\n\r\n")[2]), "the content is as it was")

        # The first machine comes back, and does not know.
        self.way.open = True
        self.first.set({"relayhost": f"[127.0.0.1]:{self.peer.port}", "service_throttle_time": "1s"})
        self.first.run("postfix", "start", check=False)
        self.first.wait_log(r"this queue went on at second\.test since .*, epoch 2: nothing of it is delivered from here")
        time.sleep(2)
        self.assertEqual(len(self.peer.recipients()), 33)

    def test_it_is_killed_under_load_and_each_message_arrives_once(self):
        """Machines change places each round; what is in flight when one dies may arrive twice."""
        self.peer = self.sink(delay=0.002)
        machines = [self.machine(name, {**SOON, "smtpd_client_connection_count_limit": "0"}, self.peer.port) for name in ("first.test", "second.test")]
        ways = [self.keeps_copy_at(machines[0], machines[1], queue_standby_required="yes"), self.keeps_copy_at(machines[1], machines[0], queue_standby_required="yes")]
        acknowledged, unsure, chance = set(), set(), random.Random()
        now = 0
        machines[0].start()
        self.wait_in_step(machines[0])
        for number in range(ROUNDS):
            machine, other, way = machines[now], machines[1 - now], ways[now]
            load = Load(machine, clients=4, per_session=10, size=random.choice([700, 70_000]))
            load._count = number * 1_000_000
            load.wait_for(60)
            time.sleep(chance.uniform(0, 0.5))
            if number % 2:
                way.cut()                                  # it catches up when it is killed, or has just done so
                time.sleep(chance.uniform(0, 1.5))
            self.burn(machine, way)
            acknowledged |= load.stop()
            unsure |= load.unsure
            self.assertRegex(other.run("posthorn", "standby", "promote").stdout, "is the queue of this machine now")
            # What was the queue is nobody's copy: it goes out of the way.
            (machine.dir / "queue" / "spool").rename(machine.dir / f"spool.of.round.{number}")
            way.open = True
            now = 1 - now
            other.start()
            self.wait_in_step(other)
        machines[now].wait_empty()
        times = collections.Counter(self.peer.recipients())
        missing = acknowledged - set(times)
        self.assertEqual(missing, set())
        twice = {address for address, count in times.items() if count > 1}
        print(f"{len(acknowledged)} acknowledged, {len(times)} delivered, {len(twice)} of them twice, {ROUNDS} machines burnt", flush=True)
        self.assertLess(len(twice), 60 * ROUNDS)

    def test_a_copy_that_is_away_is_missed_and_comes_back(self):
        self.pair()
        self.wait_in_step(self.first)
        self.first.send(["one@there.test"])
        self.way.open = False
        self.way.cut()
        self.first.wait_log(r"the queue has no second copy on second\.test: lost the copy.*; mail is taken without one")
        self.first.send(["two@there.test"])
        self.first.send(["large@there.test"], content=b"Subject: x\r\n\r\n" + b"y" * 70 + b"\r\n" + b"z\r\n" * 60_000)
        self.assertEqual(self.state(self.first)["state"], "away")
        self.assertIn("this machine alone has it", self.first.run("posthorn", "standby", check=False).stdout)
        # Text where a copy should speak: said as it is, and nothing else comes of it.
        self.way.command = ["sh", "-c", "echo Host key verification failed. >&2; exec cat >/dev/null"]
        self.way.open = True
        self.first.wait_log(r'the copy says "Host key verification failed\."')
        self.way.cut()
        self.way.command = None
        self.wait_in_step(self.first)
        self.assertEqual(self.state(self.first)["times_lost"], 1)
        self.assertRegex(self.first.run("posthorn", "counters").stdout, r"standby_lost\s+1\b")
        self.burn(self.first, self.way)
        self.second.run("posthorn", "standby", "promote")
        self.second.start()
        self.second.run("postqueue", "-f")
        self.second.wait_empty()
        self.assertEqual(sorted(self.peer.recipients()), ["large@there.test", "one@there.test", "two@there.test"])

    def test_where_a_copy_is_required_nothing_goes_on_without_it(self):
        self.pair(settings=SOON, replies={}, queue_standby_required="yes")
        self.wait_in_step(self.first)
        self.first.send(["one@there.test"])
        wait_until(lambda: self.busy.recipients() == ["one@there.test"], "it is delivered")
        self.first.wait_empty()
        self.busy.replies["RCPT"] = "450 4.2.1 busy"
        self.first.send(["waits@there.test"])
        self.first.wait_log(r"450 4\.2\.1 busy")
        self.way.open = False
        self.way.cut()
        self.first.wait_log(r"no mail is taken or delivered until it has")
        self.busy.replies.clear()
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.first.send(["refused@there.test"])
        self.assertEqual(refused.exception.smtp_code, 451)
        self.assertIn(b"4.3.0", refused.exception.smtp_error)
        self.first.run("postqueue", "-f")
        [waiting] = self.first.queue()
        wait_until(lambda: "standby" in self.first.run("posthorn", "why", "--json", waiting["queue_id"]).stdout, "why says it")
        self.assertEqual(self.busy.recipients(), ["one@there.test"])
        self.way.open = True
        wait_until(lambda: self.busy.recipients() == ["one@there.test", "waits@there.test"], "it is delivered")
        self.first.send(["again@there.test"])
        wait_until(lambda: len(self.busy.recipients()) == 3, "it is delivered")
        # Stopped without it, at once.
        self.way.open = False
        self.way.cut()
        self.first.wait_log(r"no mail is taken or delivered until it has", 2)
        self.first.run("postfix", "stop")
        wait_until(lambda: self.first.master_pid() is None, "it has ended")


if __name__ == "__main__":
    unittest.main()
