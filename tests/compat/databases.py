#!/usr/bin/env python3
"""Tables in real servers: PostgreSQL, MariaDB, OpenLDAP, Redis and memcached, started here on private sockets and ports; the same questions to Debian's
postmap where it knows the type; then each server is ended and started again: while it is away the answer is an error, never "not there".

usage: databases.py OUR_POSTMAP      exit 77 (skipped) where not one of the servers is installed
"""
import concurrent.futures
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "journeys"))
import frame  # noqa: E402
import remains  # noqa: E402
from ports import free_port  # noqa: E402

KEYS = ["a@example.com", "A@EXAMPLE.com", "it's@example.com", "none@example.com", "user+ext@example.com", "two@example.com", "@example.com", "bare", "x' or '1'='1",
        "u@other.test", "back\\slash@example.com", "par(en)*@example.com"]
ROWS = [("a@example.com", "b@x.test"), ("it's@example.com", "quoted"), ("two@example.com", "one@x.test"), ("two@example.com", "two@x.test"),
        ("u@other.test", "elsewhere"), ("back\\slash@example.com", "slash"), ("par(en)*@example.com", "brackets")]


def wait_until(question, what, patience=240):
    end = time.monotonic() + patience
    while not question():
        if time.monotonic() > end:
            sys.exit(f"waited {patience} s in vain: {what}")
        time.sleep(0.1)


def find(name, *folders):
    for folder in folders:
        for path in sorted(glob.glob(f"{folder}/{name}")):
            return path
    return shutil.which(name)


class Server:
    """One server in a folder of its own. Servers that refuse to be root run as a user of the system that owns nothing else."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.process = None
        self.user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self.user:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def run(self, command, stdin=None, check=True):
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        done = subprocess.run([str(w) for w in command], cwd=self.folder, input=stdin, text=True, capture_output=True, env={**os.environ, "HOME": str(self.folder)}, **who)
        if check and done.returncode != 0:
            sys.exit(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def spawn(self, command):
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen([str(w) for w in command], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "HOME": str(self.folder)}, start_new_session=True, **who)

    def more_arguments(self):
        return []

    def kill(self):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class PostgreSQL(Server):
    kinds, debian = ["pgsql"], "pgsql"

    @staticmethod
    def program():
        return find("postgres", "/usr/lib/postgresql/*/bin")

    def prepare(self):
        self.bin = pathlib.Path(self.program()).parent
        self.port = free_port()
        self.run([self.bin / "initdb", "-D", self.folder / "data", "-U", "mail", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"])
        self.start()
        self.sql("create table alias(name text, target text)")
        for row in ROWS:
            self.sql("insert into alias values ('{}','{}')".format(*(value.replace("'", "''") for value in row)))

    def sql(self, text):
        return self.run([self.bin / "psql", "-h", self.folder, "-p", self.port, "-U", "mail", "postgres", "-qAtc", text]).stdout

    def start(self):
        self.spawn([self.bin / "postgres", "-D", self.folder / "data", "-p", self.port, "-k", self.folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", *self.more_arguments()])
        wait_until(lambda: self.run([self.bin / "pg_isready", "-h", self.folder, "-p", self.port], check=False).returncode == 0, "PostgreSQL answers")

    def sources(self):
        yield "pgsql", f"hosts = 127.0.0.1:{self.port}\nuser = mail\ndbname = postgres\n"
        yield "pgsql", f"hosts = postgresql://mail@127.0.0.1:{self.port}/postgres\ndbname = postgres\n"


class MariaDB(Server):
    kinds, debian = ["mysql"], "mysql"

    @staticmethod
    def program():
        return find("mariadbd", "/usr/sbin")

    def prepare(self):
        self.port = free_port()
        self.run(["mariadb-install-db", "--no-defaults", f"--datadir={self.folder}/data", "--auth-root-authentication-method=normal", "--skip-test-db"])
        self.start()
        quoted = [tuple(value.replace("\\", "\\\\").replace("'", "''") for value in row) for row in ROWS]
        self.sql("create database mail; create user mail@'127.0.0.1' identified by 'secret'; grant all on mail.* to mail@'127.0.0.1'; use mail;"
                 "create table alias(name varchar(200), target varchar(200));"
                 "create procedure once(k varchar(200)) select target from alias where name = k; create procedure nothing() set @x = 1;\ndelimiter //\n"
                 "create procedure twice(k varchar(200)) begin select target from alias where name = k; select name from alias where name = k; end//\ndelimiter ;\n" + "".join("insert into alias values ('{}','{}');".format(*row) for row in quoted))

    def sql(self, text):
        return self.run(["mariadb", "--no-defaults", f"--socket={self.folder}/socket", "-u", "root", "-N"], stdin=text).stdout

    def start(self):
        # With 0 what was written in the last second is gone with a process that is killed; with 2 the system has it.
        self.spawn([self.program(), "--no-defaults", f"--datadir={self.folder}/data", f"--socket={self.folder}/socket", f"--port={self.port}", "--bind-address=127.0.0.1",
                    f"--pid-file={self.folder}/pid", "--innodb-flush-log-at-trx-commit=2", "--skip-name-resolve", *self.more_arguments()])
        wait_until(lambda: self.run(["mariadb-admin", "--no-defaults", f"--socket={self.folder}/socket", "-u", "root", "ping"], check=False).returncode == 0, "MariaDB answers")

    def sources(self):
        yield "mysql", f"hosts = inet:127.0.0.1:{self.port}\nuser = mail\npassword = secret\ndbname = mail\n"


class OpenLDAP(Server):
    kinds, debian = ["ldap"], "ldap"

    @staticmethod
    def program():
        return find("slapd", "/usr/sbin")

    def prepare(self):
        self.port = free_port()
        (self.folder / "data").mkdir()
        if self.user:
            os.chown(self.folder / "data", self.user.pw_uid, self.user.pw_gid)
        (self.folder / "slapd.conf").write_text(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n"
            f"modulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nmaxsize 10485760\nsuffix dc=test\nrootdn cn=root,dc=test\nrootpw secret\ndirectory {self.folder}/data\n")
        self.start()
        ldif = "dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\ndc: test\no: test\n\n"
        targets = {}
        for name, target in ROWS:
            targets.setdefault(name, []).append(target)
        for number, (name, values) in enumerate(targets.items()):
            ldif += (f"dn: cn=entry{number},dc=test\nobjectClass: inetOrgPerson\ncn: entry{number}\nsn: {name}\nmail: {name}\n" +
                     "".join(f"description: {value}\n" for value in values) + "\n")
        ldif += ("dn: cn=group,dc=test\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: group\nmail: group@example.com\n"
                 "member: cn=entry0,dc=test\nmember: cn=entry2,dc=test\n\n"
                 "dn: cn=over,dc=test\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: over\nmail: over@example.com\nmember: cn=group,dc=test\nmember: cn=gone,dc=test\n\n")
        self.run(["ldapadd", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", "cn=root,dc=test", "-w", "secret"], stdin=ldif)

    def start(self):
        self.spawn([self.program(), "-d", "0", "-f", self.folder / "slapd.conf", "-h", f"ldap://127.0.0.1:{self.port}"])
        wait_until(lambda: self.run(["ldapsearch", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-s", "base", "-b", ""], check=False).returncode == 0, "OpenLDAP answers")

    def sources(self):
        yield "ldap", (f"server_host = ldap://127.0.0.1:{self.port}\nsearch_base = dc=test\nbind = yes\nbind_dn = cn=root,dc=test\nbind_pw = secret\n"
                       "query_filter = (mail=%s)\nresult_attribute = description\nspecial_result_attribute = member\n")


class Redis(Server):
    kinds, debian = ["redis"], None

    @staticmethod
    def program():
        return find("redis-server")

    def prepare(self):
        self.port = free_port()
        self.start()
        for name, target in dict(reversed(ROWS)).items():
            self.say("-n", "1", "set", name, target)
            self.say("hset", "aliases", name, target)

    def say(self, *words):
        return self.run(["redis-cli", "-p", self.port, "-a", "secret", *words], check=False).stdout

    def start(self):
        self.spawn([self.program(), "--port", self.port, "--bind", "127.0.0.1", "--requirepass", "secret", "--save", "1 1", "--appendonly", "yes", "--dir", self.folder])
        wait_until(lambda: "PONG" in self.say("ping"), "Redis answers")

    def sources(self):
        yield "redis", f"server = inet:127.0.0.1:{self.port}\npassword = secret\ndatabase = 1\n"
        yield "redis", f"server = inet:127.0.0.1:{self.port}\npassword = secret\nhash = aliases\n"


class Memcached(Server):
    kinds, debian = ["memcache"], None

    @staticmethod
    def program():
        return find("memcached")

    def prepare(self):
        self.port = free_port()
        self.start()

    def start(self):
        self.spawn([self.program(), "-p", self.port, "-l", "127.0.0.1", "-U", "0"])
        def answers():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                for name, target in dict(reversed(ROWS)).items():
                    s.sendall(f"set {name} 0 0 {len(target)}\r\n{target}\r\n".encode())
                    if s.recv(100) != b"STORED\r\n":
                        return False
                return True
            return False
        wait_until(answers, "memcached answers")

    def sources(self):
        yield "memcache", f"memcache = inet:127.0.0.1:{self.port}\n"


# What is asked of every source, as parameters beside its own.
SHAPES = {"pgsql": ["query = SELECT target FROM alias WHERE name = '%s' ORDER BY target\n", "query = SELECT target FROM alias WHERE name = '%u@%d' ORDER BY target\nresult_format = [%s] for %U\n",
                    "query = SELECT target FROM alias WHERE name = '%s'\ndomain = other.test\n", "table = alias\nselect_field = target\nwhere_field = name\nadditional_conditions = ORDER BY target DESC\n",
                    "query = SELECT target FROM alias WHERE name = '%s'\nexpansion_limit = 1\n"]}
SHAPES["mysql"] = SHAPES["pgsql"]
SHAPES["ldap"] = ["", "result_format = <%s>\n", "domain = other.test\n", "expansion_limit = 1\n"]
SHAPES["redis"] = SHAPES["memcache"] = ["", "domain = other.test\n"]
# What few keys show: parameters in place of the source's own, and the keys.
GROUPS = ["group@example.com", "over@example.com", "a@example.com"]
LIMITED = "query = SELECT target FROM alias WHERE name = '%s' ORDER BY target DESC\n"
FEW = {"ldap": [("recursion_limit = 1\n", GROUPS), ("recursion_limit = 2\n", GROUPS), ("recursion_limit = 3\n", GROUPS), ("leaf_result_attribute = sn\nresult_attribute =\n", GROUPS),
                ("terminal_result_attribute = sn\n", GROUPS), ("result_attribute = sn, SN, sn\nresult_filter = <%s>\n", GROUPS), ("search_base = ou=gone,dc=test\n", GROUPS[:1]),
                ("search_base = ou=%u,dc=test\n", GROUPS[:1]), ("search_base = cn=%u,dc=test\nscope = base\nquery_filter = (objectClass=*)\n", GROUPS[:2]), ("search_base = dc=test\nquery_filter = (mail=%s\n", GROUPS[:1]),
                ("query_filter = (mail=*@%d)\nsize_limit = 2\n", GROUPS[:1]), ("result_format =\n", GROUPS[2:]), ("bind_pw = wrong\n", GROUPS[2:]),
                ("scope = all\nversion = 4\n", GROUPS[2:])],
       "pgsql": [(LIMITED + "expansion_limit = 2\n", ["two@example.com"]), (LIMITED + "result_format =\n", ["a@example.com"]), ("query = SELEKT\n", ["a@example.com"]), (LIMITED + "hosts = postgresql://mail@127.0.0.1:{port}/postgres\nuser = nobody\n", ["a@example.com", "none@example.com"]),
                 (LIMITED + "hosts = 127.0.0.1:{closed} 127.0.0.1:{port} 127.0.0.1:{closed}\n", ["a@example.com", "none@example.com"]), (LIMITED + "hosts = unix:{folder}/none 127.0.0.1:{port}\n", ["a@example.com"]),
                 ("query = SELECT '', target, NULL FROM alias WHERE name = '%s'\n", ["a@example.com"]), ("query = SELECT target FROM alias WHERE name LIKE '%%@%d' ORDER BY target\n", ["x@other.test"]), ("select_function = upper\n", ["a@example.com"])],
       "mysql": [(LIMITED + "expansion_limit = 2\n", ["two@example.com"]), (LIMITED + "result_format =\n", ["a@example.com"]), ("query = SELEKT\n", ["a@example.com"]), ("query = CALL twice('%s')\n", ["a@example.com"]),
                 ("query = CALL once('%s')\n", ["a@example.com", "none@example.com"]), ("query = CALL nothing()\n", ["a@example.com"]), ("query = CALL nothing()\nrequire_result_set = no\n", ["a@example.com"]),
                 (LIMITED + "hosts = 127.0.0.1:{closed} 127.0.0.1:{port} 127.0.0.1:{closed}\n", ["a@example.com", "none@example.com"]), (LIMITED + "hosts = unix:{folder}/none inet:127.0.0.1:{port}\n", ["a@example.com"]),
                 (LIMITED + "user = nobody\n", ["a@example.com"]), (LIMITED + "option_file = {folder}/my.cnf\nuser =\n", ["a@example.com"]), (LIMITED + "option_file = {folder}/my.cnf\noption_group = other\nuser =\n", ["a@example.com"])]}


def postfix():
    """Debian's; None where it cannot be had: then our answers are held against the rows alone."""
    try:
        return frame.Debian()
    except frame.Skipped:
        return None


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    found = [kind for kind in (PostgreSQL, MariaDB, OpenLDAP, Redis, Memcached) if kind.program()]
    if not found:
        print("skipped: no server is installed")
        sys.exit(77)
    folder = remains.folder("posthorn-databases.")
    os.chmod(folder, 0o755)
    servers, asked, failed, compared, answered = [], 0, 0, 0, 0

    def wrong(text):
        nonlocal failed
        failed += 1
        print("---", text)

    try:
        debian = postfix()
        etc = folder / "etc"
        etc.mkdir()
        (etc / "main.cf").write_text("compatibility_level = 3.7\nmydomain = example.test\nmyhostname = host.example.test\nmail_owner = daemon\nsetgid_group = mail\n"
                                     f"default_privs = nobody\nshlib_directory = {debian.library if debian else 'no'}\nmeta_directory = {etc}\n")
        (etc / "dynamicmaps.cf").write_text(debian.dynamicmaps() if debian else "")
        (folder / "postmap").symlink_to(program)

        def ours(spec, key):
            return subprocess.run([str(folder / "postmap"), "-c", str(etc), "-q", key, spec], capture_output=True, text=True, timeout=120)

        def theirs(spec, key):
            return subprocess.run([debian.program("postmap"), "-c", str(etc), "-q", key, spec], capture_output=True, text=True, env=debian.env, timeout=120)

        for kind in found:
            server = kind(folder / kind.__name__)
            servers.append(server)
            server.prepare()
            specs = []
            for number, (type_, source) in enumerate(server.sources()):
                for shape, more in enumerate(SHAPES[type_]):
                    file = folder / f"{type_}{number}{shape}.cf"
                    file.write_text(source + more)
                    specs.append((f"{type_}:{file}", shape))
            def both(question):
                spec, key = question[0], question[-1]
                return ours(spec, key), theirs(spec, key) if kind.debian and debian else None
            questions = [(spec, shape, key) for spec, shape in specs for key in KEYS + (["group@example.com"] if kind is OpenLDAP else [])]
            with concurrent.futures.ThreadPoolExecutor(4) as pool:           # postmap sleeps a second before it ends in vain
                for (spec, shape, key), (mine, reference) in zip(questions, pool.map(both, questions)):
                    asked += 1
                    if reference:
                        compared += 1
                        answered += reference.returncode == 0
                        same = (mine.stdout, mine.returncode) == (reference.stdout, reference.returncode)
                        if kind is OpenLDAP:                     # a directory gives the values of an attribute in any order
                            same = sorted(mine.stdout.strip().split(",")) == sorted(reference.stdout.strip().split(",")) and mine.returncode == reference.returncode
                        if not same:
                            wrong(f"{spec} {key!r}\n{pathlib.Path(spec.split(':', 1)[1]).read_text()}  Postfix {reference}\n  ours {mine}")
                    elif shape == 0:
                        values = [target for name, target in ROWS if name == key.lower()][:1 if kind in (Redis, Memcached) else None]
                        if key == "group@example.com":
                            values = ["b@x.test", "one@x.test", "two@x.test"]
                        if sorted(filter(None, mine.stdout.strip().split(","))) != sorted(values) or mine.returncode != (0 if values else 1) or mine.stderr:
                            wrong(f"{spec} {key!r}: {mine}, wanted {values}")
            (type_, source), *_ = server.sources()
            with socket.create_server(("127.0.0.1", 0)) as taken:
                closed = taken.getsockname()[1]
            questions = []
            (server.folder / "my.cnf").write_text("[client]\nuser = mail\n[other]\nuser = nobody\n")
            for number, (more, keys) in enumerate(FEW.get(type_, []) if debian else []):
                more = more.format(port=server.port, closed=closed, folder=server.folder)
                names = {line.partition("=")[0].strip() for line in more.splitlines()}
                kept = "".join(line + "\n" for line in source.splitlines() if line.partition("=")[0].strip() not in names)
                file = folder / f"{type_}few{number}.cf"
                file.write_text(kept + more)
                questions += [(f"{type_}:{file}", file, key) for key in keys]
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                for (_, file, key), (mine, reference) in zip(questions, pool.map(both, questions)):
                    asked, compared, answered = asked + 1, compared + 1, answered + (reference.returncode == 0)
                    there, here = ((sorted(one.stdout.strip().split(",")), one.returncode, "fatal" in one.stderr) for one in (reference, mine))
                    if there != here:
                        wrong(f"{file} {key!r}\n{file.read_text()}  Postfix {reference}\n  ours {mine}")
            # Away: an error. Back: the answer.
            spec = specs[0][0]
            server.kill()
            for key in ("a@example.com", "none@example.com"):
                mine = ours(spec, key)
                asked += 1
                if mine.returncode != 1 or "query error" not in mine.stderr or mine.stdout:
                    wrong(f"{spec} {key!r} with the server away: {mine}")
            server.start()
            mine = ours(spec, "a@example.com")
            asked += 1
            if mine.stdout != "b@x.test\n":
                wrong(f"{spec} with the server back: {mine}")
        print(f"{asked} questions to {len(found)} servers ({', '.join(kind.__name__ for kind in found)}), {compared} of them to Postfix as well ({answered} with an answer), {failed} answered wrongly")
        sys.exit(1 if failed or (compared and answered < 20 * sum(1 for kind in found if kind.debian)) else 0)
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
