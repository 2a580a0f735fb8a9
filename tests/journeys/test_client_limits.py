"""smtpd_client_*_limit: counted over all smtpd processes by memory, in Postfix's words, and given back when a process dies."""
import os
import signal
import smtplib

from journey import PATIENCE, Certificate, Journey, unittest, wait_until


class ClientLimits(Journey):
    def say(self, posthorn, source="127.0.0.1"):
        client = smtplib.SMTP(timeout=PATIENCE, source_address=(source, 0))
        client._host = "127.0.0.1"                                   # as if it were connected at once: starttls asks for it
        self.addCleanup(client.close)
        return client, client.connect("127.0.0.1", posthorn.port)

    def test_connections_at_a_time(self):
        posthorn = self.instance(start=False)
        posthorn.set({"smtpd_client_event_limit_exceptions": "127.0.0.99", "smtpd_client_connection_count_limit": "3"})
        posthorn.start()
        # The look of the start whether the port answers may still be open.
        opened = []

        def filled():
            client, (code, text) = self.say(posthorn, "127.0.0.7")
            if code == 220:
                opened.append(client)
            return (code, text) if code != 220 else None
        code, text = wait_until(filled, "a connection is one too many")
        self.assertEqual((code, len(opened)), (421, 3))
        self.assertRegex(text.decode(), r"^4\.7\.0 \S+ Error: too many connections from 127\.0\.0\.7$")
        posthorn.wait_log(r"warning: Connection concurrency limit exceeded: 4 from unknown\[127\.0\.0\.7\] for service \S+\n")
        # Others, and those excepted, are not held.
        for source in ("127.0.0.8", "127.0.0.99"):
            self.assertEqual(self.say(posthorn, source)[1][0], 220)
        opened.pop().quit()
        wait_until(lambda: self.say(posthorn, "127.0.0.7")[1][0] == 220, "there is room again")
        # A process that dies takes its connections with it.
        for pid in posthorn.pids_of("smtpd"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.answered(posthorn), "smtpd is back, and counts from nothing")

    def answered(self, posthorn):
        try:
            return self.say(posthorn, "127.0.0.7")[1][0] == 220
        except (OSError, smtplib.SMTPException):
            return False

    def test_rates(self):
        certificate = Certificate("127.0.0.1")
        self.addCleanup(certificate.close)
        posthorn = self.instance(start=False)
        posthorn.set({"smtpd_client_event_limit_exceptions": "127.0.0.99", "anvil_rate_time_unit": "1h", "smtpd_client_message_rate_limit": "2",
                      "smtpd_client_recipient_rate_limit": "3", "smtpd_client_connection_rate_limit": "4", "smtpd_client_new_tls_session_rate_limit": "1", "smtpd_client_auth_rate_limit": "1",
                      "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": str(certificate.path), "smtpd_tls_key_file": str(certificate.key),
                      "relay_domains": "there.test"})
        posthorn.start()
        client, _ = self.say(posthorn, "127.0.0.7")
        client.ehlo("client.test")
        self.assertEqual(client.mail("a@ours.test")[0], 250)
        for _ in range(3):
            self.assertEqual(client.rcpt("x@there.test")[0], 250)
        self.assertEqual(client.rcpt("x@there.test"), (450, b"4.7.1 Error: too many recipients from 127.0.0.7"))
        client.rset()
        self.assertEqual(client.mail("a@ours.test")[0], 250)
        client.rset()
        self.assertEqual(client.mail("a@ours.test"), (450, b"4.7.1 Error: too much mail from 127.0.0.7"))
        posthorn.wait_log(r"warning: Recipient address rate limit exceeded: 4 from unknown\[127\.0\.0\.7\] for service \S+\n")
        posthorn.wait_log(r"warning: Message delivery request rate limit exceeded: 3 from unknown\[127\.0\.0\.7\] for service \S+\n")
        self.assertEqual(client.docmd("AUTH", "PLAIN AGEAYg=="), (503, b"5.5.1 Error: authentication not enabled"))
        self.assertEqual(client.docmd("AUTH", "PLAIN AGEAYg=="), (450, b"4.7.1 Error: too many AUTH commands from 127.0.0.7"))
        posthorn.wait_log(r"warning: AUTH command rate limit exceeded: 2 from unknown\[127\.0\.0\.7\] for service \S+\n")
        context = certificate.client()
        self.assertEqual(client.starttls(context=context)[0], 220)
        other, _ = self.say(posthorn, "127.0.0.7")
        other.ehlo("client.test")
        try:
            other.starttls(context=context)
            code, text = other.getreply()
        except smtplib.SMTPResponseException as refused:
            code, text = refused.smtp_code, refused.smtp_error
        self.assertEqual(code, 421)
        self.assertRegex(text, rb"4\.7\.0 \S+ Error: too many new TLS sessions from unknown\[127\.0\.0\.7\]")
        posthorn.wait_log(r"warning: New TLS session rate limit exceeded: 2 from unknown\[127\.0\.0\.7\] for service \S+\n")
        third, _ = self.say(posthorn, "127.0.0.7")
        third.ehlo("client.test")
        self.assertEqual(third.docmd("STARTTLS")[0], 454)
        posthorn.wait_log(r"warning: Refusing STARTTLS request from unknown\[127\.0\.0\.7\] for service \S+\n")
        self.assertEqual(self.say(posthorn, "127.0.0.7")[1][0], 220)
        self.assertEqual(self.say(posthorn, "127.0.0.7")[1][0], 421)
        posthorn.wait_log(r"warning: Connection rate limit exceeded: 5 from unknown\[127\.0\.0\.7\] for service \S+\n")
        posthorn.stop()
        posthorn.wait_log(r"anvil\[\d+\]: statistics: max connection rate 5/3600s for \(\S+:127\.0\.0\.7\) at \w+ [ \d]\d [\d:]{8}\n")
        posthorn.wait_log(r"anvil\[\d+\]: statistics: max recipient rate 4/3600s for \(\S+:127\.0\.0\.7\)")


if __name__ == "__main__":
    unittest.main()
