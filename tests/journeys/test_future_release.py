"""Mail that goes at a time of its sender's choice: by FUTURERELEASE (RFC 4865), by sendmail, and by the field that scheduling_header names."""
import datetime
import http.client
import json
import os
import re
import signal
import smtplib
import time

from journey import PATIENCE, Journey, free_port, unittest, wait_until

CONTENT = b"From: me@ours.test\r\nSubject: later\r\n\r\nbody\r\n"


def moment(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def with_schedule(**words):
    return b"X-Schedule: " + json.dumps(words).encode() + b"\r\n" + CONTENT


class FutureRelease(Journey):
    def relay(self, settings=None, start=True):
        self.there = self.sink()
        return self.instance({"smtpd_future_release_limit": "1h", "scheduling_header": "X-Schedule", "mynetworks": "127.0.0.0/8", **(settings or {})},
                             relay=self.there.port, start=start)

    def only(self, posthorn):
        (entry,) = posthorn.queue()
        return entry

    def assert_held(self, posthorn, queue_id=None):
        entry = self.only(posthorn)
        self.assertEqual(entry["queue_name"], "deferred")
        self.assertRegex(entry["recipients"][0]["delay_reason"], r"^held until 20\d\d-\d\d-\d\d \d\d:\d\d UTC, as its sender asked$")
        self.assertEqual(self.there.recipients(), [])
        return entry["queue_id"]

    def arrived(self):
        return wait_until(lambda: self.there.messages and self.there.messages[-1], "it arrives")

    def refused(self, posthorn, content, code):
        with self.assertRaises(smtplib.SMTPDataError) as told:
            posthorn.send(["u@there.test"], content=content)
        self.assertEqual(told.exception.smtp_code, code)
        return told.exception.smtp_error.decode()

    def test_mail_is_offered_a_later_time_and_goes_at_it(self):
        posthorn = self.relay()
        with posthorn.smtp() as client:
            client.ehlo("c.test")
            most, last = client.esmtp_features["futurerelease"].split()
            self.assertEqual(most, "3600")
            self.assertRegex(last, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            self.assertEqual(client.docmd("MAIL FROM:<me@ours.test> HOLDFOR=3601")[0], 501)
        began = time.time()
        posthorn.send(["u@there.test"], options=["HOLDFOR=3"], content=CONTENT)
        self.assert_held(posthorn)
        self.arrived()
        self.assertGreaterEqual(time.time() - began, 3)
        posthorn.wait_empty()
        until = moment(4)
        posthorn.send(["v@there.test"], options=[f"HOLDUNTIL={until}"], content=CONTENT)
        wait_until(lambda: "v@there.test" in self.there.recipients(), "it arrives")
        self.assertGreaterEqual(moment(0), until)

    def test_what_is_held_survives_the_end_of_qmgr_and_of_all(self):
        posthorn = self.relay()
        posthorn.send(["u@there.test"], options=["HOLDFOR=12"], content=CONTENT)
        held = self.assert_held(posthorn)
        began = time.time()
        (qmgr,) = posthorn.pids_of("qmgr")
        os.kill(qmgr, signal.SIGKILL)
        wait_until(lambda: posthorn.pids_of("qmgr") not in ([], [qmgr]), "another qmgr")
        self.assertEqual(self.assert_held(posthorn), held)
        posthorn.stop()
        posthorn.start()
        self.assertEqual(self.assert_held(posthorn), held)
        self.arrived()
        self.assertGreaterEqual(time.time() - began, 10)
        self.assertEqual(len(self.there.messages), 1)

    def test_a_flush_leaves_it_and_an_operator_who_names_it_sends_it(self):
        posthorn = self.relay()
        posthorn.send(["u@there.test"], options=["HOLDFOR=3600"], content=CONTENT)
        queue_id = self.assert_held(posthorn)
        self.assertRegex(posthorn.run("postqueue", "-p").stdout, r"\(held until .* as its sender asked\)")
        why = posthorn.run("posthorn", "why", "-c", str(posthorn.dir), queue_id).stdout
        self.assertIn("release-time: the time that its sender chose", why)
        self.assertIn(f"at once: postqueue -i {queue_id}", why)
        posthorn.run("postqueue", "-f")
        time.sleep(1)
        self.assert_held(posthorn)
        posthorn.run("postqueue", "-i", queue_id)
        self.arrived()
        posthorn.wait_empty()

    def test_who_may_not_is_not_offered_it_and_has_a_field_as_any(self):
        posthorn = self.relay({"smtpd_future_release_clients": "192.0.2.1"})
        with posthorn.smtp() as client:
            client.ehlo("c.test")
            self.assertNotIn("futurerelease", client.esmtp_features)
            self.assertEqual(client.docmd("MAIL FROM:<me@ours.test> HOLDFOR=60")[0], 555)
        posthorn.send(["u@there.test"], content=with_schedule(first_attempt=moment(3600)))
        self.assertIn(b"X-Schedule", self.arrived()[2])

    def test_a_field_holds_it_and_is_gone_when_it_arrives(self):
        posthorn = self.relay()
        posthorn.send(["u@there.test"], content=with_schedule(first_attempt=moment(4)))
        self.assert_held(posthorn)
        self.assertNotIn(b"X-Schedule", self.arrived()[2])
        self.assertIn("no JSON object", self.refused(posthorn, b"X-Schedule: tomorrow\r\n" + CONTENT, 550))
        self.assertIn("it expires at", self.refused(posthorn, with_schedule(expires=moment(-5)), 550))
        self.assertIn("no time zone", self.refused(posthorn, with_schedule(dow="Mon", tz="PST", start="09:00:00", end="10:00:00"), 550))

    def test_a_window_that_is_open_lets_it_go_and_one_that_is_closed_does_not(self):
        posthorn = self.relay()
        now = datetime.datetime.now(datetime.timezone.utc)
        clock = [(now + datetime.timedelta(hours=hours)).strftime("%H:%M:%S") for hours in (-2, 2, 4)]
        days = "Mon,Tue,Wed,Thu,Fri,Sat,Sun"
        posthorn.send(["u@there.test"], content=with_schedule(dow=days, tz="Etc/UTC", start=clock[0], end=clock[1]))
        self.arrived()
        posthorn.wait_empty()
        posthorn.send(["v@there.test"], content=with_schedule(dow=days, tz="Etc/UTC", start=clock[1], end=clock[2]))
        entry = self.only(posthorn)
        self.assertIn("held until", entry["recipients"][0]["delay_reason"])
        time.sleep(1)
        self.assertEqual(self.there.recipients(), ["u@there.test"])

    def test_it_goes_back_when_it_expires_and_the_report_says_what_was_asked(self):
        self.there = self.sink(replies={"RCPT": lambda argument, _: "451 4.2.0 not now" if "there.test" in argument else "250 2.1.5 Ok"})
        posthorn = self.instance({"smtpd_future_release_limit": "1h", "scheduling_header": "X-Schedule"}, relay=self.there.port)
        posthorn.send(["u@there.test"], sender="me@home.test", options=["HOLDFOR=1"], content=with_schedule(expires=moment(6)))
        posthorn.wait_log(r"status=deferred")
        posthorn.wait_log(r"status=expired, returned to sender")
        report = self.arrived()[2]
        self.assertIn(b"\r\nFuture-Release-Request: for;1\r\n", report)
        self.assertIn(b"\r\nArrival-Date: ", report)

    def test_sendmail_may_ask_for_it_and_no_longer_than_it_may(self):
        posthorn = self.relay()
        posthorn.run("sendmail", "-O", "holdfor=4", "-f", "me@ours.test", "u@there.test", input="Subject: x\n\nbody\n")
        wait_until(lambda: posthorn.queue(), "it is in the queue")
        self.assert_held(posthorn)
        self.arrived()
        refused = posthorn.run("sendmail", "-O", "holdfor=3700", "-f", "me@ours.test", "u@there.test", input="Subject: x\n\nbody\n", check=False)
        self.assertEqual(refused.returncode, 64)
        self.assertIn("mail may be held for 3600 seconds", refused.stderr)
        posthorn.run("sendmail", "-f", "me@ours.test", "w@there.test", input=with_schedule(first_attempt=moment(4)).decode().replace("\r\n", "\n"))
        wait_until(lambda: posthorn.queue(), "it is in the queue")
        self.assertIn("held until", self.only(posthorn)["recipients"][0]["delay_reason"])
        wait_until(lambda: "w@there.test" in self.there.recipients(), "it arrives")

    def test_who_injects_says_it_in_the_field(self):
        posthorn = self.relay({"smtpd_future_release_clients": ""}, start=False)
        port = free_port()
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - - inject")
        posthorn.start()

        def inject(schedule):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            request = {"envelope_sender": "me@ours.test", "recipients": [{"email": "u@there.test"}],
                       "content": f"From: me@ours.test\nX-Schedule: {schedule}\nSubject: x\n\nbody\n"}
            try:
                connection.request("POST", "/api/inject/v1", json.dumps(request), {"Content-Type": "application/json"})
                return json.loads(connection.getresponse().read())
            except OSError:
                return None
            finally:
                connection.close()

        said = wait_until(lambda: inject(json.dumps({"first_attempt": moment(4)})), "the service inject listens")
        self.assertEqual(said["success_count"], 1, said)
        self.assert_held(posthorn)
        self.assertNotIn(b"X-Schedule", self.arrived()[2])
        said = inject("soon")
        self.assertEqual(said["fail_count"], 1)
        self.assertTrue(re.search(r"X-Schedule: it is no JSON object", json.dumps(said)), said)


if __name__ == "__main__":
    unittest.main()
