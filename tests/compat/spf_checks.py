"""SPF: generated records and clients, checked by us and by pyspf (Debian's python3-spf) before the same name server.

Each difference is one of EXPLAINED, or a failure. Without python3-spf the test is skipped (77).

  spf_checks.py SPF_ALONE TESTDNS [--seed N] [--number N]
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

# What we say otherwise, with the section of RFC 7208 that says why; of our result and pyspf's, each with its reason.
EXPLAINED = [
    # "the number of terms for which DNS queries return" nothing: pyspf counts questions, so the hosts of an MX without an address of the client's family.
    ("4.6.4: void lookups are counted by terms", lambda ours, theirs: theirs[0] == "permerror" and "Void lookup limit" in theirs[1]),
    # transformers = *DIGIT [ "r" ]: digits stand in front of r. And "if a DIGIT is specified, the value MUST be nonzero".
    ("7.1, 7.3: transformers", lambda ours, theirs: ours[0] == "permerror" and ours[1].startswith("syntax error") and ("%{ir1}" in ours[1] or "%{d0}" in ours[1])),
    # Syntax alone is looked at before the evaluation: what a term that is never reached would include is no matter.
    ("4.6: no evaluation before its turn", lambda ours, theirs: theirs[0] == "permerror" and "trivial recursion" in theirs[1]),
]

PYSPF = """
import json, sys
import dns.resolver
import spf
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], int(sys.argv[1])
dns.resolver.default_resolver = resolver
for line in sys.stdin:
    client, sender, helo = json.loads(line)
    query = spf.query(i=client, s=sender or "postmaster@" + helo, h=helo, receiver="receiver.test", strict=True, timeout=20)
    result, _, text = query.check()
    print(json.dumps([result, text]), flush=True)
"""

HOSTS = [f"h{i}.test" for i in range(12)]


def zone(draw, domains):
    lines = []
    for i, host in enumerate(HOSTS):
        if i % 4 != 3:
            lines.append(f"{host} A 192.0.2.{i + 1}")
        if i % 3 != 2:
            lines.append(f"{host} AAAA 2001:db8::{i + 1:x}")
    for i in range(1, 13):
        if i % 5:
            lines.append(f"{i}.2.0.192.in-addr.arpa PTR {draw.choice(HOSTS + domains)}")
    for name, number in (("few.test", 3), ("ten.test", 10), ("many.test", 11)):
        lines += [f"{name} MX {n} h{n}.test" for n in range(number)]
    lines += ["null.test MX 0 .", "@servfail slow.test", "alias.test CNAME h1.test", "text.test TXT \"no record\"", "why.test TXT \"see %{i} of %{d}\""]
    lines += [f"{a}.{domain}.listed.test A 127.0.0.2" for domain in domains for a in draw.sample(range(1, 13), 3)]
    for domain in domains:
        lines.append(f"{domain} TXT \"{record(draw, domains)}\"")
        if draw.random() < 0.3:
            lines.append(f"{domain} A 192.0.2.{draw.randrange(1, 13)}")
        if draw.random() < 0.3:
            lines.append(f"{domain} MX 10 {draw.choice(HOSTS)}")
        if draw.random() < 0.02:
            lines.append(f"{domain} TXT \"v=spf1 -all\"")
    return "\n".join(lines) + "\n"


def record(draw, domains):
    """Mostly terms that are right, now and then one that is not."""
    names = HOSTS + domains + ["few.test", "ten.test", "many.test", "null.test", "alias.test", "gone.test", "%{d}", "%{o}", "x.%{d1r}", "%{l}.test"]
    terms = []
    for _ in range(draw.randrange(0, 5)):
        name = draw.choice(names)
        term = draw.choice([
            "a", "mx", "ptr", f"a:{name}", f"mx:{name}", f"ptr:{draw.choice(domains)}", f"a:{name}/{draw.choice([0, 8, 24, 28, 30, 32])}",
            f"a/{draw.choice([24, 29])}//{draw.choice([64, 120, 126])}", f"mx:{name}//{draw.choice([96, 124])}", f"ip4:192.0.2.{draw.randrange(13)}",
            f"ip4:192.0.2.{draw.randrange(13)}/{draw.choice([24, 29, 30])}", f"ip6:2001:db8::{draw.randrange(13):x}", f"ip6:2001:db8::/{draw.choice([32, 124, 125])}",
            f"exists:{draw.choice(['%{i1}.%{d}.listed.test', '%{i1r}.%{o}.listed.test', '%{l1r-}.%{d2}', '%{p}.listed.test', '%{h}', name])}",
            f"include:{draw.choice(domains)}", f"include:{draw.choice(domains + ['gone.test', 'text.test'])}"])
        terms.append(draw.choice(["", "", "", "+", "-", "~", "?"]) + term)
    if draw.random() < 0.05:
        terms.append(draw.choice(["a:slow.test", "mx:slow.test", "include:slow.test", "exists:slow.test"]))
    if draw.random() < 0.12:
        terms.append(draw.choice(["ip4:192.0.2", "ip4:192.0.2.1/33", "ip4:192.0.2.1/024", "ip6:1::2::3", "a/99", "a:x", "include", "include:", "all:x", "all/8", "bad", "mx:a.test/",
                                  "exists:%{z}", "exists:%(i)", "a:a.1", "redirect=", "exp=", "-exp=why.test", "exists:%{d0}", "exists:%{ir1}.%{d}", "exists:%{r}", "ptr/24", "ip4=192.0.2.1",
                                  "moo=%{i}", "moo=%", "1x=y", "a:h1.test//129", "ALL", "IP4:192.0.2.1", "redirect:h1.test"]))
    if draw.random() < 0.15:
        terms.append("exp=why.test")
    ending = draw.choice(["-all", "-all", "~all", "?all", "", f"redirect={draw.choice(domains + ['gone.test', '%{o}', 'text.test'])}"])
    if ending:
        terms.append(ending)
    return " ".join(["v=spf1", *terms])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("alone")
    parser.add_argument("testdns")
    parser.add_argument("--seed", type=int, default=7208)
    parser.add_argument("--number", type=int, default=1200)
    arguments = parser.parse_args()
    if subprocess.run(["/usr/bin/python3", "-c", "import spf, dns.resolver"], capture_output=True).returncode != 0:
        print("spf_checks: python3-spf is missing")
        return 77
    draw = random.Random(arguments.seed)
    domains = [f"d{i}.test" for i in range(300)]
    text = zone(draw, domains)
    asked = []
    for _ in range(arguments.number):
        number = draw.randrange(1, 14)
        client = draw.choice([f"192.0.2.{number}", f"192.0.2.{number}", f"2001:db8::{number:x}"])
        domain = draw.choice(domains)
        sender = draw.choice([f"user@{domain}", f"{number}@{domain}", f"a-b.{number}@{domain}", ""])
        asked.append((client, sender, draw.choice([draw.choice(HOSTS), domain])))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "zone"
        path.write_text(text)
        server = subprocess.Popen([arguments.testdns, path], stdout=subprocess.PIPE, text=True)
        try:
            port = server.stdout.readline().rpartition(":")[2].strip()
            ours = subprocess.run([arguments.alone, f"127.0.0.1@{port}"], input="".join("\t".join(one) + "\n" for one in asked), capture_output=True, text=True,
                                  timeout=600, check=True).stdout.splitlines()
            theirs = subprocess.run(["/usr/bin/python3", "-c", PYSPF, port], input="".join(json.dumps(one) + "\n" for one in asked), capture_output=True, text=True,
                                    timeout=600, check=True).stdout.splitlines()
        finally:
            server.terminate()
            server.wait()
    assert len(ours) == len(theirs) == len(asked), (len(ours), len(theirs), len(asked))
    counts, differences, explained = {}, 0, {}
    records = dict(line.split(" TXT ", 1) for line in text.splitlines() if " TXT " in line)
    for one, line, other in zip(asked, ours, theirs):
        our, their = line.split("\t"), json.loads(other)
        counts[our[0]] = counts.get(our[0], 0) + 1
        if our[0] == their[0]:
            continue
        why = next((name for name, holds in EXPLAINED if holds(our, their)), None)
        if why:
            explained[why] = explained.get(why, 0) + 1
            continue
        differences += 1
        domain = (one[1] or one[2]).rpartition("@")[2]
        print(f"{one}: ours {our}, pyspf's {their}: {records.get(domain)}")
    print(f"spf_checks: {len(asked)} checks, {differences} unexplained differences, explained {explained}; results {counts}")
    # A generator that makes one result only compares nothing.
    return 1 if differences or len(counts) < 7 else 0


if __name__ == "__main__":
    sys.exit(main())
