#include "exim/pattern_set.hpp"

#include "base/strings.hpp"
#include "exim/key_file.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

using RuleKind = PatternRule::Kind;

constexpr int deepest_list = 20;

/// Words that begin with "+" and are no list's name.
bool is_switch(std::string_view name)
{
    return name == "ignore_unknown" || name == "ignore_defer" || name == "include_unknown" || name == "include_defer" || name == "caseful" ||
           name == "caseless";
}

NamedList::Kind kind_of(ListOf what)
{
    switch (what) {
    case ListOf::hosts: return NamedList::Kind::hosts;
    case ListOf::addresses: return NamedList::Kind::addresses;
    case ListOf::local_parts: return NamedList::Kind::local_parts;
    case ListOf::domains: break;
    }
    return NamedList::Kind::domains;
}

/// Whether "^a|b" holds an alternative that its "^" and "$" do not bind.
bool has_loose_alternative(std::string_view pattern)
{
    int depth = 0;
    bool in_class = false;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const char c = pattern[at];
        if (c == '\\')
            ++at;
        else if (in_class)
            in_class = c != ']' || pattern[at - 1] == '[';
        else if (c == '[')
            in_class = true;
        else if (c == '(')
            ++depth;
        else if (c == ')')
            --depth;
        else if (c == '|' && depth <= 0)
            return true;
    }
    return false;
}

/// "^...$" of a domain or local part as the middle of one over addresses: the text without "^", and whether "$" was at its end.
struct Unanchored {
    std::string text;
    bool to_end = false;
};
std::optional<Unanchored> unanchored(std::string_view pattern)
{
    if (has_loose_alternative(pattern) || pattern.find('\n') != pattern.npos)
        return {};
    Unanchored result;
    if (pattern.starts_with('^'))
        pattern.remove_prefix(1);
    if (pattern.ends_with('$') && !pattern.ends_with("\\$")) {
        pattern.remove_suffix(1);
        result.to_end = true;
    }
    // What looks at the end or the start elsewhere means another place in an address.
    bool in_class = false;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        if (pattern[at] == '\\') {
            if (at + 1 < pattern.size() && std::string_view("AzZG").find(pattern[at + 1]) != std::string_view::npos)
                return {};
            ++at;
        } else if (in_class) {
            in_class = pattern[at] != ']';
        } else if (pattern[at] == '[') {
            in_class = true;
            if (at + 1 < pattern.size() && (pattern[at + 1] == '^' || pattern[at + 1] == ']'))
                ++at;
        } else if (pattern[at] == '^' || pattern[at] == '$') {
            return {};
        }
    }
    result.text = pattern;
    return result;
}

/// A local part as tables are asked for it: with quotes where it is no dot-atom.
std::string quoted_local(std::string_view local)
{
    const bool plain =
        !local.empty() && !local.starts_with('.') && !local.ends_with('.') && local.find("..") == local.npos &&
        std::ranges::all_of(local, [](char c) { return is_alnum(c) || std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos; });
    return plain ? regex_of(local) : fmt::format("\"?{}\"?", regex_of(local));
}

std::optional<std::string> address_pattern(const PatternRule& rule, Subject subject)
{
    static constexpr std::string_view last_at = "@(?=[^@]*$)";
    const bool of_address = subject == Subject::address;
    switch (rule.kind) {
    case RuleKind::everything: return std::string("^");
    case RuleKind::text:
        if (of_address)
            return rule.text.empty() ? std::string("^<>$") : fmt::format("^{}$", regex_of(rule.text));
        return subject == Subject::domain ? fmt::format("@{}$", regex_of(rule.text)) : fmt::format("^{}@[^@]*$", quoted_local(rule.text));
    case RuleKind::suffix:
        if (of_address)
            return regex_of(rule.text) + "$";
        return subject == Subject::domain ? fmt::format("@[^@]*{}$", regex_of(rule.text)) : fmt::format("{}\"?@[^@]*$", regex_of(rule.text));
    case RuleKind::regex: {
        if (of_address)
            return rule.text.find('\n') == std::string::npos ? std::optional(rule.text) : std::nullopt;
        const auto middle = unanchored(rule.text);
        if (!middle)
            return {};
        if (subject == Subject::domain)
            return fmt::format("{}{}{}", last_at, middle->text, middle->to_end ? "$" : "");
        return fmt::format("^\"?{}{}@[^@]*$", middle->text, middle->to_end ? "\"?" : ".*");
    }
    case RuleKind::network:
    case RuleKind::no_host: break;
    }
    return {};
}

}  // namespace

bool PatternSet::is_empty() const
{
    return unknown.empty() && !otherwise &&
           std::ranges::all_of(rules, [](const PatternRule& rule) { return rule.negated || rule.kind == RuleKind::no_host; });
}

bool PatternSet::is_everything() const
{
    if (!unknown.empty())
        return false;
    for (const PatternRule& rule : rules) {
        if (rule.negated)
            return false;
        if (rule.kind == RuleKind::everything)
            return true;
    }
    return otherwise;
}

bool PatternSet::has_negations() const { return otherwise || std::ranges::any_of(rules, &PatternRule::negated); }

PatternSet PatternSet::complement() const
{
    PatternSet other = *this;
    for (PatternRule& rule : other.rules)
        rule.negated = !rule.negated;
    other.otherwise = !otherwise;
    return other;
}

bool PatternSet::matches(std::string_view subject) const
{
    const std::string wanted = to_lower(subject);
    for (const PatternRule& rule : rules) {
        const bool hit = rule.kind == RuleKind::everything || (rule.kind == RuleKind::text && wanted == rule.text) ||
                         (rule.kind == RuleKind::suffix && wanted.ends_with(rule.text)) ||
                         (rule.kind == RuleKind::regex && wanted == to_lower(rule.text));
        if (hit)
            return !rule.negated;
    }
    return otherwise;
}

PatternSet SetReader::read(std::string_view list, ListOf what, int depth) const
{
    PatternSet set;
    if (depth > deepest_list) {
        set.unknown.emplace_back("lists that name one another");
        return set;
    }
    Outcome expanded = evaluate(list, known_);
    if (expanded.kind == Outcome::Kind::failed)
        return set;
    if (expanded.kind == Outcome::Kind::unknown) {
        set.unknown.push_back(std::move(expanded.text));
        return set;
    }
    const std::vector<ListItem> items = parse_items(expanded.text, what);
    for (const ListItem& item : items)
        add(set, item, what, items.size() == 1, depth);
    if (!items.empty() && items.back().kind != ListItem::Kind::named)
        set.otherwise = items.back().negated;
    else if (items.size() > 1 && items.back().negated)
        set.otherwise = true;
    return set;
}

void SetReader::add(PatternSet& set, const ListItem& item, ListOf what, bool only, int depth) const
{
    using Kind = ListItem::Kind;
    const auto rule = [&](RuleKind kind, std::string_view text) { set.rules.push_back({kind, item.negated, std::string(text)}); };
    switch (item.kind) {
    case Kind::text:
        if (what == ListOf::addresses) {
            add_address(set, item, depth);
        } else if (what == ListOf::hosts && iequals(item.text, "localhost")) {
            rule(RuleKind::network, "127.0.0.1");
            rule(RuleKind::network, "::1");
        } else
            rule(RuleKind::text, to_lower(item.text));
        break;
    case Kind::everything:                                         // of addresses: the empty sender is none
        rule(what == ListOf::addresses ? RuleKind::regex : RuleKind::everything, what == ListOf::addresses ? "@" : "");
        break;
    case Kind::suffix: rule(RuleKind::suffix, to_lower(item.text)); break;
    case Kind::regex: rule(RuleKind::regex, item.text); break;
    case Kind::network: rule(RuleKind::network, item.text); break;
    case Kind::nothing: rule(what == ListOf::hosts ? RuleKind::no_host : RuleKind::text, {}); break;
    case Kind::self:
        if (const auto name = known_.variables.find("primary_hostname"); name != known_.variables.end() && what == ListOf::domains)
            rule(RuleKind::text, to_lower(name->second));
        else
            set.unknown.push_back(item.text);
        break;
    case Kind::self_literal:
        if (what == ListOf::domains)
            break;                                                 // addresses in brackets that are this machine's: ours by themselves
        set.unknown.push_back(item.text);
        break;
    case Kind::mail_exchanger: set.unknown.push_back(item.text); break;
    case Kind::file: add_file(set, item, what); break;
    case Kind::lookup: add_lookup(set, item, what); break;
    case Kind::named: {
        if (is_switch(item.text)) {
            if (item.text == "include_unknown" || item.text == "include_defer")
                set.unknown.push_back("+" + item.text);
            break;
        }
        const NamedList* list = tree_.list(kind_of(what), item.text);
        if (!list) {
            set.unknown.push_back(fmt::format("+{} (there is no such list)", item.text));
            break;
        }
        PatternSet inner = read(list->value, what, depth + 1);
        // What an inner list excludes is no decision of the outer one: only a list that stands alone can be taken as it is.
        if (inner.has_negations() && !only)
            inner.unknown.push_back(fmt::format("+{} (a list with exclusions within another)", item.text));
        if (item.negated)
            inner = inner.complement();
        if (only)
            set.otherwise = inner.otherwise;
        set.rules.insert(set.rules.end(), inner.rules.begin(), inner.rules.end());
        set.unknown.insert(set.unknown.end(), inner.unknown.begin(), inner.unknown.end());
        set.files.insert(set.files.end(), inner.files.begin(), inner.files.end());
        break;
    }
    }
}

/// "domain", "user@domain", "*@*.domain", "user@+list".
void SetReader::add_address(PatternSet& set, const ListItem& item, int depth) const
{
    const std::string text = to_lower(item.text);
    const std::size_t at = text.rfind('@');
    const std::string local = at == text.npos ? "*" : text.substr(0, at), domain = at == text.npos ? text : text.substr(at + 1);
    std::string front;
    if (local.starts_with('^') || (local.starts_with('@') && at != text.npos)) {
        set.unknown.push_back(item.text);
        return;
    }
    if (local != "*" && !local.empty())
        front = local.starts_with('*') ? regex_of(std::string_view(local).substr(1)) : "^" + quoted_local(local);
    const auto rule = [&](const std::string& behind) { set.rules.push_back({RuleKind::regex, item.negated, front + behind}); };
    if (domain.starts_with('+')) {
        const NamedList* list = tree_.list(NamedList::Kind::domains, std::string_view(domain).substr(1));
        const PatternSet inner = list ? read(list->value, ListOf::domains, depth + 1) : PatternSet{};
        if (!list || inner.has_negations() || !inner.unknown.empty()) {
            set.unknown.push_back(item.text);
            return;
        }
        for (const PatternRule& one : inner.rules)
            if (one.kind == RuleKind::text)
                rule(fmt::format("@{}$", regex_of(one.text)));
            else if (one.kind == RuleKind::suffix)
                rule(fmt::format("@[^@]*{}$", regex_of(one.text)));
            else
                set.unknown.push_back(item.text);
        return;
    }
    if (domain == "*")
        rule(front.empty() ? "@" : "@[^@]*$");
    else if (domain.starts_with('*'))
        rule(fmt::format("@[^@]*{}$", regex_of(std::string_view(domain).substr(1))));
    else
        rule(fmt::format("@{}$", regex_of(domain)));
}

void SetReader::add_file(PatternSet& set, const ListItem& item, ListOf what) const
{
    const auto text = machine_.read(item.text);
    if (!text) {
        set.unknown.push_back(fmt::format("{} ({})", item.text, text.error().text()));
        return;
    }
    set.files.push_back(item.text);
    for (const std::string& line : read_list_file(*text, what == ListOf::addresses || what == ListOf::local_parts)) {
        ListItem one = classify(line, what);
        one.negated = one.negated != item.negated;
        if (one.kind == ListItem::Kind::file)
            set.unknown.push_back(fmt::format("{} in {}", line, item.text));
        else
            add(set, one, what, false, 1);
    }
}

void SetReader::add_lookup(PatternSet& set, const ListItem& item, ListOf what) const
{
    const Lookup& lookup = item.lookup;
    const Outcome path = evaluate(lookup.file, known_);
    const auto give_up = [&](std::string_view why) { set.unknown.push_back(fmt::format("{} ({})", item.text, why)); };
    if (path.kind != Outcome::Kind::known)
        return give_up("its file depends on the message");
    if (lookup.type == "dsearch") {
        set.files.push_back(path.text);
        for (const std::string& name : machine_.folder(path.text))
            set.rules.push_back({RuleKind::text, item.negated, to_lower(name)});
        return;
    }
    if (lookup.type != "lsearch" && lookup.type != "wildlsearch" && lookup.type != "nwildlsearch" && lookup.type != "iplsearch")
        return give_up(fmt::format("a lookup of the type {}: what is in it is not read", lookup.type));
    if (what == ListOf::hosts && !lookup.options.starts_with("net"))
        return give_up("a lookup by the client's name");
    if (lookup.options.find('*') != lookup.options.npos)
        return give_up("a lookup with a default");
    const auto text = machine_.read(path.text);
    if (!text)
        return give_up(text.error().text());
    set.files.push_back(path.text);
    for (const KeyEntry& entry : read_key_file(*text)) {
        if (lookup.type == "lsearch" && lookup.partial < 0 && what != ListOf::hosts) {
            set.rules.push_back({RuleKind::text, item.negated, entry.key});
        } else if (lookup.partial >= 0 && entry.key.starts_with("*.")) {   // 9.7: "*.a.b" is tried for a.b itself too
            set.rules.push_back({RuleKind::text, item.negated, entry.key.substr(2)});
            set.rules.push_back({RuleKind::suffix, item.negated, entry.key.substr(1)});
        } else {
            ListItem one = classify(entry.key, what);
            one.negated = item.negated;
            add(set, one, what, false, 1);
        }
    }
}

std::string regex_of(std::string_view text)
{
    std::string pattern;
    for (const char c : text) {
        if (!is_alnum(c) && c != '-' && c != '_' && c != '@' && static_cast<unsigned char>(c) < 0x80)
            pattern += '\\';
        pattern += c;
    }
    return pattern;
}

std::optional<std::vector<AddressRule>> as_address_rules(const PatternSet& set, Subject subject)
{
    std::vector<AddressRule> rules;
    if (!set.unknown.empty())
        return {};
    for (const PatternRule& rule : set.rules) {
        auto pattern = address_pattern(rule, subject);
        if (!pattern)
            return {};
        rules.push_back({*std::move(pattern), rule.negated});
    }
    if (set.otherwise)
        rules.push_back({"^", false});
    return rules;
}

}  // namespace posthorn::exim
