#include "inquiry/peer_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "inquiry/change_listing.hpp"
#include "inquiry/queue_listing.hpp"
#include "inquiry/transcripts.hpp"
#include "peers/book.hpp"
#include "peers/learn.hpp"
#include "peers/listing.hpp"
#include "smtp/ehlo.hpp"

#include <fmt/format.h>

#include <set>

namespace posthorn::inquiry {

using namespace posthorn::peers;

namespace {

std::string keywords_of(std::uint32_t bits) { return bits == 0 ? std::string() : smtp::text(smtp::KeywordSet::of_bits(bits)); }

std::string limits_text(const Limits& limits)
{
    std::string text;
    for (const auto& [name, number] : {std::pair{"recipients per mail", limits.recipients_per_mail},
                                       {"mails per session", limits.mails_per_session},
                                       {"errors per session", limits.errors_per_session},
                                       {"sessions at once", limits.sessions}})
        if (number != 0)
            text += fmt::format("{}{} {}", text.empty() ? "" : ", ", number, name);
    return text;
}

std::string standing(const Mark& mark, WallTime now)
{
    if (mark.convicted && mark.until > now)
        return "in force until " + local_time(mark.until);
    if (mark.convicted)
        return "expired " + local_time(mark.until);
    return mark.try_without ? "suspected: the next session goes without the feature" : "suspected";
}

/// Whose words are in force here.
std::string tellers_of(const Record& record, WallTime now)
{
    std::set<std::string> names;
    for (const Mark& mark : record.marks)
        if (mark.convicted && mark.until > now && !mark.told_by.empty())
            names.insert(printable(mark.told_by));
    if (record.told_limits.until > now)
        names.insert(printable(record.told_limits.told_by));
    return fmt::format("{}", fmt::join(names, ", "));
}

/// A mark may be no more than the count of sessions in which the feature worked.
bool says_something(const Mark& mark) { return mark.convicted || mark.try_without || mark.sightings != 0; }

}  // namespace

std::string local_time(WallTime time) { return local_time(time.time_since_epoch().count()); }
std::string json_time(WallTime time) { return time == WallTime{} ? std::string("null") : fmt::format("\"{}\"", time_text(time)); }

bool matches(const Record& record, std::string_view word)
{
    const std::string wanted = to_lower(word), banner = to_lower(record.peer.banner_host), site = to_lower(record.peer.site);
    return to_lower(record.peer.address) == wanted || key_of(record.peer) == wanted || banner == wanted || banner.ends_with("." + wanted) ||
           site == wanted || site.ends_with(":" + wanted);
}

std::string peer_line(const Record& record, WallTime now)
{
    const Known known = known_of(record, now);
    std::string what = known.quirks.text();
    if (const std::string limits = limits_text(known.limits); !limits.empty())
        what += (what.empty() ? "" : ", ") + limits;
    if (const std::string tellers = tellers_of(record, now); !tellers.empty())
        what += " (told by " + tellers + ")";
    return fmt::format("{}  {}  {}  {} sessions, last {}: {}\n", printable(record.peer.address),
                       record.peer.banner_host.empty() ? "-" : printable(record.peer.banner_host),
                       record.peer.site.empty() ? "-" : printable(record.peer.site, true), record.sessions, local_time(record.last),
                       what.empty() ? "nothing wrong" : what);
}

std::string peer_text(const Record& record, WallTime now, const Portrait* portrait)
{
    std::string text =
        fmt::format("{}[{}]\n", record.peer.banner_host.empty() ? "unknown" : printable(record.peer.banner_host), printable(record.peer.address));
    const auto say = [&](std::string_view name, const std::string& what) { text += fmt::format("  {:<14} {}\n", name, what); };
    say("site", record.peer.site.empty() ? "-" : printable(record.peer.site, true));
    say("sessions", fmt::format("{}, from {} to {}", record.sessions, local_time(record.first), local_time(record.last)));
    if (record.keywords_clear != 0)
        say("announces", keywords_of(record.keywords_clear));
    if (record.keywords_tls != 0)
        say("with TLS", keywords_of(record.keywords_tls));
    if (portrait) {
        for (const auto& [name, what] : usual_of(*portrait))
            say(name, what);
        for (const ChangeTold& told : changes_since(std::span(portrait, 1), now - changed_lately))
            say("changed", (told.change.grave ? "warning: " : "") + change_text(told.change));
    }
    if (record.tls_worked != WallTime{})
        say("TLS", "worked " + local_time(record.tls_worked) + ": plain text is not remembered");
    if (record.tls_alarm != WallTime{})
        say("TLS alarm", local_time(record.tls_alarm));
    if (record.discards_bdat_until > now)
        say("privilege", "content may travel with its envelope, until " + local_time(record.discards_bdat_until) + ": a refused BDAT is discarded");
    for (const Mark& mark : record.marks) {
        if (!says_something(mark))
            continue;
        const Quirks quirks = quirks_of(mark);
        say(quirks.text(), fmt::format("{}; {}", mark.told_by.empty() ? "learned" : "told by " + printable(mark.told_by), standing(mark, now)));
        if (!mark.seen.empty())
            say("", fmt::format("seen: {}, the last time {}", printable(mark.seen, true), local_time(mark.last)));
        if (mark.told_by.empty() || mark.sightings != 0)
            say("", fmt::format("{} sightings{}", mark.sightings, mark.first == WallTime{} ? "" : " since " + local_time(mark.first)));
        if (mark.tally != Tally{})
            say("", fmt::format("with the feature {} sessions went well and {} failed, without it {} and {}", mark.tally.with_ok,
                                mark.tally.with_failed, mark.tally.without_ok, mark.tally.without_failed));
        if (mark.canary != WallTime{})
            say("", fmt::format("tested {}, {} tests in a row without fault", local_time(mark.canary), mark.clean_canaries));
        if (mark.convicted) {
            say("", changes_of(quirks));
            say("", "by hand: " + by_hand(record.peer, quirks));
        }
    }
    if (const std::string limits = limits_text(record.limits); !limits.empty())
        say("limits", fmt::format("{} (learned; {} {})", limits, record.limits_until > now ? "until" : "expired", local_time(record.limits_until)));
    if (const ToldLimits& told = record.told_limits; told.until > now)
        say("limits", fmt::format("{} (told by {}; until {})", limits_text(told.limits), printable(told.told_by), local_time(told.until)));
    if (flapping(record, now))
        say("flapping", "its announcements or faults change: two sightings are asked for");
    if (const auto slowest = slowest_answer(record); slowest.count() != 0)
        say("timing", fmt::format("99 of 100 lone commands are answered within {} ms", slowest.count()));
    return text;
}

std::string peer_json(const Record& record, WallTime now, const Portrait* portrait)
{
    const Known known = known_of(record, now);
    std::string quirks;
    for (const Mark& mark : record.marks) {
        if (!says_something(mark))
            continue;
        const Quirks what = quirks_of(mark);
        quirks += fmt::format(
            R"({}{{"quirk": {}, "source": "learned", "in_force": {}, "told_by": {}, "since": {}, "until": {}, "seen": {}, "first": {}, "last": {}, "sightings": {}, )",
            quirks.empty() ? "" : ", ", json_text(what.text()), mark.convicted && mark.until > now, json_text(mark.told_by), json_time(mark.since),
            json_time(mark.until), json_text(mark.seen), json_time(mark.first), json_time(mark.last), mark.sightings);
        quirks += fmt::format(R"("with_feature": {{"well": {}, "failed": {}}}, "without_feature": {{"well": {}, "failed": {}}}, "by_hand": {}}})",
                              mark.tally.with_ok, mark.tally.with_failed, mark.tally.without_ok, mark.tally.without_failed,
                              mark.convicted ? json_text(by_hand(record.peer, what)) : std::string("null"));
    }
    return fmt::format(
        R"({{"address": {}, "banner_host": {}, "site": {}, "sessions": {}, "first": {}, "last": {}, "announces": {}, "announces_with_tls": {}, )"
        R"("in_force": {}, "quirks": [{}], "limits": {{"recipients_per_mail": {}, "mails_per_session": {}, "errors_per_session": {}, "sessions": {}, "until": {}}}, )"
        R"("limits_told": {{"recipients_per_mail": {}, "errors_per_session": {}, "until": {}, "told_by": {}}}, "changes": {}}})",
        json_text(record.peer.address), json_text(record.peer.banner_host), json_text(record.peer.site), record.sessions, json_time(record.first),
        json_time(record.last), json_text(keywords_of(record.keywords_clear)), json_text(keywords_of(record.keywords_tls)),
        json_text(known.quirks.text()), quirks, record.limits.recipients_per_mail, record.limits.mails_per_session, record.limits.errors_per_session,
        record.limits.sessions, json_time(record.limits_until), record.told_limits.limits.recipients_per_mail,
        record.told_limits.limits.errors_per_session, json_time(record.told_limits.until), json_text(record.told_limits.told_by),
        portrait ? changes_json(*portrait, WallTime{}) : "[]");
}

}  // namespace posthorn::inquiry
