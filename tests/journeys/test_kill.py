"""Kill -9 under load: nothing acknowledged is lost, duplicates stay within their bounds, and it recovers by itself.

Rounds: POSTHORN_KILL_ROUNDS (20 in CI over the three cases, 1 000 in nightly).
"""
import collections
import os
import random
import signal
import time

from journey import Journey, Load, unittest, wait_until

ROUNDS = int(os.environ.get("POSTHORN_KILL_ROUNDS", "20"))


class Kill(Journey):
    def check(self, victims, rounds, duplicates_allowed):
        """Kills `victims(posthorn)` in each round under load; then everything acknowledged must have arrived."""
        sink = self.sink()
        posthorn = self.instance({"minimal_backoff_time": "1s", "maximal_backoff_time": "3s", "queue_run_delay": "1s",
                                  "smtpd_client_connection_count_limit": "0", "service_throttle_time": "1s"}, relay=sink.port)
        # Bounded by what has arrived: what a thousand rounds took in would otherwise outlast them by minutes.
        # Each has one recipient; what arrived twice counts once.
        load, in_flight = Load(posthorn, pause=lambda load: len(load.acknowledged) > len(sink.taken_for) + 1000), 0
        for _ in range(rounds):
            load.wait_for(6)
            time.sleep(random.uniform(0, 0.1))
            killed = wait_until(lambda: victims(posthorn), "there is something to kill")
            in_flight += sink.open_now + 40                # at most the messages in the hands of the killed
            for pid in killed:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        acknowledged = load.stop()
        wait_until(lambda: acknowledged <= set(sink.recipients()), f"all {len(acknowledged)} acknowledged messages arrive")
        posthorn.wait_empty()
        times = collections.Counter(sink.recipients())
        duplicates = sum(count - 1 for count in times.values())
        self.assertLessEqual(duplicates, duplicates_allowed(in_flight), f"{duplicates} duplicates among {len(times)}")
        print(f"{len(acknowledged)} acknowledged, {len(times)} delivered, {duplicates} duplicates, {rounds} kills", flush=True)

    def test_qmgr_alone(self):
        self.check(lambda p: p.pids_of("qmgr"), max(1, ROUNDS // 3), lambda in_flight: 0)

    def test_a_sending_process(self):
        self.check(lambda p: p.pids_of("service smtp smtp"), max(1, ROUNDS // 3), lambda in_flight: in_flight)

    def test_all_at_once(self):
        # 20 ms of verdicts may be lost as well: at the rate of this load a few dozen messages each time.
        rounds = max(1, ROUNDS - 2 * (ROUNDS // 3))
        self.check(lambda p: list(p.processes()), rounds, lambda in_flight: in_flight + 50 * rounds)


if __name__ == "__main__":
    unittest.main()
