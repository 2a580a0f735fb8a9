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

}  // namespace

struct Rules::Rule {
    bool ehlo = false, negated = false;
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

bool RuleWords::empty() const { return *this == RuleWords{}; }

void RuleWords::merge(const RuleWords& other)
{
    quirks.merge(other.quirks);
    not_quirks.merge(other.not_quirks);
    other.apply(limits);
    bdat_first = other.bdat_first ? other.bdat_first : bdat_first;
    early = other.early ? other.early : early;
}

void RuleWords::apply(Limits& onto) const
{
    for (const NumberWord& word : number_words)
        if (limits.*word.limit != 0)
            onto.*word.limit = limits.*word.limit;
}

Result<RuleWords> parse_rule_words(std::string_view text)
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
        for (const std::string_view place : {"greeting", "ehlo"})
            if (istarts_with(rest, place) && rest.size() > place.size() && is_space(rest[place.size()])) {
                rule.ehlo = place == "ehlo";
                rest = trim(rest.substr(place.size()));
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
        auto words = parse_rule_words(rest.substr(std::min(at, rest.size())));
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

RuleWords Rules::words_for(const Meeting& meeting) const
{
    RuleWords words;
    bool greeting = false, ehlo = meeting.ehlo.empty();
    for (const Rule& rule : rules_) {
        bool& found = rule.ehlo ? ehlo : greeting;
        if (found || !rule.matches(rule.ehlo ? meeting.ehlo : meeting.greeting))
            continue;
        found = true;
        words.merge(rule.words);
    }
    return words;
}

}  // namespace posthorn::peers
