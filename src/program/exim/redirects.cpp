// What redirect routers say of a domain's local parts: aliases, and addresses that go on to the routers behind them.
#include "base/strings.hpp"
#include "exim/key_file.hpp"
#include "exim/router_words.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

/// A redirect whose data is made of lookups in files: what it says for each of their keys, and for all others. None: it is not of that kind, or
/// something of it is not known.
std::optional<AliasEntries> Translator::computed_aliases(const Option& data, const Token& token, AliasEntries aliases,
                                                         const std::optional<PatternSet>& parts) const
{
    const std::set<std::string> names = token.kind == Token::Kind::text ? named_local_parts(data.value, token) : std::set<std::string>{};
    if (names.empty())
        return {};
    const Known here = known_of(token);
    const Outcome others = evaluate(data.value, with_local_part(here, no_local_part));
    if (others.kind == Outcome::Kind::unknown || others.text.find(no_local_part) != std::string::npos)
        return {};
    for (const std::string& name : names) {
        const Outcome one = evaluate(data.value, with_local_part(here, name));
        if (one.kind == Outcome::Kind::unknown)
            return {};
        if (!trim(one.text).empty() && (!parts || parts->matches(name)))
            aliases.entries.emplace(name, one.text);
    }
    if (!trim(others.text).empty() && !parts)
        aliases.entries.emplace("*", others.text);
    aliases.of_files = true;
    return aliases;
}

/// What a redirect says of each local part of a domain. None: it cannot be told now.
std::optional<AliasEntries> Translator::aliases_of(const Instance& one, const Token& token)
{
    const Option* data = one.find("data");
    AliasEntries aliases{.entries = {}, .router = &one};
    if (!data)
        return {};
    const auto give_up = [&](std::string why) -> std::optional<AliasEntries> {
        judge(*data, where_of(one), Kind::left_out, std::move(why));
        return {};
    };
    const bool user = one.is_on("check_local_user");
    aliases.seen_on = one.is_on("unseen");
    std::optional<PatternSet> parts;
    if (const auto asked = asked_parts_.find(&one); asked != asked_parts_.end())
        parts = asked->second;
    if (const Option* local_parts = one.find("local_parts")) {
        parts = set_of(local_parts->value, ListOf::local_parts);
        if (!parts->unknown.empty()) {
            judge(*local_parts, where_of(one), Kind::left_out, fmt::format("the router is left out: not known: {}", fmt::join(parts->unknown, ", ")));
            unusable_.insert(&one);
            return {};
        }
        judge(*local_parts, where_of(one), Kind::becomes, "the keys of the table");
    }
    if (const auto lookup = as_lookup(data->value)) {
        const bool by_address = is_address(lookup->key);
        if (!is_local_part(lookup->key) && !by_address)
            return give_up(fmt::format("a lookup by {}: virtual_alias_maps are asked for addresses", printable(lookup->key, true)));
        if (lookup->type != "lsearch")
            return give_up(fmt::format("virtual_alias_maps or alias_maps with a table of the type {} (see {}_table(5) for its query)", lookup->type,
                                       lookup->type));
        Known here = known_;
        here.variables["domain"] = here.variables["domain_data"] = token.text;
        const Outcome path = evaluate(lookup->file, here);
        if (path.kind != Outcome::Kind::known)
            return give_up(fmt::format("an expansion that is not known: {}", path.text));
        if (lookup->found != "$value" && lookup->found != "${value}")
            return give_up(fmt::format("what is made of an entry is not known: {}", printable(lookup->found, true)));
        const auto text = machine_.read(path.text);
        if (!text)
            return give_up(text.error().text());
        for (const KeyEntry& entry : read_key_file(*text)) {
            std::string key = entry.key;
            if (by_address) {
                const std::size_t at = key.rfind('@');
                if (at == key.npos ? key != "*" : to_lower(std::string_view(key).substr(at + 1)) != token.text)
                    continue;
                key = key.substr(0, at);
            }
            if (key == "*" && lookup->options.find('*') == lookup->options.npos)
                continue;
            if (!parts || parts->matches(key))
                aliases.entries.emplace(key, entry.value);
        }
        if (lookup->otherwise && !trim(*lookup->otherwise).empty()) {
            const Outcome otherwise = known(*lookup->otherwise);
            if (otherwise.kind == Outcome::Kind::unknown)
                return give_up(fmt::format("an expansion that is not known: {}", otherwise.text));
            aliases.entries.emplace("*", otherwise.text);
        }
        aliases.of_files = true;
        const bool everywhere =
            lookup->file.find("$domain") == lookup->file.npos && lookup->file.find("${domain") == lookup->file.npos && !by_address;
        judge(*data, where_of(one), Kind::becomes,
              everywhere ? fmt::format("entries of tables, made of {}: changes go there from now on", path.text)
                         : fmt::format("entries of virtual_alias_maps, made of {}: changes go there from now on", printable(lookup->file, true)));
        return aliases;
    }
    if (const auto computed = computed_aliases(*data, token, aliases, parts)) {
        judge(*data, where_of(one), Kind::becomes, "entries of virtual_alias_maps, for each key of its files: changes go there from now on");
        return computed;
    }
    // "someone@else.test", ":fail: text", "$local_part@else.test".
    const Known here = with_local_part(known_of(token), no_local_part);
    const Outcome value = evaluate(data->value, here);
    if (value.kind == Outcome::Kind::failed || (value.kind == Outcome::Kind::known && trim(value.text).empty()))
        return aliases;                                            // it declines
    if (value.kind == Outcome::Kind::unknown)
        return give_up(fmt::format("an expansion that is not known: {}", value.text));
    std::vector<std::string> keys;
    if (parts) {
        if (parts->has_negations() || std::ranges::any_of(parts->rules, [](const PatternRule& rule) { return rule.kind != PatternRule::Kind::text; }))
            return give_up("local parts by patterns: virtual_alias_maps with a pcre table");
        for (const PatternRule& rule : parts->rules)
            if (!user || std::ranges::find(machine_.users, rule.text) != machine_.users.end())
                keys.push_back(rule.text);
    } else if (user) {
        keys = machine_.users;
    } else {
        keys.emplace_back("*");
    }
    for (const std::string& key : keys) {
        std::string target = value.text;
        for (std::size_t at; (at = target.find('\x01')) != target.npos;)
            target.replace(at, 1, key == "*" ? "\x02" : key);
        aliases.entries.emplace(key, target);
    }
    judge(*data, where_of(one), Kind::becomes,
          user && !parts ? "an entry of virtual_alias_maps for each user of this machine as they are now: who is new has to be added"
                         : "entries of tables");
    return aliases;
}

Translator::Step Translator::redirect(const Instance& one, const Token& token, Destination& destination)
{
    if (const Option* file = one.find("file")) {
        if (token.kind == Token::Kind::elsewhere)
            return Step::passes;
        std::string path = file->value;
        for (const std::string_view home : {"$home", "${home}"})
            if (path.starts_with(home))
                path = "$home" + path.substr(home.size());
        if (!one.is_on("check_local_user") || path.find('$', 1) != path.npos || !path.starts_with("$home/")) {
            judge(*file, where_of(one), Kind::left_out, "forward_path names files below the home of who gets the mail");
            return Step::passes;
        }
        set("forward_path", path, &file->place, shown(*file));
        judge(*file, where_of(one), Kind::becomes, fmt::format("forward_path = {}", path));
        return Step::passes;
    }
    auto aliases = aliases_of(one, token);
    if (!aliases)
        return Step::passes;
    const auto any = aliases->entries.find("*");
    if (any != aliases->entries.end() && destination.kind == DestinationKind::local) {
        // Whoever is left when users have their mail.
        const std::string target(trim(any->second));
        aliases->entries.erase(any);
        if (target.starts_with(":fail:") || target.starts_with(":unknown:"))
            judge(*one.find("data"), where_of(one), Kind::nothing_needed, "an unknown user is refused");
        else if (target.find_first_of(":|/,\x02\"") == target.npos)
            destination.unknown_users = qualified(target, qualify_recipient_);
        else
            judge(*one.find("data"), where_of(one), Kind::left_out, "luser_relay takes one address for all unknown users");
        if (!aliases->entries.empty())
            destination.aliases.push_back(*std::move(aliases));
        return Step::ends;
    }
    if (any != aliases->entries.end() && aliases->entries.size() == 1 && trim(any->second).starts_with(":fail:") && destination.aliases.empty() &&
        destination.kind == DestinationKind::none) {
        destination.kind = DestinationKind::fails;
        destination.router = &one;
        destination.text = trim(std::string_view(any->second).substr(any->second.find(":fail:") + 6));
        return Step::ends;
    }
    const bool all = any != aliases->entries.end(), last = one.find("more") && !one.is_on("more");
    if (!aliases->entries.empty() || last)
        destination.aliases.push_back(*std::move(aliases));
    return all || last ? Step::ends : Step::passes;
}

/// Addresses of an `unseen` redirect go on to the routers behind it: who has a mailbox keeps a copy, and so does what a later alias says.
void Translator::see_on(Destination& destination, const Token& token) const
{
    const auto is_special = [](std::string_view target) { return trim(target).starts_with(':'); };
    for (std::size_t at = 0; at < destination.aliases.size(); ++at) {
        if (!destination.aliases[at].seen_on)
            continue;
        for (auto& [local, value] : destination.aliases[at].entries) {
            std::string more;
            for (std::size_t later = at + 1; later < destination.aliases.size() && more.empty(); ++later) {
                const auto& entries = destination.aliases[later].entries;
                const auto found = entries.contains(local) ? entries.find(local) : entries.find("*");
                if (found != entries.end() && !is_special(found->second))
                    more = found->second;
                else if (found != entries.end())
                    break;
            }
            const bool boxed = destination.kind != DestinationKind::none && destination.kind != DestinationKind::fails && local != "*" &&
                               (!destination.recipients || destination.recipients->matches(local));
            if (!is_special(value) && (boxed || !more.empty()))
                value += ", " + (boxed ? fmt::format("{}@{}", local, token.text) : more);
        }
    }
}

}  // namespace posthorn::exim
