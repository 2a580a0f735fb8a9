"""PostgreSQL, MariaDB, OpenLDAP, Redis and memcached behind one running system: each is killed under load and comes back. Meanwhile senders hear
4xx, nobody is refused for good, nothing that was taken is lost, and all goes on by itself. A minute or two: a server that failed rests for one
minute, as in Postfix. For scripts/nightly; compat_databases is the short form.
"""
import collections
import pathlib
import smtplib
import sys
import tempfile
import threading
import time

from journey import Journey, unittest, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "compat"))
import databases  # noqa: E402

SQL = "query = SELECT target FROM alias WHERE name = '%u@example.com' ORDER BY target\n"
ASKED = {"pgsql": SQL, "mysql": SQL, "ldap": "query_filter = (mail=%u@example.com)\nresult_attribute = description\n", "redis": "key_format = %u@example.com\n",
         "memcache": "key_format = %u@example.com\n"}
SENDERS = 2                                                      # for each kind


class Load:
    """Sessions that ask for one kind of table each, one after the other, until told to stop."""

    def __init__(self, posthorn, kinds):
        self.posthorn, self.stopping, self.lock = posthorn, threading.Event(), threading.Lock()
        self.paused = set()
        self.codes = {kind: collections.Counter() for kind in kinds}             # of known recipients
        self.taken, self.wrong = [], []
        self.threads = [threading.Thread(target=self.run, args=(kind, number)) for kind in kinds for number in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def run(self, kind, number):
        count = 0
        while not self.stopping.is_set():
            if kind in self.paused:
                time.sleep(0.1)
                continue
            count += 1
            mark = f"{kind}-{number}-{count}"
            try:
                with self.posthorn.smtp() as client:
                    client.ehlo("client.test")
                    client.mail("sender@example.net")
                    code, text = client.rcpt(f"a@{kind}.test")
                    if code == 250:
                        code, text = client.data(f"Subject: {mark}\r\n\r\nhello\r\n".encode())
                    with self.lock:
                        self.codes[kind][code // 100] += 1
                        if code == 250:
                            self.taken.append(mark)
                        elif not 400 <= code < 500:
                            self.wrong.append((kind, code, text))
            except (OSError, smtplib.SMTPException) as error:
                with self.lock:
                    self.wrong.append((kind, 0, repr(error)))
            time.sleep(0.05)

    def count(self, kind, hundreds):
        with self.lock:
            return self.codes[kind][hundreds]

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class DatabasesAway(Journey):
    def test_each_is_killed_under_load_and_comes_back(self):
        kinds = [kind for kind in (databases.PostgreSQL, databases.MariaDB, databases.OpenLDAP, databases.Redis, databases.Memcached) if kind.program()]
        if not kinds:
            self.skipTest("no server is installed")
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="posthorn-databases.")))
        folder.chmod(0o755)
        servers, sources = {}, {}
        for kind in kinds:
            server = kind(folder / kind.__name__)
            self.addCleanup(server.kill)
            server.prepare()
            type_, source = next(server.sources())
            servers[type_] = server
            sources[type_] = folder / f"{type_}.cf"
            text = "\n".join(line for line in source.splitlines() if line.split(" =")[0] not in ("query_filter", "result_attribute", "special_result_attribute"))
            sources[type_].write_text(f"{text}\n{ASKED[type_]}domain = {type_}.test\n")
            sources[type_].chmod(0o600)
        sink = self.sink()
        posthorn = self.instance({"virtual_alias_domains": " ".join(f"{type_}.test" for type_ in sources), "virtual_alias_maps": ", ".join(f"{type_}:{path}" for type_, path in sources.items()),
                                  "minimal_backoff_time": "5s", "smtpd_peername_lookup": "no"}, relay=sink.port)
        load = Load(posthorn, sources)
        try:
            for type_ in sources:
                wait_until(lambda: load.count(type_, 2) > 3, f"{type_}: mail is taken")
            for type_, server in servers.items():
                before = load.count(type_, 4)
                server.kill()
                wait_until(lambda: load.count(type_, 4) > before + 3, f"{type_}: without it mail is put off", 120)
            for type_, server in servers.items():
                if type_ == "memcache":                          # it comes back empty: what it does not know yet is unknown
                    load.paused.add(type_)
                    time.sleep(1)
                server.start()
                load.paused.discard(type_)
            for type_ in servers:
                after = load.count(type_, 2)
                wait_until(lambda: load.count(type_, 2) > after + 3, f"{type_}: mail is taken again", 180)
        finally:
            load.stop()
        self.assertEqual(load.wrong, [])
        self.assertGreater(len(load.taken), 10 * len(servers))

        def arrived():
            with sink._lock:
                return collections.Counter(content.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for _, _, content in sink.messages)
        posthorn.run("postqueue", "-f")
        wait_until(lambda: set(load.taken) <= set(arrived()), "all that was taken arrives", 180)
        posthorn.wait_empty()
        with posthorn.smtp() as client:                          # and what is unknown is unknown again, for good
            client.ehlo("client.test")
            client.mail("sender@example.net")
            for type_ in servers:
                self.assertEqual(client.rcpt(f"none@{type_}.test")[0], 550, type_)


if __name__ == "__main__":
    unittest.main()
