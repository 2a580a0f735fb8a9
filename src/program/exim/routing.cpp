#include "base/strings.hpp"
#include "exim/key_file.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

namespace posthorn::exim {

namespace {

using DestinationKind = Destination::Kind;

std::string where_of(const Instance& one) { return "router " + one.name; }

/// "$local_part" in one of its forms: what a lookup's key may be.
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

/// The hosts of a route, without the options behind them; they may be in quotes.
std::string split_route(std::string_view text)
{
    text = trim(text);
    if (text.starts_with('"'))
        if (const std::size_t end = text.find('"', 1); end != text.npos)
            return std::string(text.substr(1, end - 1));
    // The list may have blanks where its separators are; options are words of letters.
    static constexpr std::string_view options[] = {"byname", "bydns", "randomize", "no_randomize", "ipv4_prefer", "ipv4_only"};
    std::vector<std::string_view> words = split(text);
    while (words.size() > 1 && std::ranges::find(options, words.back()) != std::end(options))
        words.pop_back();
    const std::size_t end = words.empty() ? 0 : static_cast<std::size_t>(words.back().data() + words.back().size() - text.data());
    return std::string(trim(text.substr(0, end)));
}

/// A table's key: with quotes around a local part that has blanks.
std::string quoted_key(const std::string& key)
{
    const std::size_t at = std::min(key.rfind('@'), key.size());
    return key.find_first_of(" \t") == key.npos ? key : fmt::format("\"{}\"{}", key.substr(0, at), key.substr(at));
}

Token token_of(const PatternRule& rule)
{
    const Token::Kind kind = rule.kind == PatternRule::Kind::text     ? Token::Kind::text
                             : rule.kind == PatternRule::Kind::suffix ? Token::Kind::suffix
                                                                      : Token::Kind::regex;
    return {kind, rule.text};
}

}  // namespace

void Translator::add_tokens(const PatternSet& set)
{
    for (const PatternRule& rule : set.rules)
        if ((rule.kind == PatternRule::Kind::text && !rule.text.empty()) || rule.kind == PatternRule::Kind::suffix ||
            rule.kind == PatternRule::Kind::regex)
            tokens_.insert(token_of(rule));
}

void Translator::collect_tokens()
{
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

/// Whether the router's conditions beside its domains and local parts are known now. What is not is said once.
bool Translator::usable(const Instance& one)
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
            const Outcome value = known(option.value);
            const std::string text = to_lower(trim(value.text));
            if (value.kind == Outcome::Kind::failed ||
                (value.kind == Outcome::Kind::known && (text.empty() || text == "0" || text == "no" || text == "false")))
                return never(option, Kind::nothing_needed, "the router never applies: its condition is false");
            if (value.kind == Outcome::Kind::unknown)
                return never(option, Kind::left_out, fmt::format("the router is left out: an expansion that is not known: {}", value.text));
            judge(option, where_of(one), Kind::nothing_needed, "it always holds");
        } else if (option.name == "require_files") {
            for (const std::string& file : split_list(option.value)) {
                const Outcome path = known(file.starts_with('+') ? std::string_view(file).substr(1) : std::string_view(file));
                if (path.kind == Outcome::Kind::known && path.text.starts_with('/') && machine_.exists && !machine_.exists(path.text))
                    return never(option, Kind::nothing_needed, fmt::format("the router never applies: there is no {}", path.text));
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
            if (option.name == "unseen" && !one.is_on("unseen"))
                continue;
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

std::optional<std::string> Translator::next_hops(const std::string& hosts, const Instance& one)
{
    const Outcome value = known(hosts);
    if (value.kind != Outcome::Kind::known)
        return {};
    const Instance* transport = tree_.transport(one.text("transport"));
    std::string list;
    for (std::string host : split_list(value.text)) {
        if (host == "+")                                           // between groups of hosts: tried in order all the same
            continue;
        bool by_mx = false;
        if (iends_with(host, "/mx")) {
            by_mx = true;
            host.resize(host.size() - 3);
        }
        std::string port;
        if (host.starts_with('[')) {
            const std::size_t end = host.find(']');
            if (end == host.npos)
                return {};
            if (end + 1 < host.size() && host[end + 1] == ':')
                port = host.substr(end + 2);
            host = host.substr(1, end - 1);
        } else if (const std::size_t colon = host.rfind(':'); colon != host.npos && host.find(':') == colon) {
            port = host.substr(colon + 1);
            host.resize(colon);
        }
        if (port.empty() && transport)
            port = transport->text("port");
        if (host.empty() || host.find_first_of(" \t,[]") != host.npos || (!port.empty() && !std::ranges::all_of(port, is_alnum)))
            return {};
        if (port == "25" || port == "smtp")
            port.clear();
        list += fmt::format("{}{}{}", list.empty() ? "" : ", ", by_mx ? host : "[" + host + "]", port.empty() ? "" : ":" + port);
        if (!by_mx)
            smart_hosts_.push_back(host + (port.empty() ? "" : ":" + port));
    }
    return list.empty() ? std::nullopt : std::optional(list);
}

Translator::Step Translator::manual(const Instance& one, const Token& token, Destination& destination)
{
    std::string hosts;
    const Option* option = one.find("route_list") ? one.find("route_list") : one.find("route_data");
    if (!option)
        return Step::passes;
    if (option->name == "route_list") {
        for (const std::string_view rule : split(option->value, ";")) {
            const auto words = split(rule);
            if (words.empty() || !set_of(words.front(), ListOf::domains).matches(token.text))
                continue;
            hosts = trim(trim(rule).substr(words.front().size()));
            break;
        }
    } else if (const auto lookup = as_lookup(option->value); lookup && is_domain(lookup->key) && lookup->type == "lsearch") {
        const Outcome path = known(lookup->file);
        const auto text = path.kind == Outcome::Kind::known ? machine_.read(path.text) : Result<std::string>(Error{"unknown"});
        if (!text) {
            judge(*option, where_of(one), Kind::left_out,
                  path.kind == Outcome::Kind::known ? text.error().text() : "an expansion that is not known: " + path.text);
            return Step::passes;
        }
        const std::string wanted = token.kind == Token::Kind::suffix ? "*" + token.text : token.text;
        for (const KeyEntry& entry : read_key_file(*text)) {
            const bool below = lookup->partial >= 0 && entry.key.starts_with("*.") &&
                               (token.text == entry.key.substr(2) || token.text.ends_with(entry.key.substr(1)));
            if (entry.key == wanted || (hosts.empty() && below))
                hosts = entry.value;
            if (entry.key == wanted)
                break;
        }
        judge(*option, where_of(one), Kind::becomes, fmt::format("transport_maps, made of {}: changes go there from now on", path.text));
    } else if (!lookup) {
        hosts = option->value;
    } else {
        judge(*option, where_of(one), Kind::left_out,
              fmt::format("transport_maps with a table of the type {}: its answers have to be \"smtp:[host]\"", lookup->type));
        return Step::passes;
    }
    if (hosts.empty())
        return Step::passes;
    const std::string list = split_route(hosts);
    const auto hops = next_hops(list, one);
    if (!hops) {
        judge(*option, where_of(one), Kind::left_out, fmt::format("hosts that are not known now: {}", printable(list, true)));
        return Step::passes;
    }
    destination.kind = DestinationKind::manual;
    destination.router = &one;
    destination.transport = tree_.transport(one.text("transport"));
    destination.next_hop = *hops;
    judge(*option, where_of(one), Kind::becomes,
          token.kind == Token::Kind::elsewhere ? fmt::format("relayhost = {}", *hops) : std::string("entries of transport_maps"));
    return Step::ends;
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
    std::optional<PatternSet> parts;
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
    // "someone@else.test", ":fail: text", "$local_part@else.test".
    Known here = known_;
    here.variables["local_part"] = here.variables["local_part_data"] = "\x01";
    here.variables["domain"] = here.variables["domain_data"] = token.text;
    const Outcome value = evaluate(data->value, here);
    if (value.kind == Outcome::Kind::failed)
        return aliases;
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

/// The local parts that a router is for; none: all. False: they are not known, and the router is left out.
bool Translator::parts_of(const Instance& one, const Token& token, std::optional<PatternSet>& parts)
{
    const Option* option = one.find("local_parts");
    if (!option)
        return true;
    Known here = known_;
    here.variables["domain"] = here.variables["domain_data"] = token.text;
    const Outcome list = evaluate(option->value, here);
    if (list.kind != Outcome::Kind::failed)
        parts = set_of(list.kind == Outcome::Kind::known ? std::string_view(list.text) : std::string_view(option->value), ListOf::local_parts);
    else
        parts.emplace();
    if (parts->unknown.empty())
        return true;
    unusable_.insert(&one);
    judge(*option, where_of(one), Kind::left_out, fmt::format("the router is left out: not known: {}", fmt::join(parts->unknown, ", ")));
    return false;
}

/// The first router that delivers decides; one behind it would get what the first leaves, which is refused here.
bool Translator::comes_second(const Instance& one, const Destination& destination)
{
    if (destination.kind == DestinationKind::none)
        return false;
    const std::string first = destination.router ? destination.router->name : std::string();
    judge(one.place, where_of(one), fmt::format("{}: driver = {}", one.name, one.driver), Kind::left_out,
          fmt::format("router {} delivers for these domains: whom it leaves to this one is refused (transport_maps with their addresses)", first));
    return true;
}

Translator::Step Translator::accept(const Instance& one, const Token& token, Destination& destination)
{
    if (token.kind == Token::Kind::elsewhere && !one.find("domains") && one.is_on("check_local_user"))
        return Step::passes;
    const Instance* transport = tree_.transport(one.text("transport"));
    std::optional<PatternSet> parts;
    if (!transport || !parts_of(one, token, parts) || comes_second(one, destination))
        return Step::passes;
    destination.kind = one.is_on("check_local_user")       ? DestinationKind::local
                       : transport->driver == "appendfile" ? DestinationKind::mailbox
                       : transport->driver == "lmtp"       ? DestinationKind::lmtp
                                                           : DestinationKind::manual;
    if (const Option* local_parts = one.find("local_parts"))
        judge(*local_parts, where_of(one), Kind::becomes,
              destination.kind == DestinationKind::local ? "local_recipient_maps"
                                                         : "the recipients of virtual_mailbox_maps, or of relay_recipient_maps");
    destination.recipients = parts;
    destination.router = &one;
    destination.transport = transport;
    judge(*one.find("transport"), where_of(one), Kind::becomes, fmt::format("see transport {}", transport->name));
    return destination.kind == DestinationKind::local || parts ? Step::passes : Step::ends;
}

/// Routers to hosts: `dnslookup` and `manualroute`, for all of a domain or for some of its local parts.
Translator::Step Translator::remote(const Instance& one, const Token& token, Destination& destination)
{
    std::optional<PatternSet> parts;
    if (!parts_of(one, token, parts))
        return Step::passes;
    if (one.is_on("check_local_user") && !parts) {
        parts.emplace();
        for (const std::string& user : machine_.users)
            parts->rules.push_back({PatternRule::Kind::text, false, user});
    }
    if (parts && token.kind == Token::Kind::elsewhere) {
        unusable_.insert(&one);
        judge(one.place, where_of(one), fmt::format("{}: driver = {}", one.name, one.driver), Kind::left_out,
              "some local parts of any domain: transport_maps with a pcre table");
        return Step::passes;
    }
    if (comes_second(one, destination))
        return Step::passes;
    Step step = Step::ends;
    if (one.driver == "manualroute") {
        step = manual(one, token, destination);
        if (step == Step::passes)
            return step;
    } else {
        destination.kind = DestinationKind::dns;
        destination.router = &one;
        destination.transport = tree_.transport(one.text("transport"));
    }
    destination.recipients = parts;
    if (const Option* local_parts = one.find("local_parts"))
        judge(*local_parts, where_of(one), Kind::becomes, "relay_recipient_maps");
    return parts ? Step::passes : step;
}

Translator::Step Translator::router(const Instance& one, const Token& token, Destination& destination)
{
    if (!in_domains(one, token))
        return Step::passes;
    taken_by_[&one].insert(token.kind == Token::Kind::suffix ? "*" + token.text : token.kind == Token::Kind::elsewhere ? "all others" : token.text);
    if (!usable(one))
        return Step::passes;
    // What it alone takes is refused at RCPT there, and taken here.
    for (const char* name : {"verify", "verify_recipient"})
        if (const Option* option = one.find(name); option && !one.is_on(name) && !one.find("file"))
            judge(option->place, where_of(one), shown(*option), Kind::left_out,
                  "who exists is asked of the same tables that route: whom it alone takes is not refused at RCPT", true);
    if (one.driver == "dnslookup" || one.driver == "manualroute")
        return remote(one, token, destination);
    if (one.driver == "redirect")
        return redirect(one, token, destination);
    if (one.driver == "accept")
        return accept(one, token, destination);
    return Step::passes;
}

Destination Translator::follow(const Token& token)
{
    Destination destination;
    for (const Instance& one : tree_.routers)
        if (router(one, token, destination) == Step::ends)
            break;
    if (destination.transport)
        used_transports_.insert(destination.transport);
    return destination;
}

/// The domains that anybody may send mail to, as the ACL of RCPT has them.
void Translator::authorized()
{
    const Acl* acl = tree_.acl(tree_.text("acl_smtp_rcpt"));
    if (!acl)
        return;
    const auto domains_of = [&](const AclStatement& one, bool negated) -> const Condition* {
        const Condition* found = nullptr;
        for (const Condition& condition : one.conditions) {
            if (condition.name == "domains" && condition.negated == negated)
                found = &condition;
            else if (condition.name != "message" && condition.name != "log_message" && condition.name != "endpass" && condition.name != "verify" &&
                     condition.name != "control" && condition.name != "logwrite" && condition.name != "delay")
                return nullptr;
        }
        return found;
    };
    for (const AclStatement& one : acl->statements)
        if (const Condition* condition = one.verb == "require" ? domains_of(one, false) : one.verb == "deny" ? domains_of(one, true) : nullptr) {
            authorized_ = set_of(condition->value, ListOf::domains);
            return;
        }
    for (const AclStatement& one : acl->statements)
        if (const Condition* condition = one.verb == "accept" ? domains_of(one, false) : nullptr) {
            const PatternSet more = set_of(condition->value, ListOf::domains);
            if (more.unknown.empty() && !more.has_negations())
                authorized_.rules.insert(authorized_.rules.end(), more.rules.begin(), more.rules.end());
        }
}

void Translator::routing()
{
    collect_tokens();
    const Token elsewhere{Token::Kind::elsewhere, "*elsewhere*"};
    const Destination rest = follow(elsewhere);
    main_transport_ = rest.transport;
    for (const Token& token : tokens_)
        destinations_[token] = follow(token);
    destinations_[elsewhere] = rest;
    write_classes();
    router_verdicts();
}

std::string Translator::list_value(const std::vector<Token>& tokens, const std::string& table)
{
    std::string list, patterns;
    for (const Token& token : tokens) {
        if (token.kind == Token::Kind::text)
            list += (list.empty() ? "" : ", ") + (token.text == to_lower(host_) ? std::string("$myhostname") : token.text);
        else if (token.kind == Token::Kind::suffix)
            patterns += fmt::format("/{}$/ {}\n", regex_of(token.text), "yes");
        else
            patterns += fmt::format("/{}/ yes\n", [&] {
                std::string text;
                for (const char c : token.text)
                    text += c == '/' ? std::string("\\/") : std::string(1, c);
                return text;
            }());
    }
    if (!patterns.empty())
        list += (list.empty() ? "" : ", ") + add_table(table, "pcre", patterns);
    return list;
}

void Translator::route_entry(const std::string& key, const std::string& value) { routes_.emplace(key, value); }

/// An address of an alias's value, with a domain.
std::string Translator::qualified(std::string address, const std::string& domain) const
{
    if (address.starts_with('\\'))
        address.erase(0, 1);
    if (address.size() > 2 && address.front() == '"' && address.back() == '"' && address.find('@') == address.npos)
        address = address.substr(1, address.size() - 2);
    if (address.find('@') != address.npos)
        return address;
    return fmt::format("{}@{}", address, domain);
}

/// What is no address: ":fail: text" and its kin as routes. `address`: "user@domain", or "domain" for all of it. True: it was one of those.
bool Translator::special_entry(const std::string& address, const std::string& target)
{
    const auto text_behind = [&](std::string_view word) {
        const std::string text(trim(std::string_view(target).substr(word.size())));
        return printable(text, true);
    };
    if (target.starts_with(":fail:")) {
        const std::string text = text_behind(":fail:");
        route_entry(address, fmt::format("error:5.1.1 {}", text.empty() ? "unknown user" : text));
    } else if (target.starts_with(":unknown:")) {
        route_entry(address, "error:5.1.1 unknown user");
    } else if (target.starts_with(":defer:")) {
        const std::string text = text_behind(":defer:");
        route_entry(address, fmt::format("retry:4.2.0 {}", text.empty() ? "try later" : text));
    } else if (target.starts_with(":blackhole:")) {
        route_entry(address, "discard:");
    } else {
        return false;
    }
    return true;
}

void Translator::write_classes()
{
    std::map<Token, Destination> local;
    const Destination& rest = destinations_.at({Token::Kind::elsewhere, "*elsewhere*"});
    for (const auto& [token, destination] : destinations_) {
        if (token.kind == Token::Kind::elsewhere)
            continue;
        const bool open = authorized_.unknown.empty() && authorized_.matches(token.text);
        switch (destination.kind) {
        case DestinationKind::local:
            local_.push_back(token);
            local.emplace(token, destination);
            break;
        case DestinationKind::mailbox: mailboxes_.push_back(token); break;
        case DestinationKind::none:
            if (!destination.aliases.empty() || open)
                aliased_.push_back(token);
            break;
        case DestinationKind::fails:
            if (token.kind == Token::Kind::text)
                route_entry(token.text, fmt::format("error:5.1.1 {}", printable(destination.text.empty() ? "unknown user" : destination.text, true)));
            if (open)
                relayed_.push_back(token);
            break;
        case DestinationKind::lmtp:
        case DestinationKind::manual:
        case DestinationKind::dns: {
            if (open)
                relayed_.push_back(token);
            const bool same = destination.kind == rest.kind && destination.next_hop == rest.next_hop && destination.transport == rest.transport;
            if (same && destination.kind != DestinationKind::lmtp)
                break;
            if (destination.kind == DestinationKind::dns && rest.kind != DestinationKind::manual && destination.transport == rest.transport)
                break;
            const std::string service = destination.transport ? service_of(*destination.transport) : "smtp";
            std::string hop = destination.next_hop;
            if (destination.kind == DestinationKind::lmtp && destination.transport) {
                const std::string_view socket = destination.transport->text("socket");
                hop = socket.empty() ? std::string() : fmt::format("unix:{}", socket);
            }
            if (token.kind == Token::Kind::regex)
                break;
            route_entry(token.text, fmt::format("{}:{}", service, hop));
            break;
        }
        }
        if (destination.kind != DestinationKind::local && !destination.aliases.empty())
            write_virtual(token, destination);
    }
    switch (rest.kind) {
    case DestinationKind::manual:
        if (rest.transport && rest.transport->driver == "smtp")
            set("relayhost", rest.next_hop, &rest.router->place, "router " + rest.router->name);
        else if (rest.transport)
            set("default_transport", service_of(*rest.transport) + ":", &rest.router->place, "router " + rest.router->name);
        break;
    case DestinationKind::dns: set("relayhost", "", &rest.router->place, "router " + rest.router->name); break;
    case DestinationKind::fails:
        set("default_transport", fmt::format("error:5.1.2 {}", rest.text.empty() ? "mail for other domains is not sent" : printable(rest.text, true)),
            &rest.router->place, "router " + rest.router->name);
        break;
    default: set("default_transport", "error:5.1.2 mail for other domains is not sent", nullptr); break;
    }
    const auto lists = [&](const char* parameter, const std::vector<Token>& tokens, const char* table) {
        set(parameter, list_value(tokens, table), nullptr);
        std::vector<std::string>& because = out_.settings.back().because;
        for (const NamedList& list : tree_.lists)
            if (list.kind == NamedList::Kind::domains) {
                const PatternSet domains = set_of(list.value, ListOf::domains);
                if (domains.unknown.empty() && std::ranges::any_of(tokens, [&](const Token& token) { return domains.matches(token.text); }))
                    because.push_back(
                        fmt::format("{}: domainlist {} = {}", list.place.text(), list.name, list.hidden ? "(hidden)" : printable(list.value, true)));
            }
    };
    lists("mydestination", local_, "local_domains");
    lists("relay_domains", relayed_, "relay_domains");
    lists("virtual_alias_domains", aliased_, "alias_domains");
    lists("virtual_mailbox_domains", mailboxes_, "mailbox_domains");
    write_aliases(local);
    write_mailboxes();
    const auto write_table = [&](const std::map<std::string, std::string>& entries, const std::string& parameter, const std::string& name,
                                 std::string_view comment) {
        if (entries.empty())
            return;
        std::string text = fmt::format("# {}\n", comment);
        for (const auto& [key, value] : entries)
            text += fmt::format("{} {}\n", quoted_key(key), value);
        append(parameter, add_table(name, "texthash", text), {});
    };
    write_table(virtual_aliases_, "virtual_alias_maps", "aliases_virtual",
                "Made of Exim's redirect routers and the files they name; changes go here from now on.");
    write_table(routes_, "transport_maps", "routes", "Made of Exim's routers and the files they name; changes go here from now on.");
}

/// What such an entry is as an alias: the address has to be known, or it is refused before its route is asked. Domains that have aliases alone are
/// routed to nobody: there the route is one of a name that nobody can have (RFC 2606).
std::vector<std::string> Translator::special_targets(const std::string& local, const Token& token, const Destination& destination,
                                                     const std::string& target)
{
    const std::string address = fmt::format("{}@{}", local, token.text);
    if (destination.kind != DestinationKind::none)
        return local == "*" ? std::vector<std::string>{} : std::vector{address};
    if (target.starts_with(":blackhole:")) {
        route_entry("discard.invalid", "discard:");
        return {"nobody@discard.invalid"};
    }
    if (target.starts_with(":defer:") && local != "*") {
        special_entry(address + ".invalid", target);
        return {address + ".invalid"};
    }
    return local == "*" ? std::vector<std::string>{} : std::vector{address};
}

void Translator::write_virtual(const Token& token, const Destination& destination)
{
    if (token.kind != Token::Kind::text)
        return;
    const auto key_of = [&](const std::string& local) { return local == "*" ? "@" + token.text : local + "@" + token.text; };
    for (const AliasEntries& aliases : destination.aliases)
        for (const auto& [local, value] : aliases.entries) {
            const std::string key = key_of(local);
            if (virtual_aliases_.contains(key) || routes_.contains(local == "*" ? token.text : key))
                continue;
            std::vector<std::string> targets;
            const Option* data = aliases.router->find("data");
            const auto say = [&](const std::string& what, const std::string& target) {
                judge(data->place, where_of(*aliases.router), fmt::format("{} = {}", key, printable(target, true)), Kind::left_out, what);
            };
            for (const std::string& target : split_aliases(value)) {
                const std::string special_key = local == "*" ? token.text : key;
                if (special_entry(special_key, target)) {
                    targets = special_targets(local, token, destination, target);
                    break;
                }
                if (target.find('\x02') != target.npos) {           // "$local_part@else" for whoever: the domain alone changes
                    if (target.starts_with('\x02') && target[1] == '@')
                        targets.push_back(target.substr(1));
                    else
                        say("virtual_alias_maps with a pcre table", target);
                } else if (target.starts_with('|') || target.starts_with("\"|")) {
                    say("a command: give it a pipe line in master.cf and a route in transport_maps", target);
                } else if (target == "/dev/null") {
                    special_entry(special_key, ":blackhole:");
                    targets = special_targets(local, token, destination, ":blackhole:");
                } else if (target.starts_with('/')) {
                    say("a file: an address of this machine with an alias to that file", target);
                } else if (target.starts_with(":include:")) {
                    const std::string path(trim(std::string_view(target).substr(9)));
                    const auto members = machine_.read(path);
                    if (!members) {
                        say(members.error().text(), target);
                        continue;
                    }
                    for (const std::string& member : split_aliases(*members))
                        targets.push_back(qualified(member, qualify_recipient_));
                } else {
                    targets.push_back(qualified(target, qualify_recipient_));
                }
            }
            if (!targets.empty())
                virtual_aliases_.emplace(key, fmt::format("{}", fmt::join(targets, ", ")));
        }
    // "@domain" would take those with a mailbox too.
    if (virtual_aliases_.contains("@" + token.text) && destination.recipients)
        for (const PatternRule& rule : destination.recipients->rules)
            if (rule.kind == PatternRule::Kind::text && !rule.negated)
                virtual_aliases_.emplace(rule.text + "@" + token.text, rule.text + "@" + token.text);
}

/// Who of the users of this machine has mail, where a router names them; and who gets what is for nobody.
void Translator::write_local_recipients(const std::map<Token, Destination>& local, const std::map<std::string, std::string>& aliases)
{
    const std::string unknown_users = local.begin()->second.unknown_users;
    if (std::ranges::all_of(local, [&](const auto& one) { return one.second.unknown_users == unknown_users; }) && !unknown_users.empty()) {
        set("luser_relay", unknown_users, nullptr);
        set("local_recipient_maps", "", nullptr);
        return;
    }
    for (const auto& [token, destination] : local)
        if (!destination.unknown_users.empty())
            judge(destination.router->place, where_of(*destination.router), fmt::format("unknown users of {}", token.text), Kind::left_out,
                  "luser_relay is for unknown users of all local domains: here they are refused");
    const auto has_alias = [&](const PatternRule& rule) {
        return rule.negated && (aliases.contains(rule.text) || virtual_aliases_.contains(rule.text));
    };
    const bool all = std::ranges::all_of(local, [&](const auto& one) {
        const auto& parts = one.second.recipients;
        return !parts || (parts->otherwise && std::ranges::all_of(parts->rules, has_alias));
    });
    if (all)
        return;
    std::string users;
    for (const auto& [token, destination] : local)
        for (const std::string& user : machine_.users)
            if (token.kind == Token::Kind::text && (!destination.recipients || destination.recipients->matches(user)))
                users += fmt::format("{}@{} yes\n", user, token.text);
    set("local_recipient_maps",
        add_table("local_users", "texthash", "# The users that Exim's routers have mail for; who is new goes here.\n" + users) + ", $alias_maps",
        nullptr);
}

void Translator::write_aliases(const std::map<Token, Destination>& local)
{
    // Aliases of all local domains alike are local's own; those of one domain are virtual ones.
    std::map<std::string, std::string> entries;
    std::set<std::string> files, commands;
    bool commands_allowed = false;
    std::string user;
    std::map<const Instance*, std::size_t> shared;
    for (const auto& [token, destination] : local)
        for (const AliasEntries& aliases : destination.aliases)
            ++shared[aliases.router];
    const auto could_share = [&](const AliasEntries& aliases) {
        const std::string_view data = aliases.router->text("data");
        return shared[aliases.router] == local.size() && data.find("$domain") == data.npos && data.find("${domain") == data.npos &&
               !aliases.entries.contains("*") && !(aliases.router->is_on("check_local_user") && !aliases.router->find("local_parts"));
    };
    // Virtual ones are followed first: where a router of theirs stands, all are virtual, so that their order stays.
    const bool all_share = std::ranges::all_of(local, [&](const auto& one) { return std::ranges::all_of(one.second.aliases, could_share); });
    const auto is_shared = [&](const AliasEntries& aliases) { return all_share && could_share(aliases); };
    bool first = true;
    for (const auto& [token, destination] : local) {
        Destination own = destination;
        std::erase_if(own.aliases, is_shared);
        if (!own.aliases.empty())
            write_virtual(token, own);
        if (!all_share || !std::exchange(first, false))
            continue;
        for (const AliasEntries& aliases : destination.aliases) {
            if (!is_shared(aliases))
                continue;
            const Instance& one = *aliases.router;
            for (const auto& [name, value] : aliases.entries) {
                if (entries.contains(name))
                    continue;
                std::vector<std::string> targets;
                for (const std::string& target : split_aliases(value)) {
                    const bool command = target.starts_with('|') || target.starts_with("\"|"), file = target.starts_with('/');
                    bool special = false;
                    for (const auto& [domain, unused] : local)
                        if (domain.kind == Token::Kind::text)
                            special |= special_entry(fmt::format("{}@{}", name, domain.text), target);
                    if (special) {
                        targets = {"\\" + name};
                        break;
                    }
                    const std::string_view transport = one.text(command ? "pipe_transport" : "file_transport");
                    if ((command || file) && (transport.empty() || one.text("user").empty())) {
                        const Option* data = one.find("data");
                        judge(data->place, where_of(one), fmt::format("{} = {}", name, printable(target, true)), Kind::left_out,
                              command ? "a command, which the router gives no transport or user: it failed there too"
                                      : "a file, which the router gives no transport or user: it failed there too");
                        continue;
                    }
                    if (command || file) {
                        user = one.text("user");
                        (command ? commands : files).insert(name);
                    }
                    targets.push_back(target);
                }
                if (targets.size() == 1 && targets.front() == "\\" + name) {
                    entries.emplace(name, name);                    // its route decides before an alias is asked
                    continue;
                }
                if (!targets.empty())
                    entries.emplace(name, fmt::format("{}", fmt::join(targets, ", ")));
            }
        }
    }
    commands_allowed = !commands.empty();
    set("alias_database", "", nullptr);
    if (local.empty()) {
        set("alias_maps", "", nullptr);
        set("local_recipient_maps", "", nullptr);
        return;
    }
    write_local_recipients(local, entries);
    std::string text = "# Made of Exim's redirect routers and the files they name; changes go here from now on.\n";
    for (const auto& [name, value] : entries)
        text += fmt::format("{} {}\n", quoted_key(name), value);
    set("alias_maps", entries.empty() ? std::string() : add_table("aliases", "texthash", text), nullptr);
    // Commands and files that Exim gave no transport stay without one.
    set("allow_mail_to_commands", commands_allowed ? "alias, forward" : "forward", nullptr);
    set("allow_mail_to_files", files.empty() ? "forward" : "alias, forward", nullptr);
    if (!user.empty() && user != "root")
        set("default_privs", user, nullptr);
    if (!out_.find("forward_path"))
        set("forward_path", "", nullptr);
}

void Translator::write_mailboxes()
{
    std::string boxes, known_recipients, base;
    bool any_recipients = false;
    for (const auto& [token, destination] : destinations_) {
        if (token.kind == Token::Kind::elsewhere)
            continue;
        if (destination.kind == DestinationKind::mailbox && destination.transport) {
            const Instance& transport = *destination.transport;
            const Option* place = transport.find("directory") ? transport.find("directory") : transport.find("file");
            if (!place || token.kind != Token::Kind::text)
                continue;
            const std::string where = "transport " + transport.name;
            if (!destination.recipients || destination.recipients->has_negations()) {
                judge(*place, where, Kind::left_out,
                      "virtual_mailbox_maps need to know who has a mailbox: the router names no local parts. Or deliver by LMTP (virtual_transport)");
                continue;
            }
            for (const PatternRule& rule : destination.recipients->rules) {
                if (rule.kind != PatternRule::Kind::text)
                    continue;
                Known here = known_;
                for (const char* name : {"domain", "domain_data"})
                    here.variables[name] = token.text;
                for (const char* name : {"local_part", "local_part_data"})
                    here.variables[name] = rule.text;
                const Outcome path = evaluate(place->value, here);
                if (path.kind != Outcome::Kind::known || !path.text.starts_with('/')) {
                    judge(*place, where, Kind::left_out, fmt::format("an expansion that is not known: {}", path.text));
                    break;
                }
                boxes += fmt::format("{}@{} {}{}\n", rule.text, token.text, path.text.substr(1),
                                     transport.is_on("maildir_format") && !path.text.ends_with('/') ? "/" : "");
            }
            judge(*place, where, Kind::becomes, "virtual_mailbox_maps, with virtual_mailbox_base = /");
            const Option* owner = transport.find("user") ? transport.find("user") : destination.router->find("user");
            const auto ids = owner && machine_.user ? machine_.user(owner->value) : std::nullopt;
            if (ids) {
                set("virtual_uid_maps", fmt::format("static:{}", ids->first), &owner->place, shown(*owner));
                set("virtual_gid_maps", fmt::format("static:{}", ids->second), &owner->place, shown(*owner));
                set("virtual_minimum_uid", std::to_string(std::min<unsigned>(ids->first, 100)), nullptr);
                judge(*owner, transport.find("user") ? where : where_of(*destination.router), Kind::becomes,
                      fmt::format("virtual_uid_maps = static:{}", ids->first));
            } else if (owner) {
                out_.refusals.push_back(
                    fmt::format("{}: {}: there is no such user here: whose are the mailboxes?", owner->place.text(), shown(*owner)));
            } else {
                out_.refusals.push_back(
                    fmt::format("{}: transport {} names no user: whose are the mailboxes?", transport.place.text(), transport.name));
            }
        }
    }
    for (const Token& token : relayed_) {
        const Destination& destination = destinations_.at(token);
        const std::string domain = token.kind == Token::Kind::text ? token.text : std::string();
        if (destination.recipients && !destination.recipients->has_negations() && !domain.empty()) {
            any_recipients = true;
            for (const PatternRule& rule : destination.recipients->rules)
                if (rule.kind == PatternRule::Kind::text)
                    known_recipients += fmt::format("{}@{} yes\n", rule.text, domain);
        } else if (!domain.empty()) {
            known_recipients += fmt::format("@{} yes\n", domain);
        }
    }
    if (!mailboxes_.empty()) {
        set("virtual_mailbox_base", "/", nullptr);
        set("virtual_mailbox_maps", add_table("mailboxes", "texthash", "# Who has a mailbox, and where below virtual_mailbox_base.\n" + boxes),
            nullptr);
    }
    if (any_recipients)
        set("relay_recipient_maps", add_table("relay_recipients", "texthash", "# Who of relay_domains gets mail.\n" + known_recipients), nullptr);
}

void Translator::router_verdicts()
{
    for (const Instance& one : tree_.routers) {
        const auto taken = taken_by_.find(&one);
        const std::string where = where_of(one), statement = fmt::format("{}: driver = {}", one.name, one.driver);
        if (unusable_.contains(&one)) {
            judge(one.place, where, statement, Kind::left_out, "see its options");
            const auto why =
                std::ranges::find_if(out_.verdicts, [&](const Verdict& verdict) { return verdict.where == where && verdict.statement != statement; });
            const bool unneeded = why != out_.verdicts.end() && why->kind == Kind::nothing_needed;
            if (unneeded)
                out_.verdicts.back().kind = Kind::nothing_needed;
            for (const Option& option : one.options)
                judge(option, where, unneeded ? Kind::nothing_needed : Kind::left_out,
                      unneeded ? "its router never applies" : "its router is left out");
        } else if (taken == taken_by_.end()) {
            judge(one.place, where, statement, Kind::nothing_needed,
                  one.find("domains") && set_of(one.text("domains"), ListOf::domains).is_empty() ? "no domain is in its list now"
                                                                                                 : "routers before it take all of its domains");
            for (const Option& option : one.options)
                judge(option, where, Kind::nothing_needed, "its router is not reached");
        } else if (one.driver == "ipliteral") {
            judge(one.place, where, statement, Kind::nothing_needed, "user@[address] goes to that address");
        } else if (one.driver == "iplookup" || one.driver == "queryprogram") {
            judge(one.place, where, statement, Kind::left_out, "transport_maps with a table of the types tcp or socketmap asks a program");
        } else {
            std::vector<std::string> names(taken->second.begin(), taken->second.end());
            const std::size_t more = names.size() > 5 ? names.size() - 5 : 0;
            names.resize(names.size() - more);
            judge(one.place, where, statement, Kind::becomes,
                  fmt::format("the route of {}{}", fmt::join(names, ", "), more ? fmt::format(" and {} more", more) : std::string()));
        }
        if (const Option* domains = one.find("domains"))
            judge(*domains, where, Kind::becomes,
                  "the classes of these domains (mydestination, relay_domains, virtual_alias_domains, virtual_mailbox_domains, transport_maps)");
        for (const char* name : {"transport", "check_local_user", "user", "group", "route_list", "route_data"})
            if (const Option* option = one.find(name)) {
                const std::string_view option_name = name;
                if (option_name == "transport")
                    judge(*option, where, Kind::becomes, fmt::format("see transport {}", option->value));
                else if (option_name == "check_local_user")
                    judge(*option, where, Kind::becomes, "local_recipient_maps: the users of this machine");
                else if (option_name == "user" || option_name == "group")
                    judge(*option, where, option_name == "user" ? Kind::becomes : Kind::nothing_needed,
                          "default_privs, with that user's group; users' own mail is theirs");
                else
                    judge(*option, where, Kind::nothing_needed, "its router is not reached for any domain that is known now");
            }
        if (const Option* ignored = one.find("ignore_target_hosts"))
            judge(
                *ignored, where, Kind::left_out,
                "addresses of the DNS that are loopback or private are not left out: check_recipient_mx_access and check_sender_mx_access with a cidr table refuse such domains");
    }
}

}  // namespace posthorn::exim
