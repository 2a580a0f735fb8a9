#include "tables/patterns.hpp"

#include "base/strings.hpp"
#include "tables/fixed.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::tables {

const std::string& Subject::lower()
{
    if (!lower_)
        lower_ = to_lower(text);
    return *lower_;
}

class PatternBuilder {
public:
    PatternBuilder(const PatternSyntax& syntax, std::string_view file, Flags flags, FileOpener& opener, Warnings& warnings)
        : syntax_(syntax), file_(file), flags_(flags), opener_(opener), warnings_(warnings), rules_(std::make_shared<PatternRules>())
    {
    }

    Result<void> add(const LogicalLine& line)
    {
        line_ = line.number;
        const std::string_view text = trim(line.text);
        const auto keyword = [&](std::string_view word) {
            return istarts_with(text, word) && (text.size() == word.size() || !is_alnum(text[word.size()]));
        };
        if (!is_alnum(text.front()))
            return add_rule(text, false);
        if (keyword("if"))
            return add_rule(trim(text.substr(2)), true);
        if (keyword("endif")) {
            end_block(trim(text.substr(5)));
            return {};
        }
        warn("ignoring unrecognized request");
        return {};
    }

    std::shared_ptr<const PatternRules> finish()
    {
        for (const std::size_t open : open_) {
            line_ = rules_->rules_[open].line;
            warn("IF has no matching ENDIF");
            rules_->rules_[open].skip_to = rules_->rules_.size();
        }
        return rules_;
    }

private:
    void warn(std::string_view text) { warnings_.push_back(fmt::format("{} map {}, line {}: {}", syntax_.type, file_, line_, text)); }

    void end_block(std::string_view extra)
    {
        if (open_.empty()) {
            warn("ignoring ENDIF without matching IF");
            return;
        }
        if (!extra.empty())
            warn(fmt::format("ignoring extra text after ENDIF: \"{}\"", extra));
        rules_->rules_[open_.back()].skip_to = rules_->rules_.size();
        open_.pop_back();
    }

    Result<void> add_rule(std::string_view text, bool condition)
    {
        PatternRules::Rule rule{.condition = condition, .line = line_};
        for (; text.starts_with('!'); text = trim(text.substr(1)))
            rule.negated = !rule.negated;
        if (text.empty() || is_alnum(text.front())) {
            warn(text.empty() ? "empty expression: skipping this rule" : "ignoring unrecognized request");
            return {};
        }
        const char delimiter = text.front();
        std::size_t end = 1;
        for (; end < text.size() && text[end] != delimiter; ++end)
            if (text[end] == '\\' && end + 1 < text.size())
                ++end;
        if (end >= text.size()) {
            warn(fmt::format("no closing regexp delimiter \"{}\": {} this rule", delimiter, syntax_.unclosed));
            return {};
        }
        const std::string pattern(text.substr(1, end - 1));
        text.remove_prefix(end + 1);
        const std::string_view options = text.substr(0, text.find_first_of(" \t"));
        for (const char option : options)
            if (syntax_.flags.find(option) == std::string_view::npos) {
                warn(fmt::format("unknown regexp option \"{}\": skipping this rule", printable({&option, 1})));
                return {};
            }
        const std::string_view rest = trim(text.substr(options.size()));

        if (condition) {
            if (!rest.empty()) {
                warn(fmt::format("ignoring extra text after IF statement: \"{}\"", rest));
                warn("do not prepend whitespace to statements between IF and ENDIF");
            }
        } else {
            if (rest.empty())
                warn("no replacement text: using empty string");
            std::string value(rest);
            if (flags_.file_values && !rest.empty()) {
                auto content = read_file_values(rest, opener_);
                if (!content) {
                    warn(content.error().what() + ": skipping this rule");
                    return {};
                }
                value = std::move(*content);
            }
            if (!parse_result(value, rule))
                return {};
        }
        auto matcher = syntax_.compile(pattern, options, flags_.utf8);
        if (!matcher) {
            warn(matcher.error().what());
            return {};
        }
        std::size_t highest = 0;
        for (const auto& piece : rule.result)
            highest = std::max(highest, piece.group);
        if (highest > (*matcher)->groups()) {
            warn(fmt::format("out of range replacement index \"{}\": skipping this rule", highest));
            return {};
        }
        rule.matcher = std::move(*matcher);
        if (condition)
            open_.push_back(rules_->rules_.size());
        rules_->rules_.push_back(std::move(rule));
        return {};
    }

    bool parse_result(std::string_view value, PatternRules::Rule& rule)
    {
        std::string text;
        for (std::size_t at = 0; at < value.size();) {
            if (value[at] != '$') {
                text += value[at++];
                continue;
            }
            if (value.substr(at).starts_with("$$")) {
                text += '$';
                at += 2;
                continue;
            }
            std::string_view name;
            const char open = at + 1 < value.size() ? value[at + 1] : '\0';
            if (open == '{' || open == '(') {
                const std::size_t close = value.find(open == '{' ? '}' : ')', at + 2);
                if (close != value.npos) {
                    name = value.substr(at + 2, close - at - 2);
                    at = close + 1;
                }
            } else {
                std::size_t end = at + 1;
                while (end < value.size() && (is_alnum(value[end]) || value[end] == '_'))
                    ++end;
                name = value.substr(at + 1, end - at - 1);
                at = end;
            }
            const auto index = parse_number(name);
            if (!index) {
                if (!name.empty())
                    warn(fmt::format("non-numeric replacement index \"{}\"", name));
                warn("bad replacement syntax: skipping this rule");
                return false;
            }
            if (*index == 0) {
                warn(fmt::format("{} replacement index \"0\"", syntax_.type == "pcre" ? "out of range" : "out-of-range"));
                warn("bad replacement syntax: skipping this rule");
                return false;
            }
            if (!flags_.substitute) {
                warn("regular expression substitution is not allowed: skipping this rule");
                return false;
            }
            if (rule.negated) {
                warn("$number found in negative match replacement text: skipping this rule");
                return false;
            }
            if (*index > 99) {
                warn(fmt::format("out of range replacement index \"{}\": skipping this rule", *index));
                return false;
            }
            rule.result.push_back({std::move(text), static_cast<std::size_t>(*index)});
            text.clear();
        }
        rule.result.push_back({std::move(text)});
        return true;
    }

    const PatternSyntax& syntax_;
    std::string_view file_;
    Flags flags_;
    FileOpener& opener_;
    Warnings& warnings_;
    std::shared_ptr<PatternRules> rules_;
    std::vector<std::size_t> open_;
    int line_ = 0;
};

Result<std::shared_ptr<const PatternRules>> PatternRules::parse(const PatternSyntax& syntax, std::span<const LogicalLine> lines,
                                                                std::string_view file, Flags flags, FileOpener& opener, Warnings& warnings)
{
    PatternBuilder builder(syntax, file, flags, opener, warnings);
    for (const LogicalLine& line : lines)
        TRY_VOID(builder.add(line));
    return builder.finish();
}

Answer PatternRules::find(std::string_view key) const
{
    Subject subject(key);
    std::vector<Matcher::Group> groups;
    for (std::size_t at = 0; at < rules_.size();) {
        const Rule& rule = rules_[at];
        TRY(const bool matches, rule.matcher->match(subject, rule.result.size() > 1 ? &groups : nullptr));
        if (matches == rule.negated) {
            at = rule.condition ? rule.skip_to : at + 1;
            continue;
        }
        if (rule.condition) {
            ++at;
            continue;
        }
        std::string value;
        for (const Piece& piece : rule.result) {
            value += piece.text;
            if (piece.group > 0 && piece.group < groups.size() && groups[piece.group].from < groups[piece.group].to)
                value += key.substr(groups[piece.group].from, groups[piece.group].to - groups[piece.group].from);
        }
        return value;
    }
    return std::nullopt;
}

}  // namespace posthorn::tables
