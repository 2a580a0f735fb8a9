#!/usr/bin/env python3
"""Next hops that cannot be had, asked of both: a name that does not exist, has no address, takes no mail, is this host, or is not told now. Each as the
mail's own domain, as a transport's next hop, as relayhost, and as smtp_fallback_relay: who returns the mail, who keeps it, in which words, and who warns.
Skipped (77) without Debian's packages, root, or a network of its own.

  next_hops.py BIN [--break]     --break: our relayhost is another one; differences must be found
"""
import argparse
import contextlib
import os
import pathlib
import re
import smtplib
import sys

import frame

ACCEPTED = {
    "question": "of a domain that does not exist the failed question that is named is the first one, for MX records; Postfix names the last one",
    "null MX": "a domain that takes no mail is 5.1.10 (RFC 7505 4.1), not 5.1.0",
    "refused": "where hosts were asked and smtp_fallback_relay cannot be had, the mail waits there as here; what those hosts did is told rather than what is wrong with the relay",
    "list": "a relayhost of several hosts is one too; Postfix returns the mail where the first of them is not all that is written",
}
ZONE = """here.test MX 10 mx.here.test
mx.here.test A 127.0.0.2
noaddress.test MX 10 mx.noaddress.test
null.test MX 0 .
loop.test MX 10 mail.demo.test
mail.demo.test A 127.0.0.1
self.test MX 10 mx.self.test
mx.self.test A 127.0.0.2
ours.test MX 10 mx.here.test
@servfail later.test
"""
NAMES = ["gone.test", "[gone.test]", "gone.test:587", "noaddress.test", "null.test", "loop.test", "later.test", "[later.test]", "[127.0.0.2]:1"]


def cases():
    """number -> what is asked, the transport's settings, the next hop of the mail's domain; None: the domain itself."""
    for name in NAMES:
        if re.fullmatch(r"\w+\.test", name):
            yield f"the domain {name}", "", None, name
        yield f"next hop {name}", "", name, None
        yield f"next hop {name} beside a relayhost", "-o relayhost=[mx.here.test]", name, None
        yield f"relayhost = {name}", f"-o relayhost={name}", name, None
        yield f"relayhost = {name}, best_mx_transport", f"-o relayhost={name} -o best_mx_transport=error:best", name, None
        yield f"smtp_fallback_relay = {name}", f"-o smtp_fallback_relay={name}", "gone.test", None
        yield f"smtp_fallback_relay = {name}, and a host that refuses connections", f"-o smtp_fallback_relay={name}", "[127.0.0.2]:1", None
    yield "our name at an address that is not ours", "-o myhostname=mx.self.test", None, "self.test"
    yield "an address of proxy_interfaces", "-o proxy_interfaces=127.0.0.2", None, "ours.test"
    yield "relayhost = here.test", "-o relayhost=here.test", "here.test", None
    yield "relayhost = gone.test,nowhere.test", "-o relayhost=gone.test,nowhere.test", "gone.test,nowhere.test", None
    yield "relayhost = GONE.test, asked as gone.test", "-o relayhost=GONE.test", "gone.test", None


def found(text, address):
    """What became of it, and what was warned of in the process that had it: each mail is alone in its transport."""
    delivery = re.search(rf"postfix/([\w-]+)/?\w*\[(\d+)\]: \w+: to=<{re.escape(address)}>, (relay=.*)", text)
    if not delivery:
        return "nothing", []
    said = re.sub(r"delay=[\d.]+, delays=[\d./]+, (?:tls=\S+, )?", "", delivery.group(3))
    said = re.sub(r" \(250 .*\)", " (250)", said)
    warned = re.findall(rf"postfix/{re.escape(delivery.group(1))}(?:/\w+)?\[\d+\]: warning: (.* configuration problem)", text)
    return said, sorted(set(warned))


def excused(one, other):
    """Names of the differences, where there are no others."""
    names = []
    if "type=A" in one[0] and "type=MX" in other[0]:
        names.append("question")
        other = other[0].replace("type=MX", "type=A"), other[1]
    if "dsn=5.1.0," in one[0] and "dsn=5.1.10," in other[0]:
        names.append("null MX")
        other = other[0].replace("dsn=5.1.10,", "dsn=5.1.0,"), other[1]
    if "status=deferred" in one[0] and "dsn=4.4.1, status=deferred (connect to 127.0.0.2" in other[0] and one != other:
        return ["refused"]
    return names if one == other else None


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--break", dest="broken", action="store_true")
    options.add_argument("--show", action="store_true")
    options = options.parse_args()
    os.environ["POSTHORN_BIN"] = str(options.bin.resolve())
    frame.need_root()
    debian = frame.Debian()
    frame.network_of_its_own()
    from journey import Sink, wait_until
    area, seen = frame.Area("next_hops", ACCEPTED), {}
    asked = list(cases())
    with frame.workshop() as folder, contextlib.ExitStack() as ends:
        ends.enter_context(frame.name_server(options.bin, folder, ZONE))
        address = {number: f"user{number}@{domain or f'case{number}.test'}" for number, (_, _, _, domain) in enumerate(asked)}
        table = folder / "transport"
        table.write_text("".join(f"{address[number]} t-{number}:{hop or ''}\n" for number, (_, _, hop, _) in enumerate(asked)))
        table.chmod(0o644)
        for kind in ("postfix", "posthorn"):
            settings = {"relayhost": "", "default_transport": "smtp", "relay_domains": "", "transport_maps": f"texthash:{table}", "minimal_backoff_time": "1000s",
                        "smtp_dns_support_level": "enabled", "smtp_host_lookup": "dns", "smtp_connection_cache_on_demand": "no"}
            sink = Sink(port=25, host="127.0.0.2")                  # closed with the system
            system = frame.start(kind, folder, debian, options.bin.resolve(), sink, settings)
            try:
                broken = options.broken and kind == "posthorn"
                system.add_services("".join(f"t-{number} unix - - n - - smtp -o syslog_name=postfix/t-{number} {re.sub('relayhost=', 'relayhost=x', own) if broken else own}\n"
                                            for number, (_, own, _, _) in enumerate(asked)), [])
                with smtplib.SMTP("127.0.0.1", system.port, timeout=60) as client:
                    for one in address.values():
                        client.sendmail("", [one], b"Subject: x\r\n\r\nhello\r\n")
                wait_until(lambda: all(f"to=<{one}>" in frame.log_of(system) for one in address.values()), f"{kind} has tried all", 120)
                text = frame.log_of(system)
                seen[kind] = {number: found(text, one) for number, one in address.items()}
            finally:
                system.close()
    for number, (what, *_) in enumerate(asked):
        one, other = (seen[kind][number] for kind in ("postfix", "posthorn"))
        if options.show:
            print(f"{what}\n  Postfix:  {one}\n  Posthorn: {other}")
        if one == other:
            area.same()
        elif what == "relayhost = gone.test,nowhere.test" and "bounced" in one[0] and "deferred" in other[0]:
            area.accept(["list"])
        elif names := excused(one, other):
            area.accept(names)
        else:
            area.differ(f"{what}\n  Postfix:  {one}\n  Posthorn: {other}")
    code = area.close(1)
    return 0 if options.broken and area.differing else 1 if options.broken else code


if __name__ == "__main__":
    frame.guarded(main)
