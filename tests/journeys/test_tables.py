"""Tables of every way to be asked, through a running instance: database files, a database behind resolve, servers on sockets."""
import os
import pathlib
import socketserver
import sqlite3
import subprocess
import threading

from journey import BIN, Journey, unittest, wait_until


class Lines(socketserver.ThreadingTCPServer):
    """A tcp table: key -> answer line."""
    allow_reuse_address, daemon_threads = True, True

    def __init__(self, answers, port=0):
        self.answers, self.asked, self.ended = answers, [], False
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    key = line.decode().strip().removeprefix("get ")
                    server.asked.append(key)
                    answer = server.answers.get(key, "500 none")
                    if server.ended:
                        return
                    self.wfile.write(answer.encode() + b"\n")
        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def end(self):
        self.ended = True                                        # also for connections that are open
        self.shutdown()
        self.server_close()


class Tables(Journey):
    def rcpt(self, posthorn, address):
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("sender@example.com")
            code, text = client.rcpt(address)
            return code, text.decode()

    def test_local_recipients_are_the_users_of_the_system_and_the_aliases_as_the_default_has_it(self):
        posthorn = self.instance({"mydestination": "here.test", "alias_maps": "", "local_transport": "smtp:[127.0.0.1]:1"}, start=False)
        aliases = posthorn.dir / "aliases"
        aliases.write_text("team: root\n")
        posthorn.set({"alias_maps": f"hash:{aliases}"})
        subprocess.run([BIN / "postalias", "-c", posthorn.dir / "conf", f"hash:{aliases}"], check=True)
        posthorn.run("postconf", "-X", "local_recipient_maps", check=False)
        posthorn.start()
        with posthorn.smtp() as client:
            client.ehlo("client.test")
            client.mail("sender@example.com")
            answers = [client.rcpt(f"{user}@here.test") for user in ("root", "team", "no-such-user")]
        self.assertEqual([code for code, _ in answers], [250, 250, 550])
        self.assertIn(b"User unknown in local recipient table", answers[2][1])

    def test_the_smtp_client_asks_hash_and_btree_tables_although_it_may_write_nothing(self):
        sink = self.sink()
        posthorn = self.instance({"smtp_tls_security_level": "may"}, relay=sink.port, start=False)
        generic, policy = posthorn.dir / "generic", posthorn.dir / "policy"
        generic.write_text("me@ours.test you@there.test\n")
        policy.write_text(f"[127.0.0.1]:{sink.port} none\n")
        for spec in (f"hash:{generic}", f"btree:{policy}"):
            subprocess.run([BIN / "postmap", "-c", posthorn.dir / "conf", spec], check=True)
        os.chmod(f"{generic}.db", 0o600)
        posthorn.set({"smtp_generic_maps": f"hash:{generic}", "smtp_tls_policy_maps": f"btree:{policy}"})
        posthorn.start()
        posthorn.run("sendmail", "-f", "me@ours.test", "user@there.test", input="Subject: x\n\nbody\n")
        posthorn.wait_log(r"status=sent")
        self.assertEqual(sink.messages[0][0].split()[0].split("<")[1], "you@there.test>")
        self.assertNotIn("lookup error", posthorn.log())

    def test_hash_and_sqlite_expand_aliases_and_are_read_with_roots_rights(self):
        sink = self.sink()
        posthorn = self.instance(relay=sink.port, start=False)
        aliases, database, source = posthorn.dir / "aliases", posthorn.dir / "db" / "mail.sqlite", posthorn.dir / "alias.cf"
        aliases.write_text("one@alias.test first@there.test\n")
        subprocess.run([BIN / "postmap", "-c", posthorn.dir / "conf", f"hash:{aliases}"], check=True)
        database.parent.mkdir()
        with sqlite3.connect(database) as db:
            db.execute("create table alias(name text, target text)")
            db.execute("insert into alias values ('two@alias.test', 'second@there.test'), ('two@alias.test', 'third@there.test')")
        db.close()
        source.write_text(f"dbpath = {database}\nquery = SELECT target FROM alias WHERE name = '%s'\n")
        for secret in (pathlib.Path(f"{aliases}.db"), source):
            secret.chmod(0o600)                                  # as root's password files are
        if os.geteuid() == 0:
            database.parent.chmod(0o755)
        posthorn.set({"virtual_alias_domains": "alias.test", "virtual_alias_maps": f"proxy:sqlite:{source}, hash:{aliases}"})
        # As Debian's stock master.cf has it. Whatever the column says, tables are found.
        subprocess.run([BIN / "postconf", "-c", posthorn.dir / "conf", "-Fe", "*/inet/chroot=y"], check=True)
        posthorn.start()
        posthorn.send(["one@alias.test"])
        posthorn.send(["two@alias.test"])
        wait_until(lambda: sorted(sink.recipients()) == ["first@there.test", "second@there.test", "third@there.test"], "aliases of both tables are delivered")
        self.assertEqual(self.rcpt(posthorn, "none@alias.test")[0], 550)
        # A changed table is read without a restart.
        aliases.write_text("one@alias.test fourth@there.test\n")
        subprocess.run([BIN / "postmap", "-c", posthorn.dir / "conf", f"hash:{aliases}"], check=True)
        wait_until(lambda: posthorn.send(["one@alias.test"]) or "fourth@there.test" in sink.recipients(), "the changed table is seen")
        # A database that cannot answer defers; it refuses nobody.
        with sqlite3.connect(database) as db:
            db.execute("alter table alias rename to away")
        db.close()
        code, text = self.rcpt(posthorn, "none@alias.test")
        self.assertEqual((code, text.split()[0]), (451, "4.3.0"), text)
        with sqlite3.connect(database) as db:
            db.execute("alter table away rename to alias")
        db.close()
        self.assertEqual(self.rcpt(posthorn, "none@alias.test")[0], 550)
        # What the file says of the database counts from a reload on, in the processes that live on too.
        fresh = source.with_suffix(".new")
        fresh.write_text(f"dbpath = {database}\nquery = SELECT 'fifth@there.test' FROM alias WHERE name = '%s'\n")
        fresh.chmod(0o600)
        fresh.rename(source)
        posthorn.run("postfix", "reload")
        posthorn.send(["two@alias.test"])
        wait_until(lambda: "fifth@there.test" in sink.recipients(), "the query of the reloaded file is asked")

    def test_a_tcp_table_decides_and_its_server_comes_and_goes(self):
        sink = self.sink()
        server = Lines({"bad@there.test": "200 REJECT%20not%20this%20one", "odd@there.test": "nonsense"})
        posthorn = self.instance({"smtpd_recipient_restrictions": f"check_recipient_access tcp:127.0.0.1:{server.port}, permit_mynetworks, reject"}, relay=sink.port)
        self.assertEqual(self.rcpt(posthorn, "good@there.test")[0], 250)
        code, text = self.rcpt(posthorn, "bad@there.test")
        self.assertEqual(code, 554)
        self.assertIn("not this one", text)
        self.assertEqual(self.rcpt(posthorn, "odd@there.test")[0], 451)
        self.assertNotIn("there.test", server.asked)             # whole keys only
        port = server.port
        server.end()
        wait_until(lambda: self.rcpt(posthorn, "new@there.test")[0] == 451, "a server that is away is no permission")
        server = Lines({"bad@there.test": "200 REJECT"}, port)
        self.addCleanup(server.end)
        self.assertEqual(self.rcpt(posthorn, "good@there.test")[0], 250)
        self.assertEqual(self.rcpt(posthorn, "bad@there.test")[0], 554)


if __name__ == "__main__":
    unittest.main()
