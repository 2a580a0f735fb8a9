"""What other domains report of ours: reports of TLS and DMARC that come to report_addresses, read, kept once, and told."""
import email.message
import email.policy
import gzip
import io
import json
import os
import signal
import smtplib
import urllib.request
import zipfile

from journey import Journey, free_port, unittest, wait_until


def record(source, count, good, disposition="none"):
    word = "pass" if good else "fail"
    return (f"<record><row><source_ip>{source}</source_ip><count>{count}</count><policy_evaluated><disposition>{disposition}</disposition><dkim>{word}</dkim>"
            f"<spf>fail</spf></policy_evaluated></row><identifiers><header_from>ours.test</header_from></identifiers><auth_results/></record>")


def feedback(number, *records, organization="receiver.test"):
    """As the largest receivers write it: without version and namespace."""
    return ("<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<feedback>\n  <report_metadata>\n    <org_name>" + organization + "</org_name>\n    <email>noreply@receiver.test</email>\n"
            f"    <report_id>{number}</report_id>\n  </report_metadata>\n  <policy_published><domain>ours.test</domain><p>reject</p></policy_published>\n"
            + "".join(records) + "</feedback>\n").encode()


def mail(octets, kind, name, to="dmarc@ours.test", author="noreply@receiver.test"):
    made = email.message.EmailMessage()
    made["From"], made["To"], made["Subject"] = author, to, "Report domain: ours.test"
    made.set_content("See the attachment.")
    main, sub = kind.split("/")
    made.add_attachment(octets, maintype=main, subtype=sub, filename=name)
    return made.as_bytes(policy=email.policy.SMTP)


def zipped(octets):
    """With its sizes behind the data, as who writes to a stream makes it."""
    class Stream(io.RawIOBase):
        def __init__(self):
            super().__init__()
            self.octets = b""

        def writable(self):
            return True

        def write(self, piece):
            self.octets += bytes(piece)
            return len(piece)
    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("receiver.test!ours.test!1!2.xml", octets)
    return stream.octets


class ReceivedReports(Journey):
    def receiver(self, settings=None, **kwargs):
        return self.instance({"relay_domains": "ours.test", "relay_recipient_maps": "inline:{user@ours.test=x, copy@ours.test=x}", "notify_classes": "",
                              "report_addresses": "dmarc@ours.test, tls@ours.test", **(settings or {})}, **kwargs)

    def told(self, posthorn, *arguments):
        return [json.loads(line) for line in posthorn.run("posthorn", "reports", "received", "--json", *arguments).stdout.splitlines()]

    def test_what_one_instance_reports_the_other_reads(self):
        there = self.instance({"relay_domains": "ours.test", "report_addresses": "d@ours.test t@ours.test", "notify_classes": "", "mailauth_checks": "spf, dkim",
                               "mailauth_exempt_clients": "", "dns_servers": self.dns("")})
        zone = ('ours.test. TXT "v=spf1 -all"\n_dmarc.ours.test. TXT "v=DMARC1; p=reject; rua=mailto:d@ours.test"\n'
                '_smtp._tls.ours.test. TXT "v=TLSRPTv1; rua=mailto:t@ours.test"\nours.test. MX 10 mx.ours.test.\nmx.ours.test. A 127.0.0.1\n')
        here = self.instance({"relay_domains": "mine.test", "mailauth_checks": "dmarc", "dmarc_reject": "yes", "mailauth_exempt_clients": "", "notify_classes": "",
                              "aggregate_reports": "tls, dmarc", "aggregate_reports_address": "reports@mine.test", "aggregate_reports_organization": "Mine",
                              "smtp_tls_security_level": "may", "inet_protocols": "ipv4", "dns_servers": self.dns(zone),
                              "transport_maps": f"inline:{{ours.test=smtp:ours.test:{there.port}}}"})
        with here.smtp() as client, self.assertRaises(smtplib.SMTPDataError):
            client.sendmail("u@ours.test", ["user@mine.test"], "From: a@ours.test\r\nSubject: x\r\n\r\nx\r\n")
        here.send(["d@ours.test"], content=b"From: a@mine.test\r\nAuto-Submitted: auto-generated\r\n\r\nx\r\n")
        here.wait_log(r"to=<d@ours\.test>, .*status=sent")
        there.wait_log(r'report: from="a@mine\.test", status=unreadable \(nothing in it is a report\)')
        counted = lambda: here.run("posthorn", "reports", "--json").stdout.count('"kind"') == 2
        wait_until(counted, "a session and a mail are counted")
        sent = here.run("posthorn", "reports", "send", "--day", "today").stdout
        self.assertEqual(sent.count("; sent "), 2, sent)
        sums = wait_until(lambda: (lambda told: told if len(told) == 2 else None)(self.told(there)), "both have come")
        by_kind = {one["kind"]: one for one in sums}
        dmarc, tls = by_kind["dmarc"], by_kind["tls"]
        self.assertEqual((dmarc["domain"], dmarc["good"], dmarc["bad"], dmarc["refused"], dmarc["reports"]), ("ours.test", 0, 1, 1, 1))
        self.assertIn("p=reject", dmarc["policy"])
        # The client was 127.0.0.1, which is an address of the machine that reads this.
        [finding] = dmarc["findings"]
        self.assertEqual((finding["what"], finding["ours"], finding["act"], finding["bad"]), ("127.0.0.1", True, True, 1))
        [failure] = tls["findings"]
        self.assertEqual((failure["what"], failure["where"], failure["bad"]), ("starttls-not-supported", "mx.ours.test", 1))
        there.wait_log(r"postfix/reports\[\d+\]: \w+: report: kind=dmarc, domain=ours\.test, day=[-\d]+, good=0, bad=1, organization=\"Mine\", id=\"[^\"]+\", from=\"Mine <reports@mine\.test>\", status=kept")
        there.wait_log(r"postfix/reports\[\d+\]: warning: \w+: 1 of 1 messages from our own address 127\.0\.0\.1 fail DMARC of ours\.test, reports \"Mine\": This is one of our own addresses: ")
        there.wait_log(r"postfix/reports\[\d+\]: warning: \w+: 1 sessions with ours\.test fail: starttls-not-supported at mx\.ours\.test, reports \"Mine\": ")
        there.wait_log(r"to=<d@ours\.test>, relay=reports, .*dsn=2\.0\.0, status=sent \(report kept\)")
        shown = self.told(there, "show", "ours.test")
        reports = [one for one in shown if "id" in one]
        self.assertEqual({(one["kind"], one["author"], one["sender"]) for one in reports},
                         {("dmarc", "Mine <reports@mine.test>", "reports@mine.test"), ("tls", "Mine <reports@mine.test>", "reports@mine.test")})
        self.assertTrue(all("spf=none" in one["proof"] for one in reports), reports)
        text = there.run("posthorn", "reports", "received").stdout
        self.assertRegex(text, r"(?m)^! dmarc  ours\.test: 0 aligned, 1 not \(1 quarantined or rejected\); 1 report; 127\.0\.0\.1 \(ours\): 1 fails$")

    def test_zip_duplicates_bombs_and_what_is_no_report(self):
        sink = self.sink()
        posthorn = self.receiver({"recipient_delimiter": "+", "virtual_alias_maps": "inline:{{tls@ours.test=tls@ours.test, copy@ours.test}}"}, relay=sink.port, start=False)
        port = free_port()
        posthorn.add_service(f"127.0.0.1:{port} inet n - n - 1 admin")
        posthorn.start()
        first = feedback(1, record("198.51.100.1", 7, True), record("198.51.100.2", 3, False, "reject"))
        posthorn.send(["dmarc@ours.test"], content=b"Authentication-Results: mail.demo.test; dkim=pass\r\n" + mail(zipped(first), "application/zip", "receiver.test!ours.test!1!2.zip"))
        posthorn.wait_log(r"to=<dmarc@ours\.test>, relay=reports, .*status=sent \(report kept\)")
        posthorn.send(["DMARC+x@ours.test"], content=mail(gzip.compress(first), "application/octet-stream", "again.xml.gz"))
        posthorn.wait_log(r"status=sent \(report known\)")
        [told] = self.told(posthorn)
        self.assertEqual((told["good"], told["bad"], told["refused"], told["reports"]), (7, 3, 3, 1))
        [report] = self.told(posthorn, "show", "1")
        self.assertEqual(report["proof"], "")                     # smtpd checks nothing here: whose field that is nobody knows
        self.assertEqual([row["text"] for row in report["rows"]],
                         ["198.51.100.1 none: aligned by DKIM, From ours.test", "198.51.100.2 reject: aligned by nothing, From ours.test"])
        self.assertEqual(self.told(posthorn, "--days", "1")[0]["reports"], 1)
        # A bomb, and an entity that would be one: named, and nobody is told.
        posthorn.send(["dmarc@ours.test"], content=mail(gzip.compress(gzip.compress(b" " * 100_000_000)), "application/gzip", "bomb.xml.gz"))
        posthorn.wait_log(r"status=unreadable \(application/gzip: it is packed twice\)")
        posthorn.send(["dmarc@ours.test"], content=mail(gzip.compress(b" " * 100_000_000), "application/gzip", "bomb.xml.gz"))
        posthorn.wait_log(r"status=unreadable \(application/gzip: it unpacks to more than 33554432 octets\)")
        posthorn.send(["dmarc@ours.test"], content=mail(b'<!DOCTYPE feedback [<!ENTITY a "b">]><feedback>&a;</feedback>', "text/xml", "a.xml"))
        posthorn.wait_log(r"status=unreadable \(text/xml: line 1: it has a document type, which no report has\)")
        # A copy by an alias; a person's mail goes back.
        taken = len(sink.messages)
        posthorn.send(["tls@ours.test"], content=b"From: sender@example.com\r\nSubject: What is this address?\r\n\r\nHello?\r\n")
        posthorn.wait_log(r"to=<tls@ours\.test>, .*relay=reports, .*dsn=5\.6\.0, status=bounced \(this address takes daily reports of TLS and DMARC alone: nothing in it is a report\)")
        wait_until(lambda: len(sink.messages) >= taken + 2, "the copy and the bounce arrive")
        self.assertIn("copy@ours.test", sink.recipients())
        self.assertIn("sender@example.com", sink.recipients())
        with posthorn.smtp() as client, self.assertRaises(smtplib.SMTPRecipientsRefused):
            client.sendmail("sender@example.com", ["nobody@ours.test"], b"Subject: x\r\n\r\nx\r\n")
        posthorn.wait_empty()
        # And over HTTP.
        ask = lambda path: urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30).read().decode()
        self.assertRegex(ask("/metrics"), r'posthorn_reports_received_total\{.*kind="dmarc",result="kept"\} 1\n')
        answer = json.loads(ask("/api/reports/received?of=ours.test"))
        self.assertEqual((answer["domains"][0]["good"], answer["reports"][0]["organization"]), (7, "receiver.test"))

    def test_domains_that_are_not_named_are_not_kept(self):
        posthorn = self.receiver({"received_reports_domains": "other.test .ours.test"})
        posthorn.send(["dmarc@ours.test"], content=mail(gzip.compress(feedback(1)), "application/gzip", "r.xml.gz"))
        posthorn.wait_log(r"id=\"1\", from=\"[^\"]*\", status=not ours")
        posthorn.wait_log(r"status=sent \(report not ours\)")
        posthorn.send(["dmarc@ours.test"], content=mail(gzip.compress(feedback(2).replace(b"<domain>ours", b"<domain>news.ours")), "application/gzip", "r.xml.gz"))
        posthorn.wait_log(r"status=sent \(report kept\)")
        self.assertEqual([one["domain"] for one in self.told(posthorn)], ["news.ours.test"])

    def test_killed_again_and_again_each_report_counts_once(self):
        posthorn = self.receiver({"received_reports_daily_limit": "40", "minimal_backoff_time": "1s", "queue_run_delay": "1s"})
        for number in range(30):
            posthorn.send(["dmarc@ours.test"], content=mail(gzip.compress(feedback(number, record("198.51.100.1", 1, True))), "application/gzip", "r.xml.gz"))
            if number % 5 == 0:
                for pid in posthorn.pids_of("reports"):
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: posthorn.run("postqueue", "-f", check=False) and not posthorn.queue(), "the queue is empty")
        told = wait_until(lambda: (lambda reply: json.loads(reply.stdout) if reply.returncode == 0 and reply.stdout else None)(
            posthorn.run("posthorn", "reports", "received", "--json", check=False)), "reports answers")
        self.assertEqual((told["good"], told["reports"]), (30, 30))
        # And a reload, which has a process with another limit take its place.
        posthorn.set({"received_reports_daily_limit": "30"})
        posthorn.run("postfix", "reload")
        posthorn.send(["dmarc@ours.test"], content=mail(gzip.compress(feedback(99)), "application/gzip", "r.xml.gz"))
        posthorn.wait_log(r"status=sent \(report no room\)")
        self.assertEqual(self.told(posthorn)[0]["reports"], 30)

    def test_without_addresses_nobody_is_there(self):
        posthorn = self.instance({"relay_domains": "ours.test"})
        told = posthorn.run("posthorn", "reports", "received", check=False)
        self.assertEqual((told.returncode, told.stderr), (69, "posthorn reports: fatal: no reports of others are taken: report_addresses is empty\n"))
        self.assertEqual(posthorn.run("posthorn", "reports", "received", "--days", "0", check=False).returncode, 64)
        self.assertFalse(posthorn.pids_of("reports"))
        posthorn.set({"report_addresses": "dmarc@ours.test"})
        posthorn.run("postfix", "reload")
        posthorn.send(["dmarc@ours.test"], content=mail(gzip.compress(feedback(1)), "application/gzip", "r.xml.gz"))
        posthorn.wait_log(r"status=sent \(report kept\)")


if __name__ == "__main__":
    unittest.main()
