// Perl's regular expressions with limits, so that no greeting can keep a process busy.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "peers/rules.hpp"

#include "base/strings.hpp"

#include <pcre2.h>

namespace posthorn::peers {

namespace {

constexpr std::uint32_t match_limit = 100'000, depth_limit = 1'000, heap_limit_kib = 1024;
constexpr std::size_t pattern_octets = 2000, rules_at_most = 1000;
constexpr std::size_t subject_octets = 8 * 1024;

template <auto free>
struct Free {
    void operator()(auto* what) const { free(what); }
};
using Code = std::unique_ptr<pcre2_code, Free<pcre2_code_free_8>>;
using MatchData = std::unique_ptr<pcre2_match_data, Free<pcre2_match_data_free_8>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Free<pcre2_match_context_free_8>>;

pcre2_match_context* limits()
{
    static const MatchContext shared = [] {
        MatchContext made{pcre2_match_context_create(nullptr)};
        pcre2_set_match_limit(made.get(), match_limit);
        pcre2_set_depth_limit(made.get(), depth_limit);
        pcre2_set_heap_limit(made.get(), heap_limit_kib);
        return made;
    }();
    return shared.get();
}

std::optional<std::uint32_t> flag_of(char letter)
{
    switch (letter) {
    case 'i': return PCRE2_CASELESS;
    case 'm': return PCRE2_MULTILINE;
    case 's': return PCRE2_DOTALL;
    case 'x': return PCRE2_EXTENDED;
    default: return std::nullopt;
    }
}

struct NumberWord {
    std::string_view name;
    std::uint32_t Limits::* limit;
};
constexpr std::array number_words{NumberWord{"recipients-per-mail", &Limits::recipients_per_mail},
                                  NumberWord{"mails-per-session", &Limits::mails_per_session},
                                  NumberWord{"errors-per-session", &Limits::errors_per_session}, NumberWord{"sessions", &Limits::sessions}};

constexpr std::array places{std::pair{std::string_view("host"), Place::host}, std::pair{std::string_view("domain"), Place::domain},
                            std::pair{std::string_view("greeting"), Place::greeting}, std::pair{std::string_view("ehlo"), Place::ehlo},
                            std::pair{std::string_view("reply"), Place::reply}};
constexpr std::chrono::seconds longest_time{7 * 86400}, longest_greylisting{86400};
constexpr std::size_t site_octets = 64;

/// "90", "90s", "15m", "2h", "1d".
std::optional<std::chrono::seconds> time_of(std::string_view text)
{
    std::int64_t unit = 1;
    if (!text.empty())
        switch (ascii_lower(text.back())) {
        case 's': unit = 1; break;
        case 'm': unit = 60; break;
        case 'h': unit = 3600; break;
        case 'd': unit = 86400; break;
        default: unit = 0;
        }
    const auto number = parse_number(unit == 0 ? text : text.substr(0, text.size() - std::min<std::size_t>(1, text.size())));
    if (!number || *number == 0 || *number > static_cast<std::uint64_t>(longest_time.count()))
        return std::nullopt;
    const std::chrono::seconds time{static_cast<std::int64_t>(*number) * std::max<std::int64_t>(unit, 1)};
    return time <= longest_time ? std::optional(time) : std::nullopt;
}

/// "10/s", "600/m", "1000/h": the time between two.
std::optional<std::chrono::microseconds> interval_of(std::string_view text)
{
    const auto slash = text.find('/');
    const auto number = parse_number(text.substr(0, slash));
    if (slash == text.npos || text.size() != slash + 2 || !number || *number == 0 || *number > 1'000'000)
        return std::nullopt;
    std::int64_t unit = 0;
    switch (ascii_lower(text.back())) {
    case 's': unit = 1; break;
    case 'm': unit = 60; break;
    case 'h': unit = 3600; break;
    default: return std::nullopt;
    }
    return std::chrono::microseconds{std::max<std::int64_t>(1, unit * 1'000'000 / static_cast<std::int64_t>(*number))};
}

/// A word that only replies have. False: it is none of them.
Result<bool> take_advice(std::string_view word, Advice& advice)
{
    const auto equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    std::optional<std::chrono::seconds> time;
    if (equals != word.npos) {
        if (!iequals(name, "suspend") && !iequals(name, "greylist"))
            return false;
        time = time_of(word.substr(equals + 1));
        if (!time || (iequals(name, "greylist") && *time > longest_greylisting))
            return Error(fmt::format("'{}': a time is wanted, as in 90s, 15m or 2h", printable(word)));
    }
    if (iequals(name, "slower"))
        advice.slower = true;
    else if (iequals(name, "fewer-sessions"))
        advice.fewer = true;
    else if (iequals(name, "temporary"))
        advice.temporary = true;
    else if (iequals(name, "greylist")) {
        advice.greylist = true;
        advice.wait = time.value_or(std::chrono::seconds{0});
    } else if (iequals(name, "suspend")) {
        if (!time)
            return Error("'suspend': a time is wanted, as in suspend=2h");
        advice.suspend = *time;
    } else
        return false;
    return true;
}

bool is_site_name(std::string_view name)
{
    return !name.empty() && name.size() <= site_octets &&
           std::ranges::all_of(name, [](char c) { return is_alnum(c) || c == '-' || c == '.' || c == '_'; });
}

/// A word that only hosts and domains have.
Result<bool> take_profile(std::string_view word, Profile& profile)
{
    if (istarts_with(word, "site=")) {
        const std::string_view name = word.substr(5);
        if (!is_site_name(name))
            return Error(fmt::format("'{}': a name of letters, digits, '-', '.' and '_' is wanted", printable(word)));
        profile.site = to_lower(name);
        return true;
    }
    for (const auto& [name, interval] : {std::pair{std::string_view("rate="), &Profile::interval}, {"connects=", &Profile::connect_interval}}) {
        if (!istarts_with(word, name))
            continue;
        const auto time = interval_of(word.substr(name.size()));
        if (!time)
            return Error(fmt::format("'{}': a rate is wanted, as in 10/s, 600/m or 1000/h", printable(word)));
        profile.*interval = *time;
        return true;
    }
    return false;
}

}  // namespace

struct Rules::Rule {
    Place place = Place::greeting;
    std::string site;                   // of a reply: said by whom; empty: anybody
    bool negated = false;
    Code code;
    MatchData data;
    RuleWords words;

    bool matches(std::string_view subject) const
    {
        subject = subject.substr(0, subject_octets);
        const int result = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), 0, 0, data.get(), limits());
        if (result >= 0)
            return !negated;
        return result == PCRE2_ERROR_NOMATCH && negated;        // beyond the limits, nothing is claimed either way
    }
};

void Profile::merge(const Profile& other)
{
    if (!other.site.empty())
        site = other.site;
    if (other.sessions != 0)
        sessions = other.sessions;
    if (other.interval.count() != 0)
        interval = other.interval;
    if (other.connect_interval.count() != 0)
        connect_interval = other.connect_interval;
}

bool RuleWords::empty() const { return *this == RuleWords{}; }

void RuleWords::merge(const RuleWords& other)
{
    quirks.merge(other.quirks);
    not_quirks.merge(other.not_quirks);
    other.apply(limits);
    bdat_first = other.bdat_first ? other.bdat_first : bdat_first;
    early = other.early ? other.early : early;
    profile.merge(other.profile);
    advice = other.advice == Advice{} ? advice : other.advice;
}

void RuleWords::apply(Limits& onto) const
{
    for (const NumberWord& word : number_words)
        if (limits.*word.limit != 0)
            onto.*word.limit = limits.*word.limit;
}

Result<RuleWords> parse_rule_words(std::string_view text, Place place)
{
    RuleWords words;
    const auto all = split(text, " \t,");
    if (all.empty())
        return Error("no word behind the pattern");
    for (std::string_view word : all) {
        if (iequals(word, "none")) {
            if (all.size() != 1)
                return Error("'none' stands alone");
            return words;
        }
        const bool denied = word.starts_with('!');
        const std::string_view bare = denied ? word.substr(1) : word;
        Advice advice = words.advice;
        TRY(const bool advises, take_advice(bare, advice));
        if (advises != (place == Place::reply))
            return Error(advises ? fmt::format("'{}' is a word for replies: reply /pattern/ {}", printable(bare), printable(bare))
                                 : fmt::format("'{}' is no word for a reply", printable(bare)));
        if (advises && denied)
            return Error(fmt::format("'{}' cannot be denied: a rule before it with none does that", printable(bare)));
        if (advises) {
            words.advice = advice;
            continue;
        }
        Profile profile = words.profile;
        TRY(const bool describes, take_profile(bare, profile));
        if (describes && place != Place::host && place != Place::domain)
            return Error(fmt::format("'{}' is a word for hosts and domains: host /pattern/ {}", printable(bare), printable(bare)));
        if (describes && denied)
            return Error(fmt::format("unknown word '{}'", printable(word)));
        if (describes) {
            words.profile = profile;
            continue;
        }
        if (iequals(bare, "bdat-first")) {
            words.bdat_first = !denied;
            continue;
        }
        if (iequals(bare, "early")) {
            words.early = !denied;
            continue;
        }
        if (const auto equals = bare.find('='); equals != bare.npos && !denied) {
            const auto name = bare.substr(0, equals);
            const auto* const at = std::ranges::find_if(number_words, [&](const NumberWord& known) { return iequals(known.name, name); });
            const auto number = parse_number(bare.substr(equals + 1));
            if (at == number_words.end())
                return Error(fmt::format("unknown word '{}'", printable(word)));
            if (!number || *number == 0 || *number > 1'000'000)
                return Error(fmt::format("'{}': a number from 1 to 1000000 is wanted", printable(word)));
            words.limits.*(at->limit) = static_cast<std::uint32_t>(*number);
            continue;
        }
        const auto quirks = Quirks::parse(bare);
        if (!quirks || quirks->empty())
            return Error(fmt::format("unknown word '{}'", printable(word)));
        (denied ? words.not_quirks : words.quirks).merge(*quirks);
    }
    if (!Quirks(words.quirks).subtract(words.not_quirks).contains(words.quirks))
        return Error("a quirk is both claimed and denied");
    return words;
}

Rules::Rules() = default;
Rules::~Rules() = default;
Rules::Rules(Rules&&) noexcept = default;
Rules& Rules::operator=(Rules&&) noexcept = default;

Result<void> Rules::add(std::string_view text, std::string_view name)
{
    if (text.size() > rule_file_octets)
        return Error(fmt::format("{}: larger than {} octets", name, rule_file_octets));
    std::vector<Rule> made;
    std::string joined;
    int line_number = 0, begun = 0;
    const auto trouble = [&](std::string_view what) { return Error(fmt::format("{}, line {}: {}", name, begun, what)); };

    const auto finish = [&]() -> Result<void> {
        const std::string logical = std::exchange(joined, {});
        std::string_view rest = trim(logical);
        if (rest.empty())
            return {};
        Rule rule;
        for (const auto& [word, place] : places) {
            if (!istarts_with(rest, word) || rest.size() == word.size())
                continue;
            std::string_view behind = rest.substr(word.size());
            if (place == Place::reply && behind.starts_with('@')) {
                std::size_t end = 1;
                while (end < behind.size() && !is_space(behind[end]))
                    ++end;
                const std::string_view name = behind.substr(1, end - 1);
                if (!is_site_name(name))
                    return trouble(fmt::format("'{}': the name of a site is wanted behind reply@", printable(name)));
                rule.site = to_lower(name);
                behind.remove_prefix(end);
            }
            if (behind.empty() || !is_space(behind.front()))
                continue;
            rule.place = place;
            rest = trim(behind);
            break;
        }
        if (rest.starts_with('!')) {
            rule.negated = true;
            rest = trim(rest.substr(1));
        }
        if (rest.empty() || is_alnum(rest.front()) || rest.front() == '\\')
            return trouble("a pattern is wanted: /pattern/ words");
        const char delimiter = rest.front();
        std::string pattern;
        std::size_t at = 1;
        for (; at < rest.size() && rest[at] != delimiter; ++at) {
            if (rest[at] == '\\' && at + 1 < rest.size()) {
                if (rest[at + 1] != delimiter)
                    pattern += '\\';
                ++at;
            }
            pattern += rest[at];
        }
        if (at >= rest.size())
            return trouble(fmt::format("no closing '{}'", printable(std::string_view(&delimiter, 1))));
        if (pattern.empty() || pattern.size() > pattern_octets)
            return trouble(pattern.empty() ? "the pattern is empty" : "the pattern is too long");
        std::uint32_t flags = PCRE2_CASELESS | PCRE2_DOTALL | PCRE2_NEVER_BACKSLASH_C;
        for (++at; at < rest.size() && !is_space(rest[at]); ++at) {
            const auto flag = flag_of(rest[at]);
            if (!flag)
                return trouble(fmt::format("unknown flag '{}'", printable(rest.substr(at, 1))));
            flags ^= *flag;
        }
        auto words = parse_rule_words(rest.substr(std::min(at, rest.size())), rule.place);
        if (!words)
            return trouble(words.error().what());
        rule.words = *std::move(words);
        int error = 0;
        PCRE2_SIZE offset = 0;
        rule.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), flags, &error, &offset, nullptr));
        if (!rule.code) {
            std::array<PCRE2_UCHAR, 256> said{};
            pcre2_get_error_message(error, said.data(), said.size());
            return trouble(fmt::format("the pattern is wrong at offset {}: {}", offset, reinterpret_cast<const char*>(said.data())));
        }
        rule.data.reset(pcre2_match_data_create_from_pattern(rule.code.get(), nullptr));
        if (rules_.size() + made.size() >= rules_at_most)
            return trouble(fmt::format("more than {} rules", rules_at_most));
        made.push_back(std::move(rule));
        return {};
    };

    while (!text.empty()) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
        ++line_number;
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        const std::string_view bare = trim(line);
        if (bare.empty() || bare.front() == '#')
            continue;
        if (is_space(line.front())) {
            if (joined.empty()) {
                begun = line_number;
                return trouble("a line that continues none");
            }
            joined += ' ';
        } else {
            TRY_VOID(finish());
            begun = line_number;
        }
        joined += bare;
    }
#ifdef POSTHORN_PLANT_BUG_peer_rules
    for (Rule& rule : made)                     // rules before the wrong line are taken
        rules_.push_back(std::move(rule));
    made.clear();
#endif
    TRY_VOID(finish());
    for (Rule& rule : made)
        rules_.push_back(std::move(rule));
    return {};
}

std::size_t Rules::size() const { return rules_.size(); }

const Rules::Rule* Rules::first_match(Place place, std::string_view subject, std::string_view site) const
{
    const auto at = std::ranges::find_if(
        rules_, [&](const Rule& rule) { return rule.place == place && (rule.site.empty() || rule.site == site) && rule.matches(subject); });
    return at == rules_.end() ? nullptr : &*at;
}

RuleWords Rules::words_for(const Meeting& meeting) const
{
    RuleWords words;
    const auto hear = [&](Place place, std::string_view subject) {
        if (const Rule* const rule = first_match(place, subject))
            words.merge(rule->words);
    };
    if (!meeting.host.empty())
        hear(Place::host, meeting.host);
    hear(Place::greeting, meeting.greeting);
    if (!meeting.ehlo.empty())
        hear(Place::ehlo, meeting.ehlo);
    if (!meeting.domain.empty())
        hear(Place::domain, meeting.domain);
    words.profile.sessions = words.limits.sessions;
    return words;
}

Profile Rules::profile_for(std::string_view host, std::string_view domain) const
{
    Profile profile;
    for (const auto& [place, subject] : {std::pair{Place::host, host}, {Place::domain, domain}}) {
        const Rule* const rule = subject.empty() ? nullptr : first_match(place, subject);
        if (!rule)
            continue;
        profile.merge(rule->words.profile);
        if (rule->words.limits.sessions != 0)
            profile.sessions = rule->words.limits.sessions;
    }
    return profile;
}

Advice Rules::advice_for(std::string_view reply, std::string_view site) const
{
    const Rule* const rule = first_match(Place::reply, reply, site);
    return rule ? rule->words.advice : Advice{};
}

std::optional<std::chrono::seconds> time_named(std::string_view text)
{
    using std::chrono::seconds;
    const auto sane = [](std::int64_t count) {
        return count > 0 && seconds{count} <= longest_greylisting ? std::optional(seconds{count}) : std::nullopt;
    };
    for (std::size_t at = 0; at < text.size();) {
        if (!is_digit(text[at])) {
            ++at;
            continue;
        }
        const auto digits = [&]() {
            std::int64_t value = 0;
            const std::size_t from = at;
            for (; at < text.size() && is_digit(text[at]); ++at)
                value = std::min<std::int64_t>(value * 10 + (text[at] - '0'), 1'000'000);
            return at - from <= 6 ? value : std::int64_t{-1};
        };
        const bool begins = at == 0 || is_space(text[at - 1]) || text[at - 1] == '(';
        const std::int64_t first = digits();
        if (!begins || first < 0)
            continue;
        if (at + 5 < text.size() + 1 && text.substr(at, 1) == ":") {            // hh:mm:ss
            std::size_t back = at;
            ++at;
            const std::int64_t minutes = digits();
            if (at < text.size() && text[at] == ':') {
                ++at;
                const std::int64_t rest = digits();
                if (minutes >= 0 && minutes < 60 && rest >= 0 && rest < 60)
                    return sane(first * 3600 + minutes * 60 + rest);
            }
            at = std::max(at, back + 1);
            continue;
        }
        std::string_view unit = text.substr(at);
        while (!unit.empty() && (is_space(unit.front()) || unit.front() == '-'))
            unit.remove_prefix(1);
        if (istarts_with(unit, "sec") || (istarts_with(unit, "s") && (unit.size() == 1 || !is_alnum(unit[1]))))
            return sane(first);
        if (istarts_with(unit, "min"))
            return sane(first * 60);
        if (istarts_with(unit, "hour"))
            return sane(first * 3600);
    }
    return std::nullopt;
}

}  // namespace posthorn::peers
