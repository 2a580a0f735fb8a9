"""A reload that asks for more than running processes may do: tables, databases and files that are named for the first time. Processes are then
replaced, under load: nobody is refused or put off, nothing is lost or doubled."""
import collections
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

from journey import BIN, Journey, Load, unittest, wait_until
from test_tables import Lines

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "compat"))
import databases  # noqa: E402


# A crowded machine is no fault of a reload.
WRONG = "warning: (?!event loop was late)|error: open"


class ReloadNeeds(Journey):
    def secret(self, posthorn, name, text):
        """As root's files are."""
        path = posthorn.dir / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def database(self, posthorn):
        """In which s@alias.test is sqlite@there.test: what to name behind "sqlite:"."""
        folder = posthorn.dir / "db"
        folder.mkdir()
        folder.chmod(0o755)
        with sqlite3.connect(folder / "mail.sqlite") as database:
            database.execute("create table alias(name text, target text)")
            database.execute("insert into alias values ('s@alias.test', 'sqlite@there.test')")
        database.close()
        return self.secret(posthorn, "alias.cf", f"dbpath = {folder}/mail.sqlite\nquery = SELECT target FROM alias WHERE name = '%s'\n")

    def reload_under_load(self, posthorn, settings):
        load = Load(posthorn, clients=2)
        load.wait_for(10)
        posthorn.set(settings)
        posthorn.run("postfix", "reload")
        load.wait_for(10)
        return load

    def all_is_well(self, posthorn, sink, load, twice=(), but=""):
        acknowledged = load.stop()
        wait_until(lambda: acknowledged <= set(sink.recipients()), "all that was acknowledged arrives")
        posthorn.wait_empty()
        self.assertEqual(load.troubles, [])
        self.assertEqual({address for address, times in collections.Counter(sink.recipients()).items() if times > 1}, set(twice))
        log = "\n".join(line for line in posthorn.log().splitlines() if not but or but not in line)
        self.assertNotRegex(log, r"status=(deferred|bounced)|panic|fatal|exit status|killed|throttling|reject")

    def test_databases_and_files_that_were_not_named_before(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        qmgr, resolve = posthorn.pids_of("qmgr"), posthorn.pids_of("resolve")
        server = Lines({"t@alias.test": "200 tcp@there.test"})
        self.addCleanup(server.end)
        source = self.database(posthorn)
        maps = [f"sqlite:{source}", f"tcp:127.0.0.1:{server.port}"]
        for kind, letter in (("hash", "h"), ("lmdb", "l"), ("texthash", "x")):
            path = self.secret(posthorn, f"{kind}.map", f"{letter}@alias.test {kind}@there.test\n")
            if kind != "texthash":
                subprocess.run([BIN / "postmap", "-c", posthorn.dir / "conf", f"{kind}:{path}"], check=True)
            maps.append(f"{kind}:{path}")
        domains = self.secret(posthorn, "domains", "alias.test\n")
        load = self.reload_under_load(posthorn, {"virtual_alias_domains": str(domains), "virtual_alias_maps": ", ".join(maps)})
        for letter in "sthlx":
            posthorn.send([f"{letter}@alias.test"])
            posthorn.run("sendmail", "-f", "ann@example.com", f"{letter}@alias.test", input=b"Subject: x\n\nhello\n")
        expected = {f"{name}@there.test": 2 for name in ("sqlite", "tcp", "hash", "lmdb", "texthash")}
        arrived = lambda: {address: times for address, times in collections.Counter(sink.recipients()).items() if address in expected}  # noqa: E731
        wait_until(lambda: arrived() == expected, "what the new tables say is done")
        self.all_is_well(posthorn, sink, load, twice=expected)
        # One process that had to be another; a reload that needs nothing new leaves it where it is.
        self.assertEqual(posthorn.pids_of("qmgr"), qmgr)
        self.assertNotEqual(now := posthorn.pids_of("resolve"), resolve)
        self.assertEqual(len(now), 1)
        posthorn.set({"smtpd_banner": "other.test ESMTP"})
        posthorn.run("postfix", "reload")
        self.assertEqual(posthorn.pids_of("resolve"), now)

    def test_a_table_that_only_a_line_of_master_cf_names(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        path = self.secret(posthorn, "canonical", "one@there.test canonical@there.test\n")
        posthorn.run("postconf", "-Pe", f"cleanup/unix/recipient_canonical_maps=texthash:{path}")
        posthorn.run("postfix", "reload")
        posthorn.send(["one@there.test"])
        posthorn.run("sendmail", "-f", "ann@example.com", "one@there.test", input=b"Subject: x\n\nhello\n")
        wait_until(lambda: sink.recipients() == ["canonical@there.test"] * 2, "both are mapped")
        self.assertNotRegex(posthorn.log(), WRONG)

    def test_a_table_that_only_a_list_names(self):
        posthorn = self.instance(start=False)
        domains = self.secret(posthorn, "domains", "alias.test\n")
        certificate = self.secret(posthorn, "certificate", "-----BEGIN CERTIFICATE-----\n/a\n-----END CERTIFICATE-----\n")
        posthorn.set({"virtual_alias_domains": str(domains), "smtpd_tls_cert_file": str(certificate)})
        posthorn.start()
        resolve = posthorn.pids_of("resolve")
        certificate.write_text(certificate.read_text().replace("/a", "/b"))       # no list
        posthorn.run("postfix", "reload")
        self.assertEqual(posthorn.pids_of("resolve"), resolve)
        more = self.secret(posthorn, "more", "more.test x\n")
        domains.write_text(f"alias.test\ntexthash:{more}\n")
        posthorn.run("postfix", "reload")
        posthorn.run("sendmail", "-f", "ann@example.com", "nobody@more.test", input=b"Subject: x\n\nhello\n")
        posthorn.wait_log(r"to=<nobody@more\.test>.*status=bounced \(User unknown in virtual alias table\)")
        self.assertNotRegex(posthorn.log(), WRONG)

    def test_a_line_of_master_cf_that_was_not_there(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        posthorn.run("postconf", "-MX", "pickup/unix")
        posthorn.start()
        posthorn.add_service("pickup unix n - n 60 1 pickup -o syslog_name=fresh")
        posthorn.run("postfix", "reload")
        posthorn.run("sendmail", "-f", "ann@example.com", "one@there.test", input=b"Subject: x\n\nhello\n")
        wait_until(lambda: sink.recipients() == ["one@there.test"], "it arrives")
        posthorn.wait_log(r"pickup\[\d+\]: [0-9A-Za-z]+: uid=")
        self.assertRegex(posthorn.log(), r" fresh/pickup\[\d+\]: [0-9A-Za-z]+: uid=")

    def test_an_open_session_is_answered_about_a_database_that_is_named_no_more(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        source = self.database(posthorn)
        posthorn.set({"virtual_alias_domains": "alias.test", "virtual_alias_maps": f"sqlite:{source}"})
        posthorn.start()
        resolve = posthorn.pids_of("resolve")
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("sender@example.net")
            posthorn.set({"virtual_alias_maps": "inline:{s@alias.test=inline@there.test}"})
            posthorn.run("postfix", "reload")
            self.assertEqual(client.rcpt("s@alias.test")[0], 250)
        self.assertEqual(posthorn.pids_of("resolve"), resolve)

    def test_a_server_of_databases(self):
        kinds = [kind for kind in (databases.PostgreSQL, databases.OpenLDAP, databases.MariaDB) if kind.program()]
        if not kinds:
            self.skipTest("no server is installed")
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="posthorn-databases.")))
        folder.chmod(0o755)
        server = kinds[0](folder / kinds[0].__name__)
        self.addCleanup(server.kill)
        server.prepare()
        type_, source = next(server.sources())
        sink = self.sink()
        posthorn = self.instance(relay=sink.port)
        text = {"pgsql": "query = SELECT target FROM alias WHERE name = '%u@example.com' ORDER BY target\n"}.get(type_, "")
        path = self.secret(posthorn, f"{type_}.cf", source + text)
        load = self.reload_under_load(posthorn, {"virtual_alias_domains": "alias.test", "virtual_alias_maps": f"{type_}:{path}"})
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("sender@example.net")
            self.assertEqual(client.rcpt("a@alias.test")[0], 250)
            self.assertEqual(client.rcpt("nobody-at-all@alias.test")[0], 550)
        self.all_is_well(posthorn, sink, load, but="nobody-at-all")

    def test_the_file_that_says_our_origin(self):
        """memory may open no such file: it completes the sender of probes."""
        senders = []

        def mail(argument, sink):
            senders.append(argument)
            return "250 2.1.0 Ok"
        sink = self.sink({"MAIL": mail})
        posthorn = self.instance({"myorigin": "first.test", "address_verify_sender": "prober", "smtpd_recipient_restrictions": "reject_unverified_recipient", "relay_domains": "there.test",
                                  "address_verify_map": ""}, relay=sink.port)

        def probe(user):
            posthorn.send([f"{user}@there.test"], sender="x@elsewhere.test")
            return [argument for argument in senders if "prober" in argument][-1]
        self.assertIn("<prober@first.test>", probe("a"))
        posthorn.set({"myorigin": "second.test"})
        posthorn.run("postfix", "reload")
        self.assertIn("<prober@second.test>", probe("b"))
        path = self.secret(posthorn, "mailname", "third.test\n")
        posthorn.set({"myorigin": str(path)})
        posthorn.run("postfix", "reload")
        self.assertIn("<prober@third.test>", probe("c"))


if __name__ == "__main__":
    unittest.main()
