// The routers in their order: where each domain of the configuration ends.
#include "base/strings.hpp"
#include "exim/key_file.hpp"
#include "exim/router_words.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

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

}  // namespace

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
            port = known(transport->text("port")).text;            // one that is not known is no number
        if (host.empty() || host.find_first_of(" \t,[]") != host.npos || (!port.empty() && !std::ranges::all_of(port, is_alnum)))
            return {};
        if (port == "25" || port == "smtp")
            port.clear();
        list += fmt::format("{}{}{}", list.empty() ? "" : ", ", by_mx ? host : "[" + host + "]", port.empty() ? "" : ":" + port);
        if (!by_mx)
            smart_hosts_.push_back({host, port});
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

/// A router whose transport throws away: ":blackhole:" of its local parts, or of all that is left.
Translator::Step Translator::discard(const Instance& one, const std::optional<PatternSet>& parts, Destination& destination)
{
    const auto by_name = [](const PatternRule& rule) { return rule.kind == PatternRule::Kind::text && !rule.negated; };
    if (parts && !std::ranges::all_of(parts->rules, by_name)) {
        judge(one.place, where_of(one), fmt::format("{}: driver = {}", one.name, one.driver), Kind::left_out,
              "local parts by patterns: transport_maps with a pcre table, and discard:");
        return Step::passes;
    }
    if (destination.kind != DestinationKind::none && !parts)
        return Step::passes;                                       // whom the router before it leaves is refused
    AliasEntries aliases{.entries = {}, .router = &one};
    if (!parts)
        aliases.entries.emplace("*", ":blackhole:");
    else
        for (const PatternRule& rule : parts->rules)
            aliases.entries.emplace(rule.text, ":blackhole:");
    if (!aliases.entries.empty())
        destination.aliases.push_back(std::move(aliases));
    judge(*one.find("transport"), where_of(one), Kind::becomes, "discard: in transport_maps");
    return parts ? Step::passes : Step::ends;
}

Translator::Step Translator::accept(const Instance& one, const Token& token, Destination& destination)
{
    if (token.kind == Token::Kind::elsewhere && !one.find("domains") && one.is_on("check_local_user"))
        return Step::passes;
    const Instance* transport = tree_.transport(one.text("transport"));
    std::optional<PatternSet> parts;
    if (!transport || !parts_of(one, token, parts))
        return Step::passes;
    if (transport->driver == "appendfile" && transport->text("file") == "/dev/null" && !one.is_on("check_local_user"))
        return discard(one, parts, destination);
    if (comes_second(one, destination))
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
    asked_parts_.erase(&one);
    if (!usable(one, token))
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
    see_on(destination, token);
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
            else if (condition.name != "verify" && !is_modifier(condition.name))
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
