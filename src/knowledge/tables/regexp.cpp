// POSIX regular expressions: leftmost-longest, as regexec(3) has it, because tables were written for that. It is slow, so a
// text that every match must contain is looked for first (a memory search), and most rules need no regexec at all.
#include "base/strings.hpp"
#include "tables/patterns.hpp"

#include <fmt/format.h>

#include <regex.h>

#include <cstring>

namespace posthorn::tables {

std::vector<std::string> required_literals(std::string_view pattern, bool fold)
{
    std::vector<std::string> runs;
    std::string run;
    const auto flush = [&] {
        if (!run.empty())
            runs.push_back(std::exchange(run, {}));
    };
    const auto past_bracket = [&](std::size_t at) {              // `at` is at '['
        std::size_t end = at + 1;
        if (end < pattern.size() && pattern[end] == '^')
            ++end;
        if (end < pattern.size() && pattern[end] == ']')
            ++end;
        for (; end < pattern.size() && pattern[end] != ']'; ++end)
            if (pattern[end] == '[' && end + 1 < pattern.size() && std::strchr(".:=", pattern[end + 1]) != nullptr) {
                const std::size_t close = pattern.find(std::string{pattern[end + 1], ']'}, end + 2);
                if (close == pattern.npos)
                    return pattern.size();
                end = close + 1;
            }
        return end;
    };
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const char c = pattern[at];
        switch (c) {
        case '|': return {};                                           // either side: nothing is required
        case '(': {
            flush();
            int depth = 0;
            for (; at < pattern.size(); ++at) {
                if (pattern[at] == '\\')
                    ++at;
                else if (pattern[at] == '[')
                    at = past_bracket(at);
                else if (pattern[at] == '(')
                    ++depth;
                else if (pattern[at] == ')' && --depth == 0)
                    break;
            }
            break;
        }
        case '[':
            flush();
            at = past_bracket(at);
            break;
        case '*':
        case '?':
        case '+':
        case '{': {
            bool absent = false;                                 // "a+?" is "(a+)?": all that follow count for what is before the first
            std::size_t next = at;
            for (; next < pattern.size() && std::strchr("*?+{", pattern[next]) != nullptr; ++next) {
                absent |= pattern[next] != '+';
                if (pattern[next] == '{')
                    next = std::min(pattern.find('}', next), pattern.size() - 1);
            }
            at = next - 1;
#ifdef POSTHORN_PLANT_BUG_table_rules  // what may be absent is looked for as if it had to be there (scripts/fuzz-planted)
            absent = false;
#endif
            if (absent && !run.empty())
                run.pop_back();
            flush();
            break;
        }
        case '.':
        case '^':
        case '$': flush(); break;
        case '\\':
            ++at;
            if (at >= pattern.size() || is_alnum(pattern[at]) || std::strchr("<>`'", pattern[at]) != nullptr)
                flush();
            else
                run += pattern[at];
            break;
        default: run += fold ? ascii_lower(c) : c;
        }
    }
    flush();
    return runs;
}

namespace {

class PosixMatcher final : public Matcher {
public:
    static Result<std::unique_ptr<Matcher>> compile(const std::string& pattern, std::string_view options, bool)
    {
        int flags = REG_EXTENDED | REG_ICASE;
        for (const char option : options)
            flags ^= option == 'i' ? REG_ICASE : option == 'm' ? REG_NEWLINE : REG_EXTENDED;
        auto matcher = std::make_unique<PosixMatcher>();
        if (const int error = ::regcomp(&matcher->compiled_, pattern.c_str(), flags); error != 0) {
            std::string text(200, '\0');
            text.resize(::regerror(error, &matcher->compiled_, text.data(), text.size()) - 1);
            return Error{text};
        }
        matcher->fold_ = (flags & REG_ICASE) != 0;
        if ((flags & REG_EXTENDED) != 0)
            matcher->literals_ = required_literals(pattern.c_str(), matcher->fold_);
        matcher->ready_ = true;
        return matcher;
    }
    ~PosixMatcher() override
    {
        if (ready_)
            ::regfree(&compiled_);
    }

    Result<bool> match(Subject& subject, std::vector<Group>* groups) override
    {
        // Most rules of a long table fail here. Patterns for one domain differ in their first literals, seldom in the longest.
        if (!literals_.empty()) {
            std::string_view rest = fold_ ? std::string_view{subject.lower()} : subject.text;
            for (const std::string& literal : literals_) {
                const std::size_t at = rest.find(literal);
                if (at == std::string_view::npos)
                    return false;
                rest.remove_prefix(at + literal.size());
            }
        }
        std::vector<::regmatch_t> found(groups != nullptr ? compiled_.re_nsub + 1 : 1);
        found[0].rm_so = 0;
        found[0].rm_eo = static_cast<::regoff_t>(subject.text.size());
        const int error = ::regexec(&compiled_, subject.text.data(), groups != nullptr ? found.size() : 0, found.data(), REG_STARTEND);
        if (error == REG_NOMATCH)
            return false;
        if (error != 0)
            return Error{"regexp: out of memory", "4.3.0"};
        if (groups != nullptr) {
            groups->clear();
            for (const ::regmatch_t& part : found)
                groups->push_back(part.rm_so < 0 ? Group{1, 0} : Group{static_cast<std::size_t>(part.rm_so), static_cast<std::size_t>(part.rm_eo)});
        }
        return true;
    }
    std::size_t groups() const override { return compiled_.re_nsub; }

private:
    ::regex_t compiled_{};
    bool ready_ = false, fold_ = false;
    std::vector<std::string> literals_;
};

constexpr PatternSyntax regexp_syntax{"regexp", "skipping", "imx", PosixMatcher::compile};

Result<std::shared_ptr<const PatternRules>> parse_regexp(std::span<const LogicalLine> lines, std::string_view file, Flags flags, FileOpener& opener,
                                                         Warnings& warnings)
{
    return PatternRules::parse(regexp_syntax, lines, file, flags, opener, warnings);
}

class RegexpTable final : public RulesTable<PatternRules> {
public:
    using RulesTable::RulesTable;
    Answer find(std::string_view key) override
    {
        TRY(const PatternRules* now, rules());
        if (flags_.utf8 && !is_ascii(key) && !is_valid_utf8(key))
            return std::nullopt;
        return now->find(key);
    }
};

}  // namespace

std::shared_ptr<Table> open_regexp(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return std::make_shared<RegexpTable>(std::move(spec), name, flags, tables.site(), parse_regexp);
}

}  // namespace posthorn::tables
