"""Mail that is injected over HTTP, as KumoMTA's clients do it: what is acknowledged arrives once, as it was meant; what is refused is said so; and none is
lost, whatever happens to the process meanwhile."""
import base64
import email
import email.policy
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

from journey import PATIENCE, Journey, free_port, unittest, wait_until

TOKEN = "a-token-of-this-test-0123456789"


class Inject(Journey):
    def service(self, settings=None, relay=None, options=""):
        posthorn = self.instance(settings, relay=relay, start=False)
        self.port = free_port()
        posthorn.add_service(f"127.0.0.1:{self.port} inet n - n - - inject {options}")
        posthorn.start()
        wait_until(self.listens, "the service inject listens")
        return posthorn

    def listens(self):
        try:
            return self.ask("GET")[0] == 405
        except OSError:
            return False

    def ask(self, method, body=None, headers=None, path="/api/inject/v1", connection=None):
        """(status, headers, what was answered)"""
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            own.request(method, path, body=body, headers={"Content-Type": "application/json", **(headers or {})})
            answer = own.getresponse()
            return answer.status, dict(answer.getheaders()), json.loads(answer.read())
        finally:
            if not connection:
                own.close()

    def inject(self, recipients, content="Subject: test\n\nHello {{ name }}\n", status=200, headers=None, connection=None, **more):
        request = {"envelope_sender": "sender@example.com", "content": content,
                   "recipients": [{"email": one} if isinstance(one, str) else one for one in recipients], **more}
        got, _, said = self.ask("POST", json.dumps(request).encode(), headers, connection=connection)
        self.assertEqual(got, status, said)
        return said

    def test_a_message_arrives_as_it_was_said_with_what_every_message_has(self):
        sink = self.sink()
        posthorn = self.service(relay=sink.port)
        said = self.inject([{"email": "user@there.test", "name": "Ann"}], "From: me@example.com\nSubject: hi\n\n.Hello {{ name }}\n\nlast")
        self.assertEqual(said, {"success_count": 1, "fail_count": 0, "failed_recipients": [], "errors": []})
        wait_until(lambda: sink.messages, "it arrives")
        sender, _, content = sink.messages[0]
        self.assertIn("sender@example.com", sender)
        message = email.message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=email.policy.default)
        self.assertEqual(message["Subject"], "hi")
        self.assertRegex(message["Received"], r"^from \[127\.0\.0\.1\] \(.*127\.0\.0\.1\]\).* with HTTP id \S+\s+for <user@there\.test>;")
        self.assertTrue(message["Date"] and message["Message-Id"])
        self.assertEqual(message.get_payload().replace("\r\n", "\n"), ".Hello Ann\n\nlast\n")
        posthorn.wait_log(r"inject\[\d+\]: client \[127\.0\.0\.1\]: injected: from=<sender@example\.com>, nrcpt=1, accepted=1, refused=0")
        posthorn.wait_log(r"inject\[\d+\]: \w+: client=\S*\[127\.0\.0\.1\]")

    def test_a_message_that_is_built_reads_as_it_was_meant(self):
        sink = self.sink()
        self.service(relay=sink.port)
        picture, table = os.urandom(5000), "Name;Größe\nÄpfel;groß\n"
        content = {"text_body": "Grüße, {{ name }}", "html_body": "<p>Grüße, {{ name }}</p><img src=\"cid:pic\">", "subject": "Für {{ name }}",
                   "from": {"email": "shop@example.com", "name": "Der Läden"}, "reply_to": {"email": "help@example.com"},
                   "headers": {"X-Campaign": "{{ campaign }}"},
                   "attachments": [{"data": base64.b64encode(picture).decode(), "base64": True, "content_type": "image/png", "content_id": "pic"},
                                   {"data": table, "content_type": "text/csv", "file_name": "Größen und Preise.csv"}]}
        self.inject([{"email": "user@there.test", "name": "Jürgen <J>", "substitutions": {"campaign": "neu"}}], content, substitutions={"campaign": "alt"})
        wait_until(lambda: sink.messages, "it arrives")
        content = sink.messages[0][2]
        message = email.message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=email.policy.default)
        self.assertEqual(message.defects, [])
        self.assertEqual(message["Subject"], "Für Jürgen <J>")
        self.assertEqual(message["From"].addresses[0].display_name, "Der Läden")
        self.assertEqual((message["To"].addresses[0].display_name, message["To"].addresses[0].addr_spec), ("Jürgen <J>", "user@there.test"))
        self.assertEqual(message["X-Campaign"], "neu")
        self.assertEqual([part.get_content_type() for part in message.walk()],
                         ["multipart/mixed", "multipart/related", "multipart/alternative", "text/plain", "text/html", "image/png", "text/csv"])
        parts = {part.get_content_type(): part for part in message.walk()}
        self.assertEqual(parts["text/plain"].get_content().strip(), "Grüße, Jürgen <J>")
        self.assertEqual(parts["text/html"].get_content().strip(), "<p>Grüße, Jürgen &lt;J&gt;</p><img src=\"cid:pic\">")
        self.assertEqual(parts["image/png"].get_content(), picture)
        self.assertEqual((parts["image/png"]["Content-ID"], parts["image/png"].get_content_disposition()), ("<pic>", "inline"))
        self.assertEqual(parts["text/csv"].get_content().replace("\r\n", "\n"), table)
        self.assertEqual((parts["text/csv"].get_filename(), parts["text/csv"].get_content_disposition()), ("Größen und Preise.csv", "attachment"))

    def test_two_hundred_recipients_get_their_own_text_once_and_share_commits(self):
        sink = self.sink()
        posthorn = self.service(relay=sink.port)
        people = [{"email": f"u{n}@there.test", "name": f"N{n}", "substitutions": {"items": list(range(n % 5))}} for n in range(200)]
        qmgr, = posthorn.pids_of("service qmgr")
        watched = posthorn.dir / "syncs"
        strace = None
        if shutil.which("strace"):
            strace = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(watched), "-p", str(qmgr)], stderr=subprocess.DEVNULL)
            wait_until(lambda: "TracerPid:\t0\n" not in pathlib.Path(f"/proc/{qmgr}/status").read_text(), "strace watches qmgr")
        said = self.inject(people, "Subject: to {{ name }}\n\n{% for i in items %}{{ i }},{% endfor %}{{ email }}\n")
        if strace:
            strace.terminate()
            strace.wait(PATIENCE)
            # 12 commits where 16 mails each are on their way in four sessions; verdicts are stored as well meanwhile.
            self.assertLess(len(re.findall(r"(?:fsync|fdatasync)\(", watched.read_text())), 100)
        self.assertEqual((said["success_count"], said["fail_count"]), (200, 0))
        posthorn.wait_empty()
        self.assertEqual(sorted(sink.recipients()), sorted(one["email"] for one in people))
        for _, recipients, content in sink.messages:
            content = content.decode() if isinstance(content, bytes) else content
            number = int(re.search(r"u(\d+)@", recipients[0]).group(1))
            self.assertIn(f"Subject: to N{number}\r\n", content)
            self.assertTrue(content.endswith("\r\n\r\n" + "".join(f"{i}," for i in range(number % 5)) + f"u{number}@there.test\r\n"), content[-200:])

    def test_what_is_refused_is_told_with_its_reply_and_the_rest_goes(self):
        sink = self.sink()
        posthorn = self.service({"smtpd_recipient_restrictions": "check_recipient_access inline:{bad@there.test=REJECT}, permit_mynetworks, reject"}, relay=sink.port)
        said = self.inject(["bad@there.test", "user@there.test", "no address"])
        self.assertEqual((said["success_count"], said["fail_count"], said["failed_recipients"]), (1, 2, ["bad@there.test", "no address"]))
        self.assertRegex(said["errors"][0], r"^bad@there\.test: 554 5\.7\.1 <bad@there\.test>: Recipient address rejected: Access denied")
        posthorn.wait_empty()
        self.assertEqual(sink.recipients(), ["user@there.test"])
        posthorn.wait_log(r"inject\[\d+\]: NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 <bad@there\.test>.* proto=HTTP")

    def test_a_request_that_is_wrong_injects_nothing_and_names_its_mistake(self):
        sink = self.sink()
        posthorn = self.service(relay=sink.port)
        for body, error in ((b"{\"envelope_sender\": \"a@b.test\",\n oops}", "line 2, column 2: "),
                            (json.dumps({"envelope_sender": "a@b.test", "recipients": [{"email": "u@there.test"}], "content": "\n\n{% include 'x' %}"}).encode(),
                             "content: line 3, column 4: the statement"),
                            (json.dumps({"envelope_sender": "a@b.test", "recipients": [{"email": "u@there.test"}], "contents": ""}).encode(), "content: a string")):
            status, _, said = self.ask("POST", body)
            self.assertEqual(status, 400)
            self.assertTrue(said["error"].startswith(error), said)
        for headers in ({"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}):
            self.assertEqual(self.ask("POST", b"{}", headers)[0], 415)
        self.assertEqual(self.ask("POST", b"{}", {"Host": "evil.test"})[0], 421)
        self.assertEqual(self.ask("POST", b"{}", path="/other")[0], 404)
        self.assertEqual(posthorn.queue(), [])
        self.assertEqual(sink.recipients(), [])

    def test_a_token_that_is_wrong_or_missing_lets_nobody_in_and_a_new_one_counts_at_once(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        token = posthorn.dir / "conf" / "inject_token"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        posthorn.set({"inject_token_file": str(token)})
        self.port = free_port()
        posthorn.add_service(f"127.0.0.1:{self.port} inet n - n - - inject")
        posthorn.start()
        wait_until(self.listens, "the service inject listens")
        self.inject(["user@there.test"], status=401)
        self.inject(["user@there.test"], status=401, headers={"Authorization": "Bearer " + TOKEN[:-1] + "X"})
        self.inject(["user@there.test"], status=401, headers={"Authorization": "Basic " + base64.b64encode(b"user:pass").decode()})
        self.inject(["user@there.test"], headers={"Authorization": "Bearer " + TOKEN})
        other = TOKEN[::-1]
        token.write_text(other + "\n")
        body = json.dumps({"envelope_sender": "a@b.test", "recipients": [{"email": "second@there.test"}], "content": "\n\nx"}).encode()
        wait_until(lambda: self.ask("POST", body, {"Authorization": "Bearer " + other})[0] == 200, "the new token counts")
        self.inject(["user@there.test"], status=401, headers={"Authorization": "Bearer " + TOKEN})
        posthorn.wait_empty()
        self.assertEqual(sink.recipients(), ["user@there.test", "second@there.test"])

    def test_a_large_attachment_arrives_whole_and_leave_to_send_it_is_given(self):
        sink = self.sink()
        posthorn = self.service({"message_size_limit": "12000000"}, relay=sink.port)
        octets = os.urandom(6_000_000)
        body = json.dumps({"envelope_sender": "a@b.test", "recipients": [{"email": "user@there.test"}, {"email": "other@there.test"}],
                           "content": {"text_body": "x", "attachments": [{"data": base64.b64encode(octets).decode(), "base64": True,
                                                                          "content_type": "application/pdf", "file_name": "a.pdf"}]}}).encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as client, client.makefile("rb") as heard:
            client.sendall(b"POST /api/inject/v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
                           b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.assertEqual(heard.readline(), b"HTTP/1.1 100 Continue\r\n")
            heard.readline()
            client.sendall(body)
            self.assertEqual(heard.readline(), b"HTTP/1.1 200 OK\r\n")
            self.assertIn(b'"success_count": 2', heard.read())
        posthorn.wait_empty()
        self.assertEqual(sorted(sink.recipients()), ["other@there.test", "user@there.test"])
        for _, _, content in sink.messages:
            message = email.message_from_bytes(content if isinstance(content, bytes) else content.encode(), policy=email.policy.default)
            attached, = message.iter_attachments()
            self.assertEqual((attached.get_filename(), attached.get_content()), ("a.pdf", octets))
        # More than the body may have, and more than a message may have.
        self.assertEqual(self.ask("POST", b" " * 20_480_001)[0], 413)
        said = self.inject(["user@there.test"], "\n\n" + "x\n" * 6_100_000)
        self.assertRegex(said["errors"][0], "^user@there.test: 554 5.6.0 .* octets|552 5.3.4")

    def load(self, count, recipients=5):
        """Threads that inject until told to stop: (acknowledged, refused, unsure), sets of addresses, and the function that ends them."""
        acknowledged, refused, unsure, lock, end = set(), set(), set(), threading.Lock(), threading.Event()

        def run(number):
            connection, request = None, 0
            while not end.is_set():
                request += 1
                addresses = [f"t{number}r{request}n{n}@there.test" for n in range(recipients)]
                with lock:
                    unsure.update(addresses)
                try:
                    connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                    body = json.dumps({"envelope_sender": "a@ours.test", "content": "Subject: load\n\n{{ email }}\n", "recipients": [{"email": a} for a in addresses]})
                    status, headers, said = self.ask("POST", body.encode(), connection=connection)
                    with lock:
                        failed = set(said["failed_recipients"]) if status == 200 else set(addresses)
                        refused.update(failed)
                        acknowledged.update(set(addresses) - failed)
                        unsure.difference_update(addresses)
                    if headers.get("Connection") == "close":
                        connection.close()
                        connection = None
                except (OSError, http.client.HTTPException):
                    if connection:
                        connection.close()
                    connection = None
                    time.sleep(0.02)
            if connection:
                connection.close()
        threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()

        def stop():
            end.set()
            for thread in threads:
                thread.join(PATIENCE)
        return acknowledged, refused, unsure, stop

    def test_reloads_amid_many_requests_lose_nothing_and_send_nothing_twice(self):
        sink = self.sink()
        posthorn = self.service(relay=sink.port)
        acknowledged, refused, unsure, stop = self.load(6)
        for _ in range(3):
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before + 100, "mail is taken")
            posthorn.run("postfix", "reload")
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) > before + 100, "mail is taken by the last generation")
        stop()
        posthorn.wait_empty()
        arrived = sink.recipients()
        self.assertEqual(len(arrived), len(set(arrived)), "something came twice")
        self.assertEqual(acknowledged - set(arrived), set())
        self.assertEqual(refused & set(arrived), set())
        self.assertEqual(set(arrived) - acknowledged - unsure, set())

    def test_a_process_that_is_killed_has_acknowledged_nothing_that_is_lost(self):
        sink = self.sink()
        posthorn = self.service(relay=sink.port)
        acknowledged, _, _, stop = self.load(6)
        for _ in range(3):
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before + 100, "mail is taken")
            for pid in posthorn.pids_of("service inject"):
                os.kill(pid, signal.SIGKILL)
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) > before + 100, "mail is taken again")
        stop()
        posthorn.wait_empty()
        self.assertEqual(acknowledged - set(sink.recipients()), set())


if __name__ == "__main__":
    unittest.main()
