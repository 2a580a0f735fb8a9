#!/usr/bin/env python3
"""The same command lines over the same files to Debian's postconf (3.7) and to ours; output, exit code, messages, files afterwards.

usage: postconf.py OUR_POSTCONF [--show NAME]
"""
import concurrent.futures
import os
import pathlib
import queue
import random
import re
import shutil
import subprocess
import sys

import frame

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE.parent.parent / "src/foundation/config/known_parameters.tsv"

# What may differ, by name, and why. Each has its rule in normalised() or a mark at its cases.
ACCEPTED = {
    "usage": "our usage text is in our own words, and names what we support",
    "master-place": "our errors in master.cf name file and line where Postfix's name neither",
    "first-brace": "Postfix loses the braces of a first non-option argument with spaces, also when it rewrites the entry",
    "last-newline": "Postfix appends a parameter to an unfinished last line; we end that line first",
    "append-order": "several new parameters are appended in the order given, not in that of a hash table",
    "eager": "Postfix expands some values even for listings that show none of them expanded, and then refuses to list",
    "dictionary": "Postfix puts 'dictionary mail_dict:' before some expression errors",
    "comment-place": "a comment behind an edited entry stays there; Postfix moves it before the entry, with what introduces the next",
    "database-file": "Postfix opens database configuration files to look for unused settings",
    "config-directory": "Postfix warns that its own -c is overridden by main.cf",
    "operators": "Postfix's list of operators has misplaced quotes",
    "version": "defaults are those of the 3.11 line; Debian's are of 3.7 (column in known_parameters.tsv); site values; mail_name is ours",
    "own": "parameters that only Posthorn has",
    "deprecation": "3.11 warns of parameters that will be removed; Debian's 3.7 does not",
    "tls-mode": "Postfix warns of an unknown -T mode and fails; our last word is fatal",
    "type-lists": "-m -a -A list what is built in here",
}

STOCK = None
MASTER = """# x
smtp inet n - n - - smtpd
  -o { a = b c }
# z
  -o mydomain=q -v
127.0.0.1:25 inet n - y 60? 1 smtpd -o b=c
foo unix - n n - - pipe flags=R user=x argv=/bin/a -b {c d}
pickup unix n - n 60 1 pickup
"""
LONG = """smtpd_recipient_restrictions = permit_mynetworks,   permit_sasl_authenticated,
   reject_unauth_destination, check_policy_service { inet:127.0.0.1:10023, timeout=10s }, reject_rbl_client zen.test
relayhost=""" + "a" * 90 + """   b\tc
myorigin={ a   b   c } d
"""
COMMENTS = "# c\nrelayhost = a\n  b\n\n# d\n  c\nmydomain=x\nrelayhost=z\n"


def cases():
    """(name, main.cf, master.cf, arguments, accepted differences)"""
    out = []

    def add(name, main, master, *args, accept=()):
        out.append((name, main, master, list(args), accept))

    # listings of main.cf
    for options in ("-n", "-nf", "-nh", "-nfh", "-nH", "-nx", "-nfx", "-np"):
        add(f"long {options}", LONG, STOCK, options)
    for options in ("-d", "-p", "-df", "-dx", "-x", "-H", "-dH", "-f"):
        add(f"all {options}", "compatibility_level = 2\n", STOCK, options, accept=("version",))
    for classes in ("builtin", "service", "user", "all", "user,service", "builtin service"):
        add(f"class {classes}", "a=$b\nb=2\nmyorigin=$a\n", STOCK, "-C", classes, accept=("version",))
        add(f"class -n {classes}", "a=$b\nb=2\nmyorigin=$a\nrelayhost=x\nlocal_destination_rate_delay=1\n", STOCK, "-nC", classes)
    add("class unknown", "", STOCK, "-C", "foo")
    add("one name", "relayhost = x\n", STOCK, "relayhost")
    add("several names, given order", "relayhost = x\n", STOCK, "relayhost", "biff", "alias_maps_x", "hopcount_limit")
    add("defaults -h", "", STOCK, "-dh", "relayhost", "biff", "mydestination")
    add("no name -h", "relayhost = x\n", STOCK, "-h", "relayhost")
    add("empty value", "relayhost =\nmyorigin=   \n", STOCK, "-n")
    add("empty value -h", "relayhost =\n", STOCK, "-nh")
    add("empty value -hx", "relayhost =\n", STOCK, "-hx", "relayhost", "myorigin", "mydomain")
    add("unused", "x = y\nfoo = $bar\nbar=1\n", STOCK, "-n")
    add("used by unused", "x=$und\ny=$x$z\n", STOCK, "-n")
    add("undefined", "a=$b\nmyorigin=$a\nrelayhost=${c?x}$d\nmyhostname=${e:z}.x\n", STOCK, "-n")
    add("names of old", "virtual_alias_maps=$virtual_maps, inline:{a=b}\npostscreen_dnsbl_max_ttl=${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h\n"
        "postscreen_dnsbl_ttl=5m\nmyorigin=$gone\n", STOCK, "-n")
    add("defined in a loop of users", "a=$b\nb=$a\n", STOCK, "-n")
    add("restriction classes", "smtpd_restriction_classes=foo,bar\nfoo=permit\nbaz=1\n", STOCK, "-n")
    add("databases", "virtual_alias_maps=ldap:myl, hash:/etc/zz, proxy:ldap:qq\nmyl_search_base=x\nqq_bind=no\nqq_zzz=1\n", STOCK, "-n")
    add("database file", "virtual_alias_maps=mysql:/nowhere\n", STOCK, "-n", accept=("database-file",))
    add("mysql in main.cf", "virtual_alias_maps=mysql:q\nq_hosts=x\nq_query=select\nq_zz=1\n", STOCK, "-n")
    add("read-only", "service_name=x\nprocess_id=3\nprocess_name=z\nmail_version=2\n", STOCK, "-n")
    add("config_directory", "config_directory=/x\n", STOCK, "-n", accept=("config-directory",))
    add("no master.cf", "relayhost = a\n", None, "-n")
    add("no main.cf", None, STOCK, "-n")
    add("no main.cf -d", None, STOCK, "-d", "relayhost")
    add("no master.cf -d", "", None, "-d", "relayhost")
    add("duplicate", "relayhost=a\nrelayhost=b\n c\nrelayhost = d\n", STOCK, "-n")
    add("own name of a service", "foo_destination_recipient_limit=1\nslow_initial_destination_concurrency=2\n",
        "slow unix - - n - - smtp\nfoo unix - - n - - spawn\nbar inet n - n - - smtp\nfd fifo n - n - - local\n", "-n")
    add("service parameters", "", "slow unix - - n - - smtp\nfoo unix - - n - - spawn\nbar inet n - n - - smtp\nq unix - - - - - pipe\n"
        "pz unix - - - - - discard\nfd fifo n - n - - local\nlocal unix - n n - - local\n", "-C", "service")
    add("time limit", "", MASTER, "-C", "service", "foo_time_limit", "foo_destination_recipient_limit")
    add("-d of user names", "a=$b\nb=2\nmyorigin=$a\n", STOCK, "-d", "a", "b", "myorigin")
    add("mydomain from myhostname", "myhostname=q.w.e\n", STOCK, "mydomain", "myhostname")
    add("myhostname from mydomain", "mydomain=q.w.e\n", STOCK, "myhostname", "mydomain")
    add("-d ignores main.cf", "myhostname=q.w.e\n", STOCK, "-d", "myhostname", "mydomain", "mynetworks", "config_directory")
    for style in ("host", "subnet", "class"):
        for interfaces in ("all", "127.0.0.1", "loopback-only", "[::1]"):
            for protocols in ("all", "ipv4", "ipv6"):
                if (interfaces == "127.0.0.1" and protocols == "ipv6") or (interfaces == "[::1]" and protocols == "ipv4"):
                    continue
                add(f"mynetworks {style} {interfaces} {protocols}",
                    f"mynetworks_style={style}\ninet_interfaces={interfaces}\ninet_protocols={protocols}\n", STOCK, "mynetworks")
    # texts of notifications (Postfix asks its bounce daemon, which needs an installation), TLS
    for option in ("-b", "-t"):
        add(f"two templates {option}", "", STOCK, option, "a", "b")
    add("-b and -t", "", STOCK, "-b", "-t")
    add("-T and -M", "", STOCK, "-T", "run-version", "-M")
    add("-T algorithms", "", STOCK, "-T", "public-key-algorithms")
    add("-T run-version", "", STOCK, "-Trun-version")
    add("-T nonsense", "", STOCK, "-T", "nonsense", accept=("tls-mode",))
    # -o
    add("-o value", "", STOCK, "-o", "relayhost=x", "relayhost")
    add("-o in -n", "x=$y\n", STOCK, "-n", "-o", "y=1", "-o", "relayhost=x")
    add("-o in -x", "relayhost=$y\n", STOCK, "-xo", "y=1", "relayhost")
    add("-o unused", "", STOCK, "-o", "x=1", "-x", "myorigin")
    add("-o malformed", "", STOCK, "-ox")
    add("-o malformed, blanks", "", STOCK, "-o", "a b")
    add("-o mydomain", "", STOCK, "-o", "mydomain=o.test", "myhostname", "mydomain")
    # syntax of main.cf
    add("first line with blank", "  foo = 1\nrelayhost=2\n", STOCK, "-n")
    add("first line with blank, continued", "#\n  foo = 1\n # x\n   y\n\n bar=2\nrelayhost=3", STOCK, "-n")
    add("missing =", "relayhost=1\nfoo\nbar=2\n", STOCK, "-n")
    add("missing name", "= x\n", STOCK, "-n")
    add("two words before =", "a b = x\n", STOCK, "-n")
    add("continuations and comments", "relayhost = a\n# c\n  b\n\n \t\n   # d\n\tc\n#e\nmyorigin=d\n", STOCK, "-n")
    add("no newline at the end", "relayhost = a\nmyorigin = b", STOCK, "-n")
    add("odd names", "bad-name=1\nx$y=2\n1a=3\nA_b=4\n", STOCK, "-n")
    add("# in a value", "relayhost = a # b\n", STOCK, "-n")
    add("value with =", "relayhost = a=b = c\n", STOCK, "-n")
    add("tabs and returns", "relayhost\t=\ta\tb  \r\nmyorigin=x\n", STOCK, "-n")
    # expressions
    for expression in ("${a?x}${zz:none}${a?{yes}:{no}}", "$a-$(a)-${a}.$a.b_", "$$x$(b)$a$$", "${a?b?c}", "${a:z:y}", "${a ? {x} : {y} }", "${ a }",
                       "${}", "${a", "$(a", "${zz?{x}:y}", "${zz?{x}}", "${zz:{x}}", "${{a} == {a} }", "${{a} == {a} ? x}", "${{a} == {a} : {x}}",
                       "${b?t}", "${b:t}", "${a?{x}{y}}", "${a?{x}:{y}z}", "${a-b}", "${{a}>{b}?{1}:{2}}", "${{01}=={1}?{1}:{2}}",
                       "${{}=={}?{1}:{2}}", "${{-1}<{1}?{1}:{2}}", "$(a?x)", "$(a?{x}:{y})", "$((a)==(a)?(x):(y))", "${{$(a)}==1?{x}}",
                       "${a?$zz{$a}}", "{$a}$", "${a?{x", "${{A}=={a}?{e}:{n}}", "${{9}<{10}?{num}:{str}}", "${{9a}<{10}?{num}:{str}}",
                       "${{3.9} <level {3.10} ?{lt}:{ge}}", "${{3.6} >=level {3.6} ?{ge}:{lt}}", "${{3.z} <level {3.10} ?{lt}:{ge}}",
                       "${{1.2.3} ==level {1.2.3} ?{x}:{y}}", "${{1} !=level {1.0.0} ?{x}:{y}}", "-${{a }=={a}?{ x }:{n}}-", "${{$a}!={$b}?{d}:{s}}",
                       "${a?{${b?{${{1}<{2}?{deep}:{x}}}:{y}}}:{z}}", "${{a}=={a}x}", "${{a}?{b}}", "${{a}=={b}"):
        add(f"expression {expression}", f"a=1\nc=\nb=$c\nmyorigin={expression}\n", STOCK, "-x", "myorigin", accept=("dictionary", "operators"))
    add("circle", "myorigin=$a\na=$myorigin\n", STOCK, "-x", "myorigin", accept=("dictionary",))
    add("malformed but not expanded", "x = a${\n", STOCK, "-n", accept=("eager",))
    for level in ("0", "1", "2", "3.6", "3.6.1", "999", "x"):
        add(f"compatibility_level {level}", f"compatibility_level={level}\n", STOCK, "-x", "smtputf8_enable", "mynetworks_style",
            "append_dot_mydomain", "smtpd_relay_before_recipient_restrictions", accept=("dictionary",))
    add("never expanded", "forward_path=$home/x${extension}\n", STOCK, "-x", "default_rbl_reply", "forward_path", "luser_relay")
    # master.cf
    for args in ("-M", "-Mf", "-M smtp", "-M smtp/inet", "-M smtp/unix", "-M */inet", "-M foo/unix smtp/inet", "-F", "-F smtp", "-F smtp/inet/command",
                 "-Fh smtp/inet", "-FH smtp/inet", "-F */*/chroot", "-P", "-P smtp", "-P smtp/inet/a", "-P */*/b", "-Ph smtp", "-PH", "-Px", "-Mx", "-Fx smtp",
                 "-M smtp/inet/a", "-F smtp/inet/bogus", "-P smtp/inet/zz", "-P a/b/c/d", "-Ff", "-Pf", "-F x y", "-M pickup/fifo"):
        add(f"master {args}", "a=1\nmydomain=zz\n", MASTER, *args.split())
        if args in ("-M", "-Mf", "-F", "-P"):
            add(f"stock master {args}", "", STOCK, *args.split())
    for text in ("smtp inet n", "smtp foo n - n - - smtpd", " smtp inet n - n - - smtpd", "smtp inet x - n - - smtpd", "smtp inet n z n - - smtpd",
                 "smtp inet n - q - - smtpd", "smtp inet n - n 60z - smtpd", "smtp inet n - n - abc smtpd", "smtp inet n - n - 5? smtpd", "smtp"):
        add(f"bad entry: {text}", "", f"pickup unix n - n 60 1 pickup\n{text}\n", "-M", accept=("master-place",))
    for command in ("smtpd -o { a = b c }x", "smtpd -o { a = b c", "smtpd -o { a b c }", "smtpd -o a -v", "pipe argv=/a -b {c d}", "smtpd -vo a=b",
                    "smtpd -voa=b", "smtpd -o{d=e}", "smtpd -o{ d = e f }", "smtpd -v -- -o a=b", "smtpd -o {a=b}", "smtpd x -o { a = b c}",
                    "smtpd -i x -o a=b", "smtpd -m -s 4 -o a=b", "smtpd x { a = b c } ", "pipe argv=foo {{a} b}", "smtpd  -o  a=b    c", "smtpd -o a={b c}",
                    "smtpd -o a={bc}", "smtpd -o {a={b c}}", "smtpd -v -v", "smtpd x y z", "smtpd -o a=b -v x", "smtpd -o a=b -o c=d", "smtpd -o {a=}",
                    "smtpd -o a="):
        for options in ("-Mf", "-P", "-F"):
            add(f"command {command} {options}", "", f"smtp inet n - n - - {command}\n", options)
    for command in ("smtpd {x y} z", "smtpd {c d} {e f}", "smtpd {}"):
        add(f"command {command}", "", f"smtp inet n - n - - {command}\n", "-M", accept=("first-brace",))
    add("wide columns", "", "averyveryverylongname inet n - n - - smtpd\nab fifo n y n - 1000 x\nx unix-dgram n y n - 1000 x\n"
        "x pass n y n 1000? 1000 averyverylongcommandnamexxxxxxxxxxxxxxxxxxxxxxxx y\n", "-Mf")
    add("no master.cf -M", "", None, "-M")
    add("references of services", "myhostname=$und\nmyorigin=$q\nq=1\n", "smtp inet n - n - - smtpd -o mydomain=$zzz -o f=$g -o myorigin=$u\n", "-n")
    add("references to main.cf", "u=1\ng=2\n", "smtp inet n - n - - smtpd -o mydomain=$zzz -o f=$g -o myorigin=$u\n", "-n")
    add("references within a service", "u=1\ng=2\n", "smtp inet n - n - - smtpd -o mydomain=$zzz -o f=$g -o myorigin=$u -o zzz=1\n", "-Px")
    add("classes of a service", "", "smtp inet n - n - - smtpd -o smtpd_restriction_classes=bar -o bar=permit\n", "-n")
    add("mua_ restrictions", "smtpd_client_restrictions=$mua_client_restrictions\n",
        "smtp inet n - n - - smtpd -o smtpd_helo_restrictions=$mua_helo_restrictions -o mua_client_restrictions=reject\n", "-n")
    add("repeated -o", "", "smtp inet n - n - - smtpd -o biff=yes -o biff=no\n", "-P")
    # edits
    for args in (["-e", "relayhost=b"], ["-e", "relayhost = b c "], ["relayhost=b"], ["-X", "relayhost", "nothing"], ["-#", "relayhost"], ["-e", "newone=1"],
                 ["-e", "relayhost=1", "relayhost=2"], ["-e", "mydomain="], ["-e", "mydomain=x=y"], ["-e", "foo"], ["-e", "= x"], ["-e", "a b = x"],
                 ["-e", "a=x\ny"], ["-e", "#a=x"], ["-e", "  #a=x"], ["-X", "a=x"], ["-#", "a=x"], ["-e"], ["-X"], ["-#"], ["-X", "b c"], ["-n", "-e", "b=1"],
                 ["relayhost", "mydomain=q"], ["-#", "mydomain", "relayhost"], ["-e", "  mydomain = y"], ["-X", "mydomain", "relayhost"],
                 ["-o", "a=1", "-e", "a=b"], ["-e", "mydomain=$myhostname"]):
        add(f"edit {args}", COMMENTS, STOCK, *args)
    add("edit without newline", "a=1", STOCK, "-e", "b=1", accept=("last-newline",))
    add("edit, several new", "a=1\n", STOCK, "-e", "c=1", "d=2", "e=3", accept=("append-order",))
    add("edit without main.cf", None, STOCK, "-e", "a=b")
    add("edit an empty file", "", STOCK, "-e", "a=b")
    add("edit does not need valid values", "a=${\nb", STOCK, "-e", "a=c", accept=("last-newline",))
    for args in (["-MX", "foo/unix"], ["-MX", "smtp/inet"], ["-MX", "*/inet"], ["-M#", "smtp/inet"], ["-M#", "*/inet"], ["-MX", "smtp"],
                 ["-Me", "smtp/inet=smtp inet n - n - - smtpd -o {x=y z}"], ["-P#", "smtp/inet/a"], ["-PX", "smtp/inet/a"], ["-PX", "smtp/inet/zz"],
                 ["-Pe", "smtp/inet/zz=5"], ["-Pe", "smtp/inet/mydomain=a b"], ["-Pe", "smtp/inet/a=bb"], ["-Fe", "smtp/inet/chroot=y"],
                 ["-Fe", "smtp/inet/chroot=x"], ["-Fe", "smtp/inet/command=smtpd -v"], ["-F", "smtp/inet/chroot=y"], ["-F#", "smtp/inet/chroot"],
                 ["-Fe", "smtp/inet=y"], ["-Fe", "*/inet/chroot=-"], ["-Fe", "zz/inet/chroot=-"], ["-Me", "new/unix=new unix - - - - - foo"],
                 ["-Me", "new/unix=other unix - - - - - foo"], ["-Me", "new/unix"], ["-Me", "new=a"], ["-M#", "zz/inet"], ["-Pe", "*/inet/zz=5"],
                 ["-M", "new/unix=new unix n - n - - x"], ["-FX", "smtp/inet/chroot"], ["-Fe", "smtp/inet/chroot"], ["-Fe", "smtp/inet/wakeup=x"],
                 ["-Fe", "smtp/inet/type=pass"], ["-MX", "smtp/inet/chroot"], ["-Me", "smtp/inet=b"], ["-PX", "smtp/inet"], ["-PX", "zz/unix/x"],
                 ["-PX"], ["-Fe", "smtp/inet/process_limit=5", "smtp/inet/wakeup=3?"], ["-Pe", "foo/unix/a=1"], ["-P", "smtp/inet/a=9"],
                 ["-Fe", "smtp/inet/bogus=1"]):
        add(f"edit master {args}", "a=1\n", MASTER, *args)
    # which options go together
    letters = "adefFhHlmMnpPxX#A"
    for i, first in enumerate(letters):
        for second in letters[i + 1:]:
            if not {first, second} <= set("dpfxhH"):
                add(f"together -{first}{second}", "mail_owner=daemon\nsetgid_group=games\n", MASTER, f"-{first}{second}", accept=("version",))
    add("unknown option", "", STOCK, "-Z", accept=("usage",))
    add("option without operand", "", STOCK, "-C", accept=("usage",))
    add("-l", "", STOCK, "-l")
    add("-m", "mail_owner=daemon\nsetgid_group=games\n", STOCK, "-m", accept=("type-lists",))
    add("-a", "", STOCK, "-a", accept=("type-lists",))
    add("-A", "", STOCK, "-A", accept=("type-lists",))
    # chosen by chance, the same every time
    chance = random.Random(7)
    for i in range(40):
        words = ["x" * chance.randint(1, 30) + chance.choice(["", ",", "=y"]) for _ in range(chance.randint(1, 25))]
        add(f"fold {i}", "smtpd_client_restrictions = " + " ".join(words) + "\n",
            f"foo unix - n n - - pipe flags=x {' '.join(words)}\nbar inet n - n - - smtpd -o a={words[0]} -v {' '.join(words)}\n",
            chance.choice(["-nf", "-nfh", "-Mf", "-Ff", "-n"]))
    for i in range(50):
        name = chance.choice(["a", "b", "c", "zz"])
        other = chance.choice(["1", "2", "10", "x", "$a", "${b}", "$(zz)"])
        operator = chance.choice(["==", "!=", "<", "<=", ">=", ">"])
        blank = chance.choice(["", " ", "  "])
        yes, no = chance.choice(["y", "${a}", "$b$b", ""]), chance.choice(["n", "$a", "{q}", ""])
        text = chance.choice([f"${{{name}{blank}?{blank}{{{yes}}}{blank}:{blank}{{{no}}}{blank}}}", f"${{{name}?{yes}}}", f"${{{name}:{no}}}",
                              f"${{{{${name}}}{blank}{operator}{blank}{{{other}}}{blank}?{blank}{{{yes}}}:{{{no}}}}}"])
        add(f"chance {i} {text}", f"a=10\nb=x\nc=\nmyorigin=<{text}>\n", STOCK, "-x", "myorigin")
    return out


def version_names():
    """Names whose default in Debian's 3.7 is another, or chosen by the site, or that 3.7 does not know."""
    differ, unknown = set(), set()
    for line in TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, _, _, _, initial, debian = line.split("\t")
        if debian == "-":
            unknown.add(name)
        elif debian or initial == "(site)":
            differ.add(name)
    return differ, unknown


DIFFER, UNKNOWN = version_names()
# Differ as well: Debian's default is empty, which the table cannot say; and values that are made of differing ones.
DIFFER |= {"smtp_tls_security_level", "local_recipient_maps", "proxy_write_maps", "smtpd_banner", "milter_macro_v", "postscreen_greet_banner"}
COMPUTED = {"myhostname", "mydomain", "mynetworks", "config_directory", "process_name", "mail_version", "mail_release_date"}


def normalised(text, errors, accept, folded):
    differ, unknown = DIFFER, UNKNOWN
    if "version" in accept:
        blocks = re.split(r"\n(?=\S)", text.rstrip("\n"))
        kept = []
        for block in blocks:
            name = block.split(" =")[0].strip()
            if name in (differ - COMPUTED) | unknown | {"process_id"} or name not in NAMES and not ("_" in name and is_service(name)):
                continue
            kept.append(block)
        text = "\n".join(kept) + "\n"
    lines = set()
    for line in errors.splitlines():
        line = re.sub(r"^\S*postconf: ", "postconf: ", line)
        if "usage" in accept or "fatal: usage:" in line:
            line = re.sub(r"fatal: usage: .*", "fatal: usage", line)
        line = re.sub(r"fatal: dictionary mail_dict: macro", "fatal: macro", line) if "dictionary" in accept else line
        line = re.sub(r"(fatal: )file \S+: line \d+: (?=invalid)", r"\1", line) if "master-place" in accept else line
        if "operators" in accept and '"==" or' in line:
            line = re.sub(r'"==" or .* expected', "OPERATOR expected", line)
        if "config-directory" in accept and "overriding earlier entry: config_directory" in line:
            continue
        if "database-file" in accept and re.search(r'open "\w+" configuration', line):
            continue
        line = re.sub(r"^postconf: (warning|fatal): ", "", line) if "tls-mode" in accept else line
        if "will be removed; instead, " in line or "DEPRECATION_README" in line:      # accepted: "deprecation"
            continue
        if "eager" in accept and "truncated macro" in line:
            continue
        lines.add(line)
    # A file that is loaded twice is warned of twice by Postfix, the second time against itself.
    return text, sorted(line for line in lines if "overriding earlier entry" not in line) + \
        sorted({re.sub(r", line \d+", "", line).split("=")[0] for line in lines if "overriding earlier entry" in line})


def own_names():
    """Parameters that their declarations mark as Posthorn's own."""
    names = set()
    for path in (HERE.parent.parent / "src").glob("**/params.hpp"):
        for declaration in re.split(r"inline constexpr (?:config::)?Param<", path.read_text())[1:]:
            name = re.search(r'\.name\s*=\s*"([^"]+)"', declaration)
            if name and re.search(r"\.own\s*=\s*true", declaration):
                names.add(name[1])
    return names


OWN = own_names()


def is_service(name):
    return name not in OWN and re.search(r"_(delivery_slot|destination|extra_recipient|initial_destination|minimum_delivery|recipient_(limit|refill)|transport_rate|time_limit)", name)


NAMES = {line.split("\t")[0] for line in TABLE.read_text().splitlines() if not line.startswith("#")}


def run(program, environment, folder, case):
    _, main, master, args, _ = case
    place = folder / "t"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, text in (("main.cf", main), ("master.cf", master)):
        if text is not None:
            (place / name).write_bytes(text.encode())
    done = subprocess.run([program, "-c", "t", *args], cwd=folder, env=environment, capture_output=True, timeout=60)
    files = {path.name: path.read_bytes().decode() for path in place.iterdir()}
    return done.returncode, done.stdout.decode(), done.stderr.decode(), files


def compare(case, theirs, ours):
    accept = case[4]
    code, text, errors, files = theirs
    our_code, our_text, our_errors, our_files = ours
    text, errors = normalised(text, errors, accept, "f")
    our_text, our_errors = normalised(our_text, our_errors, accept, "f")
    if "first-brace" in accept:
        text, our_text = (re.sub(r"[{}]", "", each).rstrip() for each in (text, our_text))
    if "last-newline" in accept:
        files["main.cf"] = files["main.cf"].replace("a=1b = 1", "a=1\nb = 1").rstrip("\n") + "\n"
    if "comment-place" in accept and sorted(files["master.cf"].splitlines()) == sorted(our_files["master.cf"].splitlines()):
        files["master.cf"] = our_files["master.cf"]
    if "append-order" in accept:
        files["main.cf"], our_files["main.cf"] = ("\n".join(sorted(each["main.cf"].splitlines())) for each in (files, our_files))
    if "type-lists" in accept:
        text = our_text = ""
    if set(case[3]) & {"-e", "-X", "-#"} or any(arg.startswith(("-M", "-P", "-F")) for arg in case[3]):
        files = {name: content for name, content in files.items() if name in ("main.cf", "master.cf")}
    problems = []
    for what, left, right in (("exit code", code, our_code), ("standard output", text, our_text), ("messages", errors, our_errors), ("files", files, our_files)):
        if left != right:
            problems.append((what, left, right))
    return problems


def told(case, problems):
    lines = [f"{case[0]}: {' '.join(case[3])}"]
    for what, a, b in problems:
        if isinstance(a, str) and isinstance(b, str):
            left_lines, right_lines = a.splitlines(), b.splitlines()
            a = [line for line in left_lines if line not in right_lines] or a
            b = [line for line in right_lines if line not in left_lines] or b
        lines.append(f"  {what} differs\n    Postfix  {a!r:.1500}\n    Posthorn {b!r:.1500}")
    return "\n".join(lines)


class Asker:
    """Puts cases to both, many at once: Postfix sleeps for a second before each fatal exit."""

    def __init__(self, debian, ours, folder):
        self.theirs, self.ours = debian.program("postconf"), os.path.abspath(ours)
        self.environments = debian.env, {key: value for key, value in os.environ.items() if key != "MAIL_CONFIG"} | {"LC_ALL": "C"}
        self.places = queue.Queue()
        for i in range(24):
            (folder / f"run{i}").mkdir()
            self.places.put(folder / f"run{i}")

    def both(self, case):
        place = self.places.get()
        try:
            return run(self.theirs, self.environments[0], place, case), run(self.ours, self.environments[1], place, case)
        finally:
            self.places.put(place)

    def ask(self, everything):
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            yield from zip(everything, pool.map(self.both, everything))


def main():
    global STOCK
    show = sys.argv[3] if len(sys.argv) > 3 and sys.argv[2] == "--show" else None
    debian = frame.Debian()
    area = frame.Area("command-lines", ACCEPTED)
    with frame.workshop() as folder:
        STOCK = (debian.root / "usr/share/postfix/master.cf.dist").read_text()
        for case, (left, right) in Asker(debian, sys.argv[1], folder).ask(cases()):
            problems = compare(case, left, right)
            if problems:
                area.differ(told(case, problems))
            else:
                area.accept(sorted(case[4]))
            if show == case[0]:
                print(told(case, [("output", left, right)]))
    return area.close(7)


if __name__ == "__main__":
    frame.guarded(main)
