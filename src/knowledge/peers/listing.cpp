#include "peers/listing.hpp"

#include "base/strings.hpp"
#include "peers/book.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <unordered_set>

namespace posthorn::peers {

namespace {

using Words = std::vector<std::string_view>;

constexpr std::string_view heading = "posthorn-peers 1";
constexpr std::size_t word_octets = 300, line_octets = 2000;
/// 9999-12-31: what a date of four digits can say.
constexpr std::int64_t last_second = 253'402'300'799;

std::string word_of(std::string_view text)
{
    if (text.empty())
        return "-";
    std::string word;
    for (const char c : text)
#ifdef POSTHORN_PLANT_BUG_peer_listing
        if (c <= ' ' || c >= 127 || (c == '-' && text.size() == 1))
#else
        if (c <= ' ' || c >= 127 || c == '%' || (c == '-' && text.size() == 1))
#endif
            word += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        else
            word += c;
    return word;
}

std::optional<std::string> text_of_word(std::string_view word)
{
    if (word == "-")
        return "";
    std::string text;
    for (std::size_t at = 0; at < word.size(); ++at) {
        if (word[at] != '%') {
            text += word[at];
            continue;
        }
        unsigned code = 0;
        if (at + 2 >= word.size() || !std::ranges::all_of(word.substr(at + 1, 2), [](char c) { return is_digit(c) || (c >= 'A' && c <= 'F'); }))
            return std::nullopt;
        for (const char c : word.substr(at + 1, 2))
            code = code * 16 + static_cast<unsigned>(is_digit(c) ? c - '0' : c - 'A' + 10);
        text += static_cast<char>(code);
        at += 2;
    }
    return text.size() <= word_octets ? std::optional(text) : std::nullopt;
}

std::string tally_text(std::uint32_t ok, std::uint32_t failed) { return fmt::format("{}/{}", ok, failed); }

void append(std::string& out, const Mark& mark)
{
    out += fmt::format(" quirk {}", name_of(mark.quirk));
    const auto number = [&](std::string_view key, std::uint64_t value) {
        if (value != 0)
            out += fmt::format(" {}={}", key, value);
    };
    const auto time = [&](std::string_view key, WallTime value) {
        if (value != WallTime{})
            out += fmt::format(" {}={}", key, time_text(value));
    };
    out += mark.convicted ? " convicted" : "";
    out += mark.try_without ? " try-without" : "";
    number("number", mark.number);
    number("sightings", mark.sightings);
    if (mark.tally != Tally{})
        out += fmt::format(" with={} without={}", tally_text(mark.tally.with_ok, mark.tally.with_failed),
                           tally_text(mark.tally.without_ok, mark.tally.without_failed));
    time("first", mark.first);
    time("last", mark.last);
    time("since", mark.since);
    time("until", mark.until);
    time("canary", mark.canary);
    number("clean-canaries", mark.clean_canaries);
    if (!mark.seen.empty())
        out += fmt::format(" seen={}", printable(mark.seen, true));
    out += '\n';
}

void append(std::string& out, const Record& record)
{
    out += fmt::format("peer {} {} {}\n", word_of(record.peer.address), word_of(record.peer.banner_host), word_of(record.peer.site));
    out += fmt::format(" sessions {} {} {}\n", record.sessions, time_text(record.first), time_text(record.last));
    if (record.keywords_clear != 0 || record.keywords_tls != 0)
        out += fmt::format(" keywords {} {}\n", record.keywords_clear, record.keywords_tls);
    if (record.changes != std::array<WallTime, 2>{})
        out += fmt::format(" changed {} {}\n", time_text(record.changes[0]), time_text(record.changes[1]));
    for (const auto& [name, when] : {std::pair{"tls-worked", record.tls_worked},
                                     {"tls-alarm", record.tls_alarm},
                                     {"bdat-first-until", record.discards_bdat_until},
                                     {"removed", record.removed}})
        if (when != WallTime{})
            out += fmt::format(" {} {}\n", name, time_text(when));
    for (const Mark& mark : record.marks)
        append(out, mark);
    if (record.limits != Limits{} || record.limits_until != WallTime{})
        out += fmt::format(" limits recipients-per-mail={} mails-per-session={} errors-per-session={} sessions={} until={}\n",
                           record.limits.recipients_per_mail, record.limits.mails_per_session, record.limits.errors_per_session,
                           record.limits.sessions, time_text(record.limits_until));
    if (record.recipients != Candidate{} || record.errors != Candidate{} || record.close_after != Candidate{})
        out += fmt::format(" candidates recipients={} errors={} close-after={}\n", tally_text(record.recipients.number, record.recipients.seen),
                           tally_text(record.errors.number, record.errors.seen), tally_text(record.close_after.number, record.close_after.seen));
    if (std::ranges::any_of(record.slowest, [](std::uint32_t count) { return count != 0; }))
        out += fmt::format(" slowest {}\n", fmt::join(record.slowest, " "));
}

/// One file on its way in. An Error's text lacks the place; parse_listing() adds it.
class Reader {
public:
    Result<void> line(std::string_view text)
    {
        const Words words = split(text, " \t");
        if (words.empty() || words.front().starts_with('#'))
            return {};
        if (!headed_) {
            headed_ = words.size() == 2 && text == heading;
            return headed_ ? Result<void>{} : refuse(fmt::format("the first line is to be '{}'", heading));
        }
        if (words.front() == "peer")
            return peer(words);
        if (records.empty())
            return refuse("a line before the first peer");
        return detail(words, text);
    }
    bool headed() const { return headed_; }
    std::vector<Record> records;

private:
    static Error refuse(std::string text) { return Error(std::move(text), "5.5.2"); }
    static Error bad(std::string_view what, std::string_view word) { return refuse(fmt::format("bad {} '{}'", what, printable(word.substr(0, 60)))); }

    template <class Number>
    static Result<void> number(std::string_view word, Number& into, std::uint64_t most = std::numeric_limits<Number>::max())
    {
        const auto parsed = parse_number(word);
        if (!parsed || *parsed > most)
            return bad("number", word);
        into = static_cast<Number>(*parsed);
        return {};
    }
    static Result<void> time(std::string_view word, WallTime& into)
    {
        const auto parsed = parse_time(word);
        if (!parsed)
            return bad("time", word);
        into = *parsed;
        return {};
    }
    static Result<void> pair(std::string_view word, std::uint32_t& first, std::uint32_t& second)
    {
        const auto slash = word.find('/');
        if (slash == word.npos)
            return bad("pair of numbers", word);
        TRY_VOID(number(word.substr(0, slash), first));
        return number(word.substr(slash + 1), second);
    }

    Result<void> peer(const Words& words)
    {
        if (words.size() != 4)
            return refuse("peer wants an address, a banner host and a site");
        if (records.size() >= listing_peers)
            return refuse(fmt::format("more than {} peers", listing_peers));
        Record record;
        std::string* const into[] = {&record.peer.address, &record.peer.banner_host, &record.peer.site};
        for (std::size_t i = 0; i < 3; ++i) {
            auto text = text_of_word(words[i + 1]);
            if (!text)
                return bad("word", words[i + 1]);
            *into[i] = *std::move(text);
        }
        if (record.peer.address.empty())
            return refuse("a peer without an address");
        if (!keys_.insert(key_of(record.peer)).second)
            return refuse(fmt::format("{} {} stands here twice", words[1], words[2]));
        said_.clear();
        records.push_back(std::move(record));
        return {};
    }

    Result<void> detail(const Words& words, std::string_view text)
    {
        Record& record = records.back();
        const std::string_view name = words.front();
        const auto count = [&](std::size_t wanted) {
            return words.size() == wanted + 1 ? Result<void>{}
                                              : Result<void>(refuse(fmt::format("{} wants {} words", printable(name.substr(0, 60)), wanted)));
        };
        if (name == "quirk")
            return quirk(words, text);
        if (!said_.insert(std::string(name.substr(0, 60))).second)
            return refuse(fmt::format("{} stands twice for one peer", printable(name.substr(0, 60))));
        if (name == "sessions") {
            TRY_VOID(count(3));
            TRY_VOID(number(words[1], record.sessions));
            TRY_VOID(time(words[2], record.first));
            return time(words[3], record.last);
        }
        if (name == "keywords") {
            TRY_VOID(count(2));
            TRY_VOID(number(words[1], record.keywords_clear));
            return number(words[2], record.keywords_tls);
        }
        if (name == "changed") {
            TRY_VOID(count(2));
            TRY_VOID(time(words[1], record.changes[0]));
            return time(words[2], record.changes[1]);
        }
        for (const auto& [one, into] : {std::pair{"tls-worked", &record.tls_worked},
                                        {"tls-alarm", &record.tls_alarm},
                                        {"bdat-first-until", &record.discards_bdat_until},
                                        {"removed", &record.removed}})
            if (name == one) {
                TRY_VOID(count(1));
                return time(words[1], *into);
            }
        if (name == "slowest") {
            TRY_VOID(count(record.slowest.size()));
            for (std::size_t i = 0; i < record.slowest.size(); ++i)
                TRY_VOID(number(words[i + 1], record.slowest[i]));
            return {};
        }
        if (name == "limits")
            return options(words, 1,
                           {{"recipients-per-mail", [&](std::string_view v) { return number(v, record.limits.recipients_per_mail); }},
                            {"mails-per-session", [&](std::string_view v) { return number(v, record.limits.mails_per_session); }},
                            {"errors-per-session", [&](std::string_view v) { return number(v, record.limits.errors_per_session); }},
                            {"sessions", [&](std::string_view v) { return number(v, record.limits.sessions); }},
                            {"until", [&](std::string_view v) { return time(v, record.limits_until); }}});
        if (name == "candidates")
            return options(words, 1,
                           {{"recipients", [&](std::string_view v) { return pair(v, record.recipients.number, record.recipients.seen); }},
                            {"errors", [&](std::string_view v) { return pair(v, record.errors.number, record.errors.seen); }},
                            {"close-after", [&](std::string_view v) { return pair(v, record.close_after.number, record.close_after.seen); }}});
        return refuse(fmt::format("unknown word '{}'", printable(name.substr(0, 60))));
    }

    using Option = std::pair<std::string_view, std::function<Result<void>(std::string_view)>>;
    static Result<void> options(const Words& words, std::size_t from, const std::vector<Option>& known)
    {
        for (std::size_t at = from; at < words.size(); ++at) {
            const auto equals = words[at].find('=');
            const std::string_view key = words[at].substr(0, equals);
            const auto option = std::ranges::find(known, key, &Option::first);
            if (option == known.end() || equals == words[at].npos)
                return refuse(fmt::format("unknown word '{}'", printable(words[at].substr(0, 60))));
            TRY_VOID(option->second(words[at].substr(equals + 1)));
        }
        return {};
    }

    Result<void> quirk(Words words, std::string_view text)
    {
        if (words.size() < 2)
            return refuse("quirk wants a name");
        const auto* const entry = std::ranges::find(quirk_names, words[1], &QuirkName::name);
        if (entry == quirk_names.end())
            return refuse(fmt::format("unknown quirk '{}'", printable(words[1].substr(0, 60))));
        if (entry->kind == QuirkClass::security)
            return refuse(fmt::format("{} is never learned: smtp_peer_rules can say it", entry->name));
        if (entry->quirk == Quirk::no_bdat_over)
            return refuse("no-bdat-over is written 'no-bdat number=N'");
        Record& record = records.back();
        if (std::ranges::find(record.marks, entry->quirk, &Mark::quirk) != record.marks.end())
            return refuse(fmt::format("{} stands twice for one peer", entry->name));
        Mark mark;
        mark.quirk = entry->quirk;
        if (const auto seen = std::ranges::find_if(words, [](std::string_view word) { return word.starts_with("seen="); }); seen != words.end()) {
            const auto from = static_cast<std::size_t>(seen->data() - text.data());
            mark.seen = std::string(trim(text.substr(from + 5)));
            if (mark.seen.size() > word_octets)
                return refuse("seen= is too long");
            words.erase(seen, words.end());
        }
        std::erase_if(words, [&](std::string_view word) {
            mark.convicted = mark.convicted || word == "convicted";
            mark.try_without = mark.try_without || word == "try-without";
            return word == "convicted" || word == "try-without";
        });
        const std::uint64_t most = mark.quirk == Quirk::no_param ? 15 : mark.quirk == Quirk::close_after ? UINT32_MAX : UINT64_MAX;
        TRY_VOID(options(words, 2,
                         {{"number", [&](std::string_view v) { return number(v, mark.number, most); }},
                          {"sightings", [&](std::string_view v) { return number(v, mark.sightings); }},
                          {"with", [&](std::string_view v) { return pair(v, mark.tally.with_ok, mark.tally.with_failed); }},
                          {"without", [&](std::string_view v) { return pair(v, mark.tally.without_ok, mark.tally.without_failed); }},
                          {"first", [&](std::string_view v) { return time(v, mark.first); }},
                          {"last", [&](std::string_view v) { return time(v, mark.last); }},
                          {"since", [&](std::string_view v) { return time(v, mark.since); }},
                          {"until", [&](std::string_view v) { return time(v, mark.until); }},
                          {"canary", [&](std::string_view v) { return time(v, mark.canary); }},
                          {"clean-canaries", [&](std::string_view v) { return number(v, mark.clean_canaries); }}}));
        if (mark.convicted && mark.until == WallTime{})
            return refuse("a convicted quirk wants until=TIME");
        if (mark.convicted && mark.number == 0 && (mark.quirk == Quirk::no_param || mark.quirk == Quirk::close_after))
            return refuse(fmt::format("{} wants number=N", entry->name));
        record.marks.push_back(std::move(mark));
        return {};
    }

    bool headed_ = false;
    std::unordered_set<std::string> keys_, said_;
};

}  // namespace

std::string time_text(WallTime time)
{
    if (time == WallTime{})
        return "-";
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                       static_cast<unsigned>(date.day()), clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::optional<WallTime> parse_time(std::string_view text)
{
    if (text == "-")
        return WallTime{};
    if (text.size() != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' || text[19] != 'Z')
        return std::nullopt;
    std::array<unsigned, 6> parts{};
    static constexpr std::array<std::pair<std::size_t, std::size_t>, 6> places{{{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}}};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto number = parse_number(text.substr(places[i].first, places[i].second));
        if (!number)
            return std::nullopt;
        parts[i] = static_cast<unsigned>(*number);
    }
    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(parts[0])}, std::chrono::month{parts[1]}, std::chrono::day{parts[2]}};
    if (!date.ok() || parts[0] < 1970 || parts[3] > 23 || parts[4] > 59 || parts[5] > 59)
        return std::nullopt;
    const auto time = std::chrono::sys_days{date} + std::chrono::hours{parts[3]} + std::chrono::minutes{parts[4]} + std::chrono::seconds{parts[5]};
    return time.time_since_epoch().count() <= last_second ? std::optional(WallTime{time}) : std::nullopt;
}

std::string listing_of(std::span<const Record> records)
{
    std::string out = fmt::format("{}\n", heading);
    for (const Record& record : records)
        append(out, record);
    return out;
}

Result<std::vector<Record>> parse_listing(std::string_view text, std::string_view name)
{
    if (text.size() > listing_octets)
        return Error(fmt::format("{}: larger than {} octets", name, listing_octets), "5.5.2");
    Reader reader;
    std::size_t line = 0;
    while (!text.empty()) {
        ++line;
        const auto end = text.find('\n');
        std::string_view one = text.substr(0, end);
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
        if (one.ends_with('\r'))
            one.remove_suffix(1);
        if (one.size() > line_octets)
            return Error(fmt::format("{}, line {}: longer than {} octets", name, line, line_octets), "5.5.2");
        if (const auto taken = reader.line(one); !taken)
            return Error(fmt::format("{}, line {}: {}", name, line, taken.error().what()), "5.5.2");
    }
    if (!reader.headed())
        return Error(fmt::format("{}, line {}: the first line is to be '{}'", name, line + 1, heading), "5.5.2");
    return std::move(reader.records);
}

}  // namespace posthorn::peers
