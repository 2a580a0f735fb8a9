"""What waits in one instance's queue goes on in that of another, which lives: each message once, wherever it breaks off."""
import collections
import os
import random
import re
import signal
import subprocess
import threading
import time

from journey import BIN, PATIENCE, Journey, Load, unittest, wait_until

ROUNDS = int(os.environ.get("POSTHORN_KILL_ROUNDS", "12"))
LATER = {"minimal_backoff_time": "1h", "maximal_backoff_time": "1h", "message_size_limit": "20000000"}
SOON = {"minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s"}


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


class Moving(Journey):
    """`old` cannot deliver, or is not to; `new` can."""

    def two(self, old=None, new=None, replies=None):
        self.peer = self.sink(replies)
        self.busy = self.sink({"RCPT": "450 4.2.1 busy"})
        self.old = self.instance({"myhostname": "old.test", **LATER, **(old or {})}, relay=self.busy.port)
        self.new = self.instance({"myhostname": "new.test", **LATER, **(new or {})}, relay=self.peer.port)

    def command(self, *words, target=None):
        target = target or [str(BIN / "posthorn"), "take-over", "-c", str(self.new.dir / "conf")]
        return [str(BIN / "posthorn"), "hand-over", "-c", str(self.old.dir / "conf"), *words, "--", *target]

    def hand_over(self, *words, status=0, target=None):
        done = subprocess.run(self.command(*words, target=target), capture_output=True, text=True, timeout=PATIENCE * 4)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def began(self, *words):
        process = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(end, process)
        return process

    def test_all_kinds_of_mail_go_on_there_with_what_is_known_of_them(self):
        self.two(new=SOON)
        large = b"Subject: large\r\n\r\n" + b"".join(b"%070d\r\n" % number for number in range(40_000))
        many = [f"u{number}@there.test" for number in range(30)]
        self.old.send(["large@there.test"], content=large)
        self.old.send(many, content=b"Subject: many\r\n\r\nx\r\n")
        self.old.send(["dsn@there.test"], options=["RET=HDRS", "ENVID=abc"], rcpt_options=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;dsn@there.test"])
        self.old.send(["held@there.test"])
        self.old.run("sendmail", "-f", "me@ours.test", "local@there.test", input="Subject: local\n\nx\n")
        self.old.wait_log(r"450 4\.2\.1 busy", 34)
        wait_until(lambda: all(m["queue_name"] == "deferred" for m in self.old.queue()), "all are deferred")
        before = {m["queue_id"]: m for m in self.old.queue()}
        held = next(i for i, m in before.items() if m["recipients"][0]["address"] == "held@there.test")
        self.old.run("postsuper", "-h", held)
        contents = self.old.contents()
        self.assertEqual(len(contents), 1)

        said = self.hand_over("--all")
        self.assertEqual(said.stdout, "5 messages are at new.test now\n")
        self.assertEqual(self.old.queue(), [])
        self.assertEqual(self.old.contents(), [])
        moved = dict(self.old.wait_log(r"(\w+): handed over to new\.test as (\w+)", 5))
        self.assertEqual(set(moved), set(before))
        self.assertEqual({there: here for here, there in self.new.wait_log(r"(\w+): taken over from old\.test, there (\w+)", 5)}, moved)
        for old_id in moved:
            self.old.wait_log(f"{old_id}: removed")
        [left] = wait_until(lambda: (lambda q: q if len(q) == 1 else None)(self.new.queue()), "all but what is on hold are delivered")
        self.assertEqual(left["queue_id"], moved[held])
        self.assertEqual(left["queue_name"], "hold")
        self.assertEqual(left["arrival_time"], before[held]["arrival_time"])
        self.assertIn("450 4.2.1 busy", left["recipients"][0]["delay_reason"])
        self.new.run("postsuper", "-H", left["queue_id"])
        self.new.wait_empty()
        wait_until(lambda: len(self.peer.recipients()) >= 34, "they arrive")
        notified = [message for message in self.peer.messages if message[1][0].startswith("TO:<sender@example.com>")]
        self.assertEqual(sorted(r for r in self.peer.recipients() if r != "sender@example.com"),
                         sorted([*many, "large@there.test", "dsn@there.test", "held@there.test", "local@there.test"]))
        self.assertLessEqual(len(notified), 1)
        arrived = next(content for _, recipients, content in self.peer.messages if "large@" in recipients[0])
        self.assertTrue(arrived.endswith(large.partition(b"\r\n\r\n")[2]), "the content is as it was")
        self.assertTrue(any("ENVID=abc" in str(sender) for sender, recipients, _ in self.peer.messages if "dsn@" in recipients[0]))
        self.assertEqual(self.new.contents(), [])
        counted = self.new.run("posthorn", "counters").stdout
        self.assertRegex(counted, r"qmgr_taken_over\s+5\b")

    def test_some_of_it_by_recipient_sender_and_queue_id(self):
        self.two()
        for number, (sender, recipient) in enumerate([("a@one.test", "x@here.test"), ("b@two.test", "y@there.test"), ("c@three.test", "z@far.test"),
                                                      ("d@four.test", "w@stays.test")]):
            self.old.send([recipient], sender=sender)
            self.old.wait_log(r"450 4\.2\.1 busy", number + 1)
        ids = {m["recipients"][0]["address"]: m["queue_id"] for m in self.old.queue()}
        self.hand_over("There.Test", "--sender", "c@three.test", ids["x@here.test"])
        self.assertEqual([m["queue_id"] for m in self.old.queue()], [ids["w@stays.test"]])
        self.assertEqual(len(self.new.queue()), 3)
        for words in (["--all", "there.test"], [], ["@"], ["--wait", "soon", "--all"], ["--take-back", "--all"]):
            self.assertEqual(subprocess.run(self.command(*words), capture_output=True, timeout=PATIENCE).returncode, 64, words)
        self.assertEqual(self.new.run("posthorn", "hand-over", "--all", check=False).returncode, 64)

    def test_a_target_that_cannot_take_changes_nothing_here(self):
        self.two()
        self.old.send(["a@there.test"])
        self.old.wait_log(r"450 4\.2\.1 busy")
        self.new.stop()
        wait_until(lambda: self.new.master_pid() is None, "it has ended")
        for target, why in ((None, "mail system is down"), (["/nonexistent/ssh"], "No such file"), (["true"], "lost true: it ended"),
                            (["sh", "-c", "echo Permission denied; exec cat >/dev/null"], 'none of ours, beginning "Perm"')):
            said = self.hand_over("--all", status=69 if target is None else 75, target=target)
            self.assertIn(why, said.stderr)
            [message] = self.old.queue()
            self.assertEqual(message["queue_name"], "deferred")
        said = self.hand_over("--all", status=75, target=[str(BIN / "posthorn"), "take-over", "-c", str(self.old.dir / "conf")])
        self.assertIn("the other queue is this one", said.stderr)
        self.old.stop()
        wait_until(lambda: self.old.master_pid() is None, "it has ended")
        self.new.start()
        self.assertIn("mail system is down", self.hand_over("--all", status=69).stderr)

    def test_what_is_in_doubt_waits_says_why_and_is_settled_or_taken_back(self):
        self.two(new=SOON)
        for name in ("a", "b", "c"):
            self.old.send([f"{name}@there.test"])
        self.old.wait_log(r"450 4\.2\.1 busy", 3)
        # All that was said to the target arrives there, and no word of it comes back after the greeting and what it has.
        cut = ["sh", "-c", f"'{BIN}/posthorn' take-over -c '{self.new.dir}/conf' | {{ dd bs=1 count=\"$0\" 2>/dev/null; cat >/dev/null; }}"]
        greeting = subprocess.run([str(BIN / "posthorn"), "take-over", "-c", str(self.new.dir / "conf")], input=b"", capture_output=True, timeout=PATIENCE)
        size = int.from_bytes(greeting.stdout[:4], "big") + 4 + 4 + 2                 # and an empty list of what it has
        process = subprocess.Popen(self.command("--all", target=[*cut, str(size)]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(end, process)
        wait_until(lambda: len(self.peer.recipients()) == 3, "they arrive from there")
        process.kill()
        process.wait()
        ids = [m["queue_id"] for m in self.old.queue()]
        self.assertEqual(len(ids), 3)
        self.assertIn("moving", self.old.run("posthorn", "why", "--json", ids[0]).stdout)
        self.assertIn("bound for the queue of new.test", self.old.run("posthorn", "why", ids[0]).stdout)
        said = self.old.run("postsuper", "-d", ids[0]).stderr
        self.assertIn("bound for the queue of new.test", said)
        self.assertIn("Deleted: 0 messages", said)
        self.old.run("postfix", "stop")
        wait_until(lambda: self.old.master_pid() is None, "it has ended")
        self.old.set({"relayhost": f"[127.0.0.1]:{self.peer.port}", **SOON})
        self.old.start()
        self.old.wait_log(r"3 messages are on hold, each bound for the queue of new\.test")
        self.old.run("postqueue", "-f")
        self.assertEqual(self.hand_over("elsewhere.test").stdout, "3 messages were at new.test since a hand-over that broke off\n3 messages are at new.test now\n")
        self.assertEqual(self.old.queue(), [])
        self.assertEqual(sorted(self.peer.recipients()), ["a@there.test", "b@there.test", "c@there.test"])

        # A target that is lost for good: nobody else gets it but by an operator's word.
        self.old.set({"relayhost": f"[127.0.0.1]:{self.busy.port}", **LATER})
        self.old.run("postfix", "reload")
        self.old.send(["d@there.test"])
        self.old.wait_log(r"450 4\.2\.1 busy", 4)
        process = subprocess.Popen(self.command("--all", target=[*cut, str(size)]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(end, process)
        wait_until(lambda: len(self.peer.recipients()) == 4, "it arrives from there")
        process.kill()
        process.wait()
        other = self.instance({"myhostname": "third.test"}, relay=self.peer.port)
        said = self.hand_over("--all", status=75, target=[str(BIN / "posthorn"), "take-over", "-c", str(other.dir / "conf")])
        self.assertIn("1 messages are bound for the queue of new.test", said.stderr)
        self.assertIn("1 messages stay here", self.old.run("posthorn", "hand-over", "--take-back").stdout)
        self.old.set({"relayhost": f"[127.0.0.1]:{self.peer.port}"})
        self.old.run("postfix", "reload")
        self.old.run("postqueue", "-f")
        self.old.wait_empty()
        self.assertEqual(collections.Counter(self.peer.recipients())["d@there.test"], 2)   # as the command said

    def test_mail_in_delivery_is_waited_for_and_what_comes_meanwhile_follows(self):
        self.two(new=SOON)
        slow = threading.Event()
        self.addCleanup(slow.set)

        def rcpt(argument, _):
            if "slow@" in argument:
                slow.wait(PATIENCE)
                return "250 2.1.5 Ok"
            return "450 4.2.1 busy"
        self.busy.replies["RCPT"] = rcpt
        self.old.send(["slow@there.test"])
        wait_until(lambda: self.busy.sessions > 0, "it is being delivered")
        said = self.hand_over("--all", "--wait", "0", status=1)
        self.assertIn("it is being delivered all the time", said.stderr)
        process = self.began("--all", "--follow")
        time.sleep(1)
        self.assertEqual(len(self.old.queue()), 1)
        slow.set()
        wait_until(lambda: self.busy.recipients() == ["slow@there.test"], "it arrives from here")
        self.old.wait_empty()
        for number in range(3):
            self.old.send([f"n{number}@there.test"])
        wait_until(lambda: len(self.peer.recipients()) == 3, "they arrive from there")
        self.assertIn("another posthorn hand-over is at work", self.hand_over("--all", status=75).stderr)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertIn("3 messages are at new.test now", process.stdout.read())
        self.assertEqual(self.busy.recipients(), ["slow@there.test"])

    def test_whatever_is_killed_each_message_arrives_once(self):
        self.two(old={"smtpd_client_connection_count_limit": "0", "service_throttle_time": "1s"}, new={**SOON, "service_throttle_time": "1s"})
        # Every other one is delivered by the old one, where its try comes first.
        self.busy.replies["RCPT"] = lambda argument, _: "250 2.1.5 Ok" if re.search(r"[02468]@", argument) else "450 4.2.1 busy"
        arrived = lambda: collections.Counter(self.peer.recipients() + self.busy.recipients())
        load, chance, kills = Load(self.old, clients=2, per_session=10, size=700), random.Random(), collections.Counter()
        for number in range(ROUNDS):
            load.wait_for(20)
            process = self.began("--all", "--follow")
            time.sleep(chance.uniform(0.05, 0.8))
            victim = ["old qmgr", "new qmgr", "hand-over", "take-over"][number % 4]
            kills[victim] += 1
            if victim == "hand-over":
                process.kill()
            elif victim == "take-over":
                for pid in subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split():
                    os.kill(int(pid), signal.SIGKILL)
            else:
                for pid in (self.old if victim == "old qmgr" else self.new).pids_of("qmgr"):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(chance.uniform(0, 0.3))
            end(process)
        acknowledged = load.stop()

        def settled():
            return subprocess.run(self.command("--all"), capture_output=True, timeout=PATIENCE * 4).returncode == 0 and not self.old.queue()
        wait_until(settled, "the old queue has been handed over", PATIENCE * 2)
        wait_until(lambda: acknowledged <= set(arrived()), f"all {len(acknowledged)} acknowledged messages arrive")
        self.new.wait_empty()
        times = arrived()
        twice = {address: count for address, count in times.items() if count > 1}
        # A client that did not hear of its 250 sends again: another message.
        self.assertLessEqual(set(twice), load.unsure - acknowledged, twice)
        print(f"{len(acknowledged)} acknowledged, {len(times)} delivered, {dict(kills)}", flush=True)


if __name__ == "__main__":
    unittest.main()
