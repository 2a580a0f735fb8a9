"""Databases that are reached by TLS, SASL and option files, from a confined process; and links to them that break amid an answer: mail is put off and goes
out afterwards, nobody is refused. The questions themselves are compared in compat_database_connections.
"""
import pathlib
import sys
import tempfile

from journey import Journey, unittest, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "compat"))
import database_connections as connections  # noqa: E402

SQL = "query = SELECT target FROM alias WHERE name = '%u@example.com' ORDER BY target\ndomain = {name}.test\n"
LDAP = "search_base = dc=test\nquery_filter = (mail=%u@example.com)\nresult_attribute = description\ndomain = {name}.test\n"
TLS = "tls_ca_cert_file = {ca}/ca.pem\ntls_require_cert = yes\nstart_tls = yes\n"
MYSQL = "hosts = 127.0.0.1:{mysql}\ndbname = mail\n"
# The domain that each answers for, its type, how it is reached.
REACHED = {
    "scram": ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = sasl\nsasl_mechs = SCRAM-SHA-256\nbind_dn = reader\nbind_pw = secret\n"),
    "digest": ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = sasl\nbind_dn = reader\nbind_pw = secret\nsasl_minssf = 56\nsasl_mechs = DIGEST-MD5\n"),
    "external": ("ldap", LDAP + TLS + "server_host = ldap://localhost:{ldap}\nbind = sasl\nsasl_mechs = EXTERNAL\ntls_cert = {ca}/client.pem\ntls_key = {ca}/client.key\n"),
    "ldaps": ("ldap", LDAP + "tls_ca_cert_dir = {ca}/ca.d\ntls_require_cert = yes\nserver_host = ldaps://localhost:{ldaps}\nbind = no\n"),
    "certificate": ("mysql", SQL + MYSQL + "user = known\npassword = secret\ntls_cert_file = {ca}/client.pem\ntls_key_file = {ca}/client.key\ntls_CAfile = {ca}/ca.pem\n"),
    "options": ("mysql", SQL + MYSQL + "option_file = {options}\n"),
    "uri": ("pgsql", SQL + "hosts = postgresql://tls@localhost:{pgsql}/postgres?sslmode=verify-full&sslrootcert={ca}/ca.pem\ndbname = postgres\n"),
}
# The same through a link that breaks.
BROKEN = {
    "ldap": LDAP + "server_host = ldap://localhost:{link}\nbind = sasl\nsasl_mechs = SCRAM-SHA-256\nbind_dn = reader\nbind_pw = secret\n",
    "mysql": SQL + "hosts = 127.0.0.1:{link}\ndbname = mail\nuser = mail\npassword = secret\n",
    "pgsql": SQL + "hosts = postgresql://mail@127.0.0.1:{link}/postgres?sslmode=disable\ndbname = postgres\n",
}


class DatabaseConnections(Journey):
    def setUp(self):
        super().setUp()
        kinds = {"ldap": connections.Directory, "mysql": connections.Sql, "pgsql": connections.Relational}
        if any(not kind.program() for kind in kinds.values()):
            self.skipTest("not all servers are installed")
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="posthorn-connections.")))
        self.folder.chmod(0o755)
        self.authority = connections.Authority(self.folder / "ca")
        self.servers = {}
        for name, kind in kinds.items():
            self.servers[name] = connections.prepared(kind, self.folder / name, self.authority)
            self.addCleanup(self.servers[name].kill)
        options = self.folder / "my.cnf"
        options.write_text("[client]\nuser = mail\npassword = secret\n")
        options.chmod(0o644)                                      # the library reads it, as the user of the mail system
        self.words = {name: server.port for name, server in self.servers.items()} | {"ldaps": self.servers["ldap"].secure, "ca": self.authority.folder, "options": options}

    def sources(self, texts):
        for name, (kind, text) in texts.items():
            path = self.folder / f"{name}.cf"
            path.write_text(text.format(**self.words, name=name))
            path.chmod(0o600)
        return {"virtual_alias_domains": " ".join(f"{name}.test" for name in texts), "smtpd_peername_lookup": "no",
                "virtual_alias_maps": ", ".join(f"{kind}:{self.folder}/{name}.cf" for name, (kind, _) in texts.items())}

    def asked(self, posthorn, names):
        """What each says of somebody it knows, and of somebody it does not."""
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("sender@example.net")
            return {name: (client.rcpt(f"a@{name}.test")[0], client.rcpt(f"none@{name}.test")[0]) for name in names}

    def test_a_confined_process_reaches_them_by_tls_and_sasl(self):
        posthorn = self.instance(self.sources(REACHED), relay=self.sink().port)
        self.assertEqual(self.asked(posthorn, REACHED), dict.fromkeys(REACHED, (250, 550)))

    def test_an_answer_that_is_cut_off_puts_mail_off(self):
        sink = self.sink()
        links = {name: connections.Cutter(self.servers[name].port, None) for name in BROKEN}
        texts = {}
        for name, link in links.items():
            self.addCleanup(link.close)
            texts[name] = (name, BROKEN[name].replace("{link}", str(link.port)))
        posthorn = self.instance({**self.sources(texts), "minimal_backoff_time": "2s"}, relay=sink.port)
        whole = {}
        for name, link in links.items():
            self.asked(posthorn, [name])
            whole[name] = link.said // 2                          # both questions, had over one connection or two
        posthorn.run("postfix", "reload")                         # connections of before are gone with their tables
        for part in (2, 3, 5):
            for name, link in links.items():
                link.after = max(1, whole[name] * (part - 1) // part)
                link.drop()
            said = self.asked(posthorn, BROKEN)
            self.assertEqual({code // 100 for codes in said.values() for code in codes}, {4}, said)
        taken = [f"a@{name}.test" for name in BROKEN]
        posthorn.run("sendmail", "-f", "sender@example.net", *taken, input="Subject: held up\n\nhello\n")
        wait_until(lambda: "virtual_alias_maps" in posthorn.log(), "the local message meets the broken links")
        self.assertEqual(sink.recipients(), [])
        for link in links.values():
            link.after = None
        wait_until(lambda: self.asked(posthorn, BROKEN) == dict.fromkeys(BROKEN, (250, 550)), "each answers again")
        posthorn.stop()
        posthorn.start()                                          # else pickup tries again in a minute
        wait_until(lambda: set(sink.recipients()) == {"b@x.test"}, "the message goes out")
        posthorn.wait_empty()
        self.assertNotIn("status=bounced", posthorn.log())


if __name__ == "__main__":
    unittest.main()
