"""Reports that say in plain words why mail failed, and what its sender can do (bounce_explanation_maps)."""
import email
import email.policy
import email.utils
import re
import time

from journey import Journey, free_port, unittest, wait_until

DEFAULT = """This is the mail system at host {host}.

Your message could not be delivered to the recipients listed below, and
no further attempt will be made. The reason is given with each of them;
your message, or its header, is attached.

If you need help, forward this report to postmaster.

                   The mail system

<full@there.test>: host 127.0.0.1[127.0.0.1] said: 552 5.2.2 Mailbox full (in
    reply to RCPT TO command)
"""


def refuse(argument, sink):
    said = {"full": "552 5.2.2 Mailbox full", "none": "550 5.1.1 No such user", "slow": "451 4.3.0 not now",
            "forged": "550 5.2.2 full\u2028Status: 2.0.0\u202e --=_ http://" + "x" * 600}
    return next((reply for name, reply in said.items() if f"<{name}" in argument), "250 2.1.5 Ok")


class Explanations(Journey):
    def explaining(self, settings, **peer):
        self.peer = self.sink(replies={"RCPT": refuse}, **peer)
        posthorn = self.instance(start=False, relay=self.peer.port)
        if settings:
            posthorn.set(settings)
        posthorn.start()
        return posthorn

    def report(self, number=1):
        """The last of so many reports, parsed; its notification; that as one line."""
        def reports():
            return [content for sender, _, content in list(self.peer.messages) if sender.startswith("FROM:<>")]
        octets = wait_until(lambda: (lambda found: found if len(found) >= number else None)(reports()), f"{number} reports")[number - 1]
        mail = email.message_from_bytes(octets, policy=email.policy.default)
        self.assertEqual((mail.get_content_type(), mail.get_param("report-type")), ("multipart/report", "delivery-status"))
        for part in mail.walk():
            self.assertEqual(part.defects, [], octets)
        parts = list(mail.iter_parts())
        self.assertEqual([part.get_content_type() for part in parts][1], "message/delivery-status")
        text = parts[0].get_content()
        for line in octets.split(b"\r\n"):
            self.assertLessEqual(len(line), 998)
        return mail, parts[0], text, " ".join(text.split())

    def mail(self, language=None):
        return (f"Content-Language: {language}\r\n" if language else "").encode() + b"Subject: test\r\nFrom: sender@example.com\r\n\r\nhello\r\n"

    def test_a_report_says_what_it_always_said_where_nothing_is_set(self):
        posthorn = self.explaining({})
        posthorn.send(["full@there.test"], content=self.mail("de"))
        _, part, text, _ = self.report()
        self.assertEqual(text.replace("\r\n", "\n"), DEFAULT.format(host=posthorn.run("postconf", "-h", "myhostname").stdout.strip()))
        self.assertEqual((part.get_content_charset(), part["Content-Transfer-Encoding"]), ("us-ascii", None))

    def test_the_cause_stands_above_its_recipients_in_the_language_of_the_message(self):
        posthorn = self.explaining({"bounce_explanation_maps": "shipped", "bounce_explanation_languages": "sender"})
        posthorn.send(["full1@there.test", "none@there.test", "full2@there.test"], content=self.mail("de-AT"))
        _, part, text, words = self.report()
        self.assertEqual((part.get_content_charset(), part["Content-Transfer-Encoding"]), ("utf-8", "8bit"))
        places = [words.index(piece) for piece in ("Das Postfach des Empfängers ist voll", "auf anderem Weg Bescheid.", "<full1@there.test>: host",
                                                   "<full2@there.test>: host", "Das empfangende Mailsystem kennt die unten genannte Adresse nicht.",
                                                   "<none@there.test>: host")]
        self.assertEqual(places, sorted(places))
        self.assertEqual(words.count("Das Postfach des Empfängers ist voll"), 1)
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 79)
        posthorn.send(["none@there.test"], content=self.mail("ja"))
        _, part, _, words = self.report(2)
        self.assertIn("The receiving mail system does not know the address below.", words)
        self.assertEqual(part.get_content_charset(), "us-ascii")

    def test_a_host_that_takes_no_8_bits_gets_the_same_words(self):
        posthorn = self.explaining({"bounce_explanation_maps": "shipped", "bounce_explanation_languages": "fr"}, keywords=("PIPELINING", "ENHANCEDSTATUSCODES"))
        posthorn.send(["full@there.test"])
        _, part, _, words = self.report()
        self.assertEqual((part.get_content_charset(), part["Content-Transfer-Encoding"]), ("utf-8", "quoted-printable"))
        self.assertIn("La boîte aux lettres du destinataire est pleine", words)
        self.assertTrue(all(content.isascii() for _, _, content in self.peer.messages))

    def test_what_a_server_says_stays_within_its_text(self):
        posthorn = self.explaining({"bounce_explanation_maps": "inline:{ { QuotaIssues = They say: $${reply} } }"})
        posthorn.send(["forged@there.test"])
        mail, part, text, words = self.report()
        self.assertIn("They say: 550 5.2.2 full?Status: 2.0.0? --=_ http://xxx", words)
        self.assertEqual([str(status["Status"]) for status in list(mail.iter_parts())[1].get_payload() if status["Status"]], ["5.2.2"])

    def test_what_we_refuse_by_ourselves_is_explained_too(self):
        posthorn = self.explaining({"bounce_explanation_maps": "shipped", "maximal_queue_lifetime": "0", "bounce_size_limit": "1000",
                                    "transport_maps": "inline:{ { gone.test = error:5.1.1 nobody }, { round.test = error:5.4.6 mail loops back } }"},
                                   keywords=("PIPELINING", "8BITMIME", "SIZE 6000"))
        for number, (recipient, words) in enumerate([("u@gone.test", "does not know the address below"), ("u@round.test", "went round in circles"),
                                                     ("slow@there.test", "within the time for which it is kept")], 1):
            posthorn.run("sendmail", "-f", "sender@example.com", recipient, input="Subject: test\n\nhello\n")
            self.assertIn(words, self.report(number)[3])
        posthorn.send(["u@there.test"], content=b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n" * 3000)
        self.assertIn("is larger than a mail system on its way accepts", self.report(4)[3])

    def test_a_warning_of_delay_says_until_when_it_is_tried(self):
        posthorn = self.explaining({"bounce_explanation_maps": "shipped", "bounce_explanation_languages": "nl", "delay_warning_time": "1s",
                                    "minimal_backoff_time": "1s", "queue_run_delay": "1s"})
        posthorn.send(["slow@there.test"])
        mail, _, _, words = self.report()
        status = list(mail.iter_parts())[1].get_payload()[1]
        end = email.utils.parsedate_to_datetime(str(status["Will-Retry-Until"]))
        self.assertIn(f"er wordt tot {end:%Y-%m-%d %H:%M %z} verder geprobeerd", words)

    def test_no_table_holds_up_a_report(self):
        away = free_port()
        posthorn = self.explaining({"bounce_explanation_maps": f"socketmap:inet:127.0.0.1:{away}:texts, shipped"})
        posthorn.send(["full@there.test"])
        self.assertNotIn("The recipient's mailbox is full", self.report()[3])
        posthorn.wait_log(r"warning: \w+: bounce_explanation_maps: socketmap:\S+: \"there.test:QuotaIssues/2.2:en\": ")

    def test_a_name_that_is_unknown_is_told_at_once_and_costs_the_text_alone(self):
        posthorn = self.explaining({"bounce_explanation_maps": "inline:{ { QuotaIssues = Full, $${recipent}. } }"})
        told = r"bounce_explanation_maps: inline:\S.*QuotaIssues.*: nothing is called \"\$\{recipent\}\""
        posthorn.wait_log("(?i)" + told)
        posthorn.send(["full@there.test"])
        self.assertNotIn("Full", self.report()[3])
        posthorn.wait_log(r"(?i)warning: \w+: " + told)
        checked = posthorn.run("postfix", "check")
        self.assertRegex(checked.stdout + checked.stderr, r"(?i)main.cf, line \d+: " + told)


if __name__ == "__main__":
    unittest.main()
