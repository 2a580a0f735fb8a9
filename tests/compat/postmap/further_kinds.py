"""Tables of the kinds that postmap.py has no rules of its own for, from the seeded generator; and small servers for tcp, socketmap and memcache,
whose answers are part of what is generated: found, not found, refused, nonsense, nothing."""
import random
import socketserver
import sqlite3
import threading
from urllib.parse import quote, unquote

KEYS = ["a@example.test", "A@Example.TEST", "b", "B", "user+ext@example.test", "@example.test", "none", "root", "nobody", "with space", "100%", "it's", "PATH", "x"]
VALUES = ["one", "two three", "r@other.test, s@other.test", "100%25", "550 5.1.1 no", "  padded", "REJECT", "x" * 300]


class Server:
    """Answers each question that `one` reads by what `answer` makes of it; both systems ask the same server."""

    def __init__(self, handle):
        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                try:
                    handle(self.rfile, self.wfile)
                except (OSError, ValueError):
                    pass
        socketserver.ThreadingTCPServer.allow_reuse_address = socketserver.ThreadingTCPServer.daemon_threads = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def tcp_server(answers):
    def handle(read, write):
        for line in read:
            key = unquote(line.decode().rstrip("\r\n").removeprefix("get "))
            answer = answers.get(key, "500 not here")
            if answer is None:
                return
            write.write(answer.encode() + b"\n")
            write.flush()
    return Server(handle)


def socketmap_server(answers):
    def handle(read, write):
        while True:
            size = b""
            while (octet := read.read(1)) != b":":
                if not octet:
                    return
                size += octet
            text = read.read(int(size)).decode()
            read.read(1)
            answer = answers.get(text.partition(" ")[2], "NOTFOUND ")
            if answer is None:
                return
            write.write(answer if isinstance(answer, bytes) else f"{len(answer.encode())}:{answer},".encode())
            write.flush()
            if answer == b"12":                                 # an answer that is not whole
                return
    return Server(handle)


def memcache_server(answers):
    def handle(read, write):
        for line in read:
            words = line.decode().split()
            answer = answers.get(words[1]) if words[:1] == ["get"] and len(words) > 1 else None
            if isinstance(answer, bytes):
                write.write(answer)
            else:
                write.write((f"VALUE {words[1]} 0 {len(answer)}\r\n{answer}\r\n" if answer else "").encode() + b"END\r\n")
            write.flush()
    return Server(handle)


def answers_of(rng, found, failures):
    """key -> answer, a part of them failing."""
    return {key.lower() if rng.random() < 0.5 else key: rng.choice(failures) if rng.random() < 0.2 else found(rng.choice(VALUES)) for key in rng.sample(KEYS, k=9)}


TCP_FAILURES = ["400 later", "500 no", "500", "200 ", "200", "nonsense", None, "200 a%20b", "200 %zz", "300 odd", "200  two"]
SOCKETMAP_FAILURES = ["NOTFOUND ", "TEMP not now", "TIMEOUT too slow", "PERM never", "OK ", "OK", "ODD thing", b"x:y,", b"12", b"5:OK a;", "NOTFOUND", None, "TEMP", ""]
MEMCACHE_FAILURES = [None, b"SERVER_ERROR out\r\n", b"ERROR\r\n", b"nonsense\r\n", b"VALUE x\r\n"]


class Further:
    """The kinds, each with a number of questions; `close` ends the servers."""

    def __init__(self, seed, each=6):
        self.random, self.each, self.servers = random.Random(seed), each, []

    def close(self):
        for server in self.servers:
            server.close()

    def served(self, make, answers):
        self.servers.append(make(answers))
        return self.servers[-1].port

    def questions(self):
        """(name, files, arguments, standard input, accepted)"""
        rng = self.random
        for kind in ("static", "environ", "unix", "unionmap", "pipemap", "randmap", "fail", "internal", "debug", "sqlite", "tcp", "socketmap", "memcache", "nis", "regexp", "pcre"):
            for _ in range(self.each * (2 if kind in ("tcp", "socketmap") else 1)):
                files, spec = getattr(self, kind)()
                flags = ["-f"] if rng.random() < 0.15 else []
                accept = {"debug": {"debug-is-new"}, "nis": {"nis"}, "environ": {"environment"}}.get(kind, {"own-words"} if kind in ("sqlite", "tcp", "socketmap", "memcache") else set())
                if "missing" in (files.get("q") or ""):
                    accept = {"sqlite-missing"}
                # Many keys in one process, or one key.
                keys = rng.sample(KEYS, k=1 if rng.random() < 0.5 else 5)
                if len(keys) > 1:
                    yield f"further-{kind}", files, [*flags, "-q", "-", spec], "".join(f"{key}\n" for key in keys), accept
                else:
                    yield f"further-{kind}", files, [*flags, "-q", keys[0], spec], "", accept

    def inner(self):
        rng = self.random
        return rng.choice([f"static:{rng.choice(['s', '{a b}', '{}'])}", "inline:{" + ", ".join(f"{{{k}={rng.choice(['b', 'x', 'none', 'v1'])}}}" for k in ["b", "x", "none", "root"]) + "}",
                           "fail:f", "texthash:t", "regexp:{{/(.*)@(.*)/ $1} {/^b$/ x}}", "cidr:{{127.0.0.1 lo}}", "environ:", "nosuch:x"])

    def files(self):
        return {"t": "".join(f"{key} {self.random.choice(['x', 'b', 'root', 'none', 'value of it'])}\n" for key in ("b", "x", "root", "a@example.test", "with"))}

    def static(self):
        return {}, "static:" + self.random.choice(["plain", "{ two words }", "{}", "a:b", "{x", "$name", "100%"])

    def environ(self):
        return {}, "environ:" + self.random.choice(["", "x"])

    def unix(self):
        return {}, "unix:" + self.random.choice(["passwd.byname", "group.byname", "passwd.bynumber", ""])

    def unionmap(self):
        return self.files(), "unionmap:{" + ", ".join(self.inner_braced() for _ in range(self.random.randint(1, 3))) + "}"

    def pipemap(self):
        return self.files(), "pipemap:{" + ", ".join(self.inner_braced() for _ in range(self.random.randint(1, 3))) + "}"

    def inner_braced(self):
        inner = self.inner()
        return "{" + inner + "}" if "," in inner or " " in inner or self.random.random() < 0.3 else inner

    def randmap(self):
        one = self.random.choice(["one", "two words", "x@y.test"])
        return {}, self.random.choice(["randmap:{" + f"{{{one}}}, {{{one}}}" + "}", f"randmap:{{{one.split()[0]}}}", "randmap:{ }", "randmap:one", "randmap:{a"])

    def fail(self):
        return {}, "fail:" + self.random.choice(["x", "", "{a b}"])

    def internal(self):
        return {}, "internal:" + self.random.choice(["x", ""])

    def debug(self):
        return self.files(), "debug:" + self.inner()

    def nis(self):
        return {}, "nis:mail.aliases"

    def sqlite(self):
        rng = self.random
        path = rng.choice(["d", "d", "d", "d", "d", "missing"])
        more = rng.choice(["query = select target from alias where name = '%s' order by target\n", "query = select target from alias where name = '%u@%d'\n",
                           "query = select target from alias where name = '%s'\ndomain = example.test\n", "query = select target from alias where name = '%s' order by target\nresult_format = <%s>\n",
                           "query = select target from alias where name = '%s' order by target\nexpansion_limit = 1\n", "query = selec\n", "query = select nothing from alias where name = '%s'\n", "",
                           "query = select target, 2 from alias where name = '%s'\n", "query = select target from alias where name = '%s' and name = '%q'\n",
                           "query = select null\n", "query = select ''\n", "query = select '%1.%2.%3'\n", "query = select '%S %U %D'\n"])
        return {"q": f"dbpath = {path}\n{more}", "d": None}, "sqlite:./q"

    def tcp(self):
        port = self.served(tcp_server, answers_of(self.random, lambda value: "200 " + quote(value), TCP_FAILURES)) if self.random.random() < 0.9 else 1
        return {}, f"tcp:127.0.0.1:{port}"

    def socketmap(self):
        port = self.served(socketmap_server, answers_of(self.random, lambda value: f"OK {value}", SOCKETMAP_FAILURES)) if self.random.random() < 0.9 else 1
        return {}, "socketmap:" + self.random.choice([f"inet:127.0.0.1:{port}:name", f"inet:127.0.0.1:{port}:a name", f"inet:127.0.0.1:{port}"])

    def memcache(self):
        port = self.served(memcache_server, {key.replace(" ", ""): value for key, value in answers_of(self.random, str, MEMCACHE_FAILURES).items()})
        return {"m": f"memcache = inet:127.0.0.1:{port}\n" + self.random.choice(["", "domain = example.test\n", "key_format = %u\n", "retry_pause = 0\nmax_try = 1\n"])}, "memcache:./m"

    def patterned(self):
        rng = self.random
        lines = []
        for number in range(rng.randint(1, 5)):
            lines.append(rng.choice(["", "!"]) + rng.choice(["/^(.)(.*)@(.*)$/", "/^b$/i", "/example/", "/ext@/", "|^none|", "/o{2}/", "/(b|none|x)/", "/[[:upper:]]/", "/^.+$/x", "/(/", "/$/"]) +
                         " " + rng.choice(["r", "$1", "${1}-$2", "$$", "$(1)x", "$0", "$9", "", "two words", "$1 $1 $1"]) + f" {number}")
        return {"p": "\n".join(lines) + "\n"}

    def regexp(self):
        return self.patterned(), "regexp:p"

    def pcre(self):
        return self.patterned(), "pcre:p"


def write_database(path):
    """The sqlite file of the questions."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("create table alias(name text, target text)")
        database.executemany("insert into alias values(?, ?)", [("a@example.test", "one"), ("a@example.test", "two"), ("b", "bee"), ("it's", "quoted"), ("user+ext@example.test", "ext")])
    database.close()
