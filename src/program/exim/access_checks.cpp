#include "exim/access_checks.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::exim {

std::string escaped_delimiter(std::string_view pattern)
{
    std::string text;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        if (pattern[at] == '\\' && at + 1 < pattern.size()) {
            text += pattern[at];
            text += pattern[++at];
        } else if (pattern[at] == '/') {
            text += "\\/";
        } else {
            text += pattern[at];
        }
    }
    return text;
}

std::optional<Check> address_check(std::string_view restriction, const PatternSet& set, Subject subject)
{
    const auto rules = as_address_rules(set, subject);
    if (!rules)
        return {};
    Check check{std::string(restriction), "pcre", {}};
    for (const AddressRule& rule : *rules)
        check.rules += fmt::format("/{}/ {}\n", escaped_delimiter(rule.pattern), rule.negated ? std::string("DUNNO") : std::string(1, result_here));
    return check;
}

std::optional<std::vector<Check>> host_checks(const PatternSet& set)
{
    if (!set.unknown.empty())
        return {};
    Check networks{"check_client_access", "cidr", {}}, names{"check_client_access", "pcre", {}};
    for (const PatternRule& rule : set.rules) {
        const std::string result = rule.negated ? std::string("DUNNO") : std::string(1, result_here);
        switch (rule.kind) {
        case PatternRule::Kind::network: networks.rules += fmt::format("{} {}\n", rule.text, result); break;
        case PatternRule::Kind::everything: networks.rules += fmt::format("0.0.0.0/0 {0}\n::/0 {0}\n", result); break;
        case PatternRule::Kind::text: names.rules += fmt::format("/^{}$/ {}\n", escaped_delimiter(regex_of(rule.text)), result); break;
        case PatternRule::Kind::suffix: names.rules += fmt::format("/{}$/ {}\n", escaped_delimiter(regex_of(rule.text)), result); break;
        case PatternRule::Kind::regex: names.rules += fmt::format("/{}/ {}\n", escaped_delimiter(rule.text), result); break;
        case PatternRule::Kind::no_host: break;                    // no client of smtpd is none
        }
    }
    if (set.otherwise)
        networks.rules += fmt::format("0.0.0.0/0 {0}\n::/0 {0}\n", result_here);
    if (!names.rules.empty() && set.has_negations())
        return {};
    std::vector<Check> checks;
    for (Check* check : {&networks, &names})
        if (!check->rules.empty())
            checks.push_back(std::move(*check));
    return checks;
}

bool is_helo(std::string_view text)
{
    text = trim(text);
    return text == "$sender_helo_name" || text == "${sender_helo_name}" || text == "${lc:$sender_helo_name}";
}

std::optional<bool> asks_for_helo(const Condition& condition, const Known& known)
{
    const auto asked = condition.name == "condition" ? as_question(condition.value, known) : std::nullopt;
    if (!asked)
        return {};
    const bool turned = asked->negated != condition.negated;
    const std::vector<std::string>& arguments = asked->arguments;
    if (asked->word == "def" && arguments.size() == 1 && arguments[0] == "sender_helo_name")
        return !turned;
    if ((asked->word == "eq" || asked->word == "eqi") && arguments.size() == 2 &&
        ((is_helo(arguments[0]) && trim(arguments[1]).empty()) || (is_helo(arguments[1]) && trim(arguments[0]).empty())))
        return turned;
    return {};
}

Condition as_list_condition(const Condition& condition, const Known& known)
{
    struct Same {
        std::string_view word, subject, name;
    };
    static constexpr Same same[] = {{"match_domain", "sender_address_domain", "sender_domains"}, {"match_domain", "domain", "domains"},
                                    {"match_local_part", "local_part", "local_parts"},           {"match_address", "sender_address", "senders"},
                                    {"match_address", "local_part@$domain", "recipients"},       {"match_ip", "sender_host_address", "hosts"}};
    auto asked = condition.name == "condition" ? as_question(condition.value, known) : std::nullopt;
    if (!asked)
        return condition;
    const auto listed = [&](std::string_view name, std::string value, bool turned) {
        return Condition{condition.place, std::string(name), std::move(value), condition.negated != (asked->negated != turned)};
    };
    const bool is_empty = (asked->word == "eq" && asked->arguments.size() == 2 && trim(asked->arguments[1]).empty()), is_set = asked->word == "def";
    const std::string subject = asked->arguments.empty() ? std::string() : std::string(trim(asked->arguments[0]));
    if ((is_empty && subject == "$sender_address") || (is_set && subject == "sender_address"))
        return listed("senders", ":", is_set);
    if (asked->arguments.size() != 2)
        return condition;
    for (const Same& one : same)
        if (asked->word == one.word && (subject == fmt::format("${}", one.subject) || subject == fmt::format("${{{}}}", one.subject)))
            return listed(one.name, std::string(trim(asked->arguments[1])), false);
    return condition;
}

std::string with_result(std::string rules, const std::string& result)
{
    std::string text;
    for (const char c : rules)
        if (c == result_here)
            text += result;
        else
            text += c;
    return text;
}

}  // namespace posthorn::exim
