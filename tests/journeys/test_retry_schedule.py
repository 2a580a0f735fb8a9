"""Times of their own (retry_schedule_maps): by domain, by address, by transport and pool; with a value that cannot be read, and over a change."""
import time

from journey import Journey, Sink, unittest

QUICK = "minimal_backoff_time=1s, maximal_backoff_time=1s"


class RetrySchedule(Journey):
    def scheduled(self, table, settings=None, replies=None):
        sink = Sink({"RCPT": "451 4.2.0 not now"} if replies is None else replies)
        self.addCleanup(sink.close)
        posthorn = self.instance({"relayhost": f"[127.0.0.1]:{sink.port}", **(settings or {})}, start=False)
        self.table = posthorn.dir / "schedule"
        self.table.write_text(table)
        posthorn.set({"retry_schedule_maps": f"texthash:{self.table}"})
        posthorn.start()
        return posthorn, sink

    def waiting(self, posthorn, address):
        return [entry for entry in posthorn.queue() if address in [one["address"] for one in entry["recipients"]]]

    def tries(self, sink, address):
        return sum(1 for command in sink.commands if command.upper().startswith(f"RCPT TO:<{address.upper()}>"))

    def wait_tries(self, sink, address, count):
        end = time.monotonic() + 20
        while self.tries(sink, address) < count:
            self.assertLess(time.monotonic(), end, f"{address} was tried {self.tries(sink, address)} times")
            time.sleep(0.05)

    def test_a_domain_is_tried_by_its_own_times_and_goes_back_after_its_own_lifetime(self):
        posthorn, sink = self.scheduled(f"quick.test {QUICK}\n.quick.test {QUICK}, maximal_queue_lifetime=3s\nu@slow.test {QUICK}\n")
        for recipient in ("u@quick.test", "u@below.quick.test", "v@slow.test", "u@slow.test"):
            posthorn.send([recipient])
        self.wait_tries(sink, "u@quick.test", 3)
        self.wait_tries(sink, "u@slow.test", 3)
        posthorn.wait_log(r"status=expired, returned to sender")
        posthorn.wait_log(r"to=<u@below\.quick\.test>.*status=deferred")
        posthorn.wait_log(r"sender non-delivery notification")
        self.assertEqual(self.tries(sink, "v@slow.test"), 1)                       # main.cf's five minutes
        self.assertEqual(len(self.waiting(posthorn, "u@quick.test")), 1)

    def test_a_transport_has_times_and_a_pool_has_them_for_its_members(self):
        posthorn, sink = self.scheduled(f"transport:bulk {QUICK}\ntransport:slow minimal_backoff_time=1h\n",
                                        {"pooled_transports": "{ bulk, out1, out2 }", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s",
                                         "sender_dependent_default_transport_maps": "inline:{a@ours.test=bulk, b@ours.test=slow}"})
        for name in ("out1", "out2", "slow"):
            posthorn.add_service(f"{name} unix - - n - - smtp")
        posthorn.run("postfix", "reload")
        posthorn.set({"minimal_backoff_time": "300s", "maximal_backoff_time": "4000s"})
        posthorn.run("postfix", "reload")
        for sender, recipient in (("a@ours.test", "u@by.test"), ("b@ours.test", "u@other.test"), ("c@ours.test", "u@rest.test")):
            posthorn.send([recipient], sender)
        self.wait_tries(sink, "u@by.test", 3)
        self.assertEqual((self.tries(sink, "u@other.test"), self.tries(sink, "u@rest.test")), (1, 1))
        # What waits tells its times, and a changed table counts from the next try on.
        queue_id = self.waiting(posthorn, "u@by.test")[0]["queue_id"]
        self.table.write_text("transport:bulk minimal_backoff_time=1h, maximal_backoff_time=1h, maximal_queue_lifetime=10d\n")
        posthorn.run("postfix", "reload")
        said = posthorn.run("posthorn", "why", "-c", str(posthorn.dir), queue_id).stdout
        self.assertIn("(retry_schedule_maps)", said)
        time.sleep(1.5)
        before = self.tries(sink, "u@by.test")
        time.sleep(2.5)
        self.assertLessEqual(self.tries(sink, "u@by.test") - before, 1)

    def test_a_value_that_cannot_be_read_is_said_and_holds_up_nothing(self):
        posthorn, sink = self.scheduled("there.test maximal_queue_lifetime=soon\n", replies={})
        posthorn.send(["u@there.test"])
        posthorn.wait_log(r"retry_schedule_maps: u@there\.test: maximal_queue_lifetime: \"soon\" is no time; the times of main\.cf hold")
        posthorn.wait_empty()
        self.assertEqual(sink.recipients(), ["u@there.test"])


if __name__ == "__main__":
    unittest.main()
