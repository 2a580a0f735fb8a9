"""A filter before the queue (smtpd_proxy_filter): aiosmtpd as the filter, which hands what it takes to a second smtpd of the same system."""
import re
import smtplib
import subprocess
import tempfile

from journey import PATIENCE, Journey, free_port, unittest
from real_peers import Program

FILTER = """
import asyncio, os, smtplib, sys
from aiosmtpd.smtp import SMTP
port, back = int(sys.argv[1]), int(sys.argv[2])
class Server(SMTP):
    async def smtp_XFORWARD(self, arg):
        self.session.xforward = getattr(self.session, "xforward", []) + [arg]
        await self.push("250 2.0.0 Ok")
class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return responses[:-1] + ["250-PIPELINING", "250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"] + responses[-1:]
    async def handle_DATA(self, server, session, envelope):
        if b"virus" in envelope.content:
            return "550 5.7.1 a virus was found"
        if b"crash" in envelope.content:
            os._exit(1)
        def hand_in():
            with smtplib.SMTP("127.0.0.1", back, timeout=240) as client:
                client.ehlo("filter.test")
                for claims in getattr(session, "xforward", []):
                    client.docmd("XFORWARD", claims)
                client.mail(envelope.mail_from)
                for recipient in envelope.rcpt_tos:
                    client.rcpt(recipient)
                code, text = client.data(b"X-Filtered: yes\\r\\n" + envelope.original_content)
                return f"{code} {text.decode()}"
        return await asyncio.get_running_loop().run_in_executor(None, hand_in)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(Handler(), hostname="filter.test", data_size_limit=9000000, loop=loop), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()
asyncio.run(main())
"""


class Filter(Program):
    def __init__(self, port, back):
        if subprocess.run(["/usr/bin/python3", "-c", "import aiosmtpd"], capture_output=True).returncode != 0:
            raise unittest.SkipTest("python3-aiosmtpd is not installed")
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-filter.")
        self.start(["/usr/bin/python3", "-c", FILTER, port, back], port)

    def close(self):
        super().close()
        self._dir.cleanup()


class BeforeQueue(Journey):
    def system(self, options=""):
        self.next_host = self.sink()
        self.front, self.back, self.at = free_port(), free_port(), free_port()
        posthorn = self.instance({"message_size_limit": "9000000"}, relay=self.next_host.port, start=False)
        posthorn.add_service(f"127.0.0.1:{self.front} inet n - n - 20 smtpd\n  -o syslog_name=front -o smtpd_proxy_filter=127.0.0.1:{self.at}\n"
                             f"  -o smtpd_client_connection_count_limit=10\n{options}")
        posthorn.add_service(f"127.0.0.1:{self.back} inet n - n - - smtpd\n  -o syslog_name=back -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n"
                             "  -o smtpd_client_restrictions= -o smtpd_helo_restrictions= -o smtpd_sender_restrictions= -o smtpd_relay_restrictions=\n"
                             "  -o smtpd_recipient_restrictions=permit_mynetworks,reject -o smtpd_data_restrictions= -o mynetworks=127.0.0.0/8\n"
                             "  -o receive_override_options=no_unknown_recipient_checks\n")
        posthorn.start()
        return posthorn

    def filter(self):
        made = Filter(self.at, self.back)
        self.addCleanup(made.close)
        return made

    def say(self, *bodies, recipients=("a@there.test", "b@there.test")):
        """What each of several mails of one session hears last."""
        heard = []
        with smtplib.SMTP("127.0.0.1", self.front, timeout=PATIENCE) as client:
            client.ehlo("client.test")
            for body in bodies:
                codes = [client.mail("sender@example.com")[0], *(client.rcpt(one)[0] for one in recipients)]
                if codes[1:].count(250) == 0:
                    heard.append("refused")
                    client.rset()
                    continue
                code, text = client.data(b"Subject: x\r\nFrom: a@b.test\r\n\r\n" + body)
                heard.append(f"{code} {text.decode()}")
        return heard

    def test_what_the_filter_takes_is_delivered_once_and_what_it_refuses_the_client_hears(self):
        for options in ("", "  -o smtpd_proxy_options=speed_adjust\n"):
            with self.subTest(options=options):
                posthorn = self.system(options)
                self.filter()
                large = b"x" * 70 + b"\r\n"
                taken, refused, big = self.say(b"hello\r\n", b"a virus\r\n", large * 20_000)
                self.assertRegex(taken, r"^250 2\.0\.0 Ok: queued as (\w+)$")
                self.assertEqual(refused, "550 5.7.1 a virus was found")
                self.assertRegex(big, "^250 ")
                queue_id = taken.split()[-1]
                posthorn.wait_log(rf"{queue_id}: removed")
                posthorn.wait_empty()
                self.assertEqual(sorted(self.next_host.recipients()), ["a@there.test", "a@there.test", "b@there.test", "b@there.test"])
                content = self.next_host.messages[0][2]
                self.assertEqual(content.count(b"Received: "), 2)
                self.assertIn(b"X-Filtered: yes", content)
                self.assertTrue(any(message[2].endswith(large * 20_000) for message in self.next_host.messages))
                posthorn.wait_log(rf"front/smtpd\[\d+\]: proxy-accept: END-OF-MESSAGE: 250 2\.0\.0 Ok: queued as {queue_id}; from=<sender@example\.com> "
                                  r"to=<a@there\.test> proto=ESMTP helo=<client\.test>")
                posthorn.wait_log(r"front/smtpd\[\d+\]: proxy-reject: END-OF-MESSAGE: 550 5\.7\.1 a virus was found; from=<sender@example\.com>")
                self.assertRegex(posthorn.log(), rf"back/smtpd\[\d+\]: {queue_id}: client=\S+\[127\.0\.0\.1\], orig_client=\S+\[127\.0\.0\.1\]")
                self.assertEqual(posthorn.contents(), [])
                posthorn.close()

    def test_while_the_filter_is_gone_mail_is_put_off_and_then_goes_through_once(self):
        posthorn = self.system()
        self.assertEqual(self.say(b"hello\r\n"), ["refused"])
        posthorn.wait_log(rf"front/smtpd\[\d+\]: warning: connect to proxy filter 127\.0\.0\.1:{self.at}: Connection refused")
        self.filter()
        self.assertEqual(self.say(b"crash\r\n"), ["451 4.3.0 Error: queue file write error"])
        posthorn.wait_log(rf"front/smtpd\[\d+\]: warning: lost connection with proxy 127\.0\.0\.1:{self.at}")
        self.filter()
        self.assertRegex(self.say(b"hello\r\n")[0], "^250 2.0.0 Ok: queued as")
        posthorn.wait_log("status=sent", 3)
        posthorn.wait_empty()
        # The postmaster hears of the first session, and within a minute of no other: notify_classes has resource.
        self.assertEqual(sorted(self.next_host.recipients()), ["a@there.test", "b@there.test", "postmaster@demo.test"])

    def test_a_filter_behind_the_queue_is_told_whose_the_mail_is(self):
        next_host = self.sink()
        back = free_port()
        at = free_port()
        posthorn = self.instance({"content_filter": f"scan:[127.0.0.1]:{at}"}, relay=next_host.port, start=False)
        posthorn.add_service("scan unix - - n - 2 smtp\n  -o smtp_send_xforward_command=yes\n")
        posthorn.add_service(f"127.0.0.1:{back} inet n - n - - smtpd\n  -o syslog_name=back -o content_filter=\n  -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n"
                             "  -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_address_mappings\n")
        posthorn.start()
        made = Filter(at, back)
        self.addCleanup(made.close)
        posthorn.send(["user@there.test"])
        posthorn.wait_log("status=sent", 2)
        posthorn.wait_empty()
        first = re.search(r": (\w+): client=", posthorn.log()).group(1)
        self.assertRegex(posthorn.log(), rf"back/smtpd\[\d+\]: \w+: client=\S+\[127\.0\.0\.1\], orig_queue_id={first}, orig_client=\S+\[127\.0\.0\.1\]")
        self.assertEqual(len(next_host.messages), 1)


if __name__ == "__main__":
    unittest.main()
