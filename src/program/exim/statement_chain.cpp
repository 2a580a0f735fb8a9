#include "exim/statement_chain.hpp"

#include "base/strings.hpp"
#include "exim/key_file.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

constexpr int deepest_acl = 10;

/// An address as isip takes it. IPv6 by its look alone: such a pattern is for refusing.
constexpr std::string_view ipv4_form = "^(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}$",
                           ipv6_form = "^[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$";

}  // namespace

bool Translator::Chain::add(std::optional<std::vector<Check>> checks)
{
    if (!checks)
        return false;
    links_.push_back(*std::move(checks));
    return true;
}
bool Translator::Chain::add(std::optional<Check> check) { return check ? add(std::optional(std::vector{*std::move(check)})) : false; }

bool Translator::Chain::take(const Condition& condition, bool invert, int depth)
{
    struct Asked {
        std::string_view name, restriction;
        ListOf what;
        Subject subject;
    };
    static constexpr Asked asked[] = {{"domains", "check_recipient_access", ListOf::domains, Subject::domain},
                                      {"local_parts", "check_recipient_access", ListOf::local_parts, Subject::local_part},
                                      {"recipients", "check_recipient_access", ListOf::addresses, Subject::address},
                                      {"senders", "check_sender_access", ListOf::addresses, Subject::address},
                                      {"sender_domains", "check_sender_access", ListOf::domains, Subject::domain}};
    const bool negated = condition.negated != invert;
    const auto oriented = [&](const PatternSet& set) { return negated ? set.complement() : set; };
    if (condition.name == "acl")
        return depth < deepest_acl && take_acl(condition, negated, depth);
    if (condition.name == "condition")
        return take_helo(condition, invert);
    if (condition.name == "hosts") {
        const PatternSet set = t_.set_of(condition.value, ListOf::hosts);
        const bool texts = std::ranges::any_of(set.rules, [](const PatternRule& rule) { return rule.kind == PatternRule::Kind::text; });
        if (texts || std::ranges::any_of(set.rules, [](const PatternRule& rule) { return rule.kind == PatternRule::Kind::suffix; }))
            names_hosts_ = true;
        by_name_ |= refuses_ && texts;
        return add(host_checks(oriented(set)));
    }
    const auto found = std::ranges::find(asked, std::string_view(condition.name), &Asked::name);
    return found != std::end(asked) && add(address_check(found->restriction, oriented(t_.set_of(condition.value, found->what)), found->subject));
}

/// What a client calls itself: equal to a text, of a pattern, an address, of a list of domains, or in a file. Whom it lets in is not decided so.
bool Translator::Chain::take_helo(const Condition& condition, bool invert)
{
    if (lets_in_)
        return false;
    auto asked = as_question(condition.value, t_.known_);
    const auto found = asked ? std::nullopt : as_lookup(condition.value);
    if (found && found->type == "lsearch" && found->partial < 0 && found->options.empty() && is_helo(found->key))
        asked = ConditionParts{is_false(found->found), "lsearch", {found->key, found->file}};
    if (!asked || asked->arguments.empty() || !is_helo(asked->arguments[0]))
        return false;
    const auto patterns = helo_patterns(*asked);
    if (!patterns)
        return false;
    Check check{"check_helo_access", "pcre", {}};
    const bool turned = asked->negated != (condition.negated != invert);
    const std::string result = turned ? std::string("DUNNO") : std::string(1, result_here);
    for (const std::string& pattern : *patterns)
        check.rules += fmt::format("/{}/ {}\n", escaped_delimiter(pattern), result);
    if (turned)
        check.rules += fmt::format("/^/ {}\n", result_here);
    return add(std::optional(std::move(check)));
}

std::optional<std::vector<std::string>> Translator::Chain::helo_patterns(const ConditionParts& asked) const
{
    using Words = std::vector<std::string>;
    if (asked.arguments.size() == 1 && asked.word.starts_with("isip"))
        return asked.word == "isip4"   ? Words{std::string(ipv4_form)}
               : asked.word == "isip6" ? Words{std::string(ipv6_form)}
                                       : Words{std::string(ipv4_form), std::string(ipv6_form)};
    if (asked.arguments.size() != 2)
        return {};
    const Outcome text = t_.known(asked.arguments[1]);
    if (text.kind != Outcome::Kind::known || text.text.find('\n') != std::string::npos)
        return {};
    if (asked.word == "eq" || asked.word == "eqi")
        return Words{fmt::format("^{}$", regex_of(text.text))};
    if (asked.word == "match")
        return trim(text.text).empty() ? std::nullopt : std::optional(Words{text.text});
    Words patterns;
    if (asked.word == "lsearch") {
        const auto octets = t_.machine_.read(text.text);
        if (!octets)
            return {};
        for (const KeyEntry& entry : read_key_file(*octets))
            patterns.push_back(fmt::format("^{}$", regex_of(entry.key)));
        return patterns;
    }
    if (asked.word != "match_domain")
        return {};
    const PatternSet set = t_.set_of(text.text, ListOf::domains);
    if (!set.unknown.empty() || set.has_negations())
        return {};
    for (const PatternRule& rule : set.rules)
        patterns.push_back(rule.kind == PatternRule::Kind::regex ? rule.text
                           : rule.kind == PatternRule::Kind::everything
                               ? std::string("^")
                               : fmt::format("{}{}$", rule.kind == PatternRule::Kind::text ? "^" : "", regex_of(rule.text)));
    return patterns;
}

/// Another ACL, of accepts with one condition each: none of them may hold, or the one has to.
bool Translator::Chain::take_acl(const Condition& condition, bool negated, int depth)
{
    const Acl* inner = t_.tree_.acl(trim(condition.value));
    if (!inner)
        return false;
    std::vector<Condition> held;
    for (const AclStatement& statement : inner->statements) {
        bool never = false;
        std::vector<Condition> open;
        for (const Condition& part : statement.conditions) {
            const auto answer = t_.constant(part, 0);
            never |= answer && !*answer;
            if (!answer)
                open.push_back(part);
        }
        if (never || statement.verb == "warn")
            continue;
        if (statement.verb != "accept" || open.size() != 1)
            return false;
        held.push_back(open.front());
    }
    if (!negated && held.size() != 1)
        return false;
    return std::ranges::all_of(held, [&](const Condition& part) { return take(part, negated, depth + 1); });
}

}  // namespace posthorn::exim
