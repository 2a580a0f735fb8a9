"""The admin service: what Prometheus, scripts and people hear over HTTP agrees with what happened and with what the commands say; who may ask and
change what; and clients that are slow, broken or hostile."""
import contextlib
import html.parser
import http.client
import json
import os
import re
import signal
import socket
import threading
import time

from journey import PATIENCE, Journey, free_port, unittest, wait_until

TOKEN = "a-token-of-this-test-0123456789"


def samples(text):
    """Prometheus' text as {series: value}; fails where promtool would: an unreadable line, HELP or TYPE twice or behind samples, a series twice,
    samples of one metric apart from each other, a counter that is none, a histogram whose buckets fall."""
    found, types, helps, current, closed = {}, {}, set(), None, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helps, line
            helps.add(name)
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types and kind in ("counter", "gauge", "histogram"), line
            assert kind != "counter" or name.endswith("_total"), line
            types[name] = kind
            continue
        match = re.fullmatch(r'([a-z_:][a-z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,|(?=\})))*)\})? (-?[0-9.e+-]+)', line)
        assert match, f"cannot be read: {line!r}"
        name, labels, value = match.groups()
        metric = next((name[:-len(end)] for end in ("_bucket", "_sum", "_count") if name.endswith(end) and types.get(name[:-len(end)]) == "histogram"), name)
        assert metric in types and metric in helps, line
        if metric != current:
            assert metric not in closed, f"{metric} is in two places"
            closed.add(current)
            current = metric
        series = name + "{" + (labels or "") + "}"
        assert series not in found, f"twice: {series}"
        found[series] = float(value)
    for name, kind in types.items():
        if kind == "histogram":
            buckets = {}
            for series, value in found.items():
                if series.startswith(name + "_bucket{"):
                    rest, end = re.fullmatch(r'(.*),?le="([^"]+)"\}', series).groups()
                    buckets.setdefault(rest, []).append((float(end.replace("+Inf", "inf")), value))
            for rest, list_of in buckets.items():
                assert list_of == sorted(list_of) and list_of[-1][0] == float("inf"), name
                assert [value for _, value in list_of] == sorted(value for _, value in list_of), name
    return found


def total(found, name, **labels):
    """Of all series of this metric with these labels."""
    return sum(value for series, value in found.items()
               if series.startswith(name + "{") and all(f'{label}="{wanted}"' in series for label, wanted in labels.items()))


class Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("href", "src", "action")]
        assert not any(name.startswith("on") for name, _ in attributes), attributes

    def handle_data(self, data):
        self.text += data


class Admin(Journey):
    def admin(self, settings=None, relay=None, options="", start=True):
        posthorn = self.instance(settings, relay=relay, start=False)
        self.port = free_port()
        token = posthorn.dir / "conf" / "token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        posthorn.set({"admin_token_file": str(token)})
        posthorn.add_service(f"127.0.0.1:{self.port} inet n - n - 1 admin {options}")
        if start:
            posthorn.start()
            wait_until(self.listens, "the admin service listens")
        return posthorn

    def listens(self):
        try:
            return self.ask("GET", "/api")[0] == 200
        except OSError:
            return False

    def ask(self, method, path, headers=None, body=None):
        """(status, headers, body)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def get(self, path, status=200):
        got, headers, body = self.ask("GET", path)
        self.assertEqual(got, status, body)
        return json.loads(body) if headers["Content-Type"] == "application/json" else body

    def post(self, path, status=200, token=TOKEN):
        got, _, body = self.ask("POST", path, {"Authorization": f"Bearer {token}"} if token else {})
        self.assertEqual(got, status, body)
        return json.loads(body)

    def metrics(self):
        return samples(self.get("/metrics"))

    def raw(self, octets):
        """All that is answered to this, until the end of the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client:
            try:
                client.sendall(octets)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass                                               # it has had enough
            heard = b""
            try:
                while piece := client.recv(65536):
                    heard += piece
            except ConnectionResetError:
                pass
            return heard

    def test_metrics_agree_with_what_was_sent_and_outlive_a_reload(self):
        def reply(argument, sink):
            return {"gone": "550 5.1.1 unknown", "full": "452 4.2.2 full", "later": "450 4.7.1 not yet"}.get(argument[argument.index("<") + 1:].split("@")[0],
                                                                                                          "250 2.1.5 Ok")
        sink = self.sink({"RCPT": reply})
        posthorn = self.admin({"default_destination_recipient_limit": "1", "smtpd_recipient_restrictions": "reject_non_fqdn_recipient, "
                               "check_recipient_access inline:{bad@there.test=DEFER}, permit_mynetworks, reject"}, relay=sink.port)
        with posthorn.smtp() as client:
            client.ehlo()
            client.mail("a@b.test")
            for _ in range(3):
                self.assertEqual(client.rcpt("x@nodot")[0], 504)
            self.assertEqual(client.rcpt("bad@there.test")[0], 450)
        for number in range(7):
            posthorn.send([f"r{number}@there.test"])
        posthorn.send(["full@there.test", "later@there.test", "gone@elsewhere.test"])
        posthorn.wait_log("status=sent", 8)                        # seven, and the bounce
        posthorn.wait_log("status=deferred", 2)
        wait_until(lambda: len(posthorn.queue()) == 1, "one message is left")
        found = self.metrics()
        self.assertEqual(total(found, "posthorn_smtpd_accepted_total"), 8)
        self.assertEqual(total(found, "posthorn_qmgr_enqueued_total"), 8)
        self.assertEqual(total(found, "posthorn_smtpd_rejections_total"), 4)
        self.assertEqual(total(found, "posthorn_smtpd_rejections_total", command="RCPT", code="5", by="reject_non_fqdn_recipient"), 3)
        self.assertEqual(total(found, "posthorn_smtpd_rejections_total", command="RCPT", code="4", by="check_recipient_access"), 1)
        self.assertGreaterEqual(total(found, "posthorn_smtpd_connections_total"), 9)
        self.assertIn('posthorn_dns_questions_total{service="smtp/unix",program="smtp"}', found)
        self.assertEqual(total(found, "posthorn_qmgr_delivered_total"), 8)
        self.assertEqual(total(found, "posthorn_deliveries_total"), 11)
        self.assertEqual(total(found, "posthorn_deliveries_total", transport="smtp", result="delivered", status="2.0.x"), 8)
        self.assertEqual(total(found, "posthorn_deliveries_total", result="bounced", status="5.1.x"), 1)
        self.assertEqual(total(found, "posthorn_deferrals_total"), 2)
        self.assertEqual(total(found, "posthorn_deferrals_total", reason="mailbox-full"), 1)
        self.assertEqual(total(found, "posthorn_deferrals_total", reason="not-authorized"), 1)
        self.assertEqual(total(found, "posthorn_queue_messages"), 1)
        self.assertEqual(total(found, "posthorn_queue_messages", queue="deferred", age="0-5m"), 1)
        self.assertEqual(total(found, "posthorn_queue_deferred_groups"), 2)
        self.assertEqual(total(found, "posthorn_delivery_delay_seconds_count"), 8)
        self.assertEqual(total(found, "posthorn_delivery_delay_seconds_bucket", le="+Inf"), 8)
        self.assertGreater(total(found, "posthorn_process_cpu_seconds_total", program="qmgr"), 0)
        self.assertGreater(total(found, "posthorn_process_resident_memory_bytes", program="master"), 1 << 20)
        self.assertEqual(total(found, "posthorn_processes", program="smtpd"), total(found, "posthorn_processes", service="smtp/inet") or
                         len(posthorn.pids_of("service smtpd")))
        self.assertEqual(total(found, "posthorn_processes_silent"), 0)
        # What `posthorn counters` says is what is told here, process by process.
        told = {(one["program"], counter["name"]): counter["value"] for one in self.get("/api/counters")["processes"] for counter in one["counters"]}
        self.assertIn(f"qmgr_removed {told['qmgr', 'qmgr_removed']}", posthorn.run("posthorn", "counters").stdout)
        self.assertEqual(told["qmgr", "qmgr_removed"], 8)

        # Another generation of smtpd and smtp, and of the service itself: nothing that only grows falls.
        old = posthorn.pids_of("service admin")
        posthorn.run("postfix", "reload")
        wait_until(lambda: posthorn.pids_of("service admin") not in (old, []) and self.listens(), "the admin service is a new process")
        wait_until(lambda: total(self.metrics(), "posthorn_smtpd_accepted_total") == 8, "what the old smtpd had counted is still there")
        again = self.metrics()
        for series, value in found.items():
            if series.split("{")[0].endswith("_total"):
                self.assertGreaterEqual(again.get(series, 0), value, series)

    def test_the_queue_is_told_as_by_the_commands_and_changed_with_the_token_alone(self):
        posthorn = self.admin({"default_destination_recipient_limit": "1"}, relay=free_port())
        for number in range(5):
            posthorn.send([f"r{number}@there.test", f"s{number}@other.test"], sender=f"from{number}@example.com")
        posthorn.wait_log("status=deferred", 10)
        listed = {message["queue_id"]: message for message in posthorn.queue()}
        wait_until(lambda: all("next_attempt" in message for message in posthorn.queue()), "all of them wait")
        listed = {message["queue_id"]: message for message in posthorn.queue()}
        got, after, pages = {}, "", 0
        while True:
            page = self.get(f"/api/queue?limit=2{after}")
            self.assertLessEqual(len(page["messages"]), 2)
            self.assertEqual(page["total"], 5)
            got.update({message["queue_id"]: message for message in page["messages"]})
            pages += 1
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        self.assertEqual(got, listed)
        self.assertGreaterEqual(pages, 3)
        self.assertEqual(len(self.get("/api/queue?queue=deferred")["messages"]), 5)
        self.assertEqual(self.get("/api/queue?queue=hold")["messages"], [])

        sites = self.get("/api/sites")
        self.assertEqual(sites["messages"], 5)
        groups = {(group["destination"], group["reason"]): group for group in sites["deferred"]}
        self.assertEqual({key: group["recipients"] for key, group in groups.items()}, {("there.test", "no-answer"): 5, ("other.test", "no-answer"): 5})
        self.assertIn("Connection refused", groups["there.test", "no-answer"]["text"])

        first, second, third, *_ = sorted(listed)
        wait_until(lambda: self.get(f"/api/queue/{first}/transcripts")["transcripts"], "the session is told of")
        said = self.get(f"/api/queue/{first}")
        by_command = json.loads(posthorn.run("posthorn", "why", "-c", str(posthorn.dir), "--json", first).stdout)
        self.assertEqual(said, by_command)
        self.assertEqual([one["wait"] for one in said["waiting"]], ["retry-time"] * 2)
        self.get("/api/queue/4gDq8v1Yc0z3D", status=404)
        self.assertIn("there.test", json.dumps(self.get("/api/why/there.test")))

        # Nothing without the token, whatever is asked for.
        for token in (None, "", TOKEN[:-1], TOKEN + "x"):
            self.assertIn("error", self.post(f"/api/queue/{first}/delete", status=401, token=token))
        self.assertEqual(self.ask("GET", f"/api/queue/{first}/delete", {"Authorization": f"Bearer {TOKEN}"})[0], 405)
        self.assertEqual(self.ask("DELETE", f"/api/queue/{first}", {"Authorization": f"Bearer {TOKEN}"})[0], 405)
        self.assertEqual({message["queue_id"] for message in posthorn.queue()}, set(listed))

        self.assertEqual(self.post(f"/api/queue/{first}/delete"), {"queue_id": first, "done": "removed"})
        self.post(f"/api/queue/{first}/delete", status=404)
        self.post("/api/queue/ALL/delete", status=404)
        self.assertEqual(self.post(f"/api/queue/{second}/hold")["done"], "placed on hold")
        self.post(f"/api/queue/{second}/hold", status=409)
        queues = {message["queue_id"]: message["queue_name"] for message in posthorn.queue()}
        self.assertNotIn(first, queues)
        self.assertEqual(queues[second], "hold")
        found = self.metrics()
        self.assertEqual((total(found, "posthorn_queue_messages", queue="hold"), total(found, "posthorn_queue_messages")), (1, 4))
        self.assertEqual(self.post(f"/api/queue/{second}/release")["done"], "released from hold")
        before = len(re.findall("status=deferred", posthorn.log()))
        self.assertGreaterEqual(self.post("/api/sites/there.test/flush")["scheduled"], 1)
        posthorn.wait_log("status=deferred", before + 1)
        self.assertEqual(self.post(f"/api/queue/{third}/expire")["done"], "expired")
        posthorn.wait_log(rf"{third}: from=<.*>, status=force-expired")
        for line in (rf"admin\[\d+\]: {first}: removed by client \[127\.0\.0\.1\]", rf"admin\[\d+\]: {second}: placed on hold by client \[127\.0\.0\.1\]",
                     r"admin\[\d+\]: mail for there\.test: \d+ messages scheduled for delivery by client", rf"warning: client \[127\.0\.0\.1\]: /api/queue/{first}/delete: refused"):
            posthorn.wait_log(line)

    def test_numbers_of_the_queue_are_those_of_before_a_restart_of_qmgr(self):
        posthorn = self.admin(relay=free_port())
        for number in range(3):
            posthorn.send([f"r{number}@there.test"])
        posthorn.wait_log("status=deferred", 3)
        held = posthorn.queue()[0]["queue_id"]
        self.post(f"/api/queue/{held}/hold")
        before = {key: value for key, value in self.metrics().items() if key.startswith("posthorn_queue_")}
        self.assertEqual(total(before, "posthorn_queue_messages", queue="hold"), 1)
        os.kill(posthorn.pids_of("service qmgr")[0], 9)

        def there_again():
            if self.ask("GET", "/api/sites")[0] != 200:
                return False
            return {key: value for key, value in self.metrics().items() if key.startswith("posthorn_queue_")} == before
        wait_until(there_again, "the same numbers, by the same reasons")
        group, = self.get("/api/sites")["deferred"]
        self.assertEqual((group["destination"], group["reason"], group["recipients"]), ("there.test", "no-answer", 3))

    def test_what_there_is_goes_with_its_process_and_what_was_counted_stays(self):
        posthorn = self.admin(relay=free_port())
        for number in range(3):
            posthorn.send([f"r{number}@there.test"])
        wait_until(lambda: sum(group["recipients"] for group in self.get("/api/sites")["deferred"]) == 3, "all are deferred, on the disk too")
        old, = posthorn.pids_of("service qmgr")
        os.kill(old, signal.SIGTERM)                               # it ends in order, and tells what it had counted
        wait_until(lambda: posthorn.pids_of("service qmgr") not in ([old], []) and self.ask("GET", "/api/sites")[0] == 200, "another qmgr")
        wait_until(lambda: total(self.metrics(), "posthorn_queue_messages") == 3, "it has read the queue")
        row = re.search(r'<tr><td>deferred</td><td class="n">(\d+)</td>', self.ask("GET", "/")[2])
        self.assertEqual(row[1], "3")
        ended = {counter["name"]: counter["value"] for one in self.get("/api/counters")["processes"] if one["process"] is None and one["program"] == "qmgr"
                 for counter in one["counters"]}
        self.assertEqual((ended["qmgr_deferred"], ended["messages"]), (3, 3))
        for gauge in ("qmgr_active", "qmgr_waiting", "resident_memory", "started", 'queue_messages{queue="deferred",age="0-5m"}'):
            self.assertNotIn(gauge, ended)
        self.assertEqual(total(self.metrics(), "posthorn_deferrals_total"), 3)

    def test_who_may_ask(self):
        posthorn = self.admin(options="-o admin_clients=127.0.0.1,!127.0.0.2 -o admin_hosts=admin.test")
        self.assertEqual(self.ask("GET", "/metrics", {"Host": "admin.test:80"})[0], 200)
        for name in ("evil.test", "localhost", "127.0.0.1.evil.test", "127.0.0.3"):
            self.assertEqual(self.ask("GET", "/metrics", {"Host": name})[0], 421, name)
        self.assertNotIn("Access-Control-Allow-Origin", self.ask("GET", "/metrics", {"Origin": "http://evil.test"})[1])
        self.assertTrue(self.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 "))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE, source_address=("127.0.0.2", 0))
        connection.request("GET", "/metrics")
        self.assertEqual(connection.getresponse().status, 403)
        connection.close()

        # A reload takes other options, and refuses wrong ones; the token file is read anew when it changes.
        def options(text):
            path = posthorn.dir / "conf" / "master.cf"
            path.write_text(re.sub(r"( admin) .*", rf"\1 {text}", path.read_text()))
        options("-o admin_clients=nonsense.test")
        refused = posthorn.run("postfix", "reload", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("admin_clients: nonsense.test", refused.stderr + posthorn.log())
        self.assertEqual(self.ask("GET", "/metrics", {"Host": "admin.test"})[0], 200)
        options("-o admin_clients=127.0.0.0/8 -o admin_hosts=other.test")
        posthorn.run("postfix", "reload")
        wait_until(lambda: self.ask("GET", "/metrics", {"Host": "other.test"})[0] == 200, "the new name is taken")
        wait_until(lambda: self.ask("GET", "/metrics", {"Host": "admin.test"})[0] == 421, "the old one no more")
        (posthorn.dir / "conf" / "token").write_text("another-token-0123456789\n")
        wait_until(lambda: self.ask("POST", "/api/flush", {"Authorization": "Bearer another-token-0123456789"})[0] == 200, "the new token is taken")
        self.post("/api/flush", status=401)
        (posthorn.dir / "conf" / "token").write_text("short\n")
        wait_until(lambda: self.ask("POST", "/api/flush")[0] == 403, "nothing can be changed")
        posthorn.wait_log("admin_token_file .*: the token is shorter than 16 characters")

    def test_slow_and_broken_clients_harm_nobody(self):
        posthorn = self.admin(options="-o admin_timeout=2s -o admin_connection_limit=8", relay=self.sink().port)
        waiting = [socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) for _ in range(60)]
        began = time.monotonic()
        for client in waiting[30:]:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: loc")   # half a request; the others say nothing
        self.assertEqual(len(self.metrics()) > 20, True)
        self.assertTrue(waiting[-1].recv(4096).startswith(b"HTTP/1.1 408 "))
        for client in waiting:
            # Who was sent away to make room before their octets came has them refused.
            with contextlib.suppress(ConnectionResetError):
                while client.recv(4096):
                    pass
            client.close()
        self.assertLess(time.monotonic() - began, 10)
        # Who has asked something has a place, until it has been silent for long.
        placed = [socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) for _ in range(8)]
        for client in placed:
            client.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(client.recv(65536).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(self.ask("GET", "/api")[0], 503)
        for client in placed:
            client.close()
        wait_until(self.listens, "there is room again")
        head = b"POST /api/flush HTTP/1.1\r\nHost: localhost\r\n"
        self.assertTrue(self.raw(head + b"X-Field: x\r\n" * 10_000 + b"\r\n").startswith(b"HTTP/1.1 431 "))
        self.assertTrue(self.raw(head + b"Content-Length: 10000000\r\n\r\n" + b"x" * 100_000).startswith(b"HTTP/1.1 413 "))
        chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 0xffff + b"\r\n8000\r\n" + b"x" * 0x8000
        self.assertTrue(self.raw(head + b"Authorization: Bearer " + TOKEN.encode() + b"\r\n" + chunks).startswith(b"HTTP/1.1 413 "))
        self.assertTrue(self.raw(head + chunks).startswith(b"HTTP/1.1 401 "))              # its header says enough
        self.assertTrue(self.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400 "))
        self.assertTrue(self.raw(b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 400 "))
        self.assertIn(b"HTTP/1.1 404 ", self.raw(b"GET /why HTTP/1.1\r\nHost: localhost\r\n\r\nGET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        pids = posthorn.pids_of("service admin")
        self.assertEqual(len(pids), 1)
        posthorn.send(["user@there.test"])
        posthorn.wait_log("status=sent")
        self.assertEqual(total(self.metrics(), "posthorn_qmgr_delivered_total"), 1)
        self.assertEqual(posthorn.pids_of("service admin"), pids)

    def test_a_reload_is_not_seen_by_who_scrapes(self):
        posthorn = self.admin({"default_destination_recipient_limit": "1"}, relay=self.sink().port)
        for number in range(4):
            posthorn.send([f"r{number}@there.test"])
        posthorn.wait_log("status=sent", 4)
        posthorn.wait_empty()
        told = ("posthorn_smtpd_accepted_total", "posthorn_smtp_recipients_total", "posthorn_qmgr_delivered_total", "posthorn_delivery_delay_seconds_count")
        wait_until(lambda: [total(self.metrics(), name) for name in told] == [4] * len(told), "all is counted")
        answers, over = [], threading.Event()

        def scrape(kept):
            connection = None
            while not over.is_set():
                try:
                    connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                    connection.request("GET", "/metrics")
                    answer = connection.getresponse()
                    body = answer.read().decode()
                    answers.append((answer.status, [total(samples(body), name) for name in told] if answer.status == 200 else body))
                    if not kept or answer.will_close:
                        connection.close()
                        connection = None
                except Exception as failure:                       # also of what is no Prometheus text
                    answers.append((0, repr(failure)))
                    connection = None
        scrapers = [threading.Thread(target=scrape, args=(kept,)) for kept in (False, False, True, True)]
        for scraper in scrapers:
            scraper.start()
        try:
            for _ in range(4):
                count = len(answers)
                posthorn.run("postfix", "reload")
                wait_until(lambda: len(answers) > count + 8, "scrapes after the reload")
        finally:
            over.set()
            for scraper in scrapers:
                scraper.join()
        wrong = [answer for answer in answers if answer != (200, [4] * len(told))]
        self.assertEqual(wrong, [], f"of {len(answers)}")

    def test_a_token_file_that_is_too_long_is_no_token(self):
        posthorn = self.admin(start=False)
        (posthorn.dir / "conf" / "token").write_text(TOKEN + "\n" * 5000)
        posthorn.start()
        wait_until(self.listens, "the admin service listens")
        posthorn.wait_log("admin_token_file .*: the file is longer than 4096 octets: nothing can be changed")
        self.post("/api/flush", status=403)

    def test_the_page_shows_mail_as_text(self):
        posthorn = self.admin(relay=free_port())
        hostile = '"<script>alert(1)</script>&\'"@evil.test'
        posthorn.send(["user@there.test"], sender=hostile)
        posthorn.wait_log("status=deferred")
        status, headers, body = self.ask("GET", "/")
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/html; charset=utf-8")
        self.assertRegex(headers["Content-Security-Policy"], r"^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]+='; ")
        page = Links(body)
        self.assertNotIn("script", page.tags)
        self.assertIn("<script>alert(1)</script>", page.text)
        self.assertIn("there.test", page.text)
        self.assertIn("no-answer", page.text)
        self.assertTrue(all(link.startswith("/") and not link.startswith("//") for link in page.links), page.links)
        queue_id = posthorn.queue()[0]["queue_id"]
        self.assertIn(f"/message/{queue_id}", page.links)
        for link in sorted(set(page.links)):
            with self.subTest(link):
                status, _, body = self.ask("GET", link)
                self.assertEqual(status, 200, body)
                if body.startswith("<!DOCTYPE"):
                    self.assertNotIn("script", Links(body).tags)
        self.assertIn("<script>alert(1)</script>", Links(self.ask("GET", f"/message/{queue_id}")[2]).text)
        self.assertEqual(self.ask("GET", "/why/%3Cscript%3E")[0], 404)

    def test_a_unix_socket_and_no_line_at_all(self):
        posthorn = self.instance(start=False)
        posthorn.add_service("admin unix n - n - 1 admin")
        posthorn.start()

        def ask(request):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(str(posthorn.dir / "queue" / "public" / "admin"))
                client.sendall(request)
                return b"".join(iter(lambda: client.recv(65536), b""))
        heard = wait_until(lambda: ask(b"GET /metrics HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n"), "an answer")
        self.assertTrue(heard.startswith(b"HTTP/1.1 200 OK\r\n"), heard[:200])
        self.assertIn(b"nothing can be changed here", ask(b"POST /api/flush HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
        without = self.instance()
        self.assertEqual(without.pids_of("service admin"), [])


if __name__ == "__main__":
    unittest.main()
