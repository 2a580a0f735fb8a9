"""Sessions with the next host are kept and used again; one that went away meanwhile loses nothing."""
import time

from journey import Certificate, Journey, unittest, wait_until


class Sessions(Journey):
    def one_after_the_other(self, posthorn, sink, count):
        """Each message is delivered before the next comes, so that only a kept session can serve them together."""
        for i in range(count):
            posthorn.send([f"user{i}@there.test"])
            wait_until(lambda: len(sink.messages) > i, f"message {i} arrives")

    def all_once(self, posthorn, sink, count):
        posthorn.wait_log("status=sent", count)
        posthorn.wait_empty()
        self.assertEqual(sorted(sink.recipients()), sorted(f"user{i}@there.test" for i in range(count)))
        self.assertNotRegex(posthorn.log(), "status=(deferred|bounced)")

    def test_messages_to_one_site_share_a_connection(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_connection_cache_time_limit": "60s"}, relay=sink.port)
        self.one_after_the_other(posthorn, sink, 5)
        self.all_once(posthorn, sink, 5)
        self.assertEqual(sink.sessions, 1)
        # What log analysers see of it: conn_use counts, from the second message on.
        self.assertRegex(posthorn.log(), r"to=<user0@there\.test>, relay=[^,]*, delay=")
        for i in range(1, 5):
            self.assertRegex(posthorn.log(), rf"to=<user{i}@there\.test>, relay=[^,]*, conn_use={i + 1}, delay=")

    def test_with_tls_too(self):
        certificate = Certificate("127.0.0.1")
        self.addCleanup(certificate.close)
        sink = self.sink(tls=certificate.server())
        posthorn = self.instance({"smtp_connection_cache_time_limit": "60s", "smtp_tls_security_level": "encrypt"}, relay=sink.port)
        self.one_after_the_other(posthorn, sink, 5)
        self.all_once(posthorn, sink, 5)
        self.assertEqual((sink.sessions, len(sink.tls_sessions)), (1, 1))

    def test_a_kept_session_ends_when_its_time_is_over(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_connection_cache_time_limit": "1s"}, relay=sink.port)
        self.one_after_the_other(posthorn, sink, 1)
        wait_until(lambda: sink.open_now == 0, "the session is ended")
        self.assertEqual(sink.commands[-1], "QUIT")

    def test_no_session_is_kept_where_the_administrator_says_so(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_connection_cache_on_demand": "no"}, relay=sink.port)
        self.one_after_the_other(posthorn, sink, 3)
        self.all_once(posthorn, sink, 3)
        self.assertEqual(sink.sessions, 3)

    def test_a_limit_of_mails_per_session_is_kept(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_connection_cache_time_limit": "60s", "smtp_connection_reuse_count_limit": "2"}, relay=sink.port)
        self.one_after_the_other(posthorn, sink, 5)
        self.all_once(posthorn, sink, 5)
        self.assertEqual(sink.sessions, 3)

    def test_a_session_that_the_peer_closed_while_it_was_kept_loses_nothing(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_connection_cache_time_limit": "60s"}, relay=sink.port)
        self.one_after_the_other(posthorn, sink, 2)
        sink.drop_connections()
        wait_until(lambda: sink.open_now == 0, "the connections are closed")
        time.sleep(0.2)
        posthorn.send(["user2@there.test"])
        self.all_once(posthorn, sink, 3)
        self.assertEqual(sink.sessions, 2)

    def test_a_session_that_ends_as_the_next_mail_begins_loses_nothing(self):
        """The peer says 421 to the second MAIL of each session: seen only once the mail is under way."""
        served = []

        def mail(argument, sink):
            served.append(sink.sessions)
            return "421 4.7.0 one mail is enough" if served.count(sink.sessions) > 1 else "250 2.1.0 Ok"
        sink = self.sink({"MAIL": mail})
        posthorn = self.instance({"smtp_connection_cache_time_limit": "60s"}, relay=sink.port)
        self.one_after_the_other(posthorn, sink, 4)
        self.all_once(posthorn, sink, 4)
        self.assertTrue(any(served.count(session) > 1 for session in served))


if __name__ == "__main__":
    unittest.main()
