#include "base/strings.hpp"
#include "exim/key_file.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace posthorn::exim {

namespace {

/// A table's key: with quotes around a local part that has blanks.
std::string quoted_key(const std::string& key)
{
    const std::size_t at = std::min(key.rfind('@'), key.size());
    return key.find_first_of(" \t") == key.npos ? key : fmt::format("\"{}\"{}", key.substr(0, at), key.substr(at));
}

}  // namespace

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

/// Where a token's mail goes is which class it has, and its route where that differs from all others'.
void Translator::write_class(const Token& token, const Destination& destination, const Destination& rest)
{
    const bool open = authorized_.unknown.empty() && authorized_.matches(token.text);
    switch (destination.kind) {
    case DestinationKind::local: local_.push_back(token); return;
    case DestinationKind::mailbox: mailboxes_.push_back(token); return;
    case DestinationKind::none:
        if (destination.aliases.empty())
            unrouted_.push_back(token);
        if (!destination.aliases.empty() || open)
            aliased_.push_back(token);
        else if (rest.kind != DestinationKind::none && token.kind != Token::Kind::regex)
            route_entry(token.text, "error:5.1.1 no router takes mail for this domain");
        return;
    case DestinationKind::fails:
        if (token.kind == Token::Kind::text)
            route_entry(token.text, fmt::format("error:5.1.1 {}", printable(destination.text.empty() ? "unknown user" : destination.text, true)));
        if (open)
            relayed_.push_back(token);
        return;
    case DestinationKind::lmtp:
    case DestinationKind::manual:
    case DestinationKind::dns: break;
    }
    if (open)
        relayed_.push_back(token);
    const bool lmtp = destination.kind == DestinationKind::lmtp, same_transport = destination.transport == rest.transport;
    const bool same = destination.kind == rest.kind && destination.next_hop == rest.next_hop && same_transport;
    const bool by_default = destination.kind == DestinationKind::dns && rest.kind != DestinationKind::manual && same_transport;
    if (token.kind == Token::Kind::regex || (same && !lmtp) || by_default)
        return;
    const std::string_view socket = lmtp && destination.transport ? destination.transport->text("socket") : std::string_view();
    route_entry(token.text, fmt::format("{}:{}", destination.transport ? service_of(*destination.transport) : "smtp",
                                        socket.empty() ? destination.next_hop : fmt::format("unix:{}", socket)));
}

/// Mail for domains that the configuration does not name.
void Translator::write_rest(const Destination& rest)
{
    const std::string_view nowhere = "mail for other domains is not sent";
    const std::string name = rest.router ? "router " + rest.router->name : std::string();
    const Place* place = rest.router ? &rest.router->place : nullptr;
    if (rest.kind == DestinationKind::dns)
        set("relayhost", "", place, name);
    else if (rest.kind == DestinationKind::manual && rest.transport && rest.transport->driver == "smtp")
        set("relayhost", rest.next_hop, place, name);
    else if (rest.kind == DestinationKind::manual && rest.transport)
        set("default_transport", service_of(*rest.transport) + ":", place, name);
    else
        set("default_transport", fmt::format("error:5.1.2 {}", rest.text.empty() ? nowhere : std::string_view(rest.text)), place, name);
}

void Translator::write_domain_list(const char* parameter, const std::vector<Token>& tokens, const char* table)
{
    set(parameter, list_value(tokens, table), nullptr);
    std::vector<std::string>& because = out_.settings.back().because;
    for (const NamedList& list : tree_.lists) {
        if (list.kind != NamedList::Kind::domains)
            continue;
        const PatternSet domains = set_of(list.value, ListOf::domains);
        if (domains.unknown.empty() && std::ranges::any_of(tokens, [&](const Token& token) { return domains.matches(token.text); }))
            because.push_back(
                fmt::format("{}: domainlist {} = {}", list.place.text(), list.name, list.hidden ? "(hidden)" : printable(list.value, true)));
    }
}

void Translator::write_entries(const std::map<std::string, std::string>& entries, const std::string& parameter, const std::string& name,
                               std::string_view comment)
{
    if (entries.empty())
        return;
    std::string text = fmt::format("# {}\n", comment);
    for (const auto& [key, value] : entries)
        text += fmt::format("{} {}\n", quoted_key(key), value);
    append(parameter, add_table(name, "texthash", text), {});
}

void Translator::write_classes()
{
    std::map<Token, Destination> local;
    const Destination& rest = destinations_.at({Token::Kind::elsewhere, "*elsewhere*"});
    for (const auto& [token, destination] : destinations_) {
        if (token.kind == Token::Kind::elsewhere)
            continue;
        write_class(token, destination, rest);
        if (destination.kind == DestinationKind::local)
            local.emplace(token, destination);
        else if (!destination.aliases.empty())
            write_virtual(token, destination);
    }
    write_rest(rest);
    write_domain_list("mydestination", local_, "local_domains");
    write_domain_list("relay_domains", relayed_, "relay_domains");
    write_domain_list("virtual_alias_domains", aliased_, "alias_domains");
    write_domain_list("virtual_mailbox_domains", mailboxes_, "mailbox_domains");
    write_aliases(local);
    write_mailboxes();
    write_entries(virtual_aliases_, "virtual_alias_maps", "aliases_virtual",
                  "Made of Exim's redirect routers and the files they name; changes go here from now on.");
    write_entries(routes_, "transport_maps", "routes", "Made of Exim's routers and the files they name; changes go here from now on.");
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

std::optional<std::pair<std::string, std::pair<unsigned, unsigned>>> Translator::user_of_exim() const
{
    const std::string said(tree_.text("exim_user"));
    // Else the one that it was built with: Debian's, Red Hat's, FreeBSD's.
    for (const std::string& name : said.empty() ? std::vector<std::string>{"Debian-exim", "exim", "mailnull"} : std::vector<std::string>{said})
        if (const auto ids = machine_.user ? machine_.user(name) : std::nullopt; ids && ids->first != 0)
            return std::pair(name, *ids);
    return {};
}

void Translator::write_mailboxes()
{
    std::string boxes, known_recipients, base, uids, gids;
    unsigned least_uid = 100;
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
                const Option* owned = transport.find("user") ? transport.find("user") : destination.router->find("user");
                const Outcome owner = owned ? evaluate(owned->value, here) : Outcome{Outcome::Kind::unknown, {}};
                if (owned && owned->value.find('$') != owned->value.npos && owner.kind == Outcome::Kind::known) {
                    const auto ids = machine_.user ? machine_.user(std::string(trim(owner.text))) : std::nullopt;
                    if (!ids) {
                        out_.refusals.push_back(fmt::format("{}: {}: there is no user {} here: whose is the mailbox of {}@{}?", owned->place.text(),
                                                            shown(*owned), printable(owner.text, true), rule.text, token.text));
                        continue;
                    }
                    uids += fmt::format("{}@{} {}\n", rule.text, token.text, ids->first);
                    gids += fmt::format("{}@{} {}\n", rule.text, token.text, ids->second);
                    least_uid = std::min(least_uid, ids->first);
                    judge(*owned, transport.find("user") ? where : where_of(*destination.router), Kind::becomes,
                          "virtual_uid_maps, virtual_gid_maps");
                }
            }
            judge(*place, where, Kind::becomes, "virtual_mailbox_maps, with virtual_mailbox_base = /");
            const Option* owner = transport.find("user") ? transport.find("user") : destination.router->find("user");
            if (owner && is_judged(owner->place, transport.find("user") ? where : where_of(*destination.router), shown(*owner)) && !uids.empty())
                continue;                                          // each of them has its own
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
            } else if (const auto own = user_of_exim()) {
                set("virtual_uid_maps", fmt::format("static:{}", own->second.first), &transport.place, fmt::format("Exim's user, {}", own->first));
                set("virtual_gid_maps", fmt::format("static:{}", own->second.second), &transport.place, fmt::format("Exim's user, {}", own->first));
                set("virtual_minimum_uid", std::to_string(std::min<unsigned>(own->second.first, 100)), nullptr);
                judge(transport.place, where, "user", Kind::becomes,
                      fmt::format("virtual_uid_maps: none is named, it is Exim's own ({})", own->first));
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
    if (!uids.empty()) {
        const std::string_view comment = "# Whose the mailboxes are.\n";
        set("virtual_uid_maps", add_table("mailbox_uids", "texthash", fmt::format("{}{}", comment, uids)), nullptr);
        set("virtual_gid_maps", add_table("mailbox_gids", "texthash", fmt::format("{}{}", comment, gids)), nullptr);
        set("virtual_minimum_uid", std::to_string(least_uid), nullptr);
    }
    if (any_recipients)
        set("relay_recipient_maps", add_table("relay_recipients", "texthash", "# Who of relay_domains gets mail.\n" + known_recipients), nullptr);
}

/// Domains for which no router is left: their mail is refused, and comes back. That is said, since what was left out may have had it.
void Translator::unrouted_verdict()
{
    std::vector<std::string> names;
    for (const Token& token : unrouted_)
        names.push_back(token.kind == Token::Kind::suffix ? "*" + token.text : token.text);
    const auto left_out = std::ranges::find_if(tree_.routers, [&](const Instance& one) { return unusable_.contains(&one); });
    if (names.empty() || left_out == tree_.routers.end())
        return;
    const std::size_t more = names.size() > 20 ? names.size() - 20 : 0;
    names.resize(names.size() - more);
    judge(left_out->place, "routers", fmt::format("mail for {}{}", fmt::join(names, ", "), more ? fmt::format(" and {} more", more) : std::string()),
          Kind::left_out, "no router that is carried over takes it: it is refused. See the routers that are left out");
}

void Translator::router_verdicts()
{
    unrouted_verdict();
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
