#include "peers/learn.hpp"

#include "base/strings.hpp"

#include <bit>

namespace posthorn::peers {

namespace {

constexpr WallTime never{};
constexpr std::size_t addresses_kept = 8;

/// The session tested on purpose what this mark forbids.
bool in_canary(const Mark& mark, const Observation& seen) { return seen.canary.has(mark.quirk); }

class Learner {
public:
    Learner(Record record, const Observation& seen, WallTime now) : learned_{std::move(record), {}}, record_(learned_.record), seen_(seen), now_(now)
    {
    }

    Learned run()
    {
        record_.peer = seen_.peer;
        if (record_.first == never)
            record_.first = now_;
        expire();
        note_features();
        note_tls();
        for (const Sighting& sighting : seen_.sightings)
            if (class_of(sighting.quirk) != QuirkClass::security)
                weigh(sighting);
        note_close();
        note_limits();
        if (seen_.discards_bdat)
            record_.discards_bdat_until = *seen_.discards_bdat ? now_ + quirk_lifetime : never;
        if (seen_.milliseconds != 0)
            ++record_.slowest[std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(seen_.milliseconds)), record_.slowest.size() - 1)];
        record_.sessions += seen_.whole ? 1 : 0;
        record_.last = now_;
        return std::move(learned_);
    }

private:
    Mark& mark(Quirk quirk)
    {
        for (Mark& known : record_.marks)
            if (known.quirk == quirk)
                return known;
        record_.marks.emplace_back().quirk = quirk;
        return record_.marks.back();
    }

    void say(Event::Kind kind, const Mark& about) { learned_.events.push_back({kind, record_.peer, quirks_of(about), about.seen, about.until}); }

    void note_change()
    {
        record_.changes[0] = record_.changes[1];
        record_.changes[1] = now_;
    }

    void expire()
    {
        std::erase_if(record_.marks, [&](const Mark& old) {
            if (old.convicted && old.until <= now_) {
                say(Event::Kind::expired, old);
                return true;
            }
            return !old.convicted && old.last != never && !within(old.last, quirk_lifetime, now_);
        });
        if (record_.limits_until <= now_)
            record_.limits = {};
        if (record_.told_limits.until <= now_)
            record_.told_limits = {};
        std::erase_if(record_.cleared, [&](const Cleared& old) { return !within(old.when, quirk_lifetime, now_); });
    }

    void note_features()
    {
        const auto note = [&](std::uint32_t& before, std::uint32_t after) {
            if (after == 0)
                return;
            if (before != 0 && before != after)
                note_change();
            before = after;
        };
        note(record_.keywords_clear, seen_.keywords_clear);
        note(record_.keywords_tls, seen_.keywords_tls);
    }

    void note_tls()
    {
        if (seen_.tls)
            record_.tls_worked = now_;
        else if (seen_.tls_failed && within(record_.tls_worked, tls_memory, now_) && !within(record_.tls_alarm, canary_interval, now_)) {
            record_.tls_alarm = now_;
            learned_.events.push_back({Event::Kind::tls_alarm, record_.peer, Quirks{Quirk::no_tls}, {}, record_.tls_worked});
        }
    }

    bool may_be_convicted(Quirk quirk) const { return quirk != Quirk::helo_only || !within(record_.tls_worked, tls_memory, now_); }

    void count(Tally& tally, std::uint32_t Tally::* side)
    {
        ++(tally.*side);
        if (tally.with_ok + tally.with_failed > tally_limit || tally.without_ok + tally.without_failed > tally_limit)
            tally = {tally.with_ok / 2, tally.with_failed / 2, tally.without_ok / 2, tally.without_failed / 2};
    }

    /// At least `rate_ratio` times as often with as without. Few trials without the feature prove little: a failure that was not
    /// seen is allowed for (Laplace), else three losses on a good line and one lucky repetition would convict. None prove nothing.
    static bool rate_convicts(const Tally& tally)
    {
        const std::uint64_t with = tally.with_ok + tally.with_failed, without = tally.without_ok + tally.without_failed;
        return with != 0 && tally.with_failed * (without + 2) >= std::uint64_t{rate_ratio} * (tally.without_failed + 1) * with;
    }

    void convict(Mark& guilty)
    {
        if (!may_be_convicted(guilty.quirk))
            return;
        const bool news = !guilty.convicted;
        guilty.convicted = true;
        guilty.try_without = false;
        guilty.clean_canaries = 0;
        guilty.until = now_ + quirk_lifetime;
        guilty.told_by.clear();
        if (!news)
            return;
        std::erase_if(record_.cleared, [&](const Cleared& old) { return old.quirk == guilty.quirk; });
        guilty.since = now_;
        guilty.canary = now_;
        if (within(record_.removed, quirk_lifetime, now_))
            note_change();                      // it came back
        say(Event::Kind::learned, guilty);
    }

    void weigh(const Sighting& sighting)
    {
        Mark& at = mark(sighting.quirk);
        switch (sighting.kind) {
        case Sighting::Kind::signature: signature(at, sighting); break;
        case Sighting::Kind::suspicion: suspicion(at, sighting); break;
        case Sighting::Kind::worked: worked(at, sighting); break;
        case Sighting::Kind::failed_without:
            count(at.tally, &Tally::without_failed);
            at.try_without = false;
            break;
        case Sighting::Kind::worked_without:
            count(at.tally, &Tally::without_ok);
            at.try_without = false;
            try_to_convict(at);
            break;
        }
    }

    void sighted(Mark& at, const Sighting& sighting)
    {
        count(at.tally, &Tally::with_failed);
        ++at.sightings;
        at.first = at.first == never ? now_ : at.first;
        at.last = now_;
        at.seen = sighting.seen;
        if (!in_canary(at, seen_))
            return;
        at.canary = now_;
        at.clean_canaries = 0;
        at.told_by.clear();                     // it is our own evidence now
        if (at.convicted)
            at.until = now_ + quirk_lifetime;
    }

    static void blame_parameters(Mark& at, const Sighting& sighting)
    {
        if (at.quirk != Quirk::no_param)
            return;
        const std::uint64_t before = std::exchange(at.number, at.number | sighting.number);
        at.convicted = at.convicted && at.number == before;     // another parameter is news of its own
    }

    void signature(Mark& at, const Sighting& sighting)
    {
        sighted(at, sighting);
        blame_parameters(at, sighting);
        if (at.convicted || !flapping(record_, now_) || at.sightings >= 2)
            convict(at);
        else
            at.try_without = true;
    }

    void suspicion(Mark& at, const Sighting& sighting)
    {
        if (at.quirk == Quirk::no_bdat && sighting.number <= at.number)
            at.number = 0;                      // a size that worked works no more
        sighted(at, sighting);
        blame_parameters(at, sighting);
        at.try_without = !at.convicted && may_be_convicted(at.quirk);
        try_to_convict(at);
    }

    void try_to_convict(Mark& at)
    {
        if (!at.convicted && at.sightings >= suspicions_needed && rate_convicts(at.tally))
            convict(at);
    }

    void worked(Mark& at, const Sighting& sighting)
    {
        count(at.tally, &Tally::with_ok);
        at.worked = now_;
        if (at.quirk == Quirk::no_bdat)
            at.number = std::max(at.number, sighting.number);
        if (!at.convicted || !in_canary(at, seen_))
            return;
        at.canary = now_;
        if (++at.clean_canaries < canaries_needed)
            return;
        say(Event::Kind::removed, at);
        note_change();
        record_.removed = now_;
        const Quirk quirk = at.quirk;
        std::erase_if(record_.cleared, [&](const Cleared& old) { return old.quirk == quirk; });
        record_.cleared.push_back({quirk, now_, {}});
        std::erase_if(record_.marks, [&](const Mark& known) { return known.quirk == quirk; });
    }

    /// A peer that leaves after n mails, three times running.
    void note_close()
    {
        if (seen_.ended_after != 0) {
            Candidate& at = record_.close_after;
            at = {seen_.ended_after, at.number == seen_.ended_after ? at.seen + 1 : 1};
            if (at.seen < suspicions_needed)
                return;
            Mark& guilty = mark(Quirk::close_after);
            guilty.convicted = guilty.convicted && guilty.number == at.number;
            guilty.number = at.number;
            guilty.seen = fmt::format("the session ended after {} mail{}, {} times running", at.number, at.number == 1 ? "" : "s", at.seen);
            guilty.last = now_;
            convict(guilty);
        } else if (seen_.mails > record_.close_after.number)
            record_.close_after = {};
    }

    void note_limits()
    {
        const auto believe = [&](Candidate& at, std::uint32_t number, std::uint32_t Limits::* limit, bool told = false) {
            if (number == 0)
                return;
            at = {number, at.number == number ? at.seen + 1 : 1};
            if (at.seen < 2 && !told)
                return;
            record_.limits.*limit = number;
            record_.limits_until = now_ + quirk_lifetime;
        };
        believe(record_.recipients, seen_.recipients, &Limits::recipients_per_mail, seen_.recipients_told && !flapping(record_, now_));
        believe(record_.errors, seen_.errors, &Limits::errors_per_session, seen_.errors_told);
    }

    Learned learned_;
    Record& record_;
    const Observation& seen_;
    WallTime now_;
};

/// The keyword whose discarding does by hand what the quirk does; empty: no table of Postfix's says it.
std::string keyword_of(const Quirks& quirks)
{
    if (quirks.has(Quirk::quit_alone) || quirks.has(Quirk::data_alone) || quirks.has(Quirk::one_command_per_flight))
        return "pipelining";
    if (quirks.has(Quirk::no_bdat) || quirks.has(Quirk::no_bdat_over))
        return "chunking";
    std::string words;
    for (const auto& [parameter, word] : std::initializer_list<std::pair<Parameter, std::string_view>>{
             {Parameter::size, "size"}, {Parameter::body, "8bitmime"}, {Parameter::smtputf8, "smtputf8"}, {Parameter::dsn, "dsn"}})
        if (quirks.hides(parameter))
            words += (words.empty() ? "" : ", ") + std::string(word);
    return words;
}

std::string pattern_of(std::string_view banner_host)
{
    std::string pattern;
    for (const char c : banner_host) {
        if (!(is_alnum(c) || c == '-' || c == '_'))
            pattern += '\\';
        pattern += c;
    }
    return pattern;
}

}  // namespace

std::string date_of(WallTime when)
{
    const auto day = std::chrono::floor<std::chrono::days>(when);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::minutes>(when - day));
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                       static_cast<unsigned>(date.day()), time.hours().count(), time.minutes().count());
}

Quirks quirks_of(const Mark& mark)
{
    Quirks quirks;
    switch (mark.quirk) {
    case Quirk::no_param:
        for (const Parameter parameter : {Parameter::size, Parameter::body, Parameter::smtputf8, Parameter::dsn})
            if (mark.number & static_cast<std::uint8_t>(parameter))
                quirks.add_no_param(parameter);
        break;
    case Quirk::no_bdat:
        if (mark.number != 0)
            quirks.add_no_bdat_over(mark.number);
        else
            quirks.add(Quirk::no_bdat);
        break;
    case Quirk::close_after: quirks.add_close_after(static_cast<std::uint32_t>(mark.number)); break;
    default: quirks.add(mark.quirk);
    }
    return quirks;
}

std::string changes_of(const Quirks& quirks)
{
    const auto has = [&](Quirk quirk) { return quirks.has(quirk); };
    if (has(Quirk::quit_alone))
        return "QUIT now travels alone";
    if (has(Quirk::data_alone))
        return "DATA now waits for the answers to RCPT TO";
    if (has(Quirk::one_command_per_flight))
        return "commands are no longer sent in groups";
    if (has(Quirk::no_bdat))
        return "content is now sent by DATA";
    if (has(Quirk::no_bdat_over))
        return fmt::format("content over {} octets is now sent by DATA", quirks.bdat_over());
    if (has(Quirk::no_rset) || has(Quirk::no_rset_first))
        return "RSET is no longer sent";
    if (has(Quirk::helo_only))
        return "HELO is now said in place of EHLO";
    if (has(Quirk::close_after))
        return fmt::format("a session now ends after {} mail{}", quirks.close_after(), quirks.close_after() == 1 ? "" : "s");
    if (has(Quirk::one_rcpt_null_sender))
        return "each recipient gets a MAIL FROM:<> of its own";
    if (has(Quirk::no_param))
        return "the parameter is no longer sent; mail that needs it is deferred";
    return "it is obeyed";
}

std::string by_hand(const PeerKey& peer, const Quirks& quirks)
{
    if (const std::string keyword = keyword_of(quirks); !keyword.empty())
        return fmt::format("smtp_discard_ehlo_keyword_address_maps, \"{} silent-discard, {}\"", peer.address, keyword);
    return fmt::format("smtp_peer_rules, \"/^220 {} / {}\"", printable(pattern_of(peer.banner_host)), quirks.text());
}

Learned learn(Record record, const Observation& seen, WallTime now) { return Learner(std::move(record), seen, now).run(); }

bool flapping(const Record& record, WallTime now)
{
    return within(record.changes[0], quirk_lifetime, now) && within(record.changes[1], quirk_lifetime, now);
}

bool has_canary(Quirk quirk)
{
    switch (quirk) {
    case Quirk::quit_alone:                     // the goodbye
    case Quirk::one_command_per_flight:
    case Quirk::no_rset:
    case Quirk::helo_only:
    case Quirk::one_rcpt_null_sender: return true;
    default: return false;                      // only content, or many mails, would show it: it expires
    }
}

Known known_of(const Record& record, WallTime now)
{
    Known known;
    for (const Mark& mark : record.marks) {
        const bool convicted = mark.convicted && mark.until > now;
        const bool downgrade = mark.quirk == Quirk::helo_only && within(record.tls_worked, tls_memory, now);
        if ((!convicted && !mark.try_without) || downgrade)
            continue;
        known.quirks.merge(quirks_of(mark));
        if (convicted && has_canary(mark.quirk) && now - mark.canary >= canary_interval)
            known.canary.merge(quirks_of(mark));
    }
    if (record.limits_until > now)
        known.limits = record.limits;
    if (const ToldLimits& told = record.told_limits; told.until > now)
        for (const auto limit : {&Limits::recipients_per_mail, &Limits::errors_per_session})
            if (told.limits.*limit != 0 && (known.limits.*limit == 0 || told.until > record.limits_until))
                known.limits.*limit = told.limits.*limit;
    known.privileges.bdat_first = record.discards_bdat_until > now;
    known.learned = known.quirks;
    known.slowest = slowest_answer(record);
    known.source = known.quirks.empty() && known.limits == Limits{} && !known.privileges.bdat_first ? Source::nobody : Source::learned;
    return known;
}

std::chrono::milliseconds slowest_answer(const Record& record)
{
    std::uint64_t all = 0, so_far = 0;
    for (const std::uint32_t count : record.slowest)
        all += count;
    for (std::size_t i = 0; i < record.slowest.size() && all != 0; ++i)
        if ((so_far += record.slowest[i]) * 100 >= all * 99)
            return std::chrono::milliseconds{std::uint64_t{1} << i};
    return std::chrono::milliseconds{0};
}

void share(SiteRecord& site, const Event& event, WallTime now)
{
    site.last = now;
    std::erase_if(site.shared, [&](const SiteRecord::Shared& old) { return old.until <= now; });
    if (event.kind == Event::Kind::tls_alarm || event.kind == Event::Kind::early_off || event.kind == Event::Kind::path)
        return;
    for (const QuirkName& entry : quirk_names) {
        if (!event.quirks.has(entry.quirk) || entry.kind != QuirkClass::speed || entry.quirk == Quirk::no_bdat_over ||
            entry.quirk == Quirk::close_after)
            continue;
        auto at = std::ranges::find(site.shared, entry.quirk, &SiteRecord::Shared::quirk);
        if (event.kind != Event::Kind::learned) {
            if (at != site.shared.end())
                std::erase(at->addresses, event.peer.address);
            continue;
        }
        if (at == site.shared.end())
            at = site.shared.insert(at, {.quirk = entry.quirk});
        if (std::ranges::find(at->addresses, event.peer.address) == at->addresses.end() && at->addresses.size() < addresses_kept)
            at->addresses.push_back(event.peer.address);
        at->until = now + quirk_lifetime;
    }
}

Quirks shared_by(const SiteRecord& site, WallTime now)
{
    Quirks quirks;
    for (const SiteRecord::Shared& shared : site.shared)
        if (shared.until > now && shared.addresses.size() >= site_peers_needed)
            quirks.add(shared.quirk);
    return quirks;
}

std::string text_of(const Event& event, bool only_reported)
{
    const std::string who = fmt::format("{}[{}]", event.peer.banner_host.empty() ? "unknown" : printable(event.peer.banner_host), event.peer.address);
    switch (event.kind) {
    case Event::Kind::learned:
        if (!event.told_by.empty())             // the sibling has said the rest
            return fmt::format("peer {}: told by {}: {}; {}{}, until {}", who, event.told_by, event.quirks.text(),
                               only_reported ? "would change: " : "", changes_of(event.quirks), date_of(event.until));
        return fmt::format("peer {}: learned {}: {}; {}{}, until {}; by hand: {}", who, event.quirks.text(), event.seen,
                           only_reported ? "would change: " : "", changes_of(event.quirks), date_of(event.until), by_hand(event.peer, event.quirks));
    case Event::Kind::expired: return fmt::format("peer {}: {} has expired", who, event.quirks.text());
    case Event::Kind::removed:
        if (!event.told_by.empty())
            return fmt::format("peer {}: told by {}: {} is gone", who, event.told_by, event.quirks.text());
        return fmt::format("peer {}: {} is gone: two tests found nothing of it", who, event.quirks.text());
    case Event::Kind::early_off:
        return fmt::format("peer {}: learned no-early: {}; {}nothing is said before its greeting, until {}; by hand: "
                           "smtp_discard_ehlo_keyword_address_maps, \"{} silent-discard, pipeconnect\"",
                           who, event.seen, only_reported ? "would change: " : "", date_of(event.until), event.peer.address);
    case Event::Kind::path:
        if (!event.told_by.empty())
            return fmt::format("the way to {}: told by {}: {}; {}segments are small there, until {}", event.peer.address, event.told_by, event.seen,
                               only_reported ? "would change: " : "", date_of(event.until));
        return fmt::format("peer {}: {}; {}segments are small there, until {}; by hand: a route to {} with \"mtu lock 1280\"", who, event.seen,
                           only_reported ? "would change: " : "", date_of(event.until), event.peer.address);
    case Event::Kind::tls_alarm:
        return fmt::format("peer {}: TLS failed, although it worked on {}: no plain text is remembered for it", who, date_of(event.until));
    }
    return who;
}

}  // namespace posthorn::peers
