// What routers ask of a domain and of its local parts, as far as it is known now: their conditions, files and lists.
#include "base/strings.hpp"
#include "exim/key_file.hpp"
#include "exim/router_words.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace posthorn::exim {

namespace {

constexpr int deepest_text = 20;

/// Whether a text asks for whom the mail is.
bool names_address(std::string_view text)
{
    return std::ranges::any_of(std::array{"$domain", "${domain", "$local_part", "${local_part"},
                               [&](const char* name) { return text.find(name) != text.npos; });
}

Token token_of(const PatternRule& rule)
{
    const Token::Kind kind = rule.kind == PatternRule::Kind::text     ? Token::Kind::text
                             : rule.kind == PatternRule::Kind::suffix ? Token::Kind::suffix
                                                                      : Token::Kind::regex;
    return {kind, rule.text};
}

}  // namespace

bool is_local_part(std::string_view key)
{
    for (const std::string_view form :
         {"$local_part", "${local_part}", "${lc:$local_part}", "${lc:${local_part}}", "$local_part_data", "${quote_local_part:$local_part}"})
        if (key == form)
            return true;
    return false;
}
bool is_address(std::string_view key)
{
    for (const std::string_view form :
         {"$local_part@$domain", "${local_part}@${domain}", "${lc:$local_part@$domain}", "${lc:${local_part}@${domain}}", "$local_part@$domain_data"})
        if (key == form)
            return true;
    return false;
}
bool is_domain(std::string_view key) { return key == "$domain" || key == "${domain}" || key == "${lc:$domain}" || key == "$domain_data"; }

Known with_local_part(Known known, const std::string& local)
{
    known.variables["local_part"] = known.variables["local_part_data"] = local;
    return known;
}

void Translator::add_tokens(const PatternSet& set)
{
    for (const PatternRule& rule : set.rules)
        if ((rule.kind == PatternRule::Kind::text && !rule.text.empty()) || rule.kind == PatternRule::Kind::suffix ||
            rule.kind == PatternRule::Kind::regex)
            tokens_.insert(token_of(rule));
}

void Translator::collect_tokens()
{
    // A router without `domains` has mail for this machine's own names, whether or not a list has them.
    for (const std::string& name : {host_, qualify_, qualify_recipient_})
        if (!name.empty())
            tokens_.insert({Token::Kind::text, to_lower(name)});
    for (const NamedList& list : tree_.lists)
        if (list.kind == NamedList::Kind::domains)
            add_tokens(set_of(list.value, ListOf::domains));
    for (const Acl& acl : tree_.acls)
        for (const AclStatement& one : acl.statements)
            for (const Condition& condition : one.conditions)
                if (condition.name == "domains")
                    add_tokens(set_of(condition.value, ListOf::domains));
    for (const Instance& one : tree_.routers) {
        if (const Option* domains = one.find("domains"))
            add_tokens(set_of(domains->value, ListOf::domains));
        for (const std::string_view rule : split(one.text("route_list"), ";"))
            if (const auto words = split(rule); !words.empty())
                add_tokens(set_of(words.front(), ListOf::domains));
        if (const auto lookup = as_lookup(one.text("route_data")); lookup && is_domain(lookup->key)) {
            const Outcome path = known(lookup->file);
            const auto text = path.kind == Outcome::Kind::known ? machine_.read(path.text) : Result<std::string>(Error{"unknown"});
            if (!text)
                continue;
            for (const KeyEntry& entry : read_key_file(*text)) {
                if (entry.key.starts_with("*."))
                    tokens_.insert({Token::Kind::suffix, entry.key.substr(1)});
                else if (entry.key != "*")
                    tokens_.insert({Token::Kind::text, entry.key});
            }
        }
    }
}

bool Translator::in_domains(const Instance& one, const Token& token)
{
    const Option* option = one.find("domains");
    if (!option)
        return true;
    const PatternSet set = set_of(option->value, ListOf::domains);
    if (!set.unknown.empty()) {
        if (unusable_.insert(&one).second)
            judge(*option, where_of(one), Kind::left_out, fmt::format("the router is left out: not known: {}", fmt::join(set.unknown, ", ")));
        return false;
    }
    return set.matches(token.text);
}

/// What is known of a message for this token: its domain.
Known Translator::known_of(const Token& token) const
{
    Known here = known_;
    if (token.kind == Token::Kind::text)
        here.variables["domain"] = here.variables["domain_data"] = token.text;
    return here;
}

/// The local parts that files have of which lookups by local part or address are made, wherever in the text they stand.
std::set<std::string> Translator::named_local_parts(std::string_view text, const Token& token, int depth) const
{
    std::set<std::string> names;
    const auto pieces = parse_expansion(text);
    if (!pieces || depth > deepest_text)
        return names;
    for (const Piece& piece : *pieces) {
        if (piece.kind != Piece::Kind::item)
            continue;
        for (const std::string& argument : piece.arguments)
            names.merge(named_local_parts(argument, token, depth + 1));
        const auto lookup = as_lookup(piece);
        if (!lookup || lookup->type != "lsearch" || !(is_local_part(lookup->key) || is_address(lookup->key)))
            continue;
        const Outcome path = evaluate(lookup->file, known_of(token));
        const auto octets = path.kind == Outcome::Kind::known ? machine_.read(path.text) : Result<std::string>(Error{"not known"});
        if (!octets)
            continue;
        for (const KeyEntry& entry : read_key_file(*octets)) {
            const std::size_t at = entry.key.rfind('@');
            if (is_local_part(lookup->key) ? at == entry.key.npos : at != entry.key.npos && entry.key.substr(at + 1) == token.text)
                names.insert(entry.key.substr(0, at));
        }
    }
    names.erase("*");
    return names;
}

/// Whom a condition holds for in this domain: it is asked for each local part that its files name, and for one that none can have.
std::optional<PatternSet> Translator::parts_where(std::string_view condition, const Token& token, const Known& here) const
{
    if (token.kind != Token::Kind::text)
        return {};
    const Outcome others = evaluate(condition, with_local_part(here, no_local_part));
    if (others.kind != Outcome::Kind::known || !is_false(others.text) || others.text.find(no_local_part) != std::string::npos)
        return {};
    PatternSet set;
    for (const std::string& name : named_local_parts(condition, token)) {
        const Outcome one = evaluate(condition, with_local_part(here, name));
        if (one.kind == Outcome::Kind::unknown)
            return {};
        if (one.kind == Outcome::Kind::known && !is_false(one.text))
            set.rules.push_back({PatternRule::Kind::text, false, name});
    }
    return set;
}

/// A router's condition, for one domain. What cannot be told leaves the router out.
bool Translator::condition_holds(const Instance& one, const Option& option, const Token& token)
{
    const Outcome always = known(option.value);
    const Outcome value = always.kind == Outcome::Kind::unknown ? evaluate(option.value, known_of(token)) : always;
    const bool holds = value.kind == Outcome::Kind::known && !is_false(value.text);
    if (value.kind != Outcome::Kind::unknown) {
        if (always.kind == Outcome::Kind::unknown)
            judge(option, where_of(one), Kind::becomes, "asked for each domain as it is now");
        else if (holds)
            judge(option, where_of(one), Kind::nothing_needed, "it always holds");
        else if (unusable_.insert(&one).second)
            judge(option, where_of(one), Kind::nothing_needed, "the router never applies: its condition is false");
        return holds;
    }
    if (auto parts = parts_where(option.value, token, known_of(token)); parts && !asked_parts_.contains(&one)) {
        judge(option, where_of(one), Kind::becomes,
              "asked for each domain and for each local part that its files name: who is new is added to the tables");
        const bool some = !parts->rules.empty();
        asked_parts_.emplace(&one, *std::move(parts));
        return some;
    }
    if (token.kind != Token::Kind::text && names_address(option.value))
        return false;                                              // of domains that no list and no file names
    // A domain that has no such file: there mail would wait, and other domains have theirs.
    Known without_files = known_of(token);
    without_files.read = [this](const std::string& path) {
        auto octets = machine_.read(path);
        return octets ? std::move(octets) : Result<std::string>(std::string());
    };
    if (names_address(option.value) && parts_where(option.value, token, without_files))
        return false;
    unusable_.insert(&one);
    judge(option, where_of(one), Kind::left_out, fmt::format("the router is left out: an expansion that is not known: {}", value.text));
    return false;
}

/// Whether all files of require_files are there for this domain; what begins with no "/" is the user who looks. None: it depends on more.
std::optional<bool> Translator::files_are_there(const Option& option, const Token& token) const
{
    bool unknown = false;
    for (const std::string& file : split_list(option.value)) {
        const Outcome path = evaluate(file.starts_with('+') ? std::string_view(file).substr(1) : std::string_view(file), known_of(token));
        if (path.kind == Outcome::Kind::unknown && file.find('/') != file.npos)
            unknown = true;
        else if (path.kind == Outcome::Kind::known && path.text.starts_with('!'))
            unknown = true;
        else if (path.kind == Outcome::Kind::known && path.text.starts_with('/') && machine_.exists && !machine_.exists(path.text))
            return false;
    }
    return unknown ? std::nullopt : std::optional(true);
}

/// Whether the router's conditions beside its domains and local parts are known now. What is not is said once.
bool Translator::usable(const Instance& one, const Token& token)
{
    if (unusable_.contains(&one))
        return false;
    const auto never = [&](const Option& option, Kind kind, const std::string& why) {
        unusable_.insert(&one);
        judge(option, where_of(one), kind, why);
        return false;
    };
    if (one.is_on("verify_only"))
        return never(*one.find("verify_only"), Kind::nothing_needed, "who exists is asked of the same tables that route");
    for (const Option& option : one.options) {
        if (option.name == "condition") {
            if (!condition_holds(one, option, token))
                return false;
        } else if (option.name == "require_files") {
            for (const std::string& file : split_list(option.value)) {
                const Outcome path = known(file.starts_with('+') ? std::string_view(file).substr(1) : std::string_view(file));
                if (path.kind == Outcome::Kind::known && path.text.starts_with('/') && machine_.exists && !machine_.exists(path.text))
                    return never(option, Kind::nothing_needed, fmt::format("the router never applies: there is no {}", path.text));
            }
            if (token.kind != Token::Kind::text && names_address(option.value) && one.text("file").empty())
                return false;
            if (const auto there = files_are_there(option, token); there && one.text("file").empty()) {
                judge(option, where_of(one), Kind::becomes, "asked for each domain as it is now");
                if (!*there)
                    return false;
                continue;
            }
            if (one.driver != "redirect" || !one.find("file")) {
                const bool procmail = one.name.find("procmail") != one.name.npos || one.text("transport").find("procmail") != std::string_view::npos;
                return never(
                    option, Kind::left_out,
                    procmail
                        ? "the router is left out, since it asks for a file of the user's: mailbox_command = /usr/bin/procmail for all, or a \"|\" in their .forward"
                        : "the router is left out, since it asks for a file of the user's: mailbox_command for all, or a \"|\" in their .forward");
            }
            judge(option, where_of(one), Kind::nothing_needed, "a .forward that is not there decides nothing");
        } else if (option.name == "senders" || option.name == "local_part_prefix" || option.name == "unseen") {
            if (option.name == "unseen" && (!one.is_on("unseen") || one.driver == "redirect"))
                continue;                                          // of a redirect: see_on()
            return never(option, Kind::left_out,
                         option.name == "senders"
                             ? "the router is left out: routes by sender are sender_dependent_relayhost_maps, sender_dependent_default_transport_maps"
                         : option.name == "unseen"
                             ? "the router is left out: a copy besides the delivery is always_bcc, recipient_bcc_maps, or both addresses in an alias"
                             : "the router is left out: a prefix of local parts has no counterpart (recipient_delimiter is for what stands behind)");
        } else if (option.name == "local_part_suffix") {
            const auto suffixes = split_list(option.value);
            std::string delimiters;
            for (const std::string& suffix : suffixes) {
                if (suffix.size() != 2 || suffix[1] != '*')
                    return never(option, Kind::left_out, "the router is left out: recipient_delimiter knows \"+*\" and \"-*\", and nothing else");
                delimiters += suffix[0];
            }
            set("recipient_delimiter", delimiters, &option.place, shown(option));
            judge(option, where_of(one), Kind::becomes, fmt::format("recipient_delimiter = {}", delimiters));
            if (const Option* optional = one.find("local_part_suffix_optional"))
                judge(*optional, where_of(one), Kind::nothing_needed, "an address without it is found too");
        }
    }
    return true;
}

/// The local parts that a router is for; none: all. False: they are not known, and the router is left out.
bool Translator::parts_of(const Instance& one, const Token& token, std::optional<PatternSet>& parts)
{
    const Option* option = one.find("local_parts");
    const auto asked = asked_parts_.find(&one);
    if (asked != asked_parts_.end())
        parts = asked->second;
    if (!option)
        return true;
    const Outcome list = evaluate(option->value, known_of(token));
    if (list.kind != Outcome::Kind::failed)
        parts = set_of(list.kind == Outcome::Kind::known ? std::string_view(list.text) : std::string_view(option->value), ListOf::local_parts);
    else
        parts.emplace();
    if (parts->unknown.empty() && asked != asked_parts_.end()) {  // both have to have them
        PatternSet both;
        for (const PatternRule& rule : asked->second.rules)
            if (parts->matches(rule.text))
                both.rules.push_back(rule);
        parts = std::move(both);
    }
    if (parts->unknown.empty())
        return true;
    unusable_.insert(&one);
    judge(*option, where_of(one), Kind::left_out, fmt::format("the router is left out: not known: {}", fmt::join(parts->unknown, ", ")));
    return false;
}

}  // namespace posthorn::exim
