#include "peers/told.hpp"

#include <algorithm>

namespace posthorn::peers {

namespace {

using std::chrono::milliseconds;

milliseconds between(WallTime from, WallTime to) { return std::max(milliseconds{0}, std::chrono::floor<milliseconds>(to - from)); }

bool is_told(const Mark& mark, WallTime now)
{
    return mark.convicted && mark.until > now && mark.told_by.empty() && class_of(mark.quirk) != QuirkClass::security;
}

/// The number that a quirk carries, where it has to have one or may have none.
bool is_sound(const Word::Fault& fault)
{
    switch (fault.quirk) {
    case Quirk::no_param: return fault.number != 0 && fault.number <= 15;
    case Quirk::close_after: return fault.number != 0 && fault.number <= UINT32_MAX;
    case Quirk::no_bdat: return true;
    case Quirk::no_bdat_over: return false;         // is said as no_bdat with a number
    default: return fault.number == 0 && class_of(fault.quirk) != QuirkClass::security;
    }
}

/// Did sessions from here show that the peer can do what it is said to fail at?
bool contradicts(const Mark& own, const Word::Fault& fault, WallTime evidence)
{
    if (own.worked <= evidence)
        return false;
    switch (fault.quirk) {
    case Quirk::no_param: return false;             // another parameter worked, perhaps
    case Quirk::no_bdat: return own.number > fault.number;
    default: return true;
    }
}

class Hearer {
public:
    Hearer(Record record, const Word& word, std::string_view by, WallTime forgotten, WallTime now)
        : learned_{std::move(record), {}}, record_(learned_.record), word_(word), by_(by), forgotten_(forgotten), now_(now)
    {
    }

    Learned run()
    {
        const Record before = record_;
        // That TLS works there is heard first: it forbids helo-only.
        if (word_.tls_worked && *word_.tls_worked < tls_memory)
            record_.tls_worked = std::max(record_.tls_worked, now_ - *word_.tls_worked);
        for (const Word::TakenBack& one : word_.taken_back)
            take_back(one);
        for (const Word::Fault& fault : word_.faults)
            believe(fault);
        note_limits();
        if (record_ == before)
            return std::move(learned_);
        if (record_.last == WallTime{}) {
            record_.peer = word_.peer;
            record_.first = record_.last = now_;
        }
        return std::move(learned_);
    }

private:
    void say(Event::Kind kind, const Mark& mark)
    {
        learned_.events.push_back({kind, record_.peer.address.empty() ? word_.peer : record_.peer, quirks_of(mark), mark.seen, mark.until, by_});
    }

    void take_back(const Word::TakenBack& one)
    {
        const WallTime when = now_ - one.age;
        if (one.age >= quirk_lifetime || when <= forgotten_ || class_of(one.quirk) == QuirkClass::security)
            return;
        const auto known = std::ranges::find(record_.cleared, one.quirk, &Cleared::quirk);
        if (known != record_.cleared.end() && when <= known->when + told_again)
            return;
        const auto guilty = std::ranges::find(record_.marks, one.quirk, &Mark::quirk);
        if (guilty != record_.marks.end() && guilty->last >= when)
            return;                                             // it was seen again since
        if (known != record_.cleared.end())
            record_.cleared.erase(known);
        record_.cleared.push_back({one.quirk, when, by_});
        if (guilty == record_.marks.end())
            return;
        if (guilty->convicted)
            say(Event::Kind::removed, *guilty);
        record_.marks.erase(guilty);
    }

    void believe(const Word::Fault& fault)
    {
        const WallTime evidence = now_ - fault.age;
        if (!is_sound(fault) || fault.left <= milliseconds{0} || fault.age >= quirk_lifetime || evidence <= forgotten_)
            return;
        if (fault.quirk == Quirk::helo_only && within(record_.tls_worked, tls_memory, now_))
            return;
        if (const auto cleared = std::ranges::find(record_.cleared, fault.quirk, &Cleared::quirk);
            cleared != record_.cleared.end() && cleared->when >= evidence)
            return;
        auto at = std::ranges::find(record_.marks, fault.quirk, &Mark::quirk);
        if (at != record_.marks.end() &&
            (contradicts(*at, fault, evidence) || (at->convicted && at->until > now_ && evidence <= at->last + told_again)))
            return;
        if (at == record_.marks.end()) {
            at = record_.marks.emplace(at);
            at->quirk = fault.quirk;
        }
        const bool news = !at->convicted || at->until <= now_ || at->number != fault.number;
        at->convicted = true;
        at->try_without = false;
        at->number = fault.number;
        at->seen = fault.seen;
        at->told_by = by_;
        at->last = evidence;
        at->since = news ? now_ : at->since;
        at->until = std::min(now_ + fault.left, evidence + quirk_lifetime);
        at->canary = now_;
        at->clean_canaries = 0;
        std::erase_if(record_.cleared, [&](const Cleared& old) { return old.quirk == fault.quirk; });
        if (news)
            say(Event::Kind::learned, *at);
    }

    void note_limits()
    {
        const Limits limits{.recipients_per_mail = word_.limits.recipients_per_mail, .errors_per_session = word_.limits.errors_per_session};
        const WallTime until = now_ + std::min<WallTime::duration>(word_.limits_left, quirk_lifetime);
        if (limits == Limits{} || word_.limits_left <= milliseconds{0} || until - quirk_lifetime <= forgotten_)
            return;
        ToldLimits& known = record_.told_limits;
        if (known.until > now_ && until <= known.until + told_again)
            return;
        known = {limits, until, by_};
    }

    Learned learned_;
    Record& record_;
    const Word& word_;
    std::string by_;
    WallTime forgotten_, now_;
};

}  // namespace

std::optional<Word> word_of(const Record& record, WallTime now)
{
    Word word;
    for (const Mark& mark : record.marks)
        if (is_told(mark, now))
            word.faults.push_back({mark.quirk, mark.number, mark.seen, between(mark.last, now), between(now, mark.until)});
    for (const Cleared& cleared : record.cleared)
        if (cleared.told_by.empty() && within(cleared.when, quirk_lifetime, now))
            word.taken_back.push_back({cleared.quirk, between(cleared.when, now)});
    if (record.limits_until > now) {
        word.limits = {.recipients_per_mail = record.limits.recipients_per_mail, .errors_per_session = record.limits.errors_per_session};
        word.limits_left = between(now, record.limits_until);
    }
    if (word.faults.empty() && word.taken_back.empty() && word.limits == Limits{})
        return std::nullopt;
    if (within(record.tls_worked, tls_memory, now))
        word.tls_worked = between(record.tls_worked, now);
    word.peer = record.peer;
    return word;
}

std::optional<WayWord> word_of(const std::string& address, const PathRecord& path, WallTime now)
{
    if (path.until <= now || !path.told_by.empty() || path.lost == 0)
        return std::nullopt;
    return WayWord{address, path.lost, between(now, path.until)};
}

bool tells_more(const Record& before, const Record& after, WallTime now)
{
    const auto seen_alike = [](WallTime old, WallTime young) { return young - old < std::chrono::hours{1} && old - young < std::chrono::hours{1}; };
    for (const Mark& mark : after.marks) {
        if (!is_told(mark, now))
            continue;
        const auto old = std::ranges::find(before.marks, mark.quirk, &Mark::quirk);
        if (old == before.marks.end() || !is_told(*old, now) || old->number != mark.number || !seen_alike(old->last, mark.last))
            return true;
    }
    if (after.limits_until > now && (after.limits != before.limits || !seen_alike(before.limits_until, after.limits_until)))
        return true;
    return std::ranges::any_of(after.cleared, [&](const Cleared& cleared) {
        return cleared.told_by.empty() && std::ranges::find(before.cleared, cleared) == before.cleared.end();
    });
}

Learned hear(Record record, const Word& word, std::string_view by, WallTime forgotten, WallTime now)
{
    return Hearer(std::move(record), word, by, forgotten, now).run();
}

bool hear(PathRecord& path, const WayWord& word, std::string_view by, WallTime forgotten, WallTime now)
{
    const WallTime until = now + std::min<WallTime::duration>(word.left, PathRecord::sure_for);
    if (word.lost == 0 || word.left <= milliseconds{0} || until - PathRecord::sure_for <= forgotten || until <= path.until + told_again)
        return false;
    path = {{}, until, word.lost, std::string(by)};
    return true;
}

}  // namespace posthorn::peers
