#!/usr/bin/env python3
"""smtp_tls_policy_maps, asked of both: the same table, the same server, the same mail. Per next hop: what became of the mail, to the letter; the
warnings of the table; and the word of the TLS line. Skipped (77) without Debian's packages, root, or a network of its own.

  tls_policy.py BIN [--break]     --break: our table is another one; differences must be found
"""
import argparse
import contextlib
import os
import pathlib
import re
import smtplib
import subprocess
import sys

import frame

ACCEPTED = {
    "checked when read": "a protocol list or cipher grade that means nothing is found when the policy is read, and named; Postfix begins a session first",
}
SERVER = "mx.right.test"


def policies(digest, issuer):
    """next hop -> value; None: the table does not have it."""
    return {
        "plain": None, "none": "none", "may": "may", "encrypt": "encrypt", "verify": "verify", "secure": "secure",
        "matched": f"verify match={SERVER}", "dotted": "secure match=.right.test", "two": f"secure match=nexthop:{SERVER}", "twice": f"secure match=a.test match={SERVER}",
        "upper": f"VERIFY Match={SERVER.upper()}", "foreign": "secure match=.wrong.test", "above": "secure match=right.test",
        "finger": f"fingerprint match={digest}", "fingers": f"fingerprint match=00:11|{digest}", "nofinger": "fingerprint", "badfinger": "fingerprint match=00:11:22",
        "old": "encrypt protocols=TLSv1.2", "bounded": "encrypt protocols=>=TLSv1.2,ciphers=high", "noempty": "encrypt protocols=", "colons": "encrypt exclude=aNULL:MD5",
        "empty": ",", "level": "secur", "half": "half-dane", "matchmay": "may match=x.test", "matchdane": "dane match=x.test", "matchempty": "verify match=",
        "unknown": "encrypt foo=bar", "bare": "encrypt foo", "nameless": "encrypt =x", "grades": "encrypt ciphers=high ciphers=medium", "excludes": "encrypt exclude=MD5 exclude=RC4",
        "anchorless": "encrypt tafile=/x", "emptyanchor": "verify tafile=", "anchored": f"verify match={SERVER} tafile={issuer}", "stranger": f"verify match={SERVER} tafile={issuer}.other", "reuse": "encrypt connection_reuse=maybe",
        "ignored": "none match=x foo", "named": f"encrypt servername={SERVER}", "nodane": "dane", "nodaneonly": "dane-only", "grade": "encrypt ciphers=strong", "version": "encrypt protocols=TLSv9",
    }


# How the mail gets there where it is not by the name of the case: the recipient's domain, and the table's key.
PARENTS = {"child": ("sub.parent.test", ".parent.test", "secure"), "itself": ("self.test", ".self.test", "secure"), "deep": ("a.b.deep.test", ".deep.test", "verify"),
           "case": ("CASE.test", "case.test", "secure"), "wrongchild": ("x.wrongchild.test", "wrongchild.test", "secure")}


def found(text, domain):
    """What became of it: the delivery, warnings, TLS."""
    delivery = re.search(rf"postfix/smtp\[\d+\]: \w+: to=<user@{re.escape(domain)}>, (relay=.*)", text, re.I)
    host = f"mx.{domain}".lower()
    quiet = [line.split(": ", 1)[1] for line in text.splitlines() if re.search(r"postfix/smtp\[\d+\]: warning: ", line) and re.search(rf'[" /]\.?{re.escape(domain)}\b|"\.{re.escape(domain.split(".", 1)[1])}"', line, re.I)]
    tls = re.findall(rf"postfix/smtp\[\d+\]: (\w+ TLS connection established to {re.escape(host)}\[127\.0\.0\.2\]:25: \S+)", text, re.I)
    failed = re.findall(rf"certificate verification failed for {re.escape(host)}\[127\.0\.0\.2\]:25: ", text, re.I)
    said = re.sub(r" \(250 .*\)", " (250)", re.sub(r"delay=[\d.]+, delays=[\d./]+, (?:tls=\S+, )?", "", delivery.group(1))) if delivery else ""
    return said, sorted(set(quiet)), tls, len(failed)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--break", dest="broken", action="store_true")
    options = options.parse_args()
    os.environ["POSTHORN_BIN"] = str(options.bin.resolve())
    frame.need_root()
    debian = frame.Debian()
    frame.network_of_its_own()
    from journey import Certificate, Sink, wait_until
    area, seen = frame.Area("tls_policy", ACCEPTED), {}
    with frame.workshop() as folder, contextlib.ExitStack() as ends:
        issuer = Certificate("issuer.test")
        ends.callback(issuer.close)
        server = Certificate(SERVER, issuer)
        ends.callback(server.close)
        (folder / "issuer.pem").write_bytes(issuer.path.read_bytes())
        (folder / "issuer.pem").chmod(0o644)
        other = Certificate("other.test")
        ends.callback(other.close)
        (folder / "issuer.pem.other").write_bytes(other.path.read_bytes())
        (folder / "issuer.pem.other").chmod(0o644)
        digest = subprocess.run(["openssl", "x509", "-in", server.path, "-noout", "-fingerprint", "-sha256"], check=True, capture_output=True, text=True).stdout.split("=")[1].strip()
        table = {f"{name}.test": (f"{name}.test", value) for name, value in policies(digest, folder / "issuer.pem").items()}
        table |= {domain: (key, value) for domain, key, value in PARENTS.values()}
        zone = "".join(f"{domain} MX 10 mx.{domain}\nmx.{domain} A 127.0.0.2\n" for domain in map(str.lower, table))
        ends.enter_context(frame.name_server(options.bin, folder, zone))
        for kind in ("postfix", "posthorn"):
            path = folder / f"policies.{kind}"
            path.write_text("".join(f"{key} {value.replace('verify', 'encrypt') if options.broken and kind == 'posthorn' else value}\n" for key, value in table.values() if value))
            path.chmod(0o644)
            settings = {"relayhost": "", "default_transport": "smtp", "relay_domains": "", "smtp_tls_security_level": "may", "smtp_tls_loglevel": "1", "smtp_tls_policy_maps": f"texthash:{path}",
                        "smtp_tls_CAfile": str(folder / "issuer.pem"), "minimal_backoff_time": "1000s", "smtp_connection_cache_on_demand": "no"}
            sink = Sink(port=25, host="127.0.0.2", tls=server.server())      # closed with the system
            system = frame.start(kind, folder, debian, options.bin.resolve(), sink, settings)
            try:
                with smtplib.SMTP("127.0.0.1", system.port, timeout=60) as client:
                    for domain in table:
                        client.sendmail("sender@client.test", [f"user@{domain}"], b"Subject: x\r\n\r\nhello\r\n")
                wait_until(lambda: len(re.findall(r"smtp\[\d+\]: .*status=", frame.log_of(system))) >= len(table), f"{kind} has tried all")
                text = frame.log_of(system)
                seen[kind] = {domain: found(text.replace(f"policies.{kind}", "policies"), domain) for domain in table}
            finally:
                system.close()
    for domain, (key, value) in table.items():
        one, other = (seen[kind][domain] for kind in ("postfix", "posthorn"))
        if one == other:
            area.same()
        elif domain in ("grade.test", "version.test") and not one[2] and not other[2] and "deferred" in one[0] and "deferred" in other[0]:
            area.accept(["checked when read"])
        else:
            area.differ(f"{key} {value}\n  Postfix:  {one}\n  Posthorn: {other}")
    code = area.close(1)
    return 0 if options.broken and area.differing else 1 if options.broken else code


if __name__ == "__main__":
    frame.guarded(main)
