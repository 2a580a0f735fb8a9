"""Delivery records (record_file): one JSON object for each thing that became of a message, beside the log, which stays as it is."""
import collections
import gzip
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import smtplib
import tempfile
import threading
import time
import urllib.request
import uuid

from journey import Certificate, Journey, free_port, unittest, wait_until

MEMBERS = {"type", "id", "sender", "recipient", "queue", "site", "size", "response", "peer_address", "timestamp", "created", "event_time", "num_attempts",
           "bounce_classification", "egress_pool", "egress_source", "source_address", "feedback_report", "meta", "headers", "delivery_protocol",
           "reception_protocol", "nodeid"}


def records_in(path):
    """All of them; a line that is no object fails."""
    text = path.read_bytes() if path.suffix != ".gz" else gzip.open(path).read()
    lines = text.split(b"\n")
    if lines.pop():
        raise AssertionError(f"{path} ends amid a line")
    found = [json.loads(line) for line in lines]
    for record in found:
        if not MEMBERS <= set(record):
            raise AssertionError(f"without {MEMBERS - set(record)}: {record}")
    return found


class Recording(Journey):
    def recording(self, replies=None, settings=None, **kwargs):
        self.peer = self.sink(replies=replies, **kwargs)
        posthorn = self.instance(start=False, relay=self.peer.port)
        self.path = posthorn.dir / "log" / "records"
        posthorn.set({"record_file": str(self.path), **(settings or {})})
        self.admin_port = free_port()
        posthorn.add_service(f"127.0.0.1:{self.admin_port} inet n - n - 1 admin")
        posthorn.start()
        return posthorn

    def told(self, **wanted):
        """Records with these members, in order."""
        return [record for record in (records_in(self.path) if self.path.exists() else []) if all(record.get(name) == value for name, value in wanted.items())]

    def wait_told(self, count=1, **wanted):
        def enough():
            try:
                found = self.told(**wanted)
            except AssertionError:                                    # amid a write
                return None
            return found if len(found) >= count else None
        return wait_until(enough, f"{count} records with {wanted}")

    def logged(self, posthorn, queue_id, recipient):
        """The log's line of a recipient, in its parts."""
        line = posthorn.wait_log(rf"{queue_id}: (to=<{re.escape(recipient)}>, .*)")[-1]
        return dict(re.findall(r"(\w+)=(<[^>]*>|[^,]+?)(?:,| \()", line)) | {"text": line[line.index("(") + 1:-1]}

    def load(self, posthorn, sessions, each, stop=None):
        def hand_in(number):
            with posthorn.smtp() as client:
                client.ehlo("client.test")
                for mail in range(each):
                    client.sendmail("a@ours.test", [f"m{number}-{mail}@there.test"], "Subject: load\r\n\r\nhello\r\n")
        threads = [threading.Thread(target=hand_in, args=(number,)) for number in range(sessions)]
        for thread in threads:
            thread.start()
        if stop:
            stop()
        for thread in threads:
            thread.join()

    def all_records(self):
        """Of all files, in the order of their names: rotated ones first."""
        files = sorted(self.path.parent.glob("records.*")) + [self.path]
        return [record for file in files for record in records_in(file)]


class Records(Recording):
    def test_each_recipient_has_a_record_of_what_became_of_it_and_the_log_says_the_same(self):
        def answer(argument, sink):
            return "451 4.2.0 not now" if "slow" in argument else "550 5.1.1 no \"such\" user" if "none" in argument else "250 2.1.5 Ok"
        posthorn = self.recording({"RCPT": answer}, {"record_headers": "Subject, X-Tag", "virtual_alias_maps": "inline:{alias@ours.test=taken@there.test}"})
        content = "Subject: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\nX-Tag: 1\r\nX-Tag: 2\r\nMessage-ID: <m1@ours.test>\r\n\r\nhello\r\n".encode()
        posthorn.send(["alias@ours.test", "slow@there.test", "none@there.test"], content=content)
        self.wait_told(type="TransientFailure")
        bounce = self.wait_told(type="Reception", sender="")[0]
        self.wait_told(type="Delivery", id=bounce["id"])
        first = self.told(type="Reception")[0]
        own = self.told(id=first["id"])
        self.assertEqual(collections.Counter((r["type"], str(r["recipient"])) for r in own),
                         {("Reception", "['taken@there.test', 'slow@there.test', 'none@there.test']"): 1, ("Delivery", "taken@there.test"): 1,
                          ("TransientFailure", "slow@there.test"): 1, ("Bounce", "none@there.test"): 1})
        self.assertEqual(own[0], first)
        self.assertEqual((first["sender"], first["reception_protocol"], first["message_id"]), ("sender@example.com", "ESMTP", "<m1@ours.test>"))
        self.assertEqual(first["peer_address"]["addr"], "127.0.0.1")
        self.assertEqual((bounce["recipient"], bounce["notification_of"], bounce["reception_protocol"]), ("sender@example.com", first["id"], None))
        for record in own:
            self.assertEqual(record["headers"], {"Subject": "grüße", "X-Tag": ["1", "2"]})
            self.assertEqual(record["nodeid"], str(uuid.uuid5(uuid.NAMESPACE_DNS, posthorn.run("postconf", "-h", "myhostname").stdout.strip())))
            self.assertLess(abs(record["created"] - first["timestamp"]), 60)
        for record in own[1:] + self.told(type="Delivery", id=bounce["id"]):
            line = self.logged(posthorn, record["id"], record["recipient"])
            self.assertEqual((record["relay"], record["dsn"]), (line["relay"], line["dsn"]))
            self.assertEqual({"sent": "Delivery", "deferred": "TransientFailure", "bounced": "Bounce"}[line["status"]], record["type"])
            self.assertIn(record["response"]["content"].replace('"', ""), line["text"].replace('"', ""))
            self.assertEqual(record["peer_address"], {"name": "127.0.0.1", "addr": "127.0.0.1"})
            self.assertEqual((record["transport"], record["delivery_protocol"]), ("smtp", "ESMTP"))
            self.assertRegex(record["source_address"]["address"], r"^127\.0\.0\.1:\d+$")
            for said, exact in zip(line["delays"].split("/"), record["delays"]):
                self.assertAlmostEqual(float(said), exact, delta=max(0.006, exact * 0.06))
        by_type = {record["type"]: record for record in own}
        self.assertEqual(by_type["Delivery"]["orig_recipient"], "alias@ours.test")
        self.assertEqual(by_type["Delivery"]["response"], {"code": 250, "enhanced_code": {"class": 2, "subject": 0, "detail": 0}, "content": "Ok: taken", "command": "."})
        self.assertEqual(by_type["Bounce"]["response"], {"code": 550, "enhanced_code": {"class": 5, "subject": 1, "detail": 1}, "content": 'no "such" user',
                                                         "command": "RCPT TO"})
        self.assertEqual((by_type["Bounce"]["reason"], by_type["Bounce"]["bounce_classification"]), ("unknown-user", "InvalidRecipient"))
        self.assertGreater(by_type["TransientFailure"]["next_attempt"], by_type["TransientFailure"]["timestamp"])
        # What is tried again, and what an operator does.
        posthorn.run("postqueue", "-f")
        again = self.wait_told(2, type="TransientFailure", recipient="slow@there.test")[1]
        self.assertEqual((by_type["TransientFailure"]["num_attempts"], again["num_attempts"]), (0, 1))
        wait_until(lambda: [q for q in posthorn.queue() if q["queue_name"] == "deferred"], "it is deferred again")
        posthorn.run("postsuper", "-d", first["id"])
        ended = self.wait_told(type="AdminBounce")
        self.assertEqual([(r["id"], r["recipient"], r["response"]["content"]) for r in ended], [(first["id"], "slow@there.test", "deleted by an operator")])
        self.assertEqual(ended[0]["headers"]["Subject"], "grüße")
        self.assertEqual(records_in(self.path)[-1]["type"], "AdminBounce")

    def test_what_is_too_old_expires_and_what_is_expired_by_hand_ends_by_an_operator(self):
        posthorn = self.recording({"RCPT": "451 4.2.0 not now"}, {"maximal_queue_lifetime": "0", "record_types": "expiration AdminBounce"})
        posthorn.send(["old@there.test"])
        record = self.wait_told(type="Expiration")[0]
        self.assertEqual((record["recipient"], record["response"]["code"], record["response"]["command"]), ("old@there.test", 451, "RCPT TO"))
        posthorn.set({"maximal_queue_lifetime": "5d"})
        posthorn.run("postfix", "reload")
        posthorn.send(["young@there.test"])
        posthorn.wait_log(r"to=<young@there.test>, .*status=deferred")
        wait_until(lambda: [q for q in posthorn.queue() if q["queue_name"] == "deferred" and "young@there.test" in str(q)], "the queue has it as deferred")
        posthorn.run("postsuper", "-e", "ALL", "deferred")
        self.wait_told(type="AdminBounce", recipient="young@there.test")
        self.assertEqual({r["type"] for r in records_in(self.path)}, {"Expiration", "AdminBounce"})

    def test_a_reply_is_classified_by_its_words_and_a_pool_is_the_egress_pool(self):
        posthorn = self.recording({"RCPT": "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"},
                                  {"default_transport": "bulk", "pooled_transports": "{ bulk, out1 }"})
        posthorn.add_service("out1 unix - - n - - smtp")
        posthorn.run("postfix", "reload")
        posthorn.send(["u@there.test"])
        record = self.wait_told(type="Bounce", recipient="u@there.test")[0]
        self.assertEqual((record["bounce_classification"], record["reason"], record["egress_pool"], record["egress_source"]),
                         ("SpamBlock", "not-authorized", "bulk", "out1"))
        own = posthorn.dir / "conf" / "classes"
        own.write_text("/zen\\.(\\w+)/ Listed-$1\n")
        posthorn.set({"bounce_classification_maps": f"pcre:{own}, shipped"})
        posthorn.run("postfix", "reload")
        posthorn.send(["v@there.test"])
        self.assertEqual(self.wait_told(type="Bounce", recipient="v@there.test")[0]["bounce_classification"], "Listed-spamhaus")
        posthorn.set({"bounce_classification_maps": ""})
        posthorn.run("postfix", "reload")
        posthorn.send(["w@there.test"])
        self.assertEqual(self.wait_told(type="Bounce", recipient="w@there.test")[0]["bounce_classification"], "PolicyRelated")

    def test_what_the_server_refuses_is_recorded_with_what_refused_it(self):
        posthorn = self.recording(settings={"smtpd_relay_restrictions": "check_recipient_access inline:{no@there.test=REJECT}, permit_mynetworks, reject_unauth_destination"})
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            posthorn.send(["no@there.test"])
        record = self.wait_told(type="Rejection")[0]
        self.assertEqual((record["sender"], record["recipient"], record["id"], record["site"]), ("sender@example.com", "no@there.test", "", ""))
        self.assertEqual(record["response"], {"code": 554, "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
                                              "content": "<no@there.test>: Recipient address rejected: Access denied", "command": "RCPT TO"})
        self.assertEqual((record["by"], record["reason"], record["peer_address"]["addr"]), ("check_recipient_access", "not-authorized", "127.0.0.1"))
        self.assertEqual(len(records_in(self.path)), 1)

    def test_mail_for_this_machine_and_mail_under_tls_say_how_it_went(self):
        certificate = Certificate("127.0.0.1")
        self._opened.append(certificate)
        posthorn = self.recording(settings={"smtp_tls_security_level": "encrypt", "smtp_tls_loglevel": "1", "mydestination": "here.test", "local_transport": "discard:taken"},
                                  tls=certificate.server())
        posthorn.send(["u@there.test", "root@here.test"])
        secured = self.wait_told(type="Delivery", recipient="u@there.test")[0]
        self.assertRegex(secured["tls_protocol_version"], r"^TLSv1\.\d$")
        posthorn.wait_log(rf"TLS connection established to .*: {secured['tls_protocol_version']} with cipher {secured['tls_cipher']} ")
        self.assertEqual(secured["tls_peer_subject_name"], ["CN=127.0.0.1"])
        here = self.wait_told(type="Delivery", recipient="root@here.test")[0]
        self.assertEqual((here["transport"], here["peer_address"], here["source_address"], here["delivery_protocol"]), ("discard", None, None, None))
        self.assertNotIn("tls_cipher", here)

    def test_under_load_nothing_is_missing_and_a_message_is_received_before_it_is_delivered(self):
        posthorn = self.recording()
        self.load(posthorn, 20, 40)
        posthorn.wait_empty()
        self.wait_told(800, type="Delivery")
        self.assertEqual(len(self.peer.recipients()), 800)
        seen, ended = set(), []
        for record in records_in(self.path):
            if record["type"] == "Reception":
                seen.add(record["id"])
            else:
                self.assertIn(record["id"], seen)
                ended.append(record["recipient"])
        self.assertEqual(sorted(ended), sorted(self.peer.recipients()))
        self.assertEqual(len(seen), 800)

    def test_rotation_and_reload_lose_none_and_the_new_file_goes_on(self):
        posthorn = self.recording()
        self.load(posthorn, 4, 100, stop=lambda: posthorn.run("postfix", "logrotate"))
        posthorn.wait_empty()
        wait_until(lambda: len([r for r in self.all_records() if r["type"] == "Delivery"]) == 400, "all are recorded")
        old = list(self.path.parent.glob("records.*"))
        self.assertEqual(len(old), 1)
        self.assertRegex(old[0].name, r"^records\.\d{8}-\d{6}\.gz$")
        self.assertGreater(len(records_in(old[0])), 0)
        count = len(self.all_records())
        posthorn.set({"record_types": "Delivery", "record_headers": "Subject", "record_file": str(self.path) + "-other"})
        posthorn.run("postfix", "reload")
        before, self.path = self.path, self.path.with_name("records-other")
        posthorn.send(["after@there.test"])
        self.assertEqual(self.wait_told(type="Delivery")[0]["headers"], {"Subject": "test"})
        self.assertEqual([r["type"] for r in records_in(self.path)], ["Delivery"])
        posthorn.set({"record_file": ""})
        posthorn.run("postfix", "reload")
        posthorn.send(["unrecorded@there.test"])
        posthorn.wait_log("to=<unrecorded@there.test>, .*status=sent")
        self.assertEqual(len(records_in(self.path)), 1)
        self.path = before
        self.assertEqual(len(self.all_records()), count)

    def test_what_is_recorded_when_the_supervisor_is_killed_is_written_all_the_same(self):
        posthorn = self.recording()
        posthorn.send(["first@there.test"])
        self.wait_told(type="Delivery")
        master = posthorn.master_pid()
        os.kill(master, signal.SIGSTOP)                               # so that nobody takes what is said
        posthorn.send(["late@there.test"])
        wait_until(lambda: "late@there.test" in self.peer.recipients(), "it is delivered")
        time.sleep(0.5)
        self.assertEqual(self.told(recipient="late@there.test"), [])
        os.kill(master, signal.SIGKILL)
        self.wait_told(type="Delivery", recipient="late@there.test")
        self.assertEqual([r["type"] for r in self.told(recipient="late@there.test")], ["Reception", "Delivery"])

    def test_a_wrong_file_type_or_field_is_refused_by_name_and_the_running_configuration_stays(self):
        posthorn = self.recording()
        for settings, words in [({"record_file": "/elsewhere/records"}, 'record_file "/elsewhere/records" does not match maillog_file_prefixes'),
                                ({"record_file": str(self.path), "record_types": "Delivery, Nonsense"}, "record_types: unknown type of record: Nonsense"),
                                ({"record_types": "Delivery", "record_headers": "a:b"}, "record_headers: not the name of a header field: a:b")]:
            posthorn.set(settings)
            posthorn.run("postfix", "reload", check=False)
            posthorn.wait_log(re.escape(words))
        posthorn.set({"record_headers": "", "record_file": "/elsewhere/records"})
        checked = posthorn.run("postfix", "check", check=False)
        self.assertNotEqual(checked.returncode, 0)
        self.assertIn("record_file", checked.stderr)
        posthorn.send(["u@there.test"])
        self.wait_told(type="Delivery")


class HookServer:
    """Who takes records: an HTTP server that can be stopped and started again on its port. `answer`: a function (records) -> status."""

    def __init__(self, answer=lambda records: 200, tls=None):
        self.answer, self.tls, self.taken, self.requests, self.times, self.port, self._server = answer, tls, [], [], [], 0, None
        self.start()

    def start(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                records = json.loads(body)
                records = records if isinstance(records, list) else [records]
                status = owner.answer(records)
                owner.times.append(time.monotonic())
                owner.requests.append((status, dict(self.headers), self.path, body))
                if status is None:                                    # heard, but not answered
                    self.close_connection = True
                    return
                if status // 100 == 2:
                    owner.taken.extend(records)
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *words):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, client):
                pass
        self._server = Server(("127.0.0.1", self.port), Handler)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self):
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    close = stop


class Hooks(Recording):
    """The records again, pushed (record_hook_url)."""

    def hooked(self, server, settings=None, **kwargs):
        self._opened.append(server)
        return self.recording(settings={"record_hook_url": f"http://127.0.0.1:{server.port}/take", **(settings or {})}, **kwargs)

    def first_times(self, server):
        """What was taken, each once, in the order of the first time."""
        seen, order = set(), []
        for record in list(server.taken):
            key = json.dumps(record, sort_keys=True)
            if key not in seen:
                seen.add(key)
                order.append(record)
        return order

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics") as answer:
            return int(re.search(rf"(?m)^posthorn_{name}{{.*}} (\d+)$", answer.read().decode()).group(1))

    def test_every_record_is_posted_as_an_object_with_the_authorization_of_a_file(self):
        server = HookServer()
        secret = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-secret.")) / "authorization"
        self.addCleanup(shutil.rmtree, secret.parent)
        secret.write_text("Bearer first\n")
        secret.chmod(0o600)
        posthorn = self.hooked(server, {"record_hook_authorization_file": str(secret)})
        posthorn.send(["u@there.test", "v@there.test"])
        posthorn.wait_empty()
        self.wait_told(2, type="Delivery")
        wait_until(lambda: server.taken == records_in(self.path), "all are posted, in order")
        status, headers, path, body = server.requests[0]
        self.assertEqual((path, headers["Content-Type"], headers["Authorization"]), ("/take", "application/json", "Bearer first"))
        self.assertEqual(body.decode(), self.path.read_text().splitlines()[0])
        wait_until(lambda: self.metric("hook_behind_bytes") == 0, "it has heard the answers")
        self.assertEqual((self.metric("hook_posted_total"), self.metric("hook_failed_total")), (len(server.taken), 0))
        secret.write_text("Bearer second\n")

        def the_new_one():
            posthorn.send(["w@there.test"])
            time.sleep(0.5)
            return server.requests[-1][1]["Authorization"] == "Bearer second"
        wait_until(the_new_one, "the changed authorization counts")

    def test_several_to_a_request_are_an_array_and_a_reload_begins_the_hook_and_ends_it(self):
        server = HookServer()
        self._opened.append(server)
        posthorn = self.recording()
        self.load(posthorn, 4, 25)
        posthorn.wait_empty()
        self.wait_told(100, type="Delivery")
        self.assertEqual(posthorn.pids_of("hook"), [])
        posthorn.set({"record_hook_url": f"http://127.0.0.1:{server.port}/", "record_hook_batch_size": "50"})
        posthorn.run("postfix", "reload")
        wait_until(lambda: server.taken == records_in(self.path), "all are posted, in order")
        self.assertLess(len(server.requests), 10)
        self.assertTrue(all(body.startswith(b"[{") for _, _, _, body in server.requests))
        wait_until(lambda: self.metric("hook_behind_bytes") == 0, "it has heard the answers")
        killed = posthorn.pids_of("hook")
        os.kill(killed[0], signal.SIGKILL)
        wait_until(lambda: posthorn.pids_of("hook") not in ([], killed), "another one")
        posthorn.send(["behind@there.test"])
        wait_until(lambda: len(server.taken) >= 202, "what is new is posted")
        self.assertEqual(server.taken, records_in(self.path))             # and nothing once more
        posthorn.set({"record_hook_batch_size": "2"})
        posthorn.run("postfix", "reload")
        count = len(server.taken)
        posthorn.send(["after@there.test"])
        wait_until(lambda: len(server.taken) == count + 2, "the next generation goes on where the one before was")
        self.assertEqual(server.taken, records_in(self.path))
        posthorn.set({"record_hook_url": ""})
        posthorn.run("postfix", "reload")
        wait_until(lambda: posthorn.pids_of("hook") == [], "it ends")

    def test_half_the_answers_fail_server_and_hook_die_and_every_record_arrives_in_order(self):
        numbers = iter(range(1 << 30))
        server = HookServer(answer=lambda records: (200, 500, 200, None)[next(numbers) % 4])
        posthorn = self.hooked(server)
        stop = threading.Event()

        def trouble():
            while not stop.is_set():
                for pid in posthorn.pids_of("hook"):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                server.stop()
                time.sleep(0.3)
                server.start()
                time.sleep(1.5)
        thread = threading.Thread(target=trouble)
        thread.start()
        self.load(posthorn, 4, 3, stop=lambda: posthorn.run("postfix", "logrotate"))
        time.sleep(6)
        stop.set()
        thread.join()
        server.answer = lambda records: 200
        posthorn.wait_empty()
        wait_until(lambda: len(self.all_records()) == 24, "all are recorded")
        wait_until(lambda: len(self.first_times(server)) == 24, "every record has arrived")
        self.assertEqual(self.first_times(server), self.all_records())
        # At least once: none came before one that it stands behind was taken.
        places = [self.all_records().index(record) for record in server.taken]
        self.assertTrue(all(place <= max(places[:at], default=-1) + 1 for at, place in enumerate(places)))
        posthorn.wait_log("record hook: 127.0.0.1:\\d+: .*; records wait")

    def test_while_nobody_takes_them_records_wait_and_that_is_said_once_and_when_it_is_well_again(self):
        server = HookServer(answer=lambda records: 503)
        posthorn = self.hooked(server)
        posthorn.send(["u@there.test"])
        wait_until(lambda: len(server.requests) >= 3, "it is tried again")
        # One second of rest, then two: to a server in trouble it is no trouble of its own.
        self.assertGreater(server.times[2] - server.times[0], 1.5)
        self.assertEqual({body for _, _, _, body in server.requests}, {self.path.read_bytes().split(b"\n")[0]})
        self.assertEqual(len(re.findall("the answer is 503; records wait", posthorn.log())), 1)
        self.assertGreaterEqual(self.metric("hook_failed_total"), 2)
        self.assertEqual((self.metric("hook_posted_total"), self.metric("hook_behind_bytes")), (0, len(self.path.read_bytes())))
        server.answer = lambda records: 200
        posthorn.wait_log("record hook: 127.0.0.1:\\d+ takes records again")
        wait_until(lambda: server.taken == records_in(self.path), "all are posted")

    def test_a_record_that_is_always_refused_is_left_out_and_those_beside_it_are_not(self):
        def answer(records):
            return 422 if any(record.get("recipient") == "bad@there.test" for record in records) else 200
        server = HookServer(answer)
        server.stop()
        posthorn = self.hooked(server, {"record_hook_batch_size": "50", "record_hook_refused_time": "2s", "record_types": "Delivery"})
        for recipient in ["a@there.test", "b@there.test", "bad@there.test", "c@there.test", "d@there.test"]:
            posthorn.send([recipient])
            self.wait_told(1, type="Delivery", recipient=recipient)
        server.start()
        others = [record for record in records_in(self.path) if record["recipient"] != "bad@there.test"]
        wait_until(lambda: server.taken == others, "all others are taken, in order")
        self.assertGreaterEqual(sum(1 for status, *_ in server.requests if status == 422), 3)     # together, then alone, and again
        posthorn.wait_log(r"record hook: .*: the answer is 422: a record is left out after 2 s; it stays in .* at octet \d+: \{.*")
        wait_until(lambda: self.metric("hook_behind_bytes") == 0, "it is behind nothing")
        self.assertEqual((self.metric("hook_posted_total"), self.metric("hook_refused_total")), (4, 1))
        # What is about the server, not about the record, is waited for.
        server.answer = lambda records: 403
        posthorn.send(["e@there.test"])
        wait_until(lambda: sum(1 for status, *_ in server.requests if status == 403) >= 3, "it is posted again")
        self.assertNotIn("403: a record is left out", posthorn.log())
        server.answer = lambda records: 200
        wait_until(lambda: server.taken[-1]["recipient"] == "e@there.test", "it is taken")

    def test_https_is_for_servers_whose_certificate_has_the_name_alone(self):
        certificate, other = Certificate("localhost"), Certificate("other.test")
        self._opened += [certificate, other]
        certificate.path.write_text(certificate.path.read_text() + other.path.read_text())      # both are vouched for
        server = HookServer(tls=other.server())
        posthorn = self.hooked(server, {"smtp_tls_CAfile": str(certificate.path), "record_hook_url": f"https://localhost:{server.port}/take"})
        posthorn.send(["u@there.test"])
        posthorn.wait_log("record hook: localhost:\\d+: .*Server certificate not verified.*; records wait")
        self.assertEqual(server.requests, [])
        server.stop()
        server.tls = certificate.server()
        server.start()
        self.wait_told(type="Delivery")
        wait_until(lambda: server.taken == records_in(self.path), "all are posted")

    def test_a_wrong_url_or_no_file_is_refused_by_name(self):
        posthorn = self.recording()
        for settings, words in [({"record_hook_url": "ftp://x/"}, "record_hook_url: .*expected http:// or https://"),
                                ({"record_hook_url": "https://127.0.0.1/"}, "record_hook_url: https needs the name"),
                                ({"record_hook_url": "http://127.0.0.1/", "record_file": ""}, "record_hook_url is set, but record_file is no file")]:
            posthorn.set(settings)
            posthorn.run("postfix", "reload", check=False)
            posthorn.wait_log(words)
        posthorn.send(["u@there.test"])
        self.wait_told(type="Delivery")


if __name__ == "__main__":
    unittest.main()
