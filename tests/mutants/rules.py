"""(name, test program, file, rule, the rule broken, test cases): see mutants.py. The last: doctest's pattern of names, "in " one of files,
"run " a comparison with Debian's Postfix, "journey " tests of tests/journeys (the second then names what to build), or empty for all of the program's."""

ASKED = "src/foundation/observe/asked.cpp"
LEARN = "src/knowledge/peers/learn.cpp"
SEEN = "src/knowledge/peers/observation.cpp"
RULES_FILE = "src/knowledge/peers/rules.cpp"
SCHEDULER = "src/journey/schedule/scheduler.cpp"
RESTRAINTS = "src/journey/schedule/restraints.cpp"
BOOK = "src/knowledge/peers/book.cpp"
GREY = "src/knowledge/peers/greylist.cpp"
EARLY = "src/knowledge/peers/early.cpp"
PORTRAIT = "src/knowledge/peers/portrait.cpp"
FACE = "src/knowledge/peers/face.cpp"
GALLERY = "src/knowledge/peers/gallery.cpp"
PEER_MEMORY = "src/program/services/peer_memory.cpp"
RULE_FILE = "src/knowledge/peers/rules.cpp"
VERDICT = "src/journey/send/verdict.cpp"
PLAN = "src/journey/send/plan.cpp"
TRANSACT = "src/journey/send/session_transact.cpp"
ANSWERS = "src/journey/send/session_answers.cpp"
SESSION = "src/journey/send/session.cpp"
LEAVE = "src/journey/send/session_leave.cpp"
EVIDENCE = "src/journey/send/session_evidence.cpp"
AGENT = "src/journey/send/agent.cpp"
LINES = "src/journey/send/agent_lines.cpp"
OPEN = "src/journey/send/agent_open.cpp"
HOSTS = "src/journey/send/hosts.cpp"
SHAPE = "src/journey/schedule/shape.cpp"
MANAGER = "src/program/services/queue_manager.cpp"
ORDERED = "src/program/services/queue_orders.cpp"
EXPLAIN = "src/journey/report/explain.cpp"
EXPLANATIONS = "src/journey/report/explanations.cpp"
COMPOSE = "src/journey/report/compose.cpp"

PURE = "in *verdict_test.cpp,*plan_test.cpp"
BEFORE_ANY = "*server made of*,*that does anything*,*doubt*,*refusal in a flight*,*MAIL for each*,*no answer at all*"


def peers(name, path, rule, broken):
    return ("peers " + name, "peers_test", path, rule, broken, "")


def changes(name, path, rule, broken):
    return ("changes: " + name, "peers_test", path, rule, broken, "portrait:*,face:*,gallery:*,herald:*")


def changes_underway(name, path, rule, broken, test):
    return ("changes underway: " + name, "programs posthorn", path, rule, broken, f"journey test_peer_changes.PeerChanges.{test}")


def explained(name, path, rule, broken, tests):
    return ("explained: " + name, "report_test", path, rule, broken, tests)


def released(name, path, rule, broken, tests, program="services_test"):
    return ("release: " + name, program, path, rule, broken, tests)


def orders(name, path, rule, broken, tests="orders:*"):
    return ("orders: " + name, "services_test", path, rule, broken, tests)


def answered(name, rule, broken, path="src/program/services/queue_answers.cpp", program="services_test", tests="answers:*"):
    return ("answered: " + name, program, path, rule, broken, tests)


def order_words(name, rule, broken):
    return ("orders: " + name, "schedule_test", "src/journey/schedule/orders.cpp", rule, broken, "orders:*")


def orders_asked(name, rule, broken):
    return ("orders: " + name, "inquiry_test", "src/program/inquiry/orders.cpp", rule, broken, "order*")


def trials(name, rule, broken, tests, target="trials_test", path="src/program/trials/book.cpp"):
    return ("trials: " + name, target, path, rule, broken, tests)


def tried(name, rule, broken, tests, path="tls_trial"):
    return trials(name, rule, broken, tests, "send_test", f"src/journey/send/{path}.cpp")


def warned(name, rule, broken, tests):
    return trials(name, rule, broken, tests, "receive_test", "src/journey/receive/policy/judge.cpp")


def accounts(name, rule, broken, file="book"):
    return ("accounts: " + name, "accounts_test", f"src/journey/accounts/{file}.cpp", rule, broken, "")


def accounts_asked(name, target, path, rule, broken, tests):
    return ("accounts: " + name, target, path, rule, broken, tests)


def sts(name, rule, broken, file="book"):
    return ("sts " + name, "sts_test", f"src/knowledge/sts/{file}.cpp", rule, broken, "")


def path(name, rule, broken):
    return ("peers path: " + name, "peers_test", "src/knowledge/peers/path.cpp", rule, broken, "path:*")


def send(name, path, rule, broken, tests):
    return ("send " + name, "send_test", path, rule, broken, tests)


def requiretls(name, target, path, rule, broken):
    return ("requiretls " + name, f"{target}_test", path, rule, broken, "*requiretls*,*REQUIRETLS*,*requires TLS*,*TLS-Required*")


def tls(name, file, rule, broken):
    return ("tls " + name, "tls_test", f"src/wire/tls/{file}.cpp", rule, broken, "in *dane_test.cpp")


def sibling(name, path, rule, broken, test="siblings_test", cases=""):
    return ("siblings: " + name, test, path, rule, broken, cases)


def told(name, rule, broken):
    return sibling("peers: " + name, "src/knowledge/peers/told.cpp", rule, broken, "peers_test", "told:*")


def told_address(name, rule, broken, file="told"):
    return sibling("verify: " + name, f"src/journey/verify/{file}.cpp", rule, broken, "verify_test", "told:*")


def verify(name, file, rule, broken):
    return ("verify " + name, "verify_test", f"src/journey/verify/{file}.cpp", rule, broken, "")


def postmaster(name, path, rule, broken):
    target, tests = ("services_test", "queue: confirm*") if "services" in path else ("receive_test", "postmaster*")
    return ("postmaster " + name, target, path, rule, broken, tests)


def screen(name, file, rule, broken):
    return ("screen " + name, "receive_test", f"src/journey/receive/screen/{file}.cpp", rule, broken, "screen:*")


def dkim(name, target, file, rule, broken, cases="*"):
    return ("dkim " + name, target, file, rule, broken, cases)


def spf(name, file, rule, broken):
    return ("spf " + name, "mailauth_test", f"src/knowledge/mailauth/{file}.cpp", rule, broken, "spf*")


def dmarc(name, file, rule, broken):
    return ("dmarc " + name, "mailauth_test", f"src/knowledge/mailauth/{file}.cpp", rule, broken, "dmarc*")


def arc(name, file, rule, broken):
    return ("arc " + name, "mailauth_test", f"src/knowledge/mailauth/{file}.cpp", rule, broken, "arc*")


def arc_session(name, file, rule, broken):
    return ("arc seal " + name, "receive_test", f"src/journey/receive/{file}.cpp", rule, broken, "checks:*")


def storing(name, rule, broken, file="session_storing"):
    return ("storing " + name, "receive_test", f"src/journey/receive/{file}.cpp", rule, broken, "storing:*")


def schedule(name, rule, broken):
    return ("schedule " + name, "schedule_test", SHAPE, rule, broken, "")


def times(name, target, file, rule, broken, tests):
    return ("times " + name, target, file, rule, broken, tests)


def classes(name, target, file, rule, broken, tests):
    return ("classes " + name, target, file, rule, broken, tests)


def pool(name, target, file, rule, broken, tests):
    return ("pools " + name, target, file, rule, broken, tests)


def rules_of_sites(name, target, file, rule, broken, tests):
    return ("rules of sites " + name, target, file, rule, broken, tests)


def inject(name, file, rule, broken):
    return ("inject " + name, "inject_test", f"src/program/inject/{file}.cpp", rule, broken, "")


def qmqp(name, file, rule, broken):
    return ("qmqp " + name, "receive_test", f"src/journey/receive/qmqp_{file}.cpp", rule, broken, "*QMQP*")


def http(name, file, rule, broken):
    return ("http " + name, "http_test", f"src/program/http/{file}.cpp", rule, broken, "")


def record(name, rule, broken):
    return ("record " + name, "handoff_test", "src/journey/handoff/record.cpp", rule, broken, "record:*")


def record_queue(name, rule, broken):
    return ("record queue " + name, "services_test", "src/program/services/queue_records.cpp", rule, broken, "queue records:*")


def record_tail(name, rule, broken):
    return ("record tail " + name, "services_test", "src/program/services/record_tail.cpp", rule, broken, "record tail:*")


def reports(name, file, rule, broken, tests):
    return ("reports: " + name, "aggregate_test", f"src/program/aggregate/{file}.cpp", rule, broken, tests)


def moving(name, file, before, after, tests):
    """A message that goes to another queue, or comes from one, in the store."""
    return ("moving: " + name, "spool_test", "src/journey/spool/" + file, before, after, tests)


def standby(name, file, rule, broken, tests):
    """The queue's copy on another machine."""
    return ("standby: " + name, "standby_test", f"src/journey/standby/{file}.cpp", rule, broken, tests)


def heard(name, file, rule, broken, tests):
    return ("heard: " + name, "heard_test", f"src/program/heard/{file}.cpp", rule, broken, tests)


def asked(name, target, file, rule, broken, tests):
    return ("asked " + name, target, file, rule, broken, tests)


def hook(name, file, rule, broken, test):
    return ("hook " + name, "programs", f"src/program/services/{file}.cpp", rule, broken, f"journey test_records.{test}")


def deliver(name, file, rule, broken, tests):
    return ("deliver " + name, "deliver_test", f"src/journey/deliver/{file}", rule, broken, tests)


# Areas of the comparison with Debian's Postfix, each with what it is built of.
SYSTEM = "programs bench_source bench_sink slow_sync posthorn-testdns"
LOOKUPS = ("postmap_alone", "run postmap/postmap.py build/dev/tests/compat/postmap/postmap_alone")
DATABASES = ("postmap_alone", "run databases.py build/dev/tests/compat/postmap/postmap_alone")
CONNECTIONS = ("postmap_alone", "run database_connections.py build/dev/tests/compat/postmap/postmap_alone")
SITES = ("postconf_alone", "run sites.py build/dev/tests/compat/postconf_alone")
ACCESS = RESTRICTIONS = (SYSTEM, "run restrictions.py build/dev/bin")
TOOLS = (SYSTEM, "run tools.py build/dev/bin")
FILTER = (SYSTEM, "run proxy_filter.py build/dev/bin")
DELIVER = (SYSTEM, "run deliver.py build/dev/bin")


def rewriting(line):
    return SYSTEM, f"run rewriting.py build/dev/bin --only {line}"


def compat(name, area, path, rule, broken):
    return ("compat " + name, area[0], path, rule, broken, area[1])


RULES = [
    changes_underway("what is forgotten stays", PEER_MEMORY, "            gallery_.forget(key);", "            (void)key;",
                     "test_a_product_that_is_replaced_is_told_once_with_all_that_went_with_it_and_over_a_restart"),
    changes_underway("no limit is told", PEER_MEMORY, "        gallery_.take(observation, record->limits);", "        return;",
                     "test_a_limit_that_refusals_tell_is_told_when_it_is_learned_and_not_again"),
    changes_underway("nothing is grave", PEER_MEMORY, 'change.grave ? log_.warning("{}", line) : log_.info("{}", line);', 'log_.info("{}", line);',
                     "test_starttls_gone_is_a_warning_and_another_issuer_is_told"),
    changes_underway("TLS is not shown", SESSION, "    show_tls(*secured, demanded);", "    (void)demanded;", "test_starttls_gone_is_a_warning_and_another_issuer_is_told"),
    send("shows an MX set of an address", SESSION, "evidence_.shown.mx_set = host_.mx != Host::Mx::none && ", "evidence_.shown.mx_set = ", "shown:*"),
    # How fast a site's mail goes.
    ("pace: counts what was not tried", "schedule_test", SCHEDULER, "    site.window.ended(now);\n    const auto message = messages_.find(flight.message);",
     "    site.window.ended(now);\n    site.pace.left(now, flight.recipients.size());\n    const auto message = messages_.find(flight.message);", "*pace*"),
    ("pace: remembers the time without mail", "schedule_test", SCHEDULER, "if (site.messages++ == 0)", "if (site.messages++ == SIZE_MAX)", "*pace*"),
    ("pace: keeps what is older than ten minutes", "schedule_test", "src/journey/schedule/pace.cpp",
     "buckets_[static_cast<std::size_t>(minute - at) % minutes] = {};", "(void)at;", "*pace*"),
    ("pace: guesses from a moment", "schedule_test", "src/journey/schedule/pace.cpp", "std::chrono::duration_cast<std::chrono::seconds>(now - from), least);",
     "std::chrono::duration_cast<std::chrono::seconds>(now - from), std::chrono::seconds{1});", "*pace*"),
    ("pace: forgets the recipient addresses that have gone", "schedule_test", "src/journey/schedule/stands.cpp", "    all->left_per_minute = rates.left;\n", "", "*pace*"),
    ("pace: keeps what of a recipient address is over", "schedule_test", SCHEDULER, "apart && --apart->busy == 0)", "apart && apart->busy == 0)", "*pace*"),
    ("forecast: foretells for a dead site", "inquiry_test", "src/program/inquiry/forecast.cpp", "site.waiting_recipients() != 0 && site.dead_until() == 0 &&",
     "site.waiting_recipients() != 0 &&", "forecast:*"),
    ("changes: asked for since, all are listed", "inquiry_test", "src/program/inquiry/change_listing.cpp", "if (change.told >= since)", "if (change.told >= since || !change.grave)", "changes:*"),
    # What changed at other servers: once it lasts, once.
    changes("tells what was seen once", PORTRAIT, "const bool lasts = known.others >= changed_after && now_ - known.since >= changed_over;",
            "const bool lasts = known.others >= 1;"),
    changes("tells what lasts no minute", PORTRAIT, "known.others >= changed_after && now_ - known.since >= changed_over;", "known.others >= changed_after;"),
    changes("waits a minute however many", PORTRAIT, "if (lasts || known.others >= changed_at_once)", "if (lasts)"),
    changes("takes the first session for what is usual", PORTRAIT, "        else if (known.seen < settled_after) {\n            // What is",
            "        else if (known.seen < 1) {\n            // What is"),
    changes("counts features as absent that nobody looked for", PORTRAIT,
            "aspect == Aspect::feature ? portrait_.clear : aspect == Aspect::feature_in_tls ? portrait_.in_tls : 0;", "settled_after;"),
    changes("tells each return", PORTRAIT, "known.varies = !known.value.empty() || !of_features(known.aspect);", "known.varies = false;"),
    changes("tells it again before a month is over", PORTRAIT, "known.aspect == Aspect::host || within(known.told, varies_told_every, now_)", "known.aspect == Aspect::host"),
    changes("tells of the machines of a farm", PORTRAIT, "known.aspect == Aspect::host || within(", "within("),
    changes("is calm at once", PORTRAIT, "if (known.others < calm_after || now_ - known.since < calm_over)", "if (known.others < changed_after)"),
    changes("is never calm again", PORTRAIT, "if (known.others < calm_after || now_ - known.since < calm_over)", "if (known.others <= calm_after)"),
    changes("takes a small SIZE lightly", PORTRAIT, "if (less && (before == 0 || *octets < before)) {", "if (less && before == 1) {"),
    changes("warns of a SIZE that grew", PORTRAIT, "if (less && (before == 0 || *octets < before)) {", "if (less && (before == 0 || *octets != before)) {"),
    changes("takes STARTTLS gone lightly", PORTRAIT, 'change.aspect == Aspect::feature && change.name == "STARTTLS"', 'change.aspect == Aspect::feature && change.name == "TLS"'),
    changes("writes each turn", PORTRAIT, "look_.altered = look_.altered || known.others >= run_kept;", "look_.altered = true;"),
    changes("keeps a run that is over", PORTRAIT, "look_.altered = look_.altered || known.others >= run_kept;", "(void)run_kept;"),
    changes("writes each machine of a farm", PORTRAIT, "look_.altered = look_.altered || known.seen > 1;", "look_.altered = true;"),
    changes("tells of certificates that never were good", PORTRAIT, "(!face.authenticated && !portrait_.good_certificate) || ", ""),
    changes("tells two dates a day", PORTRAIT, "within(portrait_.expiry_told, seen_again, now_) ||", ""),
    changes("tells of an end that is far for its life", PORTRAIT, "std::min<std::chrono::seconds>(expires_soon, face.lifetime / 4)", "std::chrono::seconds{expires_soon}"),
    changes("keeps all changes", PORTRAIT, "if (portrait_.changes.size() >= portrait_changes)", "if (portrait_.changes.size() >= 100 * portrait_changes)"),
    changes("keeps all features", PORTRAIT, "if (portrait_.traits.size() >= portrait_traits)", "if (portrait_.traits.size() >= 100 * portrait_traits)"),
    changes("tells limits each time", PORTRAIT, "if (known->value == number || within(known->told, seen_again, now_))", "if (within(known->told, seen_again, now_))"),
    changes("misses in the clear what TLS has", FACE, "face.clear = !shown.ehlo_clear.empty() && shown.tls_protocol.empty();", "face.clear = !shown.ehlo_clear.empty();"),
    changes("takes the time for a product", FACE, "is_address(one) || is_number_or_date(one) ||", "is_address(one) || is_number_or_date({}) ||"),
    changes("takes an id for a product", FACE, "            is_id(one))\n", "            is_id({}))\n"),
    changes("keeps what a terminal would obey", FACE, "value += printable(word.substr(0, octets));", "value += std::string(word.substr(0, octets));"),
    changes("writes what is the same", GALLERY, "    if (!found.altered)\n        return;\n", ""),
    changes("keeps one portrait for all ports", GALLERY, "return port == 0 || port == usual_port ? address : ", "return port != usual_port + 1 ? address : "),
    changes("looks at sessions that have not ended", GALLERY, "if (!observation.whole || ", "if ("),
    changes("says all that a site changes", GALLERY, "if (hour.said < herald_lines) {", "if (hour.said < 100 * herald_lines) {"),
    # What siblings tell each other: nothing echoes, the younger evidence wins, nothing outlives its own life.
    told("tells on what was told", "mark.convicted && mark.until > now && mark.told_by.empty()", "mark.convicted && mark.until > now"),
    told("tells on what was taken back elsewhere", "if (cleared.told_by.empty() && within(", "if (within("),
    told("tells on a way that was told", "if (path.until <= now || !path.told_by.empty() || path.lost == 0)", "if (path.until <= now || path.lost == 0)"),
    told("hears a way down", "default: return fault.number == 0 && class_of(fault.quirk) != QuirkClass::security;", "default: return fault.number == 0;"),
    told("hears helo-only where TLS works", "if (fault.quirk == Quirk::helo_only && within(record_.tls_worked, tls_memory, now_))", "if (false)"),
    told("believes an older word", "(at->convicted && at->until > now_ && evidence <= at->last + told_again)", "(at->convicted && false)"),
    told("believes an older word than what works here", "if (own.worked <= evidence)", "if (own.worked <= evidence + std::chrono::hours{100})"),
    told("keeps a word as long as it says", "std::min(now_ + fault.left, evidence + quirk_lifetime)", "now_ + fault.left"),
    told("hears what an operator had forgotten", "fault.age >= quirk_lifetime || evidence <= forgotten_)", "fault.age >= quirk_lifetime)"),
    told("brings back what was taken back since", "cleared != record_.cleared.end() && cleared->when >= evidence)", "cleared != record_.cleared.end() && false)"),
    told("takes back what was seen since", "guilty->last >= when)", "guilty->last >= when + std::chrono::hours{1000})"),
    told("tells how many sessions a server takes", "{.recipients_per_mail = record.limits.recipients_per_mail, .errors_per_session = record.limits.errors_per_session}", "record.limits"),
    sibling("peers: what is ours again stays theirs", LEARN, "        at.told_by.clear();                     // it is our own evidence now\n", "", "peers_test", "told:*"),
    sibling("peers: an older limit outvotes ours", LEARN, "(known.limits.*limit == 0 || told.until > record.limits_until)", "(known.limits.*limit == 0 || told.until > now)", "peers_test", "told:*"),
    told_address("tells on what was told", "if (!record.told_by.empty() || key.empty()", "if (key.empty()"),
    told_address("tells what was put off", "record.kind != Kind::undeliverable || may_be_about_who_asks", "may_be_about_who_asks"),
    told_address("tells what may be about who asks", "text.find(\" 5.7.\") != text.npos;", "text.find(\" 5.7.\") == 0;"),
    told_address("believes an older word", "if (before && !says_nothing && when <= before->updated + told_again)", "if (before && !says_nothing && when + 1000 * told_again <= before->updated)"),
    told_address("counts from when it was heard", "auto record = updated(before, Finding(told.kind, told.text), when, rules);", "auto record = updated(before, Finding(told.kind, told.text), now, rules);"),
    told_address("asks while a sibling does", "while (!outstanding->finding && is_asked_elsewhere(key)", "while (false && is_asked_elsewhere(key)", "desk"),
    told_address("waits with all its patience", "steady_clock::now() + patience / 2;", "steady_clock::now() + patience * 100;", "desk"),
    told_address("waits for a sibling that is away", "return one.second.by == by; });", "return one.second.by == by + by; });", "desk"),
    sibling("hears half of a frame", "src/program/siblings/words.cpp", "        TRY(auto word, word_of(one));\n        to.push_back(std::move(word));\n",
            "        auto word = word_of(one);\n        if (word)\n            to.push_back(*std::move(word));\n"),
    sibling("hears what is known of a domain", "src/program/siblings/words.cpp", "key.find(':') == key.npos && key != verify::cleanup_key", "key != verify::cleanup_key"),
    sibling("hears who does not say who he is", "src/program/siblings/session.cpp", "if (!introduced_ && !said.has_introduction())", "if (false)"),
    sibling("talks to itself", "src/program/siblings/session.cpp", "if (introduction.identity() == ours_.identity)", "if (false)"),
    # A signature convicts at once, a suspicion after three and a rate.
    peers("convicts after one suspicion", LEARN, "if (!at.convicted && at.sightings >= suspicions_needed && rate_convicts(at.tally))",
          "if (!at.convicted && rate_convicts(at.tally))"),
    peers("convicts without a rate", LEARN,
          "return with != 0 && tally.with_failed * (without + 2) >= std::uint64_t{rate_ratio} * (tally.without_failed + 1) * with;",
          "return with + without != UINT64_MAX;"),
    peers("convicts a flapping peer at once", LEARN, "if (at.convicted || !flapping(record_, now_) || at.sightings >= 2)",
          "if (at.sightings >= 1)"),
    peers("learns a way down", LEARN, "if (class_of(sighting.quirk) != QuirkClass::security)", "if (class_of(sighting.quirk) <= QuirkClass::security)"),
    peers("hides EHLO where TLS worked", LEARN,
          "bool may_be_convicted(Quirk quirk) const { return quirk != Quirk::helo_only || !within(record_.tls_worked, tls_memory, now_); }",
          "bool may_be_convicted(Quirk) const { return true; }"),
    peers("obeys a downgrade that was kept", LEARN,
          "const bool downgrade = mark.quirk == Quirk::helo_only && within(record.tls_worked, tls_memory, now);", "const bool downgrade = false;"),
    peers("never expires", LEARN, "if (old.convicted && old.until <= now_) {", "if (old.convicted && old.until == never) {"),
    peers("keeps a quirk in force past its time", LEARN, "const bool convicted = mark.convicted && mark.until > now;",
          "const bool convicted = mark.convicted;"),
    peers("forgets no suspicion", LEARN, "return !old.convicted && old.last != never && !within(old.last, quirk_lifetime, now_);", "return false;"),
    peers("keeps limits for ever", LEARN, "if (record_.limits_until <= now_)", "if (record_.limits_until == WallTime::max())"),
    peers("believes a limit seen once", LEARN, "if (at.seen < 2 && !told)", "if (at.seen < 1 && !told)"),
    peers("believes one of several machines at once", LEARN, "seen_.recipients_told && !flapping(record_, now_)", "seen_.recipients_told"),
    peers("believes a limit that not all refusals named", SEEN, "const bool told = put_off != 0 && exchange.say_too_many == put_off;",
          "const bool told = put_off != 0 && exchange.say_too_many != 0;"),
    peers("takes a quota for a limit", SEEN, "        if (contains_folded(reply, words))\n            return false;", "        (void)words;"),
    peers("believes a close seen once", LEARN, "            if (at.seen < suspicions_needed)\n", "            if (at.seen < 1)\n"),
    peers("keeps a close that was outdone", LEARN, "} else if (seen_.mails > record_.close_after.number)", "} else if (seen_.mails == UINT32_MAX)"),
    peers("removes after one canary", LEARN, "if (++at.clean_canaries < canaries_needed)", "if (++at.clean_canaries < 1)"),
    peers("removes without a canary", LEARN, "if (!at.convicted || !in_canary(at, seen_))\n            return;\n        at.canary = now_;\n        if (++at",
          "if (!at.convicted)\n            return;\n        at.canary = now_;\n        if (++at"),
    peers("tests all the time", LEARN, "if (convicted && has_canary(mark.quirk) && now - mark.canary >= canary_interval)",
          "if (convicted && has_canary(mark.quirk))"),
    peers("tests on content", LEARN, "if (convicted && has_canary(mark.quirk) &&", "if (convicted &&"),
    peers("alarms at each session", LEARN, "within(record_.tls_worked, tls_memory, now_) && !within(record_.tls_alarm, canary_interval, now_)",
          "within(record_.tls_worked, tls_memory, now_)"),
    peers("keeps a privilege that was lost", LEARN, "record_.discards_bdat_until = *seen_.discards_bdat ? now_ + quirk_lifetime : never;",
          "record_.discards_bdat_until = now_ + quirk_lifetime;"),
    peers("blames all sizes of BDAT", LEARN, "        if (at.quirk == Quirk::no_bdat)\n            at.number = std::max(at.number, sighting.number);\n",
          "        (void)sighting;\n"),
    peers("takes a second parameter for old news", LEARN, "at.convicted = at.convicted && at.number == before;", "(void)before;"),
    peers("spreads from one host to its site", LEARN, "shared.addresses.size() >= site_peers_needed", "!shared.addresses.empty()"),
    peers("spreads what changes function", LEARN, "entry.kind != QuirkClass::speed ||", "entry.kind == QuirkClass::security ||"),
    # What is seen.
    peers("sees quit-alone in a right answer", SEEN, "if (told == 1 && exchange.codes.front() == 221)", "if (told != 0 && exchange.codes.back() == 221)"),
    path("small segments that arrive convict without a suspicion", "    if (!suspected)\n        return PathNews::none;\n", ""),
    path("a suspicion stays although small segments are lost as well", "        record.suspected = {};\n        return PathNews::none;\n    }\n    if (seen.lost",
         "        return PathNews::none;\n    }\n    if (seen.lost"),
    path("nothing is tried before it is sure", "record.until > now || within(record.suspected, PathRecord::suspected_for, now)", "record.until > now"),
    path("it is sure for ever", "record.until > now ||", "record.until != WallTime{} ||"),
    path("commands prove that large segments arrive", "    if (!seen.arrived)\n        return PathNews::none;\n", ""),
    send("connects as before where large segments are lost", OPEN, "how.segment = net::small_segment;", "how.segment = 0;", "path:*"),
    send("waits for content that is lost", LINES, "if (line->session->lost_on_the_way())", "if (false)", "path:*"),
    send("leaves lost content to the kernel, which goes on", EVIDENCE, "    stream_->abort();", "    stream_->close();", "path:*"),
    send("takes what fits into one segment for proof", EVIDENCE, "transaction.content->size() >= 2 * std::uint64_t{segment_}", "transaction.content->size() != 0", "path:*"),
    send("keeps nothing of segments that were lost until the time limit", EVIDENCE, "        evidence_.path.lost = path->segment;\n    evidence_.exchanges.back().end",
         "        {}\n    evidence_.exchanges.back().end", "path:*"),
    sts("a fetch that failed is no fault", "    co_return Finding{.known = std::nullopt, .fault = id && page->failed_id == *id ? page->fault : std::string()};",
        "    co_return Finding{};"),
    sts("every fault is the web server's", 'error.status() == "4.7.5" ? "sts-webpki-invalid" : ', ""),
    send("a policy that could not be had is not reported", OPEN, "made.fault = fault_of(demand.sts_fault);", "", "tls report*"),
    peers("judges what was said early", SEEN, "if (exchange.verbs.empty() || exchange.early)", "if (exchange.verbs.empty())"),
    peers("blames EHLO after TLS", SEEN, "if (silent && !evidence_.tls)", "if (silent)"),
    peers("does not hear of pipelining", SEEN, "if (exchange.says_pipelining) {", "if (exchange.says_pipelining && told == 0) {"),
    peers("takes 354 for RCPT as it comes", SEEN, "const bool invited = codes[i] == 354 && verbs[i] != Verb::data;", "const bool invited = false;"),
    peers("takes 500 in a group as it comes", SEEN,
          "const bool refused = i != 0 && unknown_command(codes[i]) && verbs[i] != Verb::bdat && good(codes.front());", "const bool refused = false;"),
    peers("suspects behind a refusal", SEEN, "if (!lost(exchange.end) || (told != 0 && !good(codes.back())) || next_is_a_mail_after(exchange))",
          "if (!lost(exchange.end) || next_is_a_mail_after(exchange))"),
    peers("suspects a peer that takes so many mails", SEEN,
          "if (!lost(exchange.end) || (told != 0 && !good(codes.back())) || next_is_a_mail_after(exchange))",
          "if (!lost(exchange.end) || (told != 0 && !good(codes.back())))"),
    peers("blames DATA for what MAIL did", SEEN, "verbs.back() == Verb::data && (told != 1 || told + 1 == asked);", "verbs.back() == Verb::data;"),
    peers("sees order in a refusal of DATA for nobody", SEEN, "exchange.verbs[i] == Verb::data && recipient && exchange.codes[i] == 503",
          "exchange.verbs[i] == Verb::data && exchange.codes[i] == 503"),
    peers("grants BDAT to one that executes it", SEEN, "        if (exchange.surplus)\n            made_.discards_bdat = false;",
          "        if (exchange.surplus)\n            made_.discards_bdat = true;"),
    peers("learns a limit from mixed answers", SEEN, "in_order = in_order && !(deferred != 0 && codes[i] != 452);", "in_order = true;"),
    # The book.
    peers("writes who is only seen again", BOOK, "if (within(held.stored, seen_interval, now) && only_seen_again(before, held.value, now))",
          "if (within(held.stored, seen_interval, now) && before == held.value && only_seen_again(before, held.value, now))"),
    peers("never writes who is only seen again", BOOK, "if (within(held.stored, seen_interval, now) && only_seen_again(before, held.value, now))",
          "if (held.stored != WallTime{} && only_seen_again(before, held.value, now))"),
    peers("keeps from who reads how often a peer was seen", BOOK, "    all_of(peers_);\n", ""),
    peers("loses what a peer that leaves the book was last seen as", BOOK, "            if (leaves->second.lags)\n", "            if (false)\n"),
    peers("keeps a way that is to be forgotten", BOOK, "    held.value.path = {};\n", ""),
    peers("replays while the line is down", BOOK, "const bool down = line.failed != SteadyTime{} && now - line.failed < replay_interval;",
          "const bool down = false;"),
    peers("replays as often as it likes", BOOK, "(line.replayed != SteadyTime{} && now - line.replayed < replay_interval)",
          "now == SteadyTime::max()"),
    peers("lets learning outvote the rule file", BOOK, "known.quirks.subtract(words.not_quirks).merge(words.quirks);",
          "known.quirks.merge(words.quirks);"),
    peers("obeys where it only reports", BOOK, "        if (options_.learning == Learning::report)\n", "        if (options_.learning == Learning::no)\n"),
    peers("tests in all sessions at once", BOOK, "if (meeting.ehlo.empty() && (out == canaries_.end() || moment - out->second >= canary_patience))",
          "if (meeting.ehlo.empty() && canary_patience.count() != 0)"),
    peers("believes what a clock that was ahead wrote", BOOK, "std::optional(believable(*std::move(found), clock_.wall()))", "found"),
    peers("gives to known hosts what their site shares", BOOK, "if (record.sessions == 0)", "if (record.sessions + 1 != 0)"),
    # Greylisting, rules for replies.
    peers("counts a cycle that began before the last", GREY, "if (begun > at.last_pass && ++at.cycles", "if (++at.cycles"),
    peers("calls greylisting what takes strangers", GREY, "            at.cycles = 0;                              // a stranger was taken at once",
          "            ;"),
    peers("calls greylisting what says something else each time", GREY, "        at.words = std::move(words);\n        at.cycles = 0;",
          "        at.words = std::move(words);"),
    peers("lets follow again and again", GREY, "now - at.followed < std::max(at.passed, follow_again)", "(now == WallTime::max() && follow_again.count() != 0)"),
    peers("hears advice at the greeting", RULE_FILE, "if (advises != (place == Place::reply))", "if (advises && place == Place::host)"),
    # Replies to verdicts.
    send("returns mail in a session out of step", VERDICT, "belief.out_of_step || reply.mixed_codes ||", "reply.mixed_codes ||", PURE),
    send("returns mail by mixed codes", VERDICT, "belief.out_of_step || reply.mixed_codes ||", "belief.out_of_step ||", PURE),
    send("returns mail by 503 in a group", VERDICT, "(belief.behind_others && speaks_of_dialogue(reply.code))", "(belief.behind_others && reply.code == 0)", PURE),
    send("takes 221 for a yes", VERDICT, "if (reply.code == 421 || reply.code == 221)", "if (reply.code == 421)", PURE),
    send("takes 250 for an invitation", VERDICT, "        return reply.code == 354;", "        return reply.code == 354 || reply.positive();", PURE),
    send("changes a fate that is final", VERDICT,
         "    Fate& fate = fates_[index];\n    if (fate.state == Fate::State::delivered || fate.state == Fate::State::failed)\n        return;\n    fate.state = Fate::State::failed;",
         "    Fate& fate = fates_[index];\n    fate.state = Fate::State::failed;", PURE),
    send("doubts what is certain", VERDICT, "        if (moved > missing)\n            return false;", "        if (moved > codes.size() + missing)\n            return false;", PURE),
    # Flights.
    send("says QUIT behind RSET to one that drops it", PLAN, "if (!one_by_one_ && !quirks_.has(Quirk::quit_alone) && !quirks_.has(Quirk::no_rset))",
         "if (!one_by_one_ && !quirks_.has(Quirk::no_rset))", PURE),
    send("says RSET to one that cannot stand it", PLAN, "if (!one_by_one_ && !quirks_.has(Quirk::quit_alone) && !quirks_.has(Quirk::no_rset))",
         "if (!one_by_one_ && !quirks_.has(Quirk::quit_alone))", PURE),
    send("ignores close-after", PLAN, "(quirks_.has(Quirk::close_after) && contents >= quirks_.close_after())", "(contents == UINT32_MAX)", PURE),
    send("ignores dot-alone", PLAN, "if (quirks_.has(Quirk::dot_alone))", "if (quirks_.has(Quirk::dot_alone) && one_by_one_)", PURE),
    send("ignores no-bdat-over", PLAN, "!(quirks_.has(Quirk::no_bdat_over) && mail.octets > quirks_.bdat_over());", "mail.octets != UINT64_MAX;", PURE),
    send("gives BDAT before the answers to everybody", PLAN, "if (!answered && !(bdat_first_ && small))", "if (!answered && !small)", PURE),
    send("has any number of contents unanswered", PLAN, "if (++unanswered_ >= options_.contents_in_flight) {", "if (++unanswered_ == UINT32_MAX) {", PURE),
    # Sessions.
    send("doubts nobody", TRANSACT, "    if (asked_here_.size() < 2 && expected_.size() < 2)\n        return;", "    if (asked_here_.size() < 2 || expected_.size() > 1)\n        return;",
         BEFORE_ANY),
    send("believes a flight with an answer too many", TRANSACT, "if (all_in && !input_.empty() && !input_.starts_with(\"421\")) {",
         "if (all_in && input_.starts_with(\"no\")) {", BEFORE_ANY),
    send("believes EHLO's answer behind two greetings", SESSION, "    if (!input_.empty() || parser_.amid())\n        out_of_step_ = true;", "    ;", BEFORE_ANY),
    send("gives a MAIL said ahead to another sender's probe", LEAVE, "mail_line(transaction, &parameters) != probe_mail_)",
         "mail_line(transaction, &parameters).empty())", "in *parked_test.cpp"),
    send("takes a refused MAIL said ahead for accepted", LEAVE,
         "!over_ && judge(Act::mail, *reply, {.out_of_step = out_of_step_}) == Judgement::good;", "!over_;", "in *parked_test.cpp"),
    send("asks the doubted with the others", LINES, "        std::erase_if(open, doubtful);", "        ;", BEFORE_ANY),
    send("asks the doubted in a group", LINES, "transaction.progress.apart = apart;", "transaction.progress.apart = false;", BEFORE_ANY),
    send("says again what was said whole", TRANSACT, "transaction->replay = may_help && !transaction->unserved && !transaction->content_said;",
         "transaction->replay = may_help && !transaction->unserved;", "*are not said the content again*"),
    send("returns all for one MAIL of many", ANSWERS, "    if (one_mail_each(transaction.progress, known_.quirks)) {\n        // The others",
         "    if (recipient == UINT32_MAX) {\n        // The others", BEFORE_ANY),
    send("delivers by another session's DATA", TRANSACT, "            transaction->sheet->forget_accepted();", "            ;", "*answer of its own DATA*"),
    send("takes a silent session for one that is used up", TRANSACT, "(used_up_ && !over_)", "used_up_", BEFORE_ANY),
    send("hears no slow-down in a refusal", ANSWERS, "if (judgement == Judgement::permanent && advice_.later())",
         "if (judgement == Judgement::permanent && advice_.later() && over_)", "in *shaping_test.cpp"),
    send("goes on to the next host with greylisted mail", AGENT, "        if (waits_for_greylisting(job->sheet))", "        if (job->sheet.size() == 0)",
         "in *shaping_test.cpp"),
    send("hosts one after the other", HOSTS, "asked_at_once = 16;", "asked_at_once = 1;", "hosts: *"),
    send("SRV hosts of the same weight as they are answered", "src/journey/send/nexthop.cpp", "std::ranges::shuffle(records, random);", ";", "SRV records*"),
    send("waits for the answer of who took no content", "src/journey/send/session_write.cpp", "    if (failed)\n        co_return;", "   ", "pace: a peer*"),
    send("one deadline for a group of commands", SESSION, "!writing_ || (options_.per_request_deadline && !says_content())", "!writing_", "pace: saying commands*"),
    send("no primary is a loop", HOSTS, "if (best != best_found)", "if (best > best_found)", "hosts: what*"),
    send("passes on what was passed on", AGENT, "!job->request.passed_on() && ", "", "hosts: mail*"),
    send("passes on mail whose best host is away", HOSTS, "    return Reason(false, \"4.4.4\", fmt::format(\"unable to find primary relay for {}\", destination));",
         "    {\n        Reason away(false, \"4.4.4\", \"\");\n        away.loops = true;\n        return away;\n    }", "hosts: mail*"),
    ("queue passes on without saying so", "services_test", "src/program/services/queue_delivery.cpp", "set_passed_on(active.passed_on.contains(request.recipients.front()));", "set_passed_on(false);",
     "queue: mail that would*"),
    ("queue gives mail that would loop to who handed it back", "services_test", "src/program/services/queue_delivery.cpp",
     "route = route::passed_on(route, elsewhere);", "(void)elsewhere;", "queue: mail that would*"),
    ("probes answer where mail would loop before who has it is asked", "services_test", "src/program/services/probes.cpp", "!verdicts->elsewhere().empty() &&",
     "verdicts->elsewhere() == \"x\" &&", "probes: an address whose*"),
    send("says a password in clear", "src/journey/send/session_auth.cpp", "!secured_ ? options_.sasl.clear :", "false ? options_.sasl.clear :", "AUTH: *"),
    send("returns mail whose login was refused", "src/journey/send/session_auth.cpp", " && !options_.sasl.soft_bounce;", ";", "AUTH: *"),
    send("shares sessions between credentials", OPEN, "wish.credentials = job.credentials;", "", "AUTH: *"),
    send("tries a login in clear after TLS failed", SESSION, "trouble.try_in_clear = may && strangers();                //", "trouble.try_in_clear = may;  //", "AUTH: *"),
    send("shows a fallback relay the next hop's password", "src/journey/send/session_auth.cpp", "by_server(host_.name, host_.next_hop)",
         "by_server(host_.name, wish_.next_hop)", "AUTH: *"),
    send("tells a password that a server repeats", "src/journey/send/session_auth.cpp", "reply.code == 334 || said.size() < echo_octets", "true", "AUTH: *"),
    send("believes a server that proves nothing", "src/journey/send/session_auth.cpp", "if (const auto proved = mechanism->finished(); !proved)", "if (const auto proved = mechanism->finished(); false)", "AUTH: *"),
    send("begins a second session beside one that answers", LINES,
         "const bool still = first && job->line == first && first->session->silent_since().has_value();",
         "const bool still = first != nullptr && job->line == first;", "in *shaping_test.cpp"),
    # What a site asks for.
    schedule("lowers twice for what was under way", "begun <= decreased_ && (ceiling_ != 0 || per_minute_ != 0))", "begun == SteadyTime::max())"),
    schedule("tests a ceiling as soon after a failure", "again ? std::min(2 * std::max(step_, probe_every), probe_at_most) : probe_every",
             "again ? probe_every : probe_every"),
    ("schedule sends while it was asked for silence", "schedule_test", "src/journey/schedule/shape.hpp", "return !suspended(now) && (room() == 0", "return (room() == 0", ""),
    schedule("becomes faster while it was asked for silence", "now - std::max(quickened_, suspended_until_) >= minutes{1}", "now - quickened_ >= minutes{1}"),
    # Whether an address is alive: what an answer is worth, who is asked, how often.
    verify("asks twice about one address", "desk", "if (known.ask && !awaited &&", "if (known.ask &&"),
    verify("asks any number at once", "desk", "if (outstanding_.size() < options_.pending_limit) {", "if (outstanding_.size() != SIZE_MAX) {"),
    verify("leaves no room for questions", "desk", "outstanding_.size() < options_.pending_limit / 2)", "outstanding_.size() < options_.pending_limit)"),
    verify("refreshes in a burst", "desk", "std::min(std::max(1.0, 10 * rate),", "std::min(std::max(1.0, 1000 * rate),"),
    verify("repeats a failed refresh at once", "desk", "clock_.steady() - found->second < retry_pause;", "clock_.steady() == found->second - retry_pause;"),
    verify("forgets the address behind an alias", "desk", "!answer->final_address.empty() && answer->final_address != address)",
           "!answer->final_address.empty() && answer->final_address == address)"),
    verify("remembers who could not be asked", "desk", 'answer.error().status() == "4.3.2"', 'answer.error().status() != "4.3.2"'),
    verify("asks strangers for a random address", "desk", "answer->may_control && !domain.empty()", "!domain.empty()"),
    verify("forgets that a domain takes everybody when it is away", "desk", "if (was && !is && finding.kind != Kind::undeliverable)",
           "if (was && !is && finding.kind == Kind::in_progress)"),
    verify("asks for a random address each time", "rules", "return !record || older(*record,", "return !record || record->text.empty() || !older(*record,"),
    verify("a failure takes back what was deliverable", "rules",
           "if (before && before->kind == Finding::Kind::deliverable && !expired(*before, now, rules))",
           "if (before && before->kind == Finding::Kind::deliverable && expired(*before, now, rules))"),
    verify("keeps refusals where none are to be kept", "rules", "        if (!rules.negative_cache)", "        if (!rules.negative_cache && finding.text.empty())"),
    verify("refusals live as long as addresses", "rules", "Finding::Kind::deliverable ? rules.positive_expire : rules.negative_expire, now);",
           "Finding::Kind::in_progress ? rules.negative_expire : rules.positive_expire, now);"),
    verify("refusals are asked anew as late as addresses", "rules", "older(*record, good ? rules.positive_refresh : rules.negative_refresh, now)};",
           "older(*record, good ? rules.positive_refresh : rules.positive_refresh, now)};"),
    verify("an address dies while it is asked about", "rules", "!(good && outstanding)))", "!(good && outstanding && record->text.empty())))"),
    verify("does not know its own sender of a moment ago", "sender", "(now_slot > 0 && is(slot_text(now_slot - 1)))", "(now_slot > 1 && is(slot_text(now_slot - 2)))"),
    verify("its sender changes at no time", "sender", "return timed() ? local_ + slot_text(slot_of(now, life_)) + domain_", "return timed() ? local_ + slot_text(slot_of(now, life_) / 9) + domain_"),
    verify("believes what others wrote", "record", "(*probed == 0 && *updated == 0)", "(*probed == 1 && *updated == 0)"),
    verify("keys hold what separates fields", "record", "std::ranges::replace(key, ':', '_');", "std::ranges::replace(key, ':', ':');"),
    verify("does not know what it is writing", "cache", "static_cast<const Values*>(&changed_), flushing_.get()",
           "static_cast<const Values*>(&changed_), static_cast<const Values*>(nullptr)"),
    verify("an answer that could not be written hides a newer one", "cache", "changed_.try_emplace(key, value);", "changed_.insert_or_assign(key, value);"),
    verify("cleans up what came back", "cache", "!changed_.contains(found.expired[i]) && !(flushing_ && flushing_->contains(found.expired[i]))",
           "!changed_.contains(found.expired[i])"),
    # TLS: who the server has to be.
    tls("a name beside the one asked for is good enough", "facts_of", "reference_fits(dns_id, name, wanted.several_labels))", "(reference_fits(dns_id, name, wanted.several_labels) || !dns_id.empty()))"),
    tls("an issuer of TLSA records needs no name", "facts_of", "*usage == 3 ? Trust::verified", "*usage >= 2 ? Trust::verified"),
    tls("the subject counts beside DNS-IDs", "facts_of", "X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) < 0 &&", ""),
    tls("TLSA records of authorities are used", "dane", "(record.usage != trust_anchor && record.usage != domain_issued) ||", ""),
    tls("digests have no order", "dane", "digest.matching, order--)", "digest.matching, order)"),
    send("mail is said to who is not the one", SESSION, "    if (const auto& refused = secured->refused) {", "    if (const auto& refused = secured->refused; refused && wrapper) {", "*levels:*"),
    send("a violation of the TLS policy is not marked", "src/journey/send/tls_status.cpp", 'return "!" + asked + ":encrypt";', 'return asked + ":encrypt";', "tls status*"),
    send("what never became clear of TLS is told as clear", SESSION, "return trouble || unheard_ != Unheard::nothing ? TlsEnd::undecided : TlsEnd::clear;",
         "return TlsEnd::clear;", "tls status*"),
    send("an alias is called by its canonical name unasked", HOSTS, "options.cname_renames && !found.canonical_name.empty()", "!found.canonical_name.empty()",
         "*DANE*,smtp_cname*"),
    send("a search goes on behind a name server without an answer", "src/journey/send/search_names.cpp",
         "        answer = co_await names_.addresses(name, families);\n        if (answer.status != dns::Status::nxdomain)",
         "        answer = co_await names_.addresses(name, families);\n        if (answer.found())", "search names*"),
    send("short names are searched for unasked", "src/journey/send/search_names.cpp", "(is_short ? !rules.short_names : !rules.all_names)",
         "(is_short ? false : !rules.all_names)", "search names*"),
    send("a policy that cannot be understood is main.cf's", "src/journey/send/tls_policy.cpp", "                warn(policy.error().what());",
         "                warn(policy.error().what()), found.policy.emplace().level = options->tls_level;", "*policy table*"),
    send("a table that cannot be asked says nothing", "src/journey/send/tls_policy.cpp", '                found.tells_apart = "?";\n                co_return found;',
         "                continue;", "*policy table*"),
    send("a session serves mail of another policy", LINES, '        key += "\\n" + policies;', '        key += "";', "*policy table*"),
    send("a failing lookup of TLSA records is none", "src/journey/send/tls_demand.cpp", "        found.failed = answer.transient();", "        found.failed = false;", "*DANE*"),
    send("TLSA records without DNSSEC count", "src/journey/send/tls_demand.cpp", "if (is_signed(answer) && answer.found())", "if (answer.found())", "*DANE*"),
    send("records that cannot be used are none", "src/journey/send/tls_demand.cpp",
         'co_return without_dane(std::move(demand), TlsLevel::encrypt, "TLSA records unusable", TlsFault::tlsa_invalid);',
         'co_return without_dane(std::move(demand), TlsLevel::may, "TLSA records unusable");', "*DANE*"),
    send("hosts in unsigned zones are asked about", "src/journey/send/tls_demand.cpp", "if (host.secure || insecure_hosts_too) {", "if (true) {", "*DANE*"),
    send("where DANE cannot be done it is not done", "src/journey/send/tls_demand.cpp", "    if (!why_not.empty()) {", "    if (why_not.size() == 1) {", "*DANE*"),
    send("a trusted CNAME of an untrusted MX names the server", "src/journey/send/tls_demand.cpp", "if (host.mx == Host::Mx::secure && !host.mx_owner.empty())",
         "if (!host.mx_owner.empty())", "*DANE*"),
    send("what failed a moment ago goes in clear, whatever is asked of TLS now", OPEN, "in_clear && wish.tls.level <= TlsLevel::may;", "in_clear;", "*DANE*"),
    send("a policy of MTA-STS names every host", "src/journey/send/tls_demand.cpp", "&& !is_named(host, sts.patterns))", "&& is_named(host, {}))", "*policy table*"),
    send("names of the table outvote a policy of MTA-STS", "src/journey/send/tls_demand.cpp", "            policy.match = {\"hostname\"};", "", "*policy table*"),
    send("a policy of MTA-STS that cannot be met is", "src/journey/send/tls_demand.cpp", "    if (!sts.failure.empty())", "    if (sts.failure.size() == 1)", "*policy table*"),
    sts("a policy ends with its record", "    if (holds(*page))\n        co_return Finding{.known", "    if (id && holds(*page))\n        co_return Finding{.known"),
    sts("a policy has no end", "known && clock_.wall() < known->until() ?", "known ?"),
    sts("what is fetched ends with the process", "            shelf_->keep(domain, octets_of(known));", "            ;"),
    sts("a failed fetch is tried at each mail", "clock_.steady() - page.failed < rest", "clock_.steady() < page.failed"),
    sts("who cannot be asked knows nothing", "        co_return found.error();", "        co_return Result<void>{};"),
    sts("two records are one", "        if (record)\n            return std::nullopt;", "", "policy"),
    sts("a star is any number of labels", "tls::name_matches(pattern, host)", "tls::name_matches(pattern, host, true)", "policy"),
    send("handshakes are told of whether a domain wants it or not", "src/journey/send/agent_open.cpp", "    if (!record)\n        co_return;", "    if (!record)\n        record.emplace();", "tls report*"),
    send("hosts that a policy leaves out are not told of", "src/journey/send/agent_open.cpp", "                report_left_out(*job, host, demand.error().evidence());", "                (void)host;", "tls report*"),
    send("MTA-STS before DANE", "src/journey/send/tls_demand.cpp", "    if (demand.level == TlsLevel::dane)                               // RFC 8461 2",
         "    if (demand.level == TlsLevel::none)", "*MTA-STS*"),
    send("a policy in testing is in force", "src/journey/send/tls_policy.cpp", "    if (said.policy.mode == sts::Mode::testing)", "    if (said.policy.mode == sts::Mode::none)", "*MTA-STS*"),
    send("a policy is of its hosts", "src/journey/send/tls_policy.cpp", 'found.tells_apart = fmt::format("sts {} {}", domain, sts::octets_of(said));', "", "*MTA-STS*"),
    send("an entry of the table does not outvote a domain", "src/journey/send/tls_policy.cpp", "!found.policy || !found.tells_apart.empty())", "!found.policy)", "*MTA-STS*"),
    send("nobody can tell, so it has none", "src/journey/send/tls_policy.cpp",
         "        found.policy->sts = std::move(rules);\n        found.tells_apart = fmt::format(\"sts {} ?\", domain);\n", "", "*MTA-STS*"),
    send("without names to ask for any will do", "src/journey/send/tls_demand.cpp", "if (demand.names.empty()) {", "if (demand.names.size() > 100) {", "*levels:*"),
    send("an IDN has one spelling", "src/journey/send/tls_policy.cpp", "        add(spelt);\n", "", "*policy:*"),
    # What the comparison with Debian's Postfix has to notice: two rules for each area, one for the tools and for the filter before the queue.
    screen("remembers a client that was refused", "gate", "if (failed_ || vetoed_ || (!passed_greet_", "if (vetoed_ || (!passed_greet_"),
    screen("takes who spoke early for patient", "gate", "        spoke_early_ = true;", "        spoke_early_ = passed_greet_ = true;"),
    screen("reads on in a list that failed", "gate", """            log_.warning("{}: table lookup error -- ignoring the remainder of this access list", one.table);
            co_return Standing::unknown;""", """            log_.warning("{}: table lookup error -- ignoring the remainder of this access list", one.table);
            continue;"""),
    screen("counts a rule once for each answer", "rank", "        sum_ += rule.weight;", "        sum_ += rule.weight * static_cast<int>(answer.records.size());"),
    screen("lets answers of lists live for ever", "rank", "std::max(least, std::min(most, life_))", "std::max(least, most)"),
    screen("takes a greeting for the whole of good manners", "refusal", "co_return passed_ && !failed_;", "co_return !failed_;"),
    screen("lets a client that failed send content", "refusal", "        co_await drop(std::string(after_refusal(command)));", "        co_await say(std::string(after_refusal(command)));"),
    screen("knows an old client for ever", "allowed", "return forgotten(passed, now); });", "return forgotten(passed, now) && false; });"),
    screen("tests anew whom another process knows", "gate", "        known_ = known_ ? both(*known_, *told) : *told;\n", "        known_ = known_ ? both(*known_, *told) : Passed{};\n"),
    screen("keeps to itself who passed", "gate", "            remembered->tell(ip_, passed);", "            (void)remembered;"),
    screen("forgets one process's word for another's", "passed", "*into[test] = std::max(*into[test], *from[test]);", "*into[test] = *from[test];"),
    screen("leaves in the file who is forgotten", "kept", "            made->erased.push_back(address);", "            (void)address;"),
    postmaster("hears of a shortage from every session", "src/journey/receive/session.cpp", "if (record_->only_ours()) {", "if (record_->only_ours() && false) {"),
    postmaster("hears of what came right", "src/journey/receive/session_record.hpp", "handoff::NotifyClasses forgive() { return std::exchange(found_, {}); }",
               "handoff::NotifyClasses forgive() { return found_; }"),
    storing("says 250 before the disk", "while (storing.open > 0 && !co_await cancelled())", "while (storing.open > 100 && !co_await cancelled())"),
    storing("says 250 of what was not stored", "if (!mail.refusal) {", "if (true) {"),
    storing("answers out of order", "keep_until(mail.at);", "keep_until(0);"),
    storing("keeps no limit", "storing_->mails.size() < Storing::limit", "storing_->mails.size() < 1000"),
    storing("spends the memory of others", " && core_.ceiling.used() < core_.ceiling.limit() / 2", ""),
    storing("takes files along", "content.inline_in_queue() && !input_.empty()", "!input_.empty()"),
    storing("lets a footer come too late", " && !core_.edits_rejects()", ""),
    storing("forgives what was not taken", "errors_ += mail.errors + 1;", "errors_ += 1;"),
    storing("forgives nothing", ".errors = std::exchange(errors_, 0)", ".errors = 0"),
    storing("counts what was refused as done", "tally_.failed(mail.verb);", ""),
    storing("keeps back what was decided before", "storing.open > 0 && before > 0", "storing.open > 1000 && before > 0"),
    spf("counts a term too few", "spf", "return ++asking_ <= most_asking_terms;", "return ++asking_ <= most_asking_terms + 1;"),
    spf("goes on after three in vain", "spf", "return void_ <= most_void_terms;", "return void_ <= most_void_terms + 1;"),
    spf("takes one of several records", "spf", "if (found != nullptr) {", "if (false) {"),
    spf("includes whatever does not fail", "spf", "case SpfResult::pass: co_return SpfMatch::yes;", "case SpfResult::neutral:\n    case SpfResult::pass: co_return SpfMatch::yes;"),
    spf("has nothing to include", "spf", "case SpfResult::none: co_return permanent(", "case SpfResult::none: co_return SpfMatch::no;\n        co_return permanent("),
    spf("believes names that do not lead back", "spf", "if (any_address(addresses, SpfMechanism{}) == SpfMatch::yes)", "if (addresses.found())"),
    spf("finds the end of another name", "spf", "&& name[name.size() - domain.size() - 1] == '.'", ""),
    spf("expands local parts beyond ASCII", "spf", "return !is_ascii(values_.local_part) && uses_macro(domain_spec, \"sl\");", "return false && uses_macro(domain_spec, \"sl\");"),
    spf("takes leading zeros", "spf_record", " || (number.size() > 1 && number.front() == '0')", ""),
    spf("reverses nothing", "spf_macro", "    if (piece.reversed)\n        std::ranges::reverse(parts);\n", ""),
    spf("leaves names too long", "spf_macro", "while (name.size() > longest_name) {", "while (name.size() > 300) {"),
    spf("explains in any octets", "spf_macro", "return std::ranges::all_of(made, [](char c) { return c >= ' ' && c < 0x7f; }) ? made : std::string();", "return made;"),
    ("spf: a mail that was refused leaves what was not known", "receive_test", "src/journey/receive/session_mail.cpp",
     "    spf_.reset();                                 // a MAIL that was refused", "    // a MAIL that was refused", "SPF: all*"),
    ("spf: a question may take as long as it likes", "receive_test", "src/journey/receive/session_spf.cpp", "question->answered.wait_for(left)",
     "question->answered.wait_for(std::chrono::seconds{30})", "SPF: all*"),
    ("STARTTLS: what is no command waits for it", "receive_test", "src/journey/receive/session.cpp",
     "    if (!verb) {\n        if (asks_milters())", "    if (!verb && (core_.options.tls_level != TlsLevel::encrypt || facts_.tls)) {\n        if (asks_milters())", "STARTTLS:*"),
    ("STARTTLS: not offered where it is demanded and cannot be had", "receive_test", "src/journey/receive/session_other.cpp",
     "tls_available() || core_.options.tls_level == TlsLevel::encrypt", "tls_available()", "STARTTLS:*"),
    ("routed: only by operators that are known here", "route_test", "src/journey/route/resolve.cpp", 'box.local.find_first_of("@%!") != box.local.npos', "false", "standing:*"),
    ("routed: OK of a table holds for what goes elsewhere", "receive_test", "src/journey/receive/policy/access.cpp", "!recipient || recipient->routed", "!recipient", "access results:*"),
    ("routed: tables are asked for the address as it was said", "receive_test", "src/journey/receive/policy/access.cpp", "co_return standing ? standing->way_of(address) : address;", "co_return address;",
     "access results:*"),
    ("forwarded mail is cleaned as what is handed in", "services_test", "src/program/services/pickup_returns.cpp", "request.forwarded() && forwarder_ ?", "false ?", "pickup: what local sends on*"),
    ("a mailbox transport gets a message that was cleaned", "services_test", "src/program/services/pickup_returns.cpp", "if (request.unchanged())", "if (false)", "pickup: what local sends on*"),
    ("a mailbox transport may lead to itself for ever", "services_test", "src/program/services/pickup_returns.cpp", "envelope.hops() >= options()->hopcount_limit", "false", "pickup: what local sends on*"),
    ("forwarded mail is judged by its client anew", "cleanup_test", "src/journey/cleanup/scan.cpp", "if (options.judged) {", "if (false) {", "rewrite:*"),
    ("spf refuses what is not known now", "receive_test", "src/journey/receive/policy/spf_fail.cpp", 'if (found->result != "fail")', 'if (found->result == "pass")', "reject_spf_fail:*"),
    ("spf asks for each recipient", "receive_test", "src/journey/receive/session_spf.cpp", "if (spf_ && spf_->first == asked)", "if (false)", "reject_spf_fail:*"),
    ("spf keeps what it found of the last mail", "receive_test", "src/journey/receive/session_mail.cpp", "    spf_.reset();\n", "", "reject_spf_fail:*"),
    dmarc("aligns whatever passes", "dmarc", "|= aligned && identifier.pass;", "|= identifier.pass;"),
    ("spf waits for ever", "receive_test", "src/journey/receive/session_spf.cpp", "    if (left.count() > 0) {", "    if (left.count() > -1'000'000'000) {", "reject_spf_fail:*"),
    dmarc("is never strict", "dmarc", "const bool strict = identifier.dkim ? record.strict_dkim : record.strict_spf;", "const bool strict = false;"),
    dmarc("has DKIM's alignment for SPF", "dmarc", "identifier.dkim ? record.strict_dkim : record.strict_spf", "record.strict_dkim"),
    dmarc("puts off what anybody's broken key asks for", "dmarc", "temporary |= aligned && identifier.temporary;", "temporary |= identifier.temporary;"),
    dmarc("has the domain's policy for its children", "dmarc", "record.subdomain_policy.value_or(record.policy) : record.policy;", "record.policy : record.policy;"),
    dmarc("samples one too many", "dmarc", "if (random < percent ||", "if (random <= percent ||"),
    dmarc("asks for the mildest", "dmarc", "weight(finding) > weight(worst))", "weight(finding) < weight(worst))"),
    dmarc("reads one From field of several", "dmarc", 'if (!field->is("from"))', 'if (any || !field->is("from"))'),
    dmarc("passes over a wrong policy for subdomains", "dmarc_record", "if (policy && (!sp || subdomain_policy)) {", "if (policy) {"),
    arc("holds what was changed", "arc", "if (!message_holds(*sets_.back())) {", "if (false) {"),
    arc("asks no seal", "arc", "if (!is_signed(sets_[i - 1]->seal, signed_octets[i - 1]))", "if (false)"),
    arc("goes on with a chain that failed", "arc", 'if (iequals(cv, "fail"))', 'if (iequals(cv, "failed"))'),
    arc("takes two sets for one", "arc_sets", "if (!set.whole[part].empty())", "if (false)"),
    arc("believes who is not trusted", "arc", "if (!trusted(one.domain))\n            return {};", "if (!trusted(one.domain))\n            continue;"),
    arc("reads comments", "arc", "std::string plain = without_comments(text);", "std::string plain = without_comments(\"\") += text;"),
    arc("seal says none of what it seals", "signer", 'if (status == "pass")', "if (false)"),
    arc("seal goes on where a chain has failed", "signer", 'return tags && iequals(tags->find("cv").value_or(""), "fail")', "return false"),
    arc("seal of a failed chain signs the sets before", "signer", 'if (status == "pass")', 'if (status != "none")'),
    arc("seal has the number of the set before", "signer", "signature.instance = chain.highest + 1;", "signature.instance = chain.sets.size();"),
    arc("seal makes more than fifty", "signer", "if (chain.highest >= most_arc_sets)", "if (chain.highest > most_arc_sets)"),
    arc("seal signs what goes on the way", "signer", 'return name == "authentication-results" || is_arc_field(name);', "return is_arc_field(name);"),
    arc("seal signs seals", "signer", 'return name == "authentication-results" || is_arc_field(name);', 'return name == "authentication-results";'),
    arc("seal leaves out the signatures that are there", "signer", 'fields.emplace_back("dkim-signature");', ";"),
    arc("seal stands behind what it found", "signer", "return signed_field(std::move(seal), seal_octets) + message + said;",
        "return said + message + signed_field(std::move(seal), seal_octets);"),
    qmqp("lets in whoever comes", "session", "if (!*allowed) {", "if (false) {"),
    qmqp("sends away for good where its list cannot be asked", "session", 'answer(Kind::later, "Error: server configuration error")', 'answer(Kind::never, "Error: server configuration error")'),
    qmqp("says that it was taken where the queue has not", "session", "        if (!stored) {", "        if (false) {"),
    qmqp("lets a line end into an envelope", "session", "if (!is_fit(packet_.sender()) || !std::ranges::all_of(packet_.recipients(), is_fit))", "if (!is_fit({}))"),
    qmqp("shows nothing to filters", "session", "if (core_.outside.other_filters != nullptr && ", "if (false && "),
    qmqp("stores what a filter discards", "session", "        shown->envelope.clear_recipients();", "        ;"),
    qmqp("takes mail when it is to end", "session", "if (core_.draining || core_.closing)", "if (false)"),
    qmqp("keeps the place of who is gone", "session", "    ~Place() { places.end_transaction(); }", "    ~Place() {}"),
    qmqp("holds more than there is memory", "session", "if (!share_.set(packet_.held())) {", "if (false) {"),
    qmqp("takes any delimiters", "session", "if (!made.verp().empty() && !handoff::are_verp_delimiters(made.verp(), core_.options.verp_delimiters))", "if (false)"),
    qmqp("ends a packet amid a length", "packet", "if (c == ',' && part_ == Part::recipient && !digits_)", "if (c == ',' && part_ == Part::recipient)"),
    qmqp("takes parts of any length", "packet", "    if (most != 0 && length_ > most)", "    if (most != 0 && length_ > most + 1000)"),
    qmqp("takes what has no end", "packet", "            if (c != ',')\n                return", "            if (false)\n                return"),
    arc_session("says of one chain what was found of another", "signing", "if (!ours && mailauth::arc_digest(mail.head()) != sealing->chain_digest) {", "if (false) {"),
    arc_session("lets go what cannot be sealed now", "signing", "    if (!fields)\n        co_return leave_unsigned(core, content, fields.error());", "    if (!fields)\n        co_return;"),
    arc_session("covers mail of which nobody looked at the chain", "session_checks", "body && !verdict.chain.empty()", "body"),
    arc_session("has our own sealed", "signing", "ours = *asked;", "ours = false;"),
    dkim("signs for strangers", "receive_test", "src/journey/receive/signing.cpp", "ours = *asked;", "ours = true;", "signatures:*"),
    dkim("lets unsigned what cannot be signed", "receive_test", "src/journey/receive/signing.cpp", "    if (!fields)\n        co_return leave_unsigned(core, content, fields.error());",
         "    if (!fields)\n        co_return;", "signatures:*"),
    dkim("hashes the body but its beginning", "receive_test", "src/journey/receive/signing.cpp", "return mail.body(offset, most); }, body);", "return mail.body(offset == 0 ? 1 : offset, most); }, body);", "signatures:*"),
    ("tls trusts whatever a certificate is for", "tls_test", "src/wire/tls/context.cpp", "    if (!is_for(X509_PURPOSE_SSL_CLIENT) && !is_for(X509_PURPOSE_SSL_SERVER))", "    if (!is_for(X509_PURPOSE_ANY))",
     "tls: a client's certificate*"),
    ("tls trusts a right purpose of a wrong chain", "tls_test", "src/wire/tls/context.cpp", "    if (X509_STORE_CTX_get_error(verifying) != X509_V_OK)\n        return fine;",
     "    X509_STORE_CTX_set_error(verifying, X509_V_OK);", "tls: a client's certificate*"),
    ("expansion filter lets all through", "receive_test", "src/journey/receive/policy/expansion_filter.cpp", "return !allowed_.test(static_cast<unsigned char>(c));", "return c == 0 && !allowed_.test(0);", "expansion filter*"),
    dkim("believes the filter's address", "cleanup_test", "src/journey/cleanup/cleaner.cpp", "if (!origin.address().empty()) {", "if (false) {", "whose mail*"),
    dkim("believes the filter's login", "cleanup_test", "src/journey/cleanup/cleaner.cpp", "        client.Clear();\n", "", "whose mail*"),
    dkim("takes fields from the top", "mailauth_test", "src/knowledge/mailauth/signature.cpp", "canonical_field(found->second.back(), signature.header);", "canonical_field(found->second.front(), signature.header);"),
    dkim("forgets the field that must not be added", "mailauth_test", "src/knowledge/mailauth/signature.cpp", "(in(more, name) ? 1 : 0)", "0"),
    dkim("signs where it says none", "mailauth_test", "src/knowledge/mailauth/signer.cpp", 'if (iequals(word, "none"))', 'if (iequals(word, "nobody"))'),
    dkim("signs for the child with the parent's name", "mailauth_test", "src/knowledge/mailauth/signer.cpp", "key.substr(key.starts_with('.') ? 1 : 0)}", 'author.substr(author.rfind(\'@\') + 1)}'),
    dkim("verify: takes rsa-sha1", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", "        if (field.sha1)\n", "        if (false)\n", "verify:*"),
    dkim("verify: takes keys of any length", "mailauth_test", "src/knowledge/mailauth/dkim_key.cpp", "bits >= least_rsa_bits && ", "bits + least_rsa_bits > 0 && ", "verify:*"),
    dkim("verify: takes an identity of anybody", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", "(*of != field.domain && !is_below(*of, field.domain))", "false", "verify:*"),
    dkim("verify: lets From be unsigned", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", 'return no(permerror("From field not signed"));', ";", "verify:*"),
    dkim("verify: never expires", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", "*field.expires < seconds", "*field.expires + seconds < seconds", "verify:*"),
    dkim("verify: passes over a body that is too short", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", "field.body_length && hash.left() > 0", "false", "verify:*"),
    dkim("verify: signs itself", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", "signs_signatures ? others : head_, what", "head_, what", "verify:*"),
    dkim("verify: takes a key that is not for mail", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", "else if (!one.key->for_mail)", "else if (false)", "verify:*"),
    dkim("verify: fails keys in test", "mailauth_test", "src/knowledge/mailauth/verifier.cpp", "one.key->testing ?", "false ?", "verify:*"),
    dkim("verify: hashes beyond l=", "mailauth_test", "src/knowledge/mailauth/canonical.cpp", "    hash_.add(now);", "    hash_.add(ready_);", "verify:*"),
    dkim("results: believes a name in other letters", "mailauth_test", "src/knowledge/mailauth/results.cpp", "    return to_lower(id);", "    return std::string(id);", "results:*"),
    dkim("results: keeps what nobody can read", "mailauth_test", "src/knowledge/mailauth/results.cpp", "return !claimed ||", "return claimed &&", "results:*"),
    dkim("results: lets quotes out", "mailauth_test", "src/knowledge/mailauth/results.cpp", "if (c == '\"' || c == '\\\\')", "if (c == '\\\\')", "results:*"),
    dkim("checks: judges our own", "receive_test", "src/journey/receive/session_checks.cpp", "if (!exempt || *exempt)", "if (!exempt)", "checks:*"),
    dkim("checks: forgets the last octets of BDAT", "receive_test", "src/journey/receive/session_content.cpp", "std::string_view(batch).substr(gathered));\n    }", "std::string_view(batch).substr(std::max(gathered, batch.size())));\n    }", "checks:*"),
    dkim("checks: waits as long as it takes", "receive_test", "src/journey/receive/checks.cpp", "(void)co_await question->answered.wait_for(left);", "co_await question->answered.wait();", "checks:*"),
    dkim("checks: shows Milters our own Received", "receive_test", "src/knowledge/milter/mail.cpp", "        own->ours = true;", "        ;", "checks:*"),
    dkim("checks: lets a sealer speak for all authors", "receive_test", "src/journey/receive/checks.cpp", ' && authors_.domains.size() == 1', "", "checks:*"),
    dkim("checks: asks for nothing where the header is too long", "receive_test", "src/journey/receive/checks.cpp", "(trouble_.empty() || too_long)", "trouble_.empty()", "checks:*"),
    dkim("checks: refuses where nobody asked for it", "receive_test", "src/journey/receive/session_checks.cpp", "verdict.asked == DmarcPolicy::reject && core_.options.checks.reject", "verdict.asked == DmarcPolicy::reject", "checks:*"),
    requiretls("rides on any session", "send", OPEN, "        if (!level || demands(*level))\n            told +=", "        if (!level)\n            told +="),
    requiretls("is said to who does not offer it", "send", "src/journey/send/session_write.cpp", " && secured_ && features_.has(smtp::Keyword::requiretls))", " && secured_)"),
    requiretls("goes to who does not offer it", "send", TRANSACT, "    if (!features_.has(smtp::Keyword::requiretls))\n        return not_for_tls", "    if (false)\n        return not_for_tls"),
    requiretls("believes unsigned MX records", "send", "src/journey/send/requiretls.cpp", "return host.mx != Host::Mx::insecure || (sts", "return true || (sts"),
    requiretls("takes any certificate", "send", "src/journey/send/requiretls.cpp", '    policy.level = TlsLevel::verify;\n    policy.match = {"hostname"};', '    policy.level = TlsLevel::encrypt;'),
    requiretls("does not look for TLSA records", "send", "src/journey/send/requiretls.cpp", "if (options->tls.no_dane.empty() && ", "if (false && "),
    requiretls("is returned where a host could not be asked", "send", OPEN, "reason->for_tls && reason->permanent && others", "false"),
    requiretls("is returned because of a server without a second EHLO", "send", TRANSACT, "    const bool sure = sure_of_features();\n    Reason reason(sure,", "    const bool sure = true;\n    Reason reason(sure,"),
    requiretls("makes a site one that cannot be had", "send", AGENT, " && !job.shaped() && !job.missed_tls", " && !job.shaped()"),
    requiretls("tries the first host alone", "send", OPEN, "            misses_tls(std::move(trouble->reason));\n            tasks.spawn(say_goodbye(std::move(session)));\n            continue;", "            misses_tls(std::move(trouble->reason));\n            tasks.spawn(say_goodbye(std::move(session)));\n            break;"),
    requiretls("has sessions beyond what its site may have", "send", "src/journey/send/agent_core.hpp", "lines_of_all() const { return kin->lines(); }", "lines_of_all() const { return lines; }"),
    requiretls("keeps back reports", "send", OPEN, "found = std::min(found, RequireTls::opportunistic);", "found = std::min(found, RequireTls::enforce);"),
    requiretls("gives way to TLS-Required: no", "send", OPEN, "envelope.tls_optional() && !envelope.requiretls()", "envelope.tls_optional()"),
    requiretls("TLS-Required: no is kept to the policy of MTA-STS", "send", "src/journey/send/requiretls.cpp", "    policy.level = std::min(policy.level, TlsLevel::may);\n    policy.sts.reset();", "    policy.level = std::min(policy.level, TlsLevel::may);"),
    requiretls("is taken in clear", "receive", "src/journey/receive/session_mail.cpp", "core_.options.requiretls && facts_.tls && !discarded_", "core_.options.requiretls && !discarded_"),
    requiretls("is offered in clear", "receive", "src/journey/receive/session_other.cpp", ".requiretls = core_.options.requiretls && facts_.tls", ".requiretls = core_.options.requiretls"),
    requiretls("is forgotten by a filter", "receive", "src/journey/receive/before_queue.cpp", "if (requiretls_ && !offered && !options_.requiretls_header)", "if (false)"),
    requiretls("comes back with the content", "report", "src/journey/report/compose.cpp", "envelope().sender().empty()) && !redacted;", "envelope().sender().empty()) && (static_cast<void>(redacted), true);"),
    requiretls("is not of the report", "report", "src/journey/report/compose.cpp", "out.set_requiretls(envelope().requiretls());", "out.set_requiretls(false);"),
    requiretls("is not read in the header", "cleanup", "src/journey/cleanup/scan.cpp", "    if (draft.requiretls_field && options.requiretls_header)\n        draft.envelope.set_requiretls(true);", ""),
    requiretls("is outvoted by the header", "cleanup", "src/journey/cleanup/scan.cpp", "tls_optional && options.tls_required && !draft.envelope.requiretls()", "tls_optional && options.tls_required"),
    storing("reads nothing meanwhile", "if (storing_ && read_unwaited_ < Content::block) {", "if (storing_ && read_unwaited_ > Content::block) {", "session_stream"),
    storing("records replies before they are said", "if (!storing_)\n            record_->said", "if (true)\n            record_->said", "session_stream"),
    postmaster("reads passwords", "src/journey/receive/session_record.cpp", '"AUTH") ? "AUTH (arguments', '"AUTHX") ? "AUTH (arguments'),
    postmaster("and the sender hear of every delivery", "src/program/services/queue_verdicts.cpp", "active.warned && recipient.notify() == 0", "recipient.notify() == 0"),
    # Mail over HTTP: nothing is said to be taken that no session has taken, nothing goes out half made, nobody comes in who may not.
    inject("asks nobody for the token", "desk", "if (!login && token_needed_)", "if (!login && !token_needed_)"),
    inject("takes what a page in a browser may send unasked", "desk", "if (!iequals(trim(std::string_view(request.content_type).substr(0, request.content_type.find(';'))), \"application/json\"))",
           "if (request.content_type.empty())"),
    inject("believes whoever names himself", "dialogue", "if (!proved || proved->code != 235)", "if (!proved)"),
    inject("takes a name where no password can be proved", "desk", "if (login && !sessions_.options().sasl.enable)", "if (login && sessions_.options().recipient_limit == 0)"),
    inject("acknowledges what the session has not", "dialogue", "    conclude(mail, reply);\n    co_return !over_ && co_await hear_reset();", "    co_return !over_ && co_await hear_reset();"),
    inject("acknowledges what was lost amid it", "dialogue", "if (own.code == 0 || own.positive())", "if (own.code == 0)"),
    inject("sends once more what may have been taken", "dialogue", "lost_ && behind != mails.end(); ++behind", "over_ && !lost_ && behind != mails.end(); ++behind"),
    inject("gives up what stands behind a session's end", "desk", "} else if (progress) {", "} else if (progress && run.workers > 100) {"),
    inject("counts what was refused as taken", "desk", "if (run.replies[at].positive())\n            continue;", "if (run.replies[at].code != 550)\n            continue;"),
    inject("gives all the text of the first", "compose", "composer.same_ = whole->literal() && request.reference_field.empty();", "composer.same_ = request.reference_field.empty();"),
    inject("lets the request outvote the recipient", "compose", "values{&recipient.substitutions, &own, &request_->substitutions};", "values{&request_->substitutions, &own, &recipient.substitutions};"),
    inject("lets a value begin another field", "compose", "if (breaks_line(*value))", "if (value->empty() && breaks_line(*value))"),
    inject("lets a name begin another field", "compose", "if (breaks_line(name))", "if (name.empty() && breaks_line(name))"),
    inject("sends a template as far as it came", "template", "        TRY_VOID(render(tree_.nodes));\n        return std::move(out_);", "        if (const auto done = render(tree_.nodes); !done && out_.empty())\n            return done.error();\n        return std::move(out_);"),
    inject("leaves the escape out", "template", "if (tree_.html && !node.raw && !value.safe)", "if (tree_.html && !node.raw && value.safe)"),
    inject("escapes twice", "template", "value.safe ? std::move(made) : escaped_html(made, tree_.dialect), expr.place, true)", "escaped_html(made, tree_.dialect), expr.place, true)"),
    inject("renders without an end", "template", "if (++steps_ > limits_.steps)", "if (steps_ > limits_.steps)"),
    inject("passes over what it does not know", "request", "        if (object_.empty())\n            return {};\n        return Error", "        if (object_.size() < 100)\n            return {};\n        return Error"),
    http("answers to any name that leads here", "access", 'return error_answer(421, fmt::format("this Host is none of {}", words_.hosts));', "return {};"),
    http("is content with the beginning of the token", "access", "tls::same_octets(trim(said.substr(scheme.size())), token_)", "token_.starts_with(trim(said.substr(scheme.size())))"),
    http("lets in who is excepted", "access", "return found != clients_.end() && !found->negated;", "return found != clients_.end();"),
    http("takes a body of any size", "message", "parser_->parser.body_limit(limits.body);", "parser_->parser.body_limit(boost::none);"),
    http("gives a guest all the time there is", "server", "return visit.guest || ending_ ?", "return (visit.guest && visit.place) || ending_ ?"),
    http("asks for the body before it knows who sends it", "server", "if (reader.head_done() && !admitted) {", "if (reader.whole() && !admitted) {"),
    http("finds its way out of the folder by escaped dots", "target", 'if (plain.empty() || plain == "." || plain == "..")', "if (plain.empty() || piece == \"..\")"),
    # Records: each recipient's fate once, readable whatever is in it, posted until somebody has taken it.
    record("leaves the escape out", "raw(name, json_text(shortened(value, most_))); }", 'raw(name, fmt::format("\\"{}\\"", shortened(value, most_))); }'),
    record("is cut amid a character", "for (int back = 0; back < 3 &&", "for (int back = 0; back < 0 &&"),
    record("is longer than readers take", "if (made.size() <= observe::record_octets)", "if (most != 0)"),
    record("names the first recipients alone", "    for (int at = 0; at < envelope.recipients_size();) {", "    for (int at = 0; at < std::min(1, envelope.recipients_size());) {"),
    record("has the reply of no command", "response.command = verdict.outcome() == OUTCOME_DELIVERED ? \".\" : command_in(verdict.text());", "response.command = verdict.outcome() == OUTCOME_DELIVERED ? \".\" : command_in(verdict.diagnostic());"),
    record_queue("takes a question for mail", "return envelope.purpose() != handoff::PURPOSE_VERIFY_ADDRESS;", "return envelope.purpose() != handoff::PURPOSE_VERIFY_ADDRESS || !envelope.recipients().empty();"),
    record_queue("takes what is too old for what was refused", "case handoff::OUTCOME_EXPIRED: return RecordType::expiration;", "case handoff::OUTCOME_EXPIRED: return RecordType::bounce;"),
    record_queue("tells what nobody wants to know", "return recorder_ != nullptr && options_.records.wants(type);", "return recorder_ != nullptr && (options_.records.wants(type) || type == RecordType::delivery);"),
    record_tail("leaves a file that is still written to", "if (clock_.steady() - *resting_since_ < rest_time)", "if (clock_.steady() < *resting_since_)"),
    record_tail("passes over the files between", "if (!is_same_file(file.at, position_) && file.changed > changed) {", "if (!is_same_file(file.at, position_) && file.changed > changed + 3'000'000'000) {"),
    record_tail("is past what nobody has taken yet", "        taken_ = lines.taken;\n", "        position_.offset += lines.taken;\n"),
    record_tail("keeps its position in one place", "number_ % 2 * place_octets", "number_ * 0 * place_octets"),
    record_tail("believes a position that was half written", "    if (position_text(position, numbers[0]) != place.substr(0, end + 1))\n        return std::nullopt;", "    if (place.empty())\n        return std::nullopt;"),
    hook("keeps its position before the answer", "hook", "        const auto answered = co_await poster_.post(", "        tail_->advance();\n        keep();\n        const auto answered = co_await poster_.post(", "Hooks.test_half_the_answers_fail_server_and_hook_die_and_every_record_arrives_in_order"),
    hook("takes any answer for a yes", "hook", "if (!answered || *answered / 100 != 2)", "if (!answered || *answered / 100 == 9)", "Hooks.test_half_the_answers_fail_server_and_hook_die_and_every_record_arrives_in_order"),
    hook("begins anew each time", "hook", "std::make_unique<RecordTail>(path_, kept_.load(), hook_clock())", "std::make_unique<RecordTail>(path_, (static_cast<void>(kept_.load()), RecordPosition()), hook_clock())", "Hooks.test_half_the_answers_fail_server_and_hook_die_and_every_record_arrives_in_order"),
    hook("goes on without an end where it is refused", "hook", "retry_ = std::min<std::chrono::milliseconds>(retry_ * 2, longest_retry);\n        return rest;", "return rest - std::min<std::chrono::milliseconds>(rest, longest_retry);", "Hooks.test_while_nobody_takes_them_records_wait_and_that_is_said_once_and_when_it_is_well_again"),
    hook("speaks to whoever answers for an https host", "http_post", "secure.must_verify = true;", "secure.must_verify = false;", "Hooks.test_https_is_for_servers_whose_certificate_has_the_name_alone"),
    deliver("does as root what root names", "local_work.hpp", "rights = who.uid == 0 ? std::nullopt : std::optional(who);", "rights = who;", "local: root*"),
    deliver("keeps root's mail for ever", "local_places.cpp", "if (named && rights.uid == 0) {", "if (rights.uid == 0) {", "local: root*"),
    deliver("follows a mailbox that is a link to a device", "mailbox.cpp", "const int follow = job.success_file.empty() ? O_NOFOLLOW : 0;", "const int follow = job.success_file.empty() ? 0 : O_CLOEXEC;", "mailbox: a device*"),
    compat("lookups: socketmap is asked in lower case", LOOKUPS, "src/knowledge/tables/sockets.cpp", 'fmt::format("{} {}", map_, key);',
           'fmt::format("{} {}", map_, fold_key(key, flags_.utf8));'),
    compat("lookups: a union keeps what is empty", LOOKUPS, "src/knowledge/tables/composed.cpp", "if (all && !all->empty())", "if (all)"),
    compat("postconf: saying a thing twice is a contradiction", SITES, "src/foundation/config/main_cf.cpp", "before != assignment->value)", "before.data() != nullptr)"),
    compat("postconf: a service does not know its name", SITES, "src/program/tools/postconf_parameters.cpp", '{{"service_name", service.columns[0]}}', '{{"service_nam", service.columns[0]}}'),
    compat("access: DEFER is as final as REJECT", ACCESS, "src/journey/receive/policy/access.cpp",
           'case Action::defer: co_return refuse_subject(settings.access_defer, status_or("4.7.1")', 'case Action::defer: co_return refuse_subject(settings.access_reject, status_or("5.7.1")'),
    compat("access: a word that is wrong counts before its turn", ACCESS, "src/journey/receive/policy/access.cpp", "if (step == Step::dunno && !wrong.empty()) {", "if (!wrong.empty()) {"),
    compat("restrictions: warn_if_reject is for all that follow", RESTRICTIONS, "src/journey/receive/policy/judge.cpp",
           "        warn_ = warned_before;\n        if (step == Step::permit", "        warn_ = warn_ || warned_before;\n        if (step == Step::permit"),
    compat("restrictions: reject is another matter", RESTRICTIONS, "src/journey/receive/policy/judge.cpp",
           'case Kind::reject: co_return refuse_subject(settings.reject, "5.7.1"', 'case Kind::reject: co_return refuse_subject(settings.reject, "5.7.0"'),
    compat("rewriting: an exception from masquerading is none", rewriting("masquerade"), "src/journey/cleanup/rewrite.cpp", "        if (!strip)\n            return;", "        if (!strip)\n            strip = true;"),
    compat("rewriting: STRIP keeps the line", rewriting("checks"), "src/journey/cleanup/checks.cpp", 'log("strip", text);\n            return {false, {}};', 'log("strip", text);\n            return {};'),
    compat("deliver: who is on two lists has two mails", DELIVER, "src/journey/deliver/local_agent.cpp", 'work->first_time("forward " + some[at])', "!some[at].empty()"),
    compat("deliver: frozen_delivered_to = no sees a loop at the recipient alone", DELIVER, "src/journey/deliver/local_agent.cpp",
           "place.from != Place::From::recipient && was_delivered_to", "place.from == Place::From::recipient && was_delivered_to"),
    compat("tools: qshape names its last column for the one behind it", TOOLS, "src/program/commands/qshape_table.cpp", '        before = end;\n', '        before = end + 1;\n'),
    compat("filter: what is no refusal is told the client", FILTER, "src/journey/receive/before_queue.cpp",
           "return reply->transient() || reply->permanent() ? text : std::string(trouble);", "return text;"),
    pool("one of a greylisted message is drawn by the site alone", "route_test", "src/journey/route/pools.cpp", "for (const std::string_view part : {mail, nexthop, transport})", "for (const std::string_view part : {mail.substr(0, 0), nexthop, transport})", "pools:*"),
    pool("a message goes to all its sites by one member", "route_test", "src/journey/route/pools.cpp", "for (const std::string_view part : {mail, nexthop, transport})", "for (const std::string_view part : {mail, nexthop.substr(0, 0), transport})", "pools:*"),
    pool("weights count for nothing", "route_test", "src/journey/route/pools.cpp", " / member.weight;", " / 1;", "pools:*"),
    pool("the member with most trouble is taken", "route_test", "src/journey/route/pools.cpp", "const std::pair now{trouble(", "const std::pair now{-trouble(", "pools:*"),
    pool("a member that is told to be silent is open", "services_test", SCHEDULER, "|| silent(site_key))\n        return Way::closed;", ")\n        return Way::closed;", "*pool*"),
    pool("a member without room is open", "services_test", SCHEDULER, "return waits || !shaped->second->shape.open(now) ? Way::held_up : Way::open;", "return waits && false ? Way::held_up : Way::open;", "*pool*"),
    pool("what waits for a silent member goes on waiting", "services_test", "src/program/services/queue_manager.cpp", "const std::vector<std::uint32_t> left = found == active_.end() ? std::vector<std::uint32_t>{} : give_to_others(suspended);",
         "const std::vector<std::uint32_t> left = suspended.recipients;", "*pool*"),
    pool("what was refused waits for the end of the silence", "services_test", "src/program/services/queue_verdicts.cpp", " && !has_another_way(found->second, site)", "", "*pool*"),
    pool("a member of defer_transports is used", "services_test", "src/program/services/queue_manager.cpp", "const bool closed = told_to_wait(transport) || orders_", "const bool closed = orders_", "*pool*"),
    orders("a suspended member of a pool is used", MANAGER, " || orders_.closes(transport, site, sender, clock_.wall());", " || (orders_.closes(transport, site, sender, clock_.wall()) && false);", "*pool*"),
    orders("what waits for a suspended member of a pool goes on waiting", ORDERED, "    choose(active.routes[at], active.envelope.queue_id(), order_sender(active.envelope));\n    return order_for", "    return order_for", "*pool*"),
    orders("a suspended domain gets mail", MANAGER, "if (const handoff::Order* order = order_for(active, static_cast<std::size_t>(i)))", "if (const handoff::Order* order = nullptr)"),
    orders("what waits for its turn goes on", ORDERED, "    take_back_from(given);\n", ""),
    orders("what is about to be given out goes", "src/program/services/queue_delivery.cpp", "        ordered = under_order(request);", "        ordered = under_order(request) && false;"),
    orders("what a delivery process has not begun stays there", ORDERED, "        call_back(key);\n", ""),
    orders("what an order held up waits for its next try", ORDERED, "    tasks_.spawn(look_at_all(std::move(waiting)));\n", ""),
    orders("an order has no end", MANAGER, "            tasks_.spawn(expire_orders());", "            expiring_orders_ = true;"),
    orders("a clock that is set back leaves the end of an order", MANAGER, "        tasks_.spawn(orders_earlier(back));", "        back.count();"),
    orders("what was held up before a restart waits for its next try", "src/program/services/queue_start.cpp", "    remember_orders(message);\n", ""),
    orders("an order is in force though it was not kept", ORDERED, "    if (done)\n        orders_ = std::move(next);", "    orders_ = std::move(next);"),
    orders("an order is not kept", ORDERED, "if (done && keep_orders)", "if (done && !keep_orders)"),
    orders("a bounce leaves what waits in the queue", ORDERED, "        tasks_.spawn(look_through(given));", "        wake_.notify_all();"),
    orders("a bounce tries other mail before its time", MANAGER, "        else if (tried_at)\n            continue;\n", ""),
    orders("a bounce forgets what was under way", "src/program/services/queue_verdicts.cpp", "    if (again)\n        look_only(key, next_try);", "    if (again && false)\n        look_only(key, next_try);"),
    orders("a look for an order takes back what the last try said", MANAGER, "    else\n        tally_.tried(lease.key);", "    tally_.tried(lease.key);"),
    orders("a notice of ours is returned", ORDERED, "envelope.purpose() == handoff::PURPOSE_NOTIFICATION ? std::string_view() : std::string_view(envelope.sender())", "std::string_view(envelope.sender())"),
    orders("mail on hold counts as held up", "src/program/services/queue_commands.cpp", "    held_up_no_more(key);\n    call_back", "    call_back"),
    orders("returned by an order is a bounce in records", "src/program/services/queue_records.cpp", "ordered ? RecordType::admin_bounce : ", "ordered ? RecordType::bounce : "),
    orders("addresses of a suspended domain are asked about", "src/program/services/probes.cpp", "numbers_.ordered ? numbers_.ordered(route, route.address(), request.sender()) : std::nullopt", "numbers_.ordered && false ? numbers_.ordered(route, route.address(), request.sender()) : std::nullopt"),
    orders("a file is not synced", "src/program/services/kept_file.cpp", "        error = file->sync();", "        error = 0;", "order file:*"),
    orders("its folder is not synced", "src/program/services/kept_file.cpp", '        error = files_.sync_folder("");', "        error = 0;", "order file:*"),
    orders("a file is written in place", "src/program/services/kept_file.cpp", 'fresh = name + ".new";', "fresh = name;", "order file:*"),
    orders("a damaged file is read", "src/program/services/kept_file.cpp", 'if (text.substr(0, hash_digits) != fmt::format("{:016x}", spool::content_hash(octets)))', "if (octets.empty())", "order file:*"),
    peers("a file that its writer has just made is trouble", "src/knowledge/peers/store.cpp", "        if (status.st_size == 0) ", "        if (status.st_size < 0) "),
    accounts("what is beyond a limit is taken", "+ size <= limit.most)", "<= limit.most)"),
    accounts("what is put off is counted", "        if (beyond.what == Ruling::What::hold)\n            counted();", "        counted();"),
    accounts("a mail larger than its limit is put off for ever", "limits.over == Over::defer && size > limit.most ? Over::reject : limits.over", "limits.over == Over::defer && size > limit.most && size == 0 ? Over::reject : limits.over"),
    accounts("a limit is said for each mail", "    if (now - known.limit_told >= limit_told_again) {\n        known.limit_told = now;\n        constexpr", "    {\n        known.limit_told = now;\n        constexpr"),
    accounts("what was noticed is said for each mail", "    if (known.cause != Cause::none)\n        return std::nullopt;\n    known.cause = cause;", "    known.cause = cause;"),
    accounts("a quiet day ends what is held", "known.cause != Cause::none && watch != Watch::hold && now", "known.cause != Cause::none && now"),
    accounts("today is usual", "        if (day.day < day_of(now))\n            most", "        if (day.day <= day_of(now))\n            most", "account"),
    accounts("few recipients are many", "hour.recipients > options_.floor && many", "many"),
    accounts("everybody is strange at first", "now - since_ >= book_is_young;", "now - since_ >= book_is_young - book_is_young;"),
    accounts("known networks are new", "network.first > now - std::chrono::hours{1}", "network.last > now - std::chrono::hours{1}", "account"),
    accounts("a few of many are much", "std::uint64_t{hour.refused} * refused_share >= hour.tried", "std::uint64_t{hour.refused} * refused_share >= 1"),
    accounts("an operator's allowance has no end", "known.word == handoff::Account::ALLOW && now >= known.word_until)\n        known.word = handoff::Account::NONE;", "known.word == handoff::Account::ALLOW && now < known.word_since)\n        known.word = handoff::Account::NONE;"),
    accounts("what an operator named is forgotten for want of room", "one.second.word == handoff::Account::NONE && one.second", "one.second"),
    accounts("an hour is as long as a day", "if (bucket.minute > minute_of(now) - an_hour)\n            sum", "if (bucket.minute > minute_of(now) - a_day)\n            sum", "account"),
    accounts_asked("a limit travels no further than the client", "receive_test", "src/journey/receive/session_content.cpp", "    envelope.set_account_limits(std::move(transaction_->account_limits));\n", "    transaction_->account_limits.clear();\n", "*account*"),
    accounts_asked("a table that cannot be asked limits nobody", "receive_test", "src/journey/receive/session_content.cpp", '        refuse_content({451, "4.3.0", "Temporary lookup failure"});\n        co_return false;', "        found = std::string();", "*account*"),
    accounts_asked("who authenticated is nobody", "receive_test", "src/journey/receive/session_mail.cpp", 'envelope.set_account("login:" + login_->username);', "envelope.clear_account();", "*account*"),
    accounts_asked("a refused account is our own trouble", "receive_test", "src/journey/receive/content.cpp", 'status == "4.7.1" || status == "5.7.1"', "status.empty()", "*account*"),
    accounts_asked("what is held up is delivered", "services_test", "src/program/services/queue_accounts.cpp", "        envelope.set_hold(true);\n", "", "*account*"),
    accounts_asked("what is refused is stored", "services_test", MANAGER, "        co_await drop_file_of(*message);\n        co_return reply;\n    }\n    if (held_back", "    }\n    if (held_back", "*account*"),
    accounts_asked("what came back is not counted", "services_test", "src/program/services/queue_verdicts.cpp", "            tried(active, true);\n", "", "*account*"),
    accounts_asked("what an account may not hand in is tried for ever", "services_test", "src/program/services/pickup.cpp", '!done && done.error().status() == "5.7.1"', '!done && done.error().status() == "none"', "pickup*account*"),
    accounts_asked("local mail has no account", "services_test", "src/program/services/pickup.cpp", 'envelope.set_account(fmt::format("uid:{}", envelope.submitter()));', "envelope.clear_account();", "pickup*account*"),
    answered("what was refused to its client was ours", "        if (settlement.disowned)\n            gone_next_.pop_back();\n", "", "src/journey/spool/ledger_change.cpp", "spool_test", ""),
    answered("the sender is told as well", "        co_await refuse_to_client(key);\n", "        (void)may_refuse(key);\n", "src/program/services/queue_verdicts.cpp"),
    answered("copies have a say", "return recipient.notify() != handoff::NOTIFY_NEVER;", "return recipient.index() < 1'000;"),
    answered("a copy that waits does not count", "active.failures.size() + found->second->copies == active.recipients.size()", "active.failures.size() + found->second->copies <= active.recipients.size()"),
    answered("who took it does not count at once", "        answer_first(key);\n    else if (verdict", "        (void)key;\n    else if (verdict"),
    answered("a hurry ends what is on its way to the disk", "        if (!answer->settling) {\n            answer->said = true;", "        if (answer != nullptr) {\n            answer->said = true;"),
    answered("late is late, whatever is on its way to the disk", "while (answer.settling && !answer.said && !co_await cancelled())", "while (answer.settling && answer.said && !co_await cancelled())"),
    answered("what could not be stored was refused", "stored && active != active_.end() && active->second.removed", "(stored || active != active_.end())"),
    answered("any code is said to a client", 'text.starts_with("55") && text[3] == \' \'', "text[3] == ' '"),
    answered("line ends in what a host said", "printable(text.substr(0, answer_octets))", "std::string(text.substr(0, answer_octets))"),
    answered("who is stopped waits on", "            queue_.answer_now();\n", "", "src/program/services/smtpd.cpp", "programs posthorn", "journey test_delivery_answer.DeliveryAnswer.test_who_waits_when_the_system_is_stopped_is_told_that_it_is_stored"),
    answered("mail that some of its domains are not asked about waits", "        if (!found || !*found)\n            co_return handoff::no_patience;\n", "", "src/journey/receive/session_content.cpp", "receive_test", "*delivery answer*"),
    answered("who wants to hear nothing has a say", "        if (recipient.notify() == handoff::NOTIFY_NEVER)       // copies for others: the sender hears nothing of them\n            continue;\n", "", "src/journey/receive/session_content.cpp", "receive_test", "*delivery answer*"),
    answered("mail on hold waits", "core_.closing || transaction_->effects.hold || content.envelope().hold()", "core_.closing", "src/journey/receive/session_content.cpp", "receive_test", "*delivery answer*"),
    answered("a refusal is taken", "        mail.refusal = *std::move(stored);\n", "        mail.refusal.reset();\n", "src/journey/receive/session_storing.cpp", "receive_test", "storing:*"),
    order_words("mail without a sender is returned", "return order.kind() == Order::SUSPEND || !sender.empty();", "return true;"),
    order_words("a domain is one of all that end like it", "domain.ends_with(named)", "domain.ends_with(named.substr(1))"),
    order_words("those below a domain are without it", "domain == named.substr(1) || ", ""),
    order_words("a wide order counts before a narrow one", "std::ranges::upper_bound(all_, place_of(order), {}, place_of)", "all_.end()"),
    order_words("a transport's order is for a domain that is called like it", "iequals(transport, name) || iequals(pool, name)", "iequals(site, name) || iequals(transport, pool) || iequals(pool, name)"),
    order_words("an order goes on after its time", "return end_of(order) > now && from_whom_named(order, from_whom) && to_whom_named", "return (end_of(order) > now || end_of(order) <= now) && from_whom_named(order, from_whom) && to_whom_named"),
    order_words("a bounce may have no end", "if (wanted.kind() == Order::BOUNCE && wanted.lasts() == 0)", "if (wanted.kind() == Order::BOUNCE && wanted.lasts() == 1)"),
    orders_asked("a bounce of all needs no second word", "order.destination() == \"*\" && !words.sure", "order.destination().empty() && !words.sure"),
    orders_asked("a time needs no unit", "word.empty() || !is_alpha(word.back()) ? std::nullopt : ", "word.empty() ? std::nullopt : "),

    rules_of_sites("another domain's word ends a rule", "schedule_test", RESTRAINTS, "    if (said == Ruled{})\n        held.ruled.erase(at);", "    held.ruled.clear();\n    if (said == Ruled{})\n        held.strictest = {};", "scheduler: a rule*"),
    rules_of_sites("the mildest of a set's rules counts", "schedule_test", RESTRAINTS, "other.sessions < sessions", "other.sessions > sessions", "scheduler: a rule*"),
    ("lmtp: a socket that is away has a line of its own", "send_test", OPEN, "if (!host.endpoint.is_unix())                               // of those", "if (true)                               // of those", "LMTP:*"),
    rules_of_sites("what one address is told counts for another", "send_test", "src/journey/send/agent_open.cpp", "job->set = seen_from(std::move(job->set), options);", "if (options.lmtp)\n        job->set = seen_from(std::move(job->set), options);", "a domain's rule*"),
    rules_of_sites("a domain's rule is a host's", "peers_test", RULES_FILE, "for (const auto& [place, subject] : {std::pair{Place::host, host}, {Place::domain, domain}})", "for (const auto& [place, subject] : {std::pair{Place::host, host}, {Place::host, domain}})", "rules:*"),
    rules_of_sites("a reply's rule holds for every site", "peers_test", RULES_FILE, "(rule.site.empty() || rule.site == site) && ", "(rule.site.empty() || !site.empty()) && ", "rules:*"),
    rules_of_sites("connections begin as they like", "send_test", "src/journey/send/agent_lines.cpp", "    if (now < next) {\n        job.opens_at = next;", "    if (now < now) {\n        job.opens_at = next;", "connections begin*"),
    rules_of_sites("who waits to connect is given no session that stands", "send_test", "src/journey/send/agent_lines.cpp", "    site->waiting.push_back(job);\n    job->enter(job->opens_at", "    if (!job->opens_at)\n        site->waiting.push_back(job);\n    job->enter(job->opens_at", "connections begin*"),
    times("an entry is asked for by the transport first", "route_test", "src/journey/route/resolve.cpp", "    if (!value) {\n        TRY(value, retry_schedule_maps_.find(", "    {\n        TRY(value, retry_schedule_maps_.find(", "route: retry*"),
    times("probes have a schedule", "route_test", "src/journey/route/resolve.cpp", "    if (purpose == Purpose::mail)\n        retry_schedule_maps_", "    if (!options.retry_schedule_maps.empty())\n        retry_schedule_maps_", "route: retry*"),
    times("a word's bound is not kept", "schedule_test", "src/journey/schedule/retry.cpp", "if (*time > most)", "if (*time > most * 1000)", "retry: a word*"),
    times("a word without a unit has seconds", "schedule_test", "src/journey/schedule/retry.cpp", "param.unit == config::Unit::of_default ? config::Unit::seconds : param.unit", "config::Unit::seconds", "retry: what*"),
    times("what is left after a wrong word counts", "schedule_test", "src/journey/schedule/retry.cpp", "if (equals == word.npos || named == std::end(named_times))", "if (named == std::end(named_times) && equals != word.npos)\n            continue;\n        if (equals == word.npos)", "retry: a word*"),
    times("main.cf's lifetime ends mail with its own", "services_test", "src/program/services/queue_verdicts.cpp", "schedule::expired(retry_of(active, verdict), schedule", "schedule::expired(options_.retry, schedule", "queue: retry_schedule*"),
    times("the last of a message's tries counts", "services_test", "src/program/services/queue_verdicts.cpp", "by_age = std::min(by_age, schedule", "by_age = std::max(by_age == WallTime::max() ? WallTime{} : by_age, schedule", "queue: retry_schedule_maps: recipients*"),
    times("a verdict of before a restart has main.cf's times", "services_test", "src/program/services/queue_reunion.cpp", "options_.retry_schedules && std::ranges::any_of(known, deferred)", "options_.retry_schedules && !std::ranges::any_of(known, deferred)", "adversity:*"),
    times("a site rests as main.cf says", "services_test", SCHEDULER, "site.retry.count() != 0 ? site.retry : options_.site_retry", "options_.site_retry", "queue: a site that*"),
    times("a warning comes when main.cf says", "services_test", "src/program/services/queue_verdicts.cpp", "schedule::delay_warning_due(retry_of(active, verdict), ", "schedule::delay_warning_due(options_.retry, ", "queue: a warning*"),
    times("a warning tells main.cf's times", "report_test", "src/journey/report/compose.cpp", "if (request.kind() == ReportRequest::DELAY && name == \"maximal_queue_lifetime\"", "if (request.kind() == ReportRequest::VERIFY && name == \"maximal_queue_lifetime\"", "report: a delay*"),
    times("a wrong value holds up the mail's own times", "services_test", "src/program/services/queue_manager.cpp", "            route.clear_retry();", "            route.set_retry(\"maximal_queue_lifetime=0\");", "queue: a retry*"),
    times("a later rule of Exim's outvotes the first", "exim_test", "src/program/exim/retry.cpp", "else if (schedules.covered(key, bounces))", "else if (key.empty())", "translate: times*"),
    times("a tenant's times are others', too", "kumomta_test", "src/program/kumomta/senders.cpp", "transport.empty() || pool_users_[transport] > 1", "transport.empty()", "senders: times*"),
    hook("takes those beside a refused record with it", "hook", "            most_ = records.size() / 2;\n            return true;", "            return false;", "Hooks.test_a_record_that_is_always_refused_is_left_out_and_those_beside_it_are_not"),
    hook("leaves out what the server may take another time", "hook", "if (answered && is_of_content(*answered) && one_less", "if (answered && (is_of_content(*answered) || *answered == 403) && one_less", "Hooks.test_a_record_that_is_always_refused_is_left_out_and_those_beside_it_are_not"),
    explained("English is wanted by everybody", EXPLAIN, "    if (!named)\n", "    if (!named || languages.size() < 9)\n", "explain: languages*"),
    explained("a long tag has no beginning", EXPLAIN, "        one.resize(end);", "        return;", "explain: languages*"),
    explained("a stranger names as many languages as he likes", EXPLAIN, "tags.size() < most_of_sender", "tags.size() < most_of_sender * 9", "explain: what no tag*"),
    explained("what is not wanted is, too", EXPLAIN, "is_language_tag(tag) && weight > 0", "is_language_tag(tag) && weight >= 0", "explain: Accept*"),
    explained("weights count for nothing", EXPLAIN, "std::ranges::max_element(weighed, {}, &std::pair<int, std::string>::first)", "weighed.begin()", "explain: Accept*"),
    explained("the status is no part of a key", EXPLAIN, "if (cause.status.size() > 2)", "if (cause.status.size() > 20)", "explain: keys*"),
    explained("a failure's text warns of a delay", EXPLAIN, "cause.delayed ? \"delay:\" : \"\"", "cause.status.empty() ? \"delay:\" : \"\"", "explanations: delays*"),
    explained("what ends a line beyond ASCII stays", EXPLAIN, "disturbs_line(rest.substr(0, size)) ?", "disturbs_line(rest.substr(0, 0)) ?", "explain: what others*"),
    explained("a reply has any length", EXPLAIN, "if (characters == longest_value)", "if (characters == longest_value * 9)", "explain: what others*"),
    explained("columns are octets", EXPLAIN, "                ++width;", "                width = size;", "explain: a paragraph*"),
    explained("a line begins as a boundary does", EXPLAIN, "if (column == 0 && word.starts_with(\"--\"))", "if (column == 80 && word.starts_with(\"--\"))", "explain: no line*"),
    explained("a name that there is not stays in its text", EXPLAIN, "    if (!unknown.empty())\n", "    if (unknown.size() > 9)\n", "explain: a text*"),
    explained("a warning's end is known to every text", EXPLAIN, "(delayed && std::ranges::find(delay_names", "((delayed || !name.empty()) && std::ranges::find(delay_names", "explain: a text*"),
    explained("another answers for a table that failed", EXPLANATIONS, "                round.failed.insert(&source);\n                co_return Text{};", "                round.failed.insert(&source);\n                break;", "explanations: a table that cannot*"),
    explained("what a record has is asked again", EXPLANATIONS, "if (!verdict.classification().empty())", "if (verdict.classification().size() > 99)", "explanations: the class*"),
    explained("what was given up has no class", EXPLANATIONS, "&& verdict.outcome() == handoff::OUTCOME_EXPIRED", "&& verdict.outcome() == handoff::OUTCOME_DELIVERED", "explanations: the class*"),
    explained("a text of nothing lets the next table answer", EXPLANATIONS, "if (text.empty() || text == no_explanation)\n                co_return Text{};", "if (text.empty() || text == no_explanation)\n                break;", "explanations: a text that is empty*"),
    explained("a silent table is waited for", EXPLANATIONS, "told.wait_for(left)", "told.wait_for(left * 10000)", "explanations: a table that has*"),
    explained("a stranger's domain is expanded", EXPLANATIONS, "text_flags{.substitute = false}", "text_flags{.substitute = true}", "explanations: nothing of*"),
    explained("the postmaster reads what the sender does", COMPOSE, "!to_postmaster && is_valid_utf8(text)", "is_valid_utf8(text)", "report: an explanation*"),
    explained("who has no explanation stands below another's", COMPOSE, "std::vector<std::size_t>>> found(1);", "std::vector<std::size_t>>> found;", "report: an explanation*"),
    explained("whatever is not ASCII is UTF-8", COMPOSE, "const bool utf8 = !is_ascii(human) && is_valid_utf8(human);", "const bool utf8 = !is_ascii(human);", "report: a template*"),
    classes("are asked where no record is kept", "send_test", AGENT, "if (!around.bounce_classes || !options.records || verdict", "if (!around.bounce_classes || verdict", "bounce classes*"),
    classes("a word of any length is kept", "send_test", AGENT, "(*found)->substr(0, longest_class)", "(*found)->substr(0, longest_class * 9)", "bounce classes*"),
    classes("the status outvotes a table's word", "handoff_test", "src/journey/handoff/record.cpp", "verdict.classification().empty() ? bounce_class(reason)", "reason.size() > 1 ? bounce_class(reason)", "record:*"),
    ("restart who has not said hello is forgotten", "services_test", "src/program/services/delivery_processes.cpp", "        living_[process] = process_descriptor(process);\n        tasks_.spawn(see_off(process));", "        tasks_.spawn(see_off(process));", "delivery processes:*"),
    ("restart who ends before it says hello stays", "services_test", "src/program/services/delivery_processes.cpp", "        living_[process] = process_descriptor(process);\n        tasks_.spawn(see_off(process));", "        living_[process] = process_descriptor(process);", "delivery processes:*"),
    ("restart verdicts are told one after the other", "services_test", "src/program/services/queue_reunion.cpp", "        tasks_.spawn(take_held(std::move(verdicts), open));", "        co_await take_held(std::move(verdicts), open);", "adversity:*"),
    times("a site's own rest does not come with its mail", "services_test", "src/program/services/queue_delivery.cpp", "route.address(), retry_of(route).minimal_backoff}", "route.address(), std::chrono::seconds{0}}", "queue: mail that is passed*"),
    ("log ring: little room where it begins anew", "observe_test", "src/foundation/observe/log_ring.cpp", "far_enough = 256 * 1024;", "far_enough = 64 * 1024;", "log ring:*"),
    asked("the last to ask is the oldest", "observe_test", ASKED, "    (before_ != nullptr ? before_->behind_ : entry_->first) = behind_;", "    entry_->first = behind_;", "asked: the oldest*"),
    asked("who gave up had no answer", "observe_test", ASKED, "    if (entry_ != nullptr)\n        unlink();", "    ended(false);", "asked: an answer*"),
    asked("a line comes as often as one looks", "observe_test", ASKED, "now - *entry.said >= between_lines", "now > *entry.said", "asked: who does not*"),
    asked("a failure is an answer again", "observe_test", ASKED, "const bool answered_since = entry.took.count() - entry.failed > entry.answered_then;", "const bool answered_since = entry.took.count() > entry.answered_then;", "asked: who does not*"),
    asked("lately is for ever", "observe_test", ASKED, "now - half_began < 2 * lately ? this_half : std::chrono::microseconds{}", "this_half", "asked: lately*"),
    asked("strangers make helpers without end", "observe_test", ASKED, "entries_.size() < most ? name", "entries_.size() < most * 2 ? name", "asked: helpers*"),
    asked("the Internet is named, too", "observe_test", ASKED, "return kind != Helper::dns && kind != Helper::verification;", "return kind != Helper::dns;", "asked: the Internet*"),
    asked("what ended processes had open is open", "inquiry_test", "src/program/inquiry/helper_listing.cpp", "!ended && what == \"_open\"", "what == \"_open\"", "helpers: all*"),
    asked("who is waited for stands where it will", "inquiry_test", "src/program/inquiry/helper_listing.cpp", "std::tuple(-helper.oldest, -helper.spent,", "std::tuple(-helper.spent, -helper.oldest,", "helpers: who*"),
    asked("a filter that fails has answered", "milter_test", "src/knowledge/milter/client.cpp", "    question.ended(state_ != State::failed);", "    question.ended(true);", "milter: one that*"),
    asked("a filter that is away has answered", "milter_test", "src/knowledge/milter/client.cpp", "    question.ended(state_ == State::ready);", "    question.ended(true);", "milter: one that*"),
    asked("a policy server that fails has answered", "receive_test", "src/journey/receive/policy/service.cpp", "    question.ended(action.has_value());", "    question.ended(true);", "policy service: failures*"),
    asked("a list in the DNS that fails has answered", "receive_test", "src/journey/receive/policy/listed.cpp", "    question.ended(!answer.transient());", "    question.ended(true);", "restrictions over the DNS*"),
    asked("a list in the DNS that fails before the greeting has answered", "receive_test", "src/journey/receive/screen/gate.cpp", "        question.ended(!answer.transient());", "        question.ended(true);", "*list*"),
    asked("TEMP is an answer", "tables_test", "src/knowledge/tables/sockets.cpp", "        asked.ended(answer.has_value());", "        asked.ended(reply.has_value());", "socketmap: netstrings*"),
    asked("SERVFAIL is an answer", "dns_test", "src/wire/dns/resolver.cpp", "flight.question->ended(!flight.answer->transient());", "flight.question->ended(true);", "resolver: a name*"),
    asked("the range of a histogram is another's", "handoff_test", "src/journey/handoff/counting.cpp", "name == \"le\" ? std::string_view(value) : \"other\"", "\"other\"", "counting: labels*"),
    asked("nobody looks who is silent", "programs", "src/program/process/service.cpp", "observe::Asked::here().news(now, helper_warn_time_)", "observe::Asked::here().news(now, std::chrono::seconds{0})", "journey test_helpers.Helpers.test_one_that_hangs_is_named_while_it_does"),
    ("setting a line that is gone is in force", "inquiry_test", "src/program/inquiry/configuration.cpp", "        if (std::ranges::find(written.services, key, &config::ServiceLine::key) != written.services.end())", "        if (!key.empty())", "pending: lines*"),
    ("setting what was set to nothing was not set", "inquiry_test", "src/program/inquiry/configuration.cpp", "    return found ? std::optional(found->value) : std::nullopt;", "    return found && !found->value.empty() ? std::optional(found->value) : std::nullopt;", "pending: parameters*"),
    ("setting what is written is in force", "commands_test", "src/program/commands/setting_text.cpp", "        if (running.value_or(\"\") != made.value ||", "        if (made.value.empty() ||", "setting: what is in force*"),
    ("setting an entry keeps its blanks", "config_test", "src/foundation/config/master_cf.cpp", "word.empty() || word.find_first_of(master_blanks) != word.npos ? ", "word.empty() ? ", "master.cf: an entry*"),
    ("tls a failing lookup of records is told to nobody", "send_test", "src/journey/send/tls_demand.cpp", "fault_name(TlsFault::dnssec_invalid)", "\"\"", "tls report: one*"),
    ("tls what DANE lacks is told as of MTA-STS", "send_test", "src/journey/send/agent_open.cpp", "    if (is_of_records(*fault)) {", "    if (is_of_records(*fault) && job.tls.empty()) {", "tls report: one*"),
    asked("a rule on trial is counted as one that refuses", "receive_test", "src/journey/receive/session.cpp", "    core_.reject_warnings.add({where_, reply.substr(0, 1), restriction});", "    core_.rejections.add({where_, reply.substr(0, 1), restriction});", "rejections that*"),
    ("dns who hides signatures later is believed", "dns_test", "src/wire/dns/resolver.cpp", "        if (answer->status != Status::bogus || flight->core.validated)", "        if (answer->status != Status::bogus)", "resolver: name servers that pass*"),
    ("dns a forged name is taken for an unsigned one", "dns_test", "src/wire/dns/resolver.cpp", "            if (keys->status != Status::bogus) {", "            if (keys->status == Status::found && keys->secure && zone.empty()) {", "resolver: name servers that pass*"),
    asked("ranges come as an ended process told them", "admin_test", "src/program/admin/metrics.cpp", "            if (info.kind == CounterInfo::Kind::histogram)", "            if (info.name.empty())", "metrics: the ranges*"),
    orders_asked("half of a time is taken", "config::parse_whole_time(word", "config::parse_time(word"),
    compat("databases: a base that is not there is empty", DATABASES, "src/knowledge/tables/ldap.cpp", "code == LDAP_NO_SUCH_OBJECT && settings_->base_of_key", "code == LDAP_NO_SUCH_OBJECT"),
    compat("databases: groups go one step further", DATABASES, "src/knowledge/tables/ldap.cpp", "if (depth >= settings_->recursion_limit)", "if (depth > settings_->recursion_limit)"),
    compat("databases: two result sets are one", DATABASES, "src/knowledge/tables/mysql.cpp", "if (std::exchange(results, true)) {", "if (std::exchange(results, true) && values.empty()) {"),
    compat("databases: the file's user outvotes the URI's", DATABASES, "src/knowledge/tables/pgsql.cpp", "add(\"connect_timeout\", limit);", "add(\"user\", settings->user);\n        add(\"connect_timeout\", limit);"),
    compat("databases: who logs in acts as nobody else", CONNECTIONS, "src/knowledge/tables/ldap.cpp", "case SASL_CB_USER: answer = &set.authorization; break;", "case SASL_CB_USER: break;"),
    compat("databases: localhost has a port", CONNECTIONS, "src/knowledge/tables/mysql.cpp", "server.host == \"localhost\" ? \"\" : server.host", "server.host"),
    compat("databases: a server that is gone ends the command", CONNECTIONS, "src/knowledge/tables/table.cpp", "::pthread_sigmask(SIG_BLOCK, &pipe, &before);", "::pthread_sigmask(SIG_UNBLOCK, &pipe, &before);"),
    ("databases mechanisms are loaded when they are needed", "programs", "src/knowledge/tables/ldap.cpp", "    if (!sasl)\n        return;", "    if (sasl || !sasl)\n        return;", "journey test_database_connections.DatabaseConnections.test_a_confined_process_reaches_them_by_tls_and_sasl"),
    ("databases root's folder is looked into", "programs", "src/program/supervisor/child.cpp", "(home || name_in(*ours) != \"HOME\")", "(home || name_in(*ours) != \"HOMES\")", "journey test_spawn.Spawn.test_home_is_handed_on_only_where_it_is_named"),
    ("databases the system's authorities are nobody's", "services_test", "src/program/services/table_desk.cpp", "if (by_system_authorities(spec, *config))", "if (false && by_system_authorities(spec, *config))", "table desk: who checks*"),
    ("restrictions a domain of myorigin needs no records", "receive_test", "src/journey/receive/policy/address.cpp", "domain_of(ours->way_of(*address))", "domain_of(*address)", "restrictions: one list*"),
    ("restrictions whoever has no domain is permitted as a backup", "receive_test", "src/journey/receive/policy/server_access.cpp", "const auto parts = tables::split_address(found->way_of(recipient));", "const auto parts = tables::split_address(found->way_of(recipient));\n    if (recipient.find('@') == std::string::npos)\n        co_return Step::permit;", "restrictions over the DNS*"),
    ("restrictions what a permission would have been outweighs what a refusal would", "receive_test", "src/journey/receive/policy/judge.cpp", "if_permit_.active ? if_permit_ : asked", "asked", "restrictions: one list*"),
    ("restrictions networks that cannot be asked are always the client's affair", "receive_test", "src/journey/receive/policy/client.cpp", "Temporary lookup failure\", about)", "Temporary lookup failure\", facts_.client)", "restrictions: where mynetworks*"),
    ("restrictions whoever has no domain is asked for as written", "receive_test", "src/journey/receive/policy/access.cpp", "if (at != std::string::npos && address.find_first_of(\"@!%\") == at)", "if (at == std::string::npos || address.find_first_of(\"@!%\") == at)", "restrictions: one list*"),
    ("session an address that resolves to none is taken", "receive_test", "src/journey/receive/session_mail.cpp", "co_return found && found->malformed;", "co_return false;", "session: each command*"),
    ("session a command filter that fails leaves the session open", "receive_test", "src/journey/receive/session_text.cpp", "421 4.3.0 {} Server local data error", "451 4.3.0 {} Server local data error", "smtpd_command_filter: a table*"),
    ("route operators without a domain are myorigin's affair", "route_test", "src/journey/route/resolve.cpp", "if (!bare || !found) {", "{", "standing: what another host*"),
    ("spool a backup is of the database alone", "spool_test", "src/journey/spool/jobs.cpp", "for (const std::string& name : beside_)", "for (const std::string& name : std::vector<std::string>())", "backup*"),
    ("exim hosts that TLS is asked of have no ports", "exim_test", "src/program/exim/translator.hpp", "(port.empty() ? \"\" : \":\" + port)", "\"\"", "translate: hosts that TLS*"),
    ("databases sockets are as good as ports", "tables_test", "src/knowledge/tables/database.cpp", "places_[at].server.starts_with(\"unix:\")", "places_[at].server.empty()", "databases: servers on Unix*"),
    ("databases who refuses at once rests a minute", "tables_test", "src/knowledge/tables/database.cpp", "20 * (now - since)", "1000000 * (now - since)", "databases: a server rests*"),
    ("databases a source grants all that stands in it", "supervisor_test", "src/foundation/config/main_cf.cpp", "if (assignment.name == \"domain\" || assignment.name == \"backup\")", "if (!assignment.name.empty())", "broker: the file of a database*"),
    asked("a database that fails has answered", "tables_test", "src/knowledge/tables/database.cpp", "    question.ended(answer.has_value());", "    question.ended(true);", "sqlite: the first*"),
    heard("what is unpacked has no bound", "unpack", "size > most - made.octets.size()", "size > most", "unpack: more*"),
    heard("what is stored in a zip has no bound", "unpack", "if (packed > most)", "if (packed > 100'000 * most)", "unpack: more*"),
    heard("a checksum is not looked at", "unpack", "if (checksum(made) != sum)", "if (checksum(made) != sum && made.empty())", "unpack: a zip*"),
    heard("a document type is taken", "dmarc_xml", 'fail("it has a document type, which no report has");', "value_.clear();", "dmarc: no entity*"),
    heard("elements nest without end", "dmarc_xml", "ends_.size() >= deepest", "ends_.size() >= 100 * deepest", "dmarc: what is wrong*"),
    heard("rows have no bound", "report", "rows.size() < most_rows", "rows.size() < 2 * most_rows", "dmarc: rows*"),
    moving("what leaves goes on here", "ledger_change.cpp", "set(flag_hold, *change.leaving || held);", "set(flag_hold, held);", "moving: what is bound*"),
    moving("what stays is released", "ledger_change.cpp", "(*change.leaving ? flag_hold : flag_held_before)", "(*change.leaving ? flag_hold : 0)", "moving: what is bound*"),
    moving("it is taken twice", "ledger.cpp", "here && *here != message.envelope.queue_id())", "here && here->empty())", "moving: what comes from*"),
    moving("tries begin anew", "ledger.cpp", "        state.set_tries(was.tries);\n", "", "moving: what comes from*"),
    moving("attempts of another queue count", "ledger.cpp", "        state.set_tries(was.tries);\n", "        state.set_tries(was.tries);\n        state.set_attempt(was.attempt);\n", "moving: what comes from*"),
    moving("salvage forgets what came", "salvage.cpp", "            ledger.restore_taken(taken.at, taken.source, taken.queue_id, taken.here);", "            (void)taken;", "salvage: of an undamaged*"),
    ("moving: it is told before it is bound", "services_test", "src/program/services/queue_moving.cpp", ".next_try = {}, .leaving = true}));", ".next_try = {}, .leaving = {}}));", "moving: a message whose answer*"),
    ("moving: what is in delivery is offered", "services_test", "src/program/services/queue_moving.cpp", "if (in_hand(lease.key) || octets", "if (octets", "moving: what is being delivered*"),
    ("moving: after a restart nobody is waited for", "services_test", "src/program/services/queue_moving.cpp", "return !united_ || active_", "return active_", "moving: after a restart*"),
    ("moving: there are two identities", "services_test", "src/program/services/queue_moving.cpp", "    while (changing_moving_) {", "    while (changing_moving_ && false) {", "moving: those who ask first*"),
    ("moving: a terminal obeys another machine", "moving_test", "src/program/moving/sides.cpp", "*text = printable(text->substr(0, longest));", "*text = text->substr(0, longest);", "moving: what the other side says of itself*"),
    ("moving: an identity has no bound", "moving_test", "src/program/moving/sides.cpp", "text.size() <= 64", "text.size() <= 64'000'000", "moving: what the other side*"),
    ("moving: any queue has it", "services_test", "src/program/services/queue_moving.cpp", "if (asked.target().empty() || asked.target() != moving_.target())", "if (asked.target().empty())", "moving: a message whose answer*"),
    ("moving: another target is begun with", "services_test", "src/program/services/queue_moving.cpp", "if (!leaving_.empty() && asked.target() != moving_.target())", "if (leaving_.size() > 1000 && asked.target() != moving_.target())", "moving: a message whose answer*"),
    ("moving: postsuper has its way", "services_test", "src/program/services/queue_commands.cpp", "const std::string left_alone = without_leaving(leases);", "const std::string left_alone;", "moving: a message whose answer*"),
    ("moving: a restart forgets what leaves", "services_test", "src/program/services/queue_start.cpp", "    if (message.leaving)\n        leaving_.insert(key);\n", "", "moving: a message whose answer*"),
    ("moving: users are those of this machine", "services_test", "src/program/services/queue_moving.cpp", "starts_with(\"uid:\")", "starts_with(\"gid:\")", "moving: users*"),
    ("moving: what comes is new mail", "services_test", "src/program/services/queue_moving.cpp", "        was.set_tries(state.tries);\n", "", "moving: a deferred message*"),
    ("moving: content may end early", "moving_test", "src/program/moving/taking.cpp", "    if (!batch_.empty() && batch_.back().missing > 0)\n        return Error{\"content ends", "    if (batch_.size() > 100 && batch_.back().missing > 0)\n        return Error{\"content ends", "moving: what the other side*"),
    ("moving: a file's name is believed", "moving_test", "src/program/moving/taking.cpp", "if (!message.content().file().empty())", "if (message.content().file() == \"x\")", "moving: what the other side*"),
    ("moving: what is not known is thrown away", "moving_test", "src/program/moving/taking.cpp", "                coming.file->keep();\n        return answer", "                coming.file->sync().value();\n        return answer", "moving: where the target's*"),
    ("moving: it leaves before it is there", "moving_test", "src/program/moving/giving.cpp", "        if (!taken.here().empty()) {", "        if (!taken.queue_id().empty()) {", "moving: what is refused*"),
    ("moving: a newer one is believed", "moving_test", "src/program/moving/taking.cpp", "if (source.format() > format)", "if (source.format() > format + 1)", "moving: a newer*"),
    ("moving: what is full stays in doubt", "moving_test", "src/program/moving/giving.cpp", "    TRY_VOID(stay(back));\n    if (!no_room", "    if (!no_room", "moving: a target without*"),
    standby("content may be later than its message", "mirror", "    if (error == 0)\n        begin_sync(true);", "    if (error == 0)\n        begin_sync(false);", "copy: the second*"),
    standby("nobody waits for the copy", "mirror", "return state_ != State::in_step || durable_ >= number; };", "return true; };", "mirror: what is there*"),
    standby("what went on alone is covered", "mirror", "    if (durable_ < number)\n        uncovered_", "    if (durable_ < number && number == 0)\n        uncovered_", "mirror: what was synced*"),
    standby("a copy that comes back covers what is still told", "mirror_session", "state_ == State::in_step && durable_ >= uncovered_;", "state_ == State::in_step && durable_ + 1'000 >= uncovered_;", "copy: the second*"),
    standby("half of a queue takes a copy's place", "replica", "    if (was_whole) {", "    if (was_whole && queue.epoch > 1000) {", "replica: while a whole copy*"),
    standby("a journal that is cut off is done", "replica", "    if (mark_.progress == Progress::catching_up) {\n        std::unique_ptr", "    if (mark_.progress != Progress::partial) {\n        std::unique_ptr", "replica: while a whole copy*"),
    standby("a barrier is none", "replica", "if (operation.sync().barrier()) {", "if (operation.number() == 0) {", "replica: a sync that runs*"),
    standby("a sync may be shared for ever", "replica", "++shared_ == most_shared", "++shared_ == 1'000 * most_shared", "replica: a sync that runs*"),
    standby("a queue that was replaced is taken", "replica", "if (mark_.of.epoch > queue.epoch)", "if (mark_.of.epoch > queue.epoch + 9)", "replica: a folder with*"),
    standby("another queue's copy is written over", "replica", "mark_.of.identity != queue.identity)", "mark_.of.identity.size() != queue.identity.size())", "replica: a folder with*"),
    standby("a queue is taken for a copy", "replica", "    if (queue || lineage)", "    if (queue && lineage)", "replica: a folder with*"),
    standby("half a copy is promoted", "replica", "    if (mark->progress == Progress::partial)\n", "    if (mark->of.epoch == 0)\n", "replica: what was never*"),
    standby("nobody knows who has the queue", "replica", ".epoch = mark->of.epoch + 1", ".epoch = mark->of.epoch", "replica: what was never*"),
    standby("numbers go down", "replica", "if (operation.number() <= number_)", "if (operation.number() == 0)", "replica: nothing leads*"),
    standby("a file has no bound", "replica", "if (write.offset() > largest_file)", "if (write.offset() == largest_file)", "replica: nothing leads*"),
    standby("names lead out", "holdings", "name.front() == '.' || ", "", "replica: nothing leads*"),
    standby("a copy's marks are told to it", "holdings", "!name.starts_with(copy_name) &&", "", "replica: nothing leads*"),
    standby("a large file is no frame", "mirrored_files", "largest_write = 2U << 20", "largest_write = 64U << 20", "mirror: what is there*"),
    standby("all is sent again", "mirror_session", "there ? there->sum(at) : std::string_view{}", "there && at > 1000 ? there->sum(at) : std::string_view{}", "mirror: a copy that comes back*"),
    standby("who was replaced is not told", "receiving", "lineage->epoch <= queue.epoch", "lineage->epoch <= queue.epoch + 9", "mirror: who waits*"),
    standby("who lies ends the queue", "mirror_session", "now.identity != lineage_.identity || now.epoch <= lineage_.epoch", "now.identity.empty()", "mirror: a copy that lies*"),
    standby("a time has no bound", "lineage", " || said.since() > last_second)", ")", "mirror: a copy that lies*"),
    standby("a terminal obeys the copy", "lineage", "printable(host.substr(0, longest_host))", "std::string(host.substr(0, longest_host))", "mirror: a copy that lies*"),
    standby("words have no bound", "line", "said.failed().substr(0, longest_words)", "said.failed()", "mirror: a copy that lies*"),
    standby("an empty folder is never made", "mirror_session", "            operation.set_folder(std::string(spool::incoming_folder));\n", "            operation.set_remove(\"orders.old\");\n", "copy: the second*"),
    standby("what a command says is not told", "line", "    if (size > largest_frame)\n        return in_words", "    if (size > largest_frame)\n        return Error{\"too large\", \"4.3.0\"};\n    if (size > largest_frame)\n        return in_words", "line: words*"),
    ("standby: mail is taken without the copy", "programs", "src/program/services/queue_manager.cpp", "    if (held_back && held_back()) {\n        co_await drop_file_of", "    if (held_back && !held_back) {\n        co_await drop_file_of", "journey test_standby.Standby.test_where_a_copy_is_required_nothing_goes_on_without_it"),
    ("standby: what only one machine has is acknowledged", "services_test", "src/program/services/queue_manager.cpp", "    while (may_answer && !may_answer()) {", "    while (may_answer && !held_back) {", "standby: *"),
    ("standby: deliveries go on without the copy", "programs", "src/program/services/queue_manager.cpp", " && !(held_back && held_back())) {", ") {", "journey test_standby.Standby.test_where_a_copy_is_required_nothing_goes_on_without_it"),
    heard("a terminal obeys a stranger", "report", "< 0xA0)", "< 0x80)", "dmarc: what strangers*"),
    heard("failures without a detail are lost", "tls_json", "    if (bad > 0) {", "    if (bad > 1'000'000) {", "tls: a report of*"),
    heard("the domains of a report have no bound", "tls_json", "if (reports.size() == most_domains)", "if (reports.size() == 2 * most_domains)", "tls: what is wrong*"),
    heard("proof of others is believed", "letter", "service_id.empty() || ", "", "letter: what smtpd*"),
    heard("proof in another's name is believed", "letter", " || !mailauth::may_be_result_of(service_id, field->body))", ")", "letter: what smtpd*"),
    heard("a program has a bounce", "letter", "        letter.automatic = true;", "        letter.automatic = looked_at > 1;", "letter: a report is found*"),
    heard("a report counts twice", "ledger", "const bool again = known.bind", "const bool again = reports.empty() && known.bind", "ledger: a report is there*"),
    heard("another organization's report is known", "ledger", "AND domain=?2 AND organization=?3 AND report=?4", "AND domain=?2 AND report=?4 AND ?3=?3", "ledger: the same id*"),
    heard("a domain's day has no bound", "ledger", ">= limits_.of_domain_and_day", ">= 100 * limits_.of_domain_and_day", "ledger: what strangers*"),
    heard("rows of a day have no bound", "ledger", "> limits_.octets_of_domain_and_day", "> 100 * limits_.octets_of_domain_and_day", "ledger: what strangers*"),
    heard("domains have no bound", "ledger", ">= limits_.domains)", ">= 100 * limits_.domains)", "ledger: what strangers*"),
    heard("rows in all have no bound", "ledger", "<= limits_.octets;", "<= 100 * limits_.octets;", "ledger: what strangers*"),
    heard("rows of what is too old stay", "ledger", "DELETE FROM said WHERE report IN", "DELETE FROM said WHERE report NOT IN", "ledger: what is too old*"),
    heard("sources have no bound", "summary", "found_ >= most_found", "found_ >= 10 * most_found", "summary: sources beyond*"),
    heard("our own address is one of many", "summary", "finding.set_act(finding.ours() && source.bad > 0);", "finding.set_act(false);", "summary: our own*"),
    heard("a failure of TLS is no matter", "summary", "                finding.set_act(true);", "                finding.set_act(false);", "summary: sessions*"),
    ("heard: proof is believed where nobody checks", "programs", "src/program/services/reports.cpp", "? std::string() : config.get", "? config.get(mailauth::mailauth_service_id) : config.get",
     "journey test_received_reports.ReceivedReports.test_zip_duplicates_bombs_and_what_is_no_report"),
    ("heard: another table has its say", "route_test", "src/journey/route/resolve.cpp", "        target.nexthop = box.domain;\n        return target;", "        target.nexthop = box.domain;",
     "route: mail for report_addresses*"),
    ("heard: the address is unknown", "route_test", "src/journey/route/resolve.cpp", "    if (target.reports)\n        return standing;", "    if (target.reports && target.is_error)\n        return standing;",
     "route: mail for report_addresses*"),
    reports("a report comes before its day is over", "sender", "    return midnight_after(report.subject.day) + std::chrono::microseconds(within);", "    return midnight_after(report.subject.day) - std::chrono::days(1) + std::chrono::microseconds(within);", "sender: reports go*"),
    reports("all come at midnight", "sender", "hash_of(report.subject.domain) %", "0 * hash_of(report.subject.domain) %", "sender: reports go*"),
    reports("where it has been it goes again", "sender", "std::ranges::find(report->accepted, place.text) != report->accepted.end();", "std::ranges::find(report->accepted, place.address) != report->accepted.end();", "sender: what cannot*"),
    reports("an attempt is on the disk when it is over", "sender", "    report.next = clock_.wall() + pause_after(report.attempts);\n    ledger_.put(report);", "    report.next = clock_.wall() + pause_after(report.attempts);", "sender: an attempt*"),
    reports("it is tried for ever", "sender", "report.attempts < most_attempts", "report.attempts < 10 * most_attempts", "sender: what cannot*"),
    reports("who does not agree has it", "sender", "    co_return agreed;", "    co_return true;", "sender: reports of DMARC*"),
    reports("an agreement leads elsewhere", "sender", " || domain_of(others.front()) != host) {", ") {", "sender: reports of DMARC*"),
    reports("a failing lookup is a refusal", "sender", "    if (answer.transient()) {", "    if (answer.found()) {", "sender: reports of DMARC*"),
    reports("a limit is for others", "sender", "place->most != 0 && text.size() > place->most", "place->most == 1 && text.size() > place->most", "sender: reports of DMARC*"),
    reports("a refusal for good is tried again", "sender", "queue_id.error().status().starts_with('5')", "queue_id.error().status().starts_with('6')", "sender: a queue*"),
    reports("exceptions are none", "sender", "settings_.except(report.subject.domain)", "settings_.except(\"\")", "sender: a queue*"),
    reports("a domain may have rows without end", "ledger", "static_cast<std::size_t>(of_report) >= limits_.of_report || ", "", "ledger: rows*"),
    reports("all may have rows without end", "ledger", " || rows >= limits_.in_all", "", "ledger: rows*"),
    reports("there may be reports without end", "ledger", "reports++ >= limits_.reports", "reports++ > 10 * limits_.reports", "ledger: no more*"),
    reports("places of what was sent are taken", "ledger", "    rows_ -= std::min(rows_, left);", "    rows_ -= std::min<std::size_t>(0, left);", "ledger: rows*"),
    reports("what comes later is of the part that was sent", "ledger", "part = known.integer(2) + (done ? 1 : 0);", "part = known.integer(2);", "ledger: where*"),
    reports("what is sent stays counted", "ledger", "        if (done)\n            bind_subject(drop, subject).run();", "", "ledger: where*"),
    reports("a report that waits is forgotten", "ledger", "DELETE FROM report WHERE day<?1 AND state>=?2", "DELETE FROM report WHERE day<?1", "ledger: where*"),
    reports("failures are good", "report", "        policy.bad += row.count;", "        policy.good += row.count;", "TLS report:*"),
    reports("XML has what others wrote", "report", "        case '<': out += \"&lt;\"; break;", "", "DMARC report:*"),
    reports("a report needs TLS", "report", "        add(\"TLS-Required\", \"No\");", "        add(\"X-TLS-Required\", \"No\");", "report letter:*"),
    reports("an escape is a letter", "destination", "            return std::nullopt;\n        out += static_cast<char>(high * 16 + low);", "            continue;\n        out += static_cast<char>(high * 16 + low);", "destinations: mail*"),
    reports("the limit's unit is not read", "destination", "        unit <<= 10 * (at + 1);", "        unit <<= at;", "destinations: of DMARC*"),
    ("reports: what is done is what was asked", "receive_test", "src/journey/receive/session_checks.cpp", "    if (done != asked)", "    if (done > asked)", "checks: what mail proved*"),
    ("reports: who asks for none is told of", "receive_test", "src/journey/receive/checks.cpp", "dmarc.published->record.find(\"rua\") != std::string::npos", "!dmarc.published->record.empty()", "checks: what mail proved*"),
    ("reports: who put it aside refused it", "receive_test", "src/journey/receive/session_checks.cpp", "options.hold   ? DmarcPolicy::quarantine", "options.hold   ? asked", "checks: what mail proved*"),
    ("addresses that blanks part are none", "message_test", "src/protocol/message/address_list.cpp", "            if (is_word && word)\n", "            if (is_word && word && whole_)\n", "addresses: members*"),
    ("addresses what is behind a bracket is of it", "message_test", "src/protocol/message/address_list.cpp", "[](const Token& token) { return token.is('>'); });\n            if (end", "[](const Token& token) { return token.is(';'); });\n            if (end", "addresses: members*"),
    ("addresses a list that is written anew has no commas", "message_test", "src/protocol/message/address_list.cpp", "            out.append(text.substr(copied, address.missing_comma - copied)) += ',';", "            out.append(text.substr(copied, address.missing_comma - copied));", "addresses: members*"),
    ("process table: the last queue manager speaks for all", "supervisor_test", "src/program/supervisor/process_table.cpp", "(process.line == 0 || line.name == own_name)", "true", "process table: of several*"),
    ("names: a client has none of this machine's file", "receive_test", "src/journey/receive/wired.cpp", "    if (std::string known = hosts_.name(*ip); !known.empty())", "    if (std::string known = hosts_.name(*ip); false)", "names: a client*"),
    ("names: a name of this machine's file leads back by the DNS", "receive_test", "src/journey/receive/client_name.cpp", "co_await names.host_addresses(name)", "co_await names.addresses_of(name)", "names: a client*"),
    ("milter: whatever is in front is ours", "milter_test", "src/knowledge/milter/mail.cpp", "return field.is(\"Received\");", "return !field.text.empty();", "milter: where a header check*"),
    ("checks: the log knows TLS", "cleanup_test", "src/journey/cleanup/checks.cpp", "said == \"ESMTPS\" || ", "", "checks: the log names*"),
    ("smtp_header_checks: bare line ends go out", "programs", "src/program/services/outbound_editor.cpp", "cleanup::as_lines(text, kind == \"header\")", "std::string(text)", "journey test_rewriting.Rewriting.test_what_a_check_makes_of_a_folded_field_has_whole_line_ends"),
    ("Milters: a local part is told as it came", "receive_test", "src/journey/receive/session_milter.cpp", "route.address().empty() ? address : route.address(), true", "address, true", "Milters: an address is told*"),
    ("survey: certificates are secret", "migrate_test", "src/program/migrate/survey.cpp", "if (!chain || !has_certificates_alone(path))", "if (true)", "survey: of a chain*"),
    trials("what is not known is refused", "    default: day.set_unknown(day.unknown() + seen.count());", "    default: day.set_refused(day.refused() + seen.count());", "book: what cannot be judged*"),
    trials("what has nothing to be held against is as any", "    case TrialSeen::UNHELD: day.set_unheld(day.unheld() + seen.count()); [[fallthrough]];", "    case TrialSeen::UNHELD:", "book: what cannot be judged*"),
    trials("entries without end", "entries > limits_.entries;", "entries > limits_.entries + 1'000;", "book: entries and trials*"),
    trials("trials without end", ">= limits_.trials)", ">= limits_.trials + 100)", "book: entries and trials*"),
    trials("samples without end", "entry.samples_size() > limits_.samples", "entry.samples_size() > limits_.samples + 10", "book: what was judged*"),
    trials("words without end", "std::min(text.size(), limits_.octets)", "std::min(text.size(), limits_.octets * 10)", "book: entries and trials*"),
    trials("strangers push out what we send", "for (auto at = kept.entries.begin(); key.out == out && at", "for (auto at = kept.entries.begin(); at", "book: entries and trials*"),
    trials("entries are kept for ever", "        std::erase_if(kept.entries, [&](const auto& one) { return one.second.last() < first; });", "", "book: after fourteen*"),
    trials("one kill loses all", "            (void)co_await write(); ", "            (void)book_; ", "trial link: memory writes*", "services_test", "src/program/services/trial_link.cpp"),
    trials("a link holds without end", "gathered_.seen_size() >= waiting", "gathered_.seen_size() >= waiting * 10", "trial link: more*", "services_test", "src/program/services/trial_link.cpp"),
    tried("no answer is a refusal", "return fault == TlsFault::dane_required || fault == TlsFault::tlsa_invalid ?", "return fault || true ?", "trial: TLSA*"),
    tried("what holds already is tried", "tried > seen.level &&", "tried >= seen.level &&", "trial: a level*"),
    tried("warnings of each session", "    quiet.log = observe::Log(std::make_shared<Unheard>(), \"trial\");\n", "", "trial: TLSA*"),
    tried("the level is in force", "wish.tls.keep_shown = tries_levels(*job, host);", "wish.tls.keep_shown = tries_levels(*job, host), wish.tls.level = std::max(wish.tls.level, options.tls_trial_level);", "trial: it asks*", "agent_open"),
    tried("another server name", "wish.tls.keep_shown = tries_levels(*job, host);", "wish.tls.keep_shown = tries_levels(*job, host), wish.tls.server_name = host.name;", "trial: TLSA*", "agent_open"),
    tried("a line for each session", "now - said < trial_said_again", "now - said < trial_said_again && false", "trial: a line*", "agent_trial"),
    tried("mail that no level keeps back counts", " && !job.tls_optional;", ";", "trial: a level*", "agent_trial"),
    trials("a resumed session has no chain, and so no authority", "shown.resumed && !by_anchors ? shown.verdict :", "", "trial: a session that was resumed*", "send_test", "src/wire/tls/second_look.cpp"),
    trials("a chain that was not shown does not fit", "shown.resumed && std::ranges::any_of(options.anchors, of_chain)", "shown.resumed && std::ranges::none_of(options.anchors, of_chain)", "trial: a session that was resumed*", "send_test", "src/wire/tls/second_look.cpp"),
    warned("a list that does not answer lets pass", "!trial_->lacks_answers || step == Step::permit", "true", "trials: where nobody*"),
    warned("who is deferred for want of an answer is refused", "error_of_ours || trial_->unsure ?", "error_of_ours ?", "trials: where nobody*"),
    warned("a class has as many verdicts as members", "std::exchange(trial.settled, true)", "std::exchange(trial.settled, true) && false", "trials: a class*"),
    released("a flush sends it", "src/program/services/queue_verdicts.cpp", "if (next <= wall)\n        return false;", "if (next <= wall || true)\n        return false;", "release: a flush*"),
    released("an operator cannot send it", "src/program/services/queue_commands.cpp", "                urged_.insert(key);", "                urged_.erase(key);", "release: a flush*"),
    released("a retry is at any hour", "src/program/services/queue_manager.cpp", " || (!stored->expire && hold_back(lease.key, stored->envelope))", "", "release: a window*"),
    released("its age is that of its arrival", "src/journey/schedule/release.cpp", "return may_go(envelope, at(envelope.arrival()));", "return at(envelope.arrival());", "release: *counts from*", "schedule_test"),
    released("it is looked at after its expiry", "src/journey/schedule/release.cpp", "return end ? std::min(next, *end) : next;", "return next;", "release: a window*", "schedule_test"),
    released("a restart brings it early", "src/program/services/queue_start.cpp", "    if (message.release && !message.expire && !message.requeue)", "    if (message.release && message.expire)", "release: it waits on*"),
    released("a stranger's field counts", "src/journey/cleanup/schedule.cpp", "return draft.envelope.may_schedule() && field", "return field", "cleanup: scheduling_header: of strangers*", "cleanup_test"),
    released("what can never go is taken", "src/journey/cleanup/schedule.cpp", "expires && *expires <= first", "expires && *expires < WallTime{}", "cleanup: scheduling_header: what is wrong*", "cleanup_test"),
    released("who filters says it for strangers", "src/journey/receive/session_mail.cpp", "if (forwarded_ && forwarded_->source != \"LOCAL\")", "if (false)", "XFORWARD: who hands on*", "receive_test"),
    released("it is asked of everybody", "src/journey/receive/session_mail.cpp", "(command->hold || core_.options.scheduling_field) && co_await", "co_await", "FUTURERELEASE: who may use it*", "receive_test"),
    released("who has not authenticated may", "src/journey/receive/session_mail.cpp", "        if (!scheduled) {", "        if (!scheduled && false) {", "AUTH: FUTURERELEASE*", "receive_test"),
    released("a local user's time has no end", "src/journey/submit/pick_up.cpp", "release.not_before() > latest.time_since_epoch().count() || ", "", "maildrop: mail may be held*", "submit_test"),
    released("a start that is jumped over is missed", "src/foundation/calendar/window.cpp", "        if (before != after)", "        if (before > after)", "window: a start*", "calendar_test"),
    released("hours that come twice count once", "src/foundation/calendar/window.cpp", "        consider(start - after);", "        (void)0;", "window: hours*", "calendar_test"),
    warned("what is on trial refuses", "        court_.would_refuse(at_, line);\n        return Step::dunno;", "        court_.would_refuse(at_, line);\n        reply_ = line;\n        return Step::reject;", "trials: a restriction*"),
]
