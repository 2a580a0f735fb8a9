#include "base/strings.hpp"
#include "exim/key_file.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

namespace posthorn::exim {

namespace {

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
    if (const Option* hosts = transport->find("hosts"); hosts && destination.kind == DestinationKind::manual) {
        const auto hops = next_hops(hosts->value, one);
        judge(*hosts, "transport " + transport->name, hops ? Kind::becomes : Kind::left_out,
              hops ? "the next hop of its routes" : "hosts that are not known now: transport_maps with \"DOMAIN NAME:[host]\"");
        if (!hops) {
            destination.kind = DestinationKind::none;
            unusable_.insert(&one);
            return Step::passes;
        }
        destination.next_hop = *hops;
    }
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

}  // namespace posthorn::exim
