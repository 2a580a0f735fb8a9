"""The daily reports that other domains ask for: what became of TLS with them (RFC 8460), and what mail in their name proved (RFC 7489)."""
import datetime
import email
import email.policy
import gzip
import http.server
import json
import os
import pathlib
import re
import signal
import smtplib
import subprocess
import threading
import time
import xml.etree.ElementTree

from journey import Certificate, Journey, unittest, wait_until

VERIFY = """
import dkim, json, sys
keys = json.loads(sys.argv[1])
ask = lambda name, timeout=5: keys.get((name.decode() if isinstance(name, bytes) else name).rstrip("."), "").encode()
print(dkim.verify(sys.stdin.buffer.read(), dnsfunc=ask))
"""


class Collector:
    """Takes reports by HTTPS: `taken` is (path, type, octets); answers `status`."""

    def __init__(self, certificate):
        self.taken, self.status = [], 201
        collector = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                octets = self.rfile.read(int(self.headers["Content-Length"]))
                collector.taken.append((self.path, self.headers["Content-Type"], octets))
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self._server.socket = certificate.server().wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.handle_error = lambda *_: None
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def attached(octets):
    """The report within a mail, and the mail."""
    mail = email.message_from_bytes(octets, policy=email.policy.default)
    [part] = mail.iter_attachments()
    return mail, part, gzip.decompress(part.get_content())


class Reports(Journey):
    def setUp(self):
        super().setUp()
        self.today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")

    def certificate(self, name, issuer=None):
        made = Certificate(name, issuer)
        self.addCleanup(made.close)
        return made

    def listed(self, posthorn, *arguments):
        return [json.loads(line) for line in posthorn.run("posthorn", "reports", "--json", *arguments).stdout.splitlines()]

    def counted(self, posthorn, count):
        return wait_until(lambda: sum(one["good"] + one["bad"] for one in self.listed(posthorn)) == count and self.listed(posthorn), f"{count} are counted")

    def test_a_domain_hears_of_tls_with_its_servers_by_mail_and_by_https(self):
        authority = self.certificate("Authority")
        collector = Collector(self.certificate("in.posts.test", authority))
        self.addCleanup(collector.close)
        secure, plain = self.sink(tls=self.certificate("mx.mails.test", authority).server()), self.sink()
        self.assertTrue(self.today)
        zone = "".join(f"{name}.test. MX 10 mx.{name}.test.\nmx.{name}.test. A 127.0.0.1\n" for name in ("mails", "posts", "silent"))
        zone += ('in.posts.test. A 127.0.0.1\n_smtp._tls.mails.test. TXT "v=TLSRPTv1; rua=mailto:tls@mails.test"\n'
                 f'_smtp._tls.posts.test. TXT "v=TLSRPTv1; rua=https://in.posts.test:{collector.port}/v1/tls"\n')
        ports = {"mails": secure.port, "posts": plain.port, "silent": secure.port}
        posthorn = self.instance({"dns_servers": self.dns(zone), "inet_protocols": "ipv4", "smtp_tls_security_level": "may", "smtp_tls_CAfile": str(authority.path),
                                  "smtp_connection_cache_time_limit": "1s", "aggregate_reports": "tls", "aggregate_reports_organization": "Ours",
                                  "aggregate_reports_address": "reports@ours.test",
                                  "transport_maps": "inline:{" + ", ".join(f"{name}.test=smtp:{name}.test:{port}" for name, port in ports.items()) + "}"}, start=False)
        dkim = subprocess.run(["/usr/bin/python3", "-c", "import dkim"], capture_output=True).returncode == 0
        key = pathlib.Path(posthorn.dir) / "key"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)], check=True, capture_output=True)
        os.chmod(key, 0o644)
        posthorn.set({"dkim_sign_maps": "inline:{ours.test=ours.test:s1}", "dkim_key_maps": f"inline:{{s1._domainkey.ours.test={key}}}"})
        posthorn.start()
        for name in ports:
            posthorn.send([f"user@{name}.test"])
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent")
        posts, mails = sorted(self.counted(posthorn, 2), key=lambda one: one["domain"], reverse=True)
        self.assertEqual((mails["domain"], mails["kind"], mails["good"], mails["bad"], mails["state"], mails["day"]), ("mails.test", "tls", 1, 0, "collecting", self.today))
        self.assertEqual((posts["domain"], posts["good"], posts["bad"]), ("posts.test", 0, 1))
        shown = json.loads(posthorn.run("posthorn", "reports", "show", "posts.test").stdout)
        [policy] = shown["policies"]
        self.assertEqual((policy["policy"]["policy-type"], policy["policy"]["policy-domain"], policy["summary"]),
                         ("no-policy-found", "posts.test", {"total-successful-session-count": 0, "total-failure-session-count": 1}))
        [failure] = policy["failure-details"]
        self.assertEqual((failure["result-type"], failure["receiving-mx-hostname"], failure["receiving-ip"], failure["failed-session-count"]),
                         ("starttls-not-supported", "mx.posts.test", "127.0.0.1", 1))
        # The day is not over.
        self.assertEqual(posthorn.run("posthorn", "reports", "send").stdout, "There is none.\n")
        # What was counted is there after reporter was killed, and after a reload, which has a process with other words take its place.
        time.sleep(6)
        for pid in posthorn.pids_of("reporter"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(self.try_listed(posthorn)) == 2, "another reporter knows it")
        posthorn.set({"aggregate_reports_organization": "Ours & Co"})
        posthorn.run("postfix", "reload")
        wait_until(lambda: "Ours & Co" in posthorn.run("posthorn", "reports", "show", "mails.test", check=False).stdout, "reporter has the new configuration")

        taken = len(secure.messages)
        collector.status = 503
        sent = self.listed(posthorn, "send", "--day", "today")
        self.assertEqual({one["domain"]: one["state"] for one in sent}, {"mails.test": "sent", "posts.test": "waiting"})
        wait_until(lambda: len(secure.messages) > taken, "the report arrives")
        sender, _, content = secure.messages[taken][:3]
        self.assertTrue(sender.startswith("FROM:<reports@ours.test>"), sender)
        self.assertEqual(secure.recipients()[-1], "tls@mails.test")
        mail, part, octets = attached(content)
        self.assertEqual((mail["From"], mail["To"], mail["TLS-Report-Domain"], mail["TLS-Report-Submitter"]),
                         ("Ours & Co <reports@ours.test>", "tls@mails.test", "mails.test", "ours.test"))
        self.assertRegex(mail["Subject"], rf"^Report Domain: mails\.test Submitter: ours\.test Report-ID: <{self.today}\.1\.tls\.mails\.test@ours\.test>$")
        self.assertEqual((mail.get_content_type(), mail.get_param("report-type"), part.get_content_type()), ("multipart/report", "tlsrpt", "application/tlsrpt+gzip"))
        self.assertRegex(part.get_filename(), r"^ours\.test!mails\.test!\d+!\d+\.json\.gz$")
        self.assertIn("       1  were as its policy asks", mail.get_body().get_content())
        self.assertEqual(json.loads(octets)["policies"][0]["summary"], {"total-successful-session-count": 1, "total-failure-session-count": 0})
        self.assertEqual(json.loads(octets)["organization-name"], "Ours & Co")
        public = subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
        self.assertIn(b"d=ours.test", content)
        if dkim:
            import base64
            keys = {"s1._domainkey.ours.test": "v=DKIM1; p=" + base64.b64encode(public).decode()}
            verified = subprocess.run(["/usr/bin/python3", "-c", VERIFY, json.dumps(keys)], input=content, capture_output=True, check=True).stdout
            self.assertEqual(verified.strip(), b"True")
        posthorn.wait_log(rf"postfix/reporter\[\d+\]: aggregate report: kind=tls, domain=mails\.test, day={self.today}, good=1, bad=0, to=mailto:tls@mails\.test \([0-9A-F]+\), status=sent")
        posthorn.wait_log(r"aggregate report: kind=tls, domain=posts\.test, .*, status=deferred \(https://in\.posts\.test:\d+/v1/tls: the answer is 503\)")
        collector.status = 201
        [again] = self.listed(posthorn, "send", "posts.test", "--day", "today")
        self.assertEqual(again["state"], "sent")
        path, kind, octets = collector.taken[-1]
        self.assertEqual((path, kind), ("/v1/tls", "application/tlsrpt+gzip"))
        self.assertEqual(json.loads(gzip.decompress(octets))["policies"], shown["policies"])
        self.assertRegex(posthorn.run("posthorn", "reports", "posts.test").stdout,
                         rf"^{self.today}  tls    posts\.test: 0 as it asks, 1 not; sent .*: https://in\.posts\.test:\d+/v1/tls \(201\)\n$")
        # The report was a session, too: it is of the day's next part.
        [next_part] = wait_until(lambda: [one for one in self.listed(posthorn, "mails.test") if one["state"] == "collecting"], "it is counted")
        self.assertEqual(next_part["good"], 1)

    def try_listed(self, posthorn):
        told = posthorn.run("posthorn", "reports", "--json", check=False)
        return told.stdout.splitlines() if told.returncode == 0 else []

    def test_a_domain_hears_what_mail_in_its_name_proved(self):
        sink = self.sink()
        zone = ('there.test. TXT "v=spf1 ip4:127.0.0.1 -all"\n_dmarc.there.test. TXT "v=DMARC1; p=reject; rua=mailto:d@there.test,mailto:x@elsewhere.test"\n'
                '_dmarc.quiet.test. TXT "v=DMARC1; p=reject"\nother.test. TXT "v=spf1 ip4:127.0.0.1 -all"\n')
        posthorn = self.instance({"relay_domains": "ours.test", "mailauth_checks": "dmarc", "dmarc_reject": "yes", "mailauth_exempt_clients": "", "notify_classes": "",
                                  "aggregate_reports": "dmarc", "aggregate_reports_address": "reports@ours.test", "dns_servers": self.dns(zone)}, relay=sink.port)
        for author, sender, code in (("there.test", "u@there.test", 250), ("there.test", "u@there.test", 250), ("there.test", "u@other.test", 550), ("quiet.test", "u@quiet.test", 550)):
            with posthorn.smtp() as client:
                try:
                    client.sendmail(sender, ["user@ours.test"], f"From: a@{author}\r\nSubject: x\r\n\r\nx\r\n")
                    self.assertEqual(code, 250)
                except smtplib.SMTPDataError as refused:
                    self.assertEqual((refused.smtp_code, code), (550, 550))
        [one] = self.counted(posthorn, 3)
        self.assertEqual((one["domain"], one["kind"], one["good"], one["bad"]), ("there.test", "dmarc", 2, 1))
        taken = len(sink.messages)
        [sent] = self.listed(posthorn, "send", "there.test", "--dmarc", "--day", "today")
        self.assertEqual(sent["state"], "sent")
        self.assertRegex(sent["note"], r"^mailto:d@there\.test \([0-9A-F]+\); mailto:x@elsewhere\.test: elsewhere\.test does not take reports of there\.test ")
        wait_until(lambda: len(sink.messages) > taken, "the report arrives")
        self.assertEqual(sink.recipients()[-1], "d@there.test")
        mail, part, octets = attached(sink.messages[taken][2])
        self.assertEqual(part.get_content_type(), "application/gzip")
        self.assertTrue(part.get_filename().endswith(".xml.gz"))
        self.assertIn("2  passed\n       1  did not; 1 of them were refused or put aside", mail.get_body().get_content().replace("\r\n", "\n"))
        feedback = xml.etree.ElementTree.fromstring(octets)
        text = feedback.findtext
        self.assertEqual((text("policy_published/domain"), text("policy_published/p"), text("report_metadata/email")), ("there.test", "reject", "reports@ours.test"))
        rows = {record.findtext("row/policy_evaluated/disposition"): record for record in feedback.findall("record")}
        self.assertEqual(set(rows), {"none", "reject"})
        self.assertEqual([rows["none"].findtext(f"row/{name}") for name in ("source_ip", "count", "policy_evaluated/dkim", "policy_evaluated/spf")], ["127.0.0.1", "2", "fail", "pass"])
        refused = rows["reject"]
        self.assertEqual([refused.findtext(name) for name in ("row/count", "row/policy_evaluated/spf", "identifiers/header_from", "identifiers/envelope_from",
                                                              "auth_results/spf/domain", "auth_results/spf/scope", "auth_results/spf/result")],
                         ["1", "fail", "there.test", "other.test", "other.test", "mfrom", "pass"])
        self.assertFalse([one for one in self.listed(posthorn) if one["domain"] == "quiet.test"])

    def test_what_is_no_report_is_named_and_nothing_starts_with_it(self):
        posthorn = self.instance(start=False)
        for name, value, words in (("aggregate_reports", "tls, dkim", 'unknown word "dkim": expected tls, dmarc'),
                                   ("aggregate_reports_address", "nobody", '"nobody" is no address with a domain')):
            posthorn.set({"aggregate_reports": "tls", name: value})
            posthorn.run("postfix", "start", check=False)
            posthorn.wait_log(re.escape("postfix/reporter[") + r"\d+\]: fatal: " + re.escape(f"parameter {name}: {words}"))
            posthorn.run("postfix", "stop", check=False)
            posthorn.set({"aggregate_reports_address": "reports@ours.test"})
        posthorn.set({"aggregate_reports": ""})
        posthorn.start()
        told = posthorn.run("posthorn", "reports", check=False)
        self.assertEqual((told.returncode, told.stderr), (69, "posthorn reports: fatal: no domain has daily reports: aggregate_reports is empty\n"))
        self.assertEqual(posthorn.run("posthorn", "reports", "--day", "2026-02-30", check=False).returncode, 64)


if __name__ == "__main__":
    unittest.main()
