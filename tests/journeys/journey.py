"""What every journey needs: a private instance of Posthorn, peers that take its mail, and ways to look.

Journeys run unprivileged or as root, on ports nobody listens on, out of one temporary directory each, which is removed at the end
(kept, and named, when the journey failed and POSTHORN_KEEP is set).
"""
import asyncio
import base64
import email
import hashlib
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import remains
from ports import free_port  # noqa: F401

BIN = pathlib.Path(os.environ.get("POSTHORN_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "release" / "bin"))
# Sanitizer builds are slow, and CI machines are shared: waits are generous, nothing is asserted about time itself.
PATIENCE = float(os.environ.get("POSTHORN_PATIENCE", "240"))


def sanitized():
    """A sanitizer build: its runtime ends a process that has no descriptor left, and keeps memory that was given back."""
    return b"__asan_init" in (BIN / "posthorn").read_bytes()


def wait_until(question, what, patience=PATIENCE):
    """Asks until the answer is true; the answer. Fails with `what`."""
    end = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(0.02)


class Sink:
    """An SMTP server that takes mail, as a script of replies allows. Runs in a thread of its own.

    replies: verb -> reply, or a function (argument, session) -> reply; DOT is the end of content. A reply of None closes the connection.
    tls: an ssl.SSLContext: STARTTLS is offered; tls_sessions then holds (protocol, resumed) of each handshake.
    """

    def __init__(self, replies=None, keywords=("PIPELINING", "8BITMIME", "SIZE 0", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8"), port=0, delay=0.0,
                 host="127.0.0.1", tls=None):
        self.replies, self.keywords, self.delay, self.host, self.tls = dict(replies or {}), tuple(keywords), delay, host, tls
        self.messages, self.sessions, self.commands, self.tls_sessions = [], 0, [], []
        self.taken_for = set()                                      # the recipients of `messages`
        self.open_now = self.most_open = 0
        self._writers = set()
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()

        def run():
            asyncio.set_event_loop(self._loop)
            self._server = self._loop.run_until_complete(asyncio.start_server(self._session, host, port, limit=1 << 20, backlog=1024))
            self.port = self._server.sockets[0].getsockname()[1]
            started.set()
            self._loop.run_forever()
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        started.wait(10)

    def close(self):
        def stop():
            self._server.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.call_later(0.05, self._loop.stop)
        self._loop.call_soon_threadsafe(stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()

    def _reply(self, verb, argument, default):
        reply = self.replies.get(verb, default)
        return reply(argument, self) if callable(reply) else reply

    async def _session(self, reader, writer):
        self.sessions += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_now -= 1
            self._writers.discard(writer)
            writer.close()

    async def _talk(self, reader, writer):
        async def say(reply):
            if reply is None:
                raise ConnectionError
            if self.delay:
                await asyncio.sleep(self.delay)
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()
        await say(self._reply("CONNECT", "", "220 sink.test ESMTP"))
        sender, recipients = None, []
        while line := await reader.readline():
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb, _, argument = text.partition(" ")
            verb = verb.upper()
            with self._lock:
                self.commands.append(text)
            if verb in ("EHLO", "LHLO"):
                lines = ["sink.test", *self.keywords]
                if self.tls and not writer.get_extra_info("ssl_object"):
                    lines.append("STARTTLS")
                default = "\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{k}" for i, k in enumerate(lines))
                await say(self._reply(verb, argument, default))
            elif verb == "STARTTLS" and self.tls:
                reply = self._reply("STARTTLS", argument, "220 2.0.0 Ready")
                await say(reply)
                if reply.startswith("2"):
                    try:
                        await writer.start_tls(self.tls)
                    except OSError as error:                        # ssl.SSLError is one: the client did not like us
                        self.tls_sessions.append((str(error), False))
                        return
                    reader._transport = writer.transport            # else a full buffer would stop the stream below TLS
                    done = writer.get_extra_info("ssl_object")
                    self.tls_sessions.append((done.version(), done.session_reused))
            elif verb == "MAIL":
                reply = self._reply("MAIL", argument, "250 2.1.0 Ok")
                if reply and reply.startswith("2"):
                    sender, recipients = argument, []
                await say(reply)
            elif verb == "RCPT":
                reply = self._reply("RCPT", argument, "250 2.1.5 Ok")
                if reply and reply.startswith("2"):
                    recipients.append(argument)
                await say(reply)
            elif verb == "DATA":
                reply = self._reply("DATA", "", "354 go" if recipients else "503 5.5.1 no recipients")
                await say(reply)
                if not reply.startswith("3"):
                    continue
                content = bytearray()
                while True:
                    body = await reader.readline()
                    if not body:
                        return
                    if body == b".\r\n":
                        break
                    content += body[1:] if body.startswith(b".") else body
                await self._done(say, sender, recipients, bytes(content))
                sender, recipients = None, []
            elif verb == "BDAT":
                size, last = int(argument.split()[0]), "LAST" in argument.upper()
                self._chunks = getattr(self, "_chunks", {})
                held = self._chunks.setdefault(writer, bytearray())
                held += await reader.readexactly(size)
                if not recipients:
                    held.clear()
                    await say("503 5.5.1 no recipients")
                elif last:
                    await self._done(say, sender, recipients, bytes(held))
                    held.clear()
                    sender, recipients = None, []
                else:
                    await say("250 2.0.0 chunk")
            elif verb == "QUIT":
                await say(self._reply("QUIT", "", "221 2.0.0 Bye"))
                return
            else:
                await say(self._reply(verb, argument, "250 2.0.0 Ok"))

    async def _done(self, say, sender, recipients, content):
        reply = self._reply("DOT", content, "250 2.0.0 Ok: taken")
        if reply and reply.startswith("2"):
            with self._lock:
                self.messages.append((sender, list(recipients), content))
                self.taken_for.update(recipients)
        await say(reply)

    def drop_connections(self):
        """Closes every open connection, as a peer does that is tired of waiting."""
        self._loop.call_soon_threadsafe(lambda: [writer.close() for writer in self._writers])

    def recipients(self):
        """Every accepted recipient, as often as it was accepted."""
        with self._lock:
            return [re.search(r"<(.*?)>", r).group(1) for _, rs, _ in self.messages for r in rs]


class Dns:
    """posthorn-testdns with a zone of the test's; for `dns_servers`."""

    def __init__(self, zone):
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-zone.")
        path = pathlib.Path(self._dir.name) / "zone"
        path.write_text(zone)
        self._process = subprocess.Popen([str(BIN.parent / "tests" / "tools" / "posthorn-testdns"), str(path)], stdout=subprocess.PIPE, text=True)
        address, _, port = self._process.stdout.readline().split()[-1].rpartition(":")
        self.server = f"{address.strip('[]')}@{port}"

    def close(self):
        self._process.terminate()
        self._process.wait(10)
        self._process.stdout.close()
        self._dir.cleanup()


class DelayLine:
    """posthorn-delayproxy: `port` leads to `target` over a line of this round trip, in milliseconds.

    reads: (connection, ">" from the client or "<", round trips since it connected, octets, first line) of every read.
    """

    def __init__(self, target, milliseconds):
        self._process = subprocess.Popen([str(BIN.parent / "tests" / "tools" / "posthorn-delayproxy"), "--show", f"{milliseconds}ms",
                                          f"127.0.0.1:0=127.0.0.1:{target}"], stdout=subprocess.PIPE, text=True)
        self.port = int(self._process.stdout.readline().rpartition(":")[2])
        self.round_trip = milliseconds / 1000
        self.reads = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            connection, direction, at, octets, *text = line.rstrip("\n").split(" ", 4)
            self.reads.append((int(connection), direction, float(at), int(octets), text[0] if text else ""))

    def close(self):
        self._process.terminate()
        self._process.wait(10)
        self._reader.join(10)
        self._process.stdout.close()


class SimPeer:
    """A peer of sim/ (`posthorn peer NAME`) on a port of its own."""

    def __init__(self, name):
        self.port = free_port()
        self._process = subprocess.Popen([str(BIN / "posthorn"), "peer", name, "--port", str(self.port), "--quiet"], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)

        def listens():
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return True
            except OSError:
                return False
        wait_until(listens, f"the peer {name} listens")

    def close(self):
        self._process.terminate()
        self._process.wait(10)


class Certificate:
    """A certificate made here, self-signed or by `issuer`; `path` and `key` are its files, readable by root and the user of the tests."""

    def __init__(self, name, issuer=None):
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-certificate.")
        self.path, self.key = (pathlib.Path(self._dir.name) / file for file in ("certificate.pem", "key.pem"))
        alternative = f"IP:{name}" if name[0].isdigit() else f"DNS:{name}"
        by = ["-CA", str(issuer.path), "-CAkey", str(issuer.key), "-addext", "basicConstraints=critical,CA:FALSE"] if issuer else []
        subprocess.run(["openssl", "req", "-x509", *by, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                        "-addext", f"subjectAltName={alternative}", "-keyout", str(self.key), "-out", str(self.path)], check=True, capture_output=True)

    def server(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path, self.key)
        return context

    def client(self):
        """A client that trusts this certificate, and asks for no name."""
        context = ssl.create_default_context(cafile=self.path)
        context.check_hostname = False
        return context

    def close(self):
        self._dir.cleanup()


class SignedZone:
    """A zone whose records one key of the root's signs (Ed25519), as text for Dns; `anchor` is for dns_trust_anchors. Where there is nothing, nothing says so."""

    TYPES = {"A": 1, "MX": 15, "DNSKEY": 48, "TLSA": 52}

    def __init__(self):
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-zone.")
        self._key = pathlib.Path(self._dir.name) / "key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self._key], check=True, capture_output=True)
        public = subprocess.run(["openssl", "pkey", "-in", self._key, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout[-32:]
        rdata = struct.pack(">HBB", 257, 3, 15) + public
        total = sum(octet << 8 if at % 2 == 0 else octet for at, octet in enumerate(rdata))
        self._tag = (total + (total >> 16 & 0xFFFF)) & 0xFFFF
        text, self.text = f"257 3 15 {base64.b64encode(public).decode()}", ""
        self.anchor = f". IN DNSKEY {text}"
        self.add(".", "DNSKEY", text, rdata)

    @staticmethod
    def name(name):
        return b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".") if label) + b"\0"

    def add(self, owner, kind, text, rdata):
        labels = len([label for label in owner.strip(".").split(".") if label])
        head = struct.pack(">HBBIIIH", self.TYPES[kind], 15, labels, 300, 3471292800, 1577836800, self._tag) + b"\0"
        said = pathlib.Path(self._dir.name) / "said"
        said.write_bytes(head + self.name(owner) + struct.pack(">HHIH", self.TYPES[kind], 1, 300, len(rdata)) + rdata)
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self._key, "-in", said], check=True, capture_output=True).stdout
        self.text += f"{owner} {kind} {text}\n{owner} RRSIG {kind} 15 {labels} 300 3471292800 1577836800 {self._tag} . {base64.b64encode(signature).decode()}\n"

    def address(self, owner, address):
        self.add(owner, "A", address, socket.inet_aton(address))

    def mx(self, owner, host):
        self.add(owner, "MX", f"10 {host}", struct.pack(">H", 10) + self.name(host))

    def tlsa(self, owner, certificate):
        """3 1 1 of this certificate's key."""
        key = subprocess.run(["openssl", "x509", "-in", certificate.path, "-noout", "-pubkey"], check=True, capture_output=True).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
        digest = hashlib.sha256(der).digest()
        self.add(owner, "TLSA", f"3 1 1 {digest.hex()}", bytes([3, 1, 1]) + digest)

    def close(self):
        self._dir.cleanup()


def hand_in_ahead(client, sender, mails):
    """Mails, as (recipient, content), by BDAT without a wait for any reply; the replies to their contents, as (code, text). `client` has said EHLO."""
    client.sock.sendall(b"".join(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nBDAT {len(content)} LAST\r\n{content}".encode() for recipient, content in mails))
    return [[client.getreply() for _ in range(3)][2] for _ in mails]


class Load:
    """Clients that hand in mail until told to stop, and remember what was acknowledged, and how often they had to try again. Every other one sends
    five mails ahead of their replies.

    pause: a question; while it is true nothing new is handed in.
    """

    def __init__(self, posthorn, clients=4, per_session=20, size=1000, pause=lambda load: False):
        self._pause = pause
        self.posthorn, self.acknowledged, self.unsure, self.troubles = posthorn, set(), set(), []
        self._per_session, self._body = per_session, ("x" * 70 + "\r\n") * (size // 72) + "x\r\n"
        self._stop, self._lock, self._count = threading.Event(), threading.Lock(), 0
        self._threads = [threading.Thread(target=self._run, args=(1 if number % 2 == 0 else 5,), daemon=True) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self, ahead):
        while not self._stop.is_set():
            try:
                with self.posthorn.smtp() as client:
                    client.ehlo("client.test")
                    for _ in range(self._per_session // ahead):
                        while self._pause(self) and not self._stop.is_set():
                            time.sleep(0.01)
                        if self._stop.is_set():
                            return
                        with self._lock:
                            addresses = [f"m{self._count + n + 1}@there.test" for n in range(ahead)]
                            self._count += ahead
                            self.unsure.update(addresses)
                        content = "Subject: load\r\n\r\n" + self._body
                        if ahead == 1:
                            client.sendmail("a@ours.test", addresses, content)
                            self._taken(addresses)
                        else:
                            self._hand_in(client, [(address, content) for address in addresses])
            except (OSError, smtplib.SMTPException) as trouble:
                with self._lock:
                    self.troubles.append(trouble)
                time.sleep(0.05)

    def _hand_in(self, client, mails):
        for (address, _), (code, text) in zip(mails, hand_in_ahead(client, "a@ours.test", mails)):
            if code != 250:
                raise smtplib.SMTPDataError(code, text)
            self._taken([address])

    def _taken(self, addresses):
        with self._lock:
            self.acknowledged.update(addresses)
            self.unsure.difference_update(addresses)

    def wait_for(self, more):
        """Until that many more are acknowledged."""
        before = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) >= before + more, f"{more} more messages are taken")

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        return self.acknowledged


class Instance:
    """A private instance in a temporary directory."""

    def __init__(self, settings=None, relay=None, start=True):
        self.dir = remains.folder("posthorn-journey.")
        self.dir.chmod(0o755)                                     # as root the services run as another user
        self.port = free_port()
        self.run("posthorn", "init", str(self.dir), "--smtp-port", str(self.port))
        # Everything goes to the relay of the test, or by address: the demo's own routing is for the demo.
        defaults = {"default_transport": "smtp", "transport_maps": "", "relay_domains": ""}
        if relay:
            defaults["relayhost"] = f"[127.0.0.1]:{relay}"
        self.set({**defaults, **(settings or {})})
        if start:
            try:
                self.start()
            except AssertionError:
                self.close(failed=True)
                raise

    @property
    def log_path(self):
        return self.dir / "log" / "maillog"

    def env(self):
        # Our commands first, and no configuration of the machine's own.
        return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "MAIL_CONFIG": str(self.dir / "conf")}

    def run(self, *command, check=True, input=None, timeout=PATIENCE):
        result = subprocess.run([str(BIN / command[0]), *command[1:]], env=self.env(), input=input, capture_output=True, timeout=timeout,
                                text=not isinstance(input, bytes))
        if check and result.returncode != 0:
            raise AssertionError(f"{command}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def set(self, settings):
        self.run("postconf", "-e", *[f"{name}={value}" for name, value in settings.items()])

    def add_service(self, line):
        """One line more in master.cf."""
        with open(self.dir / "conf" / "master.cf", "a") as file:
            file.write(line + "\n")

    def start(self):
        self.run("postfix", "start")
        wait_until(self.answers, "the SMTP port answers")

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                return s.recv(3) == b"220"
        except OSError:
            return False

    def greeting(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as s, s.makefile("rb") as file:
            return file.readline()

    def stop(self, how="stop"):
        return self.run("postfix", how, check=False)

    def close(self, failed=False):
        self.stop()
        pid = self.master_pid()
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if failed:
            sys.stderr.write(f"--- the log of {self.dir}\n{self.log()[-30000:]}\n")
        if not (failed and os.environ.get("POSTHORN_KEEP")):
            shutil.rmtree(self.dir, ignore_errors=True)

    def master_pid(self):
        try:
            pid = int((self.dir / "queue" / "pid" / "master.pid").read_text())
            os.kill(pid, 0)
            return pid
        except (OSError, ValueError):
            return None

    def processes(self):
        """pid -> name of every process of this instance (children of its master)."""
        master, found = self.master_pid(), {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text()
                if int(stat.rpartition(")")[2].split()[1]) == master:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except (OSError, ValueError):
                continue
        return found

    def open_files(self, pid):
        """What the process has open now, as its descriptors name it; nothing where it has ended."""
        names = set()
        try:
            for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                try:
                    names.add(os.readlink(descriptor))
                except FileNotFoundError:                          # closed meanwhile
                    continue
        except (FileNotFoundError, ProcessLookupError):
            pass
        return names

    def pids_of(self, service):
        return [pid for pid, command in self.processes().items() if re.search(rf"\b{service}\b", command)]

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_log(self, pattern, count=1):
        return wait_until(lambda: (lambda found: found if len(found) >= count else None)(re.findall(pattern, self.log())), f"log line /{pattern}/ x {count}")

    def queue(self):
        import json
        return [json.loads(line) for line in self.run("postqueue", "-j").stdout.splitlines() if line.strip()]

    def wait_empty(self):
        wait_until(lambda: not self.queue(), "the queue is empty")

    def contents(self):
        """Names of content files; those that wait to be written over are none."""
        folder = self.dir / "queue" / "spool" / "incoming"
        return sorted(file.name for file in folder.iterdir() if not file.name.startswith("spare-")) if folder.exists() else []

    def smtp(self, **kwargs):
        return smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE, **kwargs)

    def send(self, recipients, sender="sender@example.com", content=None, options=(), rcpt_options=()):
        content = content or b"Subject: test\r\nFrom: sender@example.com\r\nTo: somebody@example.com\r\n\r\nhello\r\n"
        with self.smtp() as client:
            return client.sendmail(sender, recipients, content, mail_options=options, rcpt_options=rcpt_options)


class Journey(unittest.TestCase):
    """Closes what it opened; shows the log when it failed."""

    def setUp(self):
        self._opened = []

    def sink(self, *args, **kwargs):
        sink = Sink(*args, **kwargs)
        self._opened.append(sink)
        return sink

    def instance(self, *args, **kwargs):
        instance = Instance(*args, **kwargs)
        self._opened.append(instance)
        return instance

    def dns(self, zone):
        server = Dns(zone)
        self._opened.append(server)
        return server.server

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in [*result.failures, *result.errors])

    def tearDown(self):
        for thing in reversed(self._opened):
            thing.close(self.failed()) if isinstance(thing, Instance) else thing.close()


def parse(content):
    return email.message_from_bytes(content)
