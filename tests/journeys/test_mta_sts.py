"""Policies of MTA-STS: a name server, a web server, MX hosts and authorities of the test's own."""
import http.server
import json
import pathlib
import shutil
import socket
import ssl
import tempfile
import threading
import time

from journey import PATIENCE, Certificate, Journey, unittest


class Web:
    """Policies by HTTPS: `pages` is name -> (status, type, text), `certificates` name -> Certificate; `asked` the names that were asked, in order."""

    def __init__(self, pages, certificates):
        self.pages, self.asked = pages, []
        web = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.headers["Host"]
                web.asked.append(name)
                status, kind, text = web.pages.get(name, (404, "text/plain", "")) if self.path == "/.well-known/mta-sts.txt" else (500, "text/plain", "")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                if status == 301:
                    self.send_header("Location", f"https://{name}/elsewhere")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        contexts = {name: certificate.server() for name, certificate in certificates.items()}
        outer = next(iter(contexts.values()))

        def choose(connection, name, _):
            connection.context = contexts.get(name, outer)
        outer.sni_callback = choose
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self._server.socket = outer.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.handle_error = lambda *_: None
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def policy(mode, *hosts):
    return 200, "text/plain; charset=utf-8", f"version: STSv1\r\nmode: {mode}\r\n" + "".join(f"mx: {host}\r\n" for host in hosts) + "max_age: 604800\r\n"


class MtaSts(Journey):
    def certificate(self, name, issuer=None):
        made = Certificate(name, issuer)
        self.addCleanup(made.close)
        return made

    def setUp(self):
        super().setUp()
        self.authority = self.certificate("Authority")
        self.sink_of_good = self.sink(tls=self.certificate("mx.good.test", self.authority).server())
        self.domains = ["good", "bad", "other", "trial", "missing", "moved", "forged", "none"]
        self.pages = {"mta-sts.good.test": policy("enforce", "mx2.good.test", "*.good.test"), "mta-sts.bad.test": policy("enforce", "mx2.bad.test"),
                      "mta-sts.other.test": policy("enforce", "mx.other.test"), "mta-sts.trial.test": policy("testing", "mx2.trial.test"),
                      "mta-sts.moved.test": (301, "text/plain", ""), "mta-sts.forged.test": policy("enforce", "mx2.forged.test")}
        stranger = self.certificate("mta-sts.forged.test")
        self.web = Web(self.pages, {f"mta-sts.{name}.test": stranger if name == "forged" else self.certificate(f"mta-sts.{name}.test", self.authority)
                                    for name in self.domains})
        self.addCleanup(self.web.close)

    def zone(self, records=True, **ids):
        return self.dns(self.zone_text(records, **ids))

    def zone_text(self, records=True, **ids):
        text = ""
        for name in self.domains:
            text += f"{name}.test. MX 10 mx.{name}.test.\nmx.{name}.test. A 127.0.0.1\nmta-sts.{name}.test. A 127.0.0.1\n"
            if records and name != "none":
                text += f"_mta-sts.{name}.test. 1 TXT \"v=STSv1; id={ids.get(name, '20260101')};\"\n"
        return text

    def asking(self, use, settings=None):
        return self.instance({"dns_servers": self.zone(), "smtp_mta_sts": use, "smtp_mta_sts_port": str(self.web.port), "smtp_tls_security_level": "may",
                              "smtp_tls_CAfile": str(self.authority.path), "smtp_tls_loglevel": "1", "inet_protocols": "ipv4",
                              "transport_maps": "inline:{" + ", ".join(f"{name}.test=smtp:{name}.test:{self.sink_of_good.port}" for name in self.domains) + "}",
                              **(settings or {})})

    def test_a_policy_in_force_keeps_mail_from_hosts_that_it_does_not_name_and_from_those_that_are_not_who_they_say(self):
        posthorn = self.asking("enforce")
        for name in self.domains:
            posthorn.send([f"user@{name}.test"])
        posthorn.wait_log(r"to=<user@good\.test>, .*status=sent")
        posthorn.wait_log(r"Verified TLS connection established to mx\.good\.test\[127\.0\.0\.1\]:\d+: TLSv1\.3")
        posthorn.wait_log(r"MTA-STS: the policy 20260101 of good\.test is enforce until .* UTC, hosts: mx2\.good\.test \*\.good\.test")
        posthorn.wait_log(r"to=<user@bad\.test>, .*dsn=4\.7\.5, status=deferred \(the MTA-STS policy of bad\.test names no host mx\.bad\.test\)")
        posthorn.wait_log(r"to=<user@other\.test>, .*dsn=4\.7\.5, status=deferred \(Server certificate not verified\)")
        posthorn.wait_log(r"to=<user@trial\.test>, .*status=sent")
        posthorn.wait_log(r"MTA-STS: the policy of trial\.test is in testing, else no mail had gone to mx\.trial\.test\[127\.0\.0\.1\]:\d+: "
                          r"the MTA-STS policy of trial\.test names no host mx\.trial\.test")
        for name, why in (("missing", "the answer is 404"), ("moved", "the answer is 301"), ("forged", "Server certificate not trusted")):
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent")
            posthorn.wait_log(rf"warning: MTA-STS: the policy 20260101 of {name}\.test was not fetched: mta-sts\.{name}\.test\[127\.0\.0\.1\]:\d+: {why}.*; mail goes as without one")
        posthorn.wait_log(r"to=<user@none\.test>, .*status=sent")
        self.assertEqual(sorted(self.sink_of_good.recipients()), [f"user@{name}.test" for name in sorted(self.domains) if name not in ("bad", "other")])
        self.assertNotIn("mta-sts.none.test", self.web.asked)
        # What is known of it is shown; the administrator outvotes it.
        self.assertRegex(posthorn.run("posthorn", "why", "bad.test").stdout,
                         r"MTA-STS\n    policy       enforce \(id 20260101, from the domain's web server\)\n    hosts        mx2\.bad\.test\n    since .*\n    holds until  ")
        self.assertEqual(json.loads(posthorn.run("posthorn", "why", "--json", "bad.test").stdout)["mta_sts"]["hosts"], ["mx2.bad.test"])
        posthorn.set({"smtp_tls_policy_maps": "inline:{{bad.test:" + str(self.sink_of_good.port) + " = may}}"})
        posthorn.run("postfix", "reload")
        posthorn.run("postqueue", "-f")
        posthorn.wait_log(r"to=<user@bad\.test>, .*status=sent")

    def test_nothing_is_lowered_by_a_restart_nor_by_who_keeps_record_and_policy_back(self):
        posthorn = self.asking("enforce")
        posthorn.send(["user@bad.test"])
        posthorn.wait_log(r"to=<user@bad\.test>, .*status=deferred \(the MTA-STS policy")
        posthorn.stop()
        asked = len(self.web.asked)
        posthorn.set({"dns_servers": self.zone(records=False)})
        posthorn.start()
        posthorn.send(["again@bad.test"])
        posthorn.wait_log(r"to=<again@bad\.test>, .*status=deferred \(the MTA-STS policy of bad\.test names no host")
        self.assertEqual(len(self.web.asked), asked)
        posthorn.stop()
        posthorn.set({"dns_servers": self.zone(bad="20260102")})
        self.pages["mta-sts.bad.test"] = 500, "text/plain", ""
        posthorn.start()
        posthorn.send(["third@bad.test"])
        posthorn.wait_log(r"warning: MTA-STS: the policy 20260102 of bad\.test was not fetched: .*: the answer is 500; the policy 20260101 holds until")
        posthorn.wait_log(r"to=<third@bad\.test>, .*status=deferred \(the MTA-STS policy of bad\.test names no host")
        self.assertFalse(self.sink_of_good.recipients())
        # Another policy with another id counts at once.
        posthorn.stop()
        posthorn.set({"dns_servers": self.zone(bad="20260103")})
        self.pages["mta-sts.bad.test"] = policy("none")
        posthorn.start()
        posthorn.send(["fourth@bad.test"])
        posthorn.wait_log(r"to=<fourth@bad\.test>, .*status=sent")

    def test_ours_in_testing_delivers_all_and_says_what_it_would_have_kept(self):
        posthorn = self.asking("testing")
        for name in ("good", "bad", "other"):
            posthorn.send([f"user@{name}.test"])
            posthorn.wait_log(rf"to=<user@{name}\.test>, .*status=sent")
        posthorn.wait_log(r"MTA-STS: the policy of bad\.test is in testing, .*: the MTA-STS policy of bad\.test names no host mx\.bad\.test")
        posthorn.wait_log(r"MTA-STS: the policy of other\.test is in testing, .*: Server certificate not verified")
        self.assertNotRegex(posthorn.log(), r"MTA-STS: the policy of good\.test is in testing")

    def test_who_collects_for_reports_is_told_what_became_of_tls(self):
        path = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-tlsrpt."))
        self.addCleanup(shutil.rmtree, path)
        path.chmod(0o755)
        zone = self.zone_text() + "".join(f'_smtp._tls.{name}.test. TXT "v=TLSRPTv1; rua=mailto:r@{name}.test"\n' for name in ("good", "bad", "other", "missing", "forged"))
        posthorn = self.asking("enforce", {"dns_servers": self.dns(zone), "smtp_tlsrpt_enable": "yes", "smtp_tlsrpt_socket_name": str(path / "socket")})
        posthorn.send(["early@good.test"])
        posthorn.wait_log(r"to=<early@good\.test>, .*status=sent")               # whether anybody collects or not
        posthorn.wait_log(r"warning: TLSRPT: .*/socket: No such file or directory; reports are lost")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as collector:
            collector.bind(str(path / "socket"))
            (path / "socket").chmod(0o666)
            collector.settimeout(PATIENCE)
            told = {}
            time.sleep(2.5)                                                         # no session is kept
            for name in ("good", "trial", "bad", "other", "missing", "forged"):
                posthorn.send([f"user@{name}.test"])
                if name != "trial":
                    report = json.loads(collector.recv(65536))
                    told[report["d"]] = report
        self.assertEqual(set(told), {f"{name}.test" for name in ("good", "bad", "other", "missing", "forged")})
        good, bad, other = (told[f"{name}.test"]["policies"] for name in ("good", "bad", "other"))
        self.assertEqual(told["good.test"]["pr"], "v=TLSRPTv1; rua=mailto:r@good.test")
        self.assertEqual(good, [{"policy-type": 2, "policy-domain": "good.test", "mx-host": ["mx2.good.test", "*.good.test"], "t": 0, "f": 0,
                                 "policy-string": ["version: STSv1", "mode: enforce", "max_age: 604800", "mx: mx2.good.test", "mx: *.good.test"]}])
        self.assertEqual(bad[0]["failure-details"], [{"c": 205, "n": "mx.bad.test", "r": "127.0.0.1", "f": "mx-mismatch"}])
        fault = other[0]["failure-details"][0]
        self.assertEqual((fault["c"], fault["s"], fault["n"], fault["r"], other[0]["t"], other[0]["f"]), (202, "127.0.0.1", "mx.other.test", "127.0.0.1", 1, 1))
        for name, code in (("missing", 301), ("forged", 303)):                      # mail went as without a policy, which its domain has to hear
            [one] = told[f"{name}.test"]["policies"]
            self.assertEqual((one["policy-type"], one["policy-domain"], one["f"], one["failure-details"][0]["c"]), (2, f"{name}.test", 1, code))
        posthorn.wait_log(r"TLSRPT: status=failure, domain=other\.test, receiving_mx=mx\.other\.test\[127\.0\.0\.1\], failure_type=certificate_host_mismatch")

    def test_by_itself_no_domain_is_asked(self):
        posthorn = self.asking("no")
        posthorn.send(["user@bad.test"])
        posthorn.wait_log(r"to=<user@bad\.test>, .*status=sent")
        time.sleep(0.2)
        self.assertFalse(self.web.asked)


if __name__ == "__main__":
    unittest.main()
