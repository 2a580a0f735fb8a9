#include "base/strings.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

/// Names of master.cf's stock lines: a transport of Exim's that has one of them gets another.
constexpr std::string_view stock_services[] = {"smtp",  "relay",   "pickup", "cleanup", "qmgr",   "tlsmgr",  "rewrite", "bounce",
                                               "defer", "trace",   "verify", "flush",   "showq",  "error",   "retry",   "discard",
                                               "local", "virtual", "lmtp",   "anvil",   "scache", "postlog", "proxymap"};

/// Options of the smtp transport that are one parameter here.
struct SmtpFact {
    std::string_view option, parameter;
};
constexpr SmtpFact smtp_facts[] = {
    {"connect_timeout", "smtp_connect_timeout"},
    {"data_timeout", "smtp_data_xfer_timeout"},
    {"final_timeout", "smtp_data_done_timeout"},
    {"command_timeout", "smtp_mail_timeout"},
    {"tls_certificate", "smtp_tls_cert_file"},
    {"tls_privatekey", "smtp_tls_key_file"},
    {"connection_max_messages", "smtp_connection_reuse_count_limit"},
};

std::string transport_where(const Instance& one) { return "transport " + one.name; }

}  // namespace

/// The line of master.cf for it: "smtp" where it asks for nothing of its own.
std::string Translator::service_of(const Instance& transport)
{
    used_transports_.insert(&transport);
    if (&transport == main_transport_ && transport.driver == "smtp")
        return "smtp";
    if (transport.driver == "lmtp" && !transport.find("command"))
        return "lmtp";
    return std::ranges::find(stock_services, std::string_view(transport.name)) == std::end(stock_services) ? transport.name
                                                                                                           : transport.name + "_exim";
}

/// A list of hosts that ask for more or less of TLS than others.
void Translator::tls_policy(const Option& option, const std::string& where)
{
    const std::string level = option.name == "hosts_require_tls"    ? "encrypt"
                              : option.name == "hosts_avoid_tls"    ? "none"
                              : option.name == "hosts_require_dane" ? "dane-only"
                                                                    : "";
    const PatternSet hosts = set_of(option.value, ListOf::hosts);
    const bool by_name =
        hosts.unknown.empty() && !hosts.has_negations() && !level.empty() && std::ranges::all_of(hosts.rules, [](const PatternRule& rule) {
            return rule.kind == PatternRule::Kind::text || rule.kind == PatternRule::Kind::network;
        });
    if (!by_name) {
        judge(option.place, where, shown(option), Kind::left_out,
              "for some hosts only: smtp_tls_policy_maps with \"NEXTHOP encrypt\" (none, verify, dane-only)", level != "none" && !level.empty());
        return;
    }
    for (const PatternRule& rule : hosts.rules) {
        for (const SmartHost& hop : smart_hosts_)
            if (to_lower(hop.host) == rule.text)
                tls_policies_.emplace(hop.next_hop(), level);
        tls_policies_.emplace(rule.text, level);
    }
    judge(option, where, Kind::becomes, fmt::format("smtp_tls_policy_maps: {}, for next hosts of these names", level));
}

/// Exim trusts the system's authorities; where nothing is said, so does who asks for a certificate here.
void Translator::trust_system(std::vector<std::pair<std::string, std::string>>& options) const
{
    static constexpr const char* roots = "/etc/ssl/certs/ca-certificates.crt";
    const bool said =
        std::ranges::any_of(options, [](const auto& option) { return option.first == "smtp_tls_CAfile" || option.first == "smtp_tls_CApath"; });
    if (!said && machine_.exists && machine_.exists(roots))
        options.emplace_back("smtp_tls_CAfile", roots);
}

std::vector<std::pair<std::string, std::string>> Translator::smtp_options(const Instance& one)
{
    std::vector<std::pair<std::string, std::string>> options;
    const std::string where = transport_where(one);
    std::string level = "may";
    const Option* verified = nullptr;
    const auto put = [&](const Option& option, const std::string& name, const std::string& value) {
        options.emplace_back(name, value);
        judge(option, where, Kind::becomes, fmt::format("{} = {}", name, value));
    };
    for (const Option& option : one.options) {
        Known names = known_;
        names.variables["primary_hostname"] = names.variables["smtp_active_hostname"] = "$myhostname";
        const Outcome value = evaluate(option.value, names);
        const std::string text(trim(value.text));
        const bool all = text == "*";
        if (option.name == "hosts_require_tls" || option.name == "hosts_avoid_tls" || option.name == "hosts_require_dane" ||
            option.name == "tls_verify_hosts") {
            if (value.kind == Outcome::Kind::known && text.empty()) {
                judge(option, where, Kind::nothing_needed, "nothing is in its list");
                continue;
            }
            if (!all) {
                tls_policy(option, where);
                continue;
            }
            if (option.name == "tls_verify_hosts") {
                verified = &option;
                continue;
            }
            level = option.name == "hosts_require_tls" ? "encrypt" : option.name == "hosts_avoid_tls" ? "none" : "dane-only";
            judge(option, where, Kind::becomes, fmt::format("smtp_tls_security_level = {}", level));
            continue;
        }
        if (value.kind == Outcome::Kind::unknown && (option.name == "helo_data" || option.name == "interface" || option.name.starts_with("dkim_"))) {
            judge(option, where, Kind::left_out, fmt::format("an expansion that is not known: {}", value.text));
            continue;
        }
        if (option.name == "helo_data") {
            put(option, "smtp_helo_name", text);
        } else if (option.name == "interface") {
            const auto addresses = split_list(value.text);
            for (const std::string& address : addresses)
                if (as_network(address))
                    put(option, address.find(':') == address.npos ? "smtp_bind_address" : "smtp_bind_address6", address);
        } else if (option.name == "max_rcpt") {
            set(fmt::format("{}_destination_recipient_limit", service_of(one)), text, &option.place, shown(option));
            judge(option, where, Kind::becomes, fmt::format("{}_destination_recipient_limit = {}", service_of(one), text));
        } else if (option.name == "protocol" && text == "smtps") {
            put(option, "smtp_tls_wrappermode", "yes");
            level = level == "may" ? "encrypt" : level;
        } else if (option.name == "port") {
            judge(option, where, Kind::becomes, "the port behind the next host");
            if (&one == main_transport_ && destinations_.at({Token::Kind::elsewhere, "*elsewhere*"}).kind == Destination::Kind::dns)
                put(option, "smtp_tcp_port", text);
        } else if (option.name == "tls_verify_certificates" && text != "system" && value.kind == Outcome::Kind::known) {
            put(option, machine_.folder && !machine_.folder(text).empty() ? "smtp_tls_CApath" : "smtp_tls_CAfile", text);
        } else if (option.name == "hosts_require_auth" || option.name == "hosts_try_auth") {
            judge(option, where, Kind::becomes, "smtp_sasl_password_maps: whoever has an entry there is given the password (see authenticators)");
        } else if (option.name == "headers_rewrite") {
            continue;                                              // rules.cpp
        } else if (const auto fact = std::ranges::find(smtp_facts, std::string_view(option.name), &SmtpFact::option); fact != std::end(smtp_facts)) {
            if (value.kind == Outcome::Kind::known)
                put(option, std::string(fact->parameter), as_time(text));
            else
                judge(option, where, Kind::left_out, fmt::format("an expansion that is not known: {}", value.text));
        }
    }
    if (verified && level == "encrypt") {
        level = "verify";
        judge(*verified, where, Kind::becomes, "smtp_tls_security_level = verify");
        trust_system(options);
    } else if (verified) {
        judge(*verified, where, Kind::nothing_needed,
              "as there, mail goes on in clear text where a certificate does not fit; passwords do not (see authenticators)");
    }
    options.emplace_back("smtp_tls_security_level", level);
    const Option *domain = one.find("dkim_domain"), *selector = one.find("dkim_selector"), *key = one.find("dkim_private_key");
    if (domain && selector && key) {
        const Outcome d = known(domain->value), s = known(selector->value), k = known(key->value);
        if (d.kind == Outcome::Kind::known && s.kind == Outcome::Kind::known && k.kind == Outcome::Kind::known && k.text.starts_with('/')) {
            std::string signs, keys;
            for (const std::string& name : split_list(d.text)) {
                signs += fmt::format("{} {}\n", name, s.text);
                keys += fmt::format("{}._domainkey.{} {}\n", s.text, name, k.text);
            }
            // Without the key mail that is to be signed would wait.
            const std::string spec = add_table("dkim_selectors", "texthash", signs);
            for (const Option* option : {domain, selector})
                judge(*option, where, Kind::left_out,
                      fmt::format("dkim_sign_maps = {} signs what these authors send, whoever it goes to: to be set when dkim_key_maps have the key",
                                  spec));
            judge(*key, where, Kind::left_out,
                  fmt::format("dkim_key_maps hold the key itself: postmap -F lmdb:FILE with \"{}\" makes them", fmt::join(split(keys, "\n"), "; ")));
        } else {
            for (const Option* option : {domain, selector, key})
                judge(*option, where, Kind::left_out,
                      "the domain, selector or key depends on the message: dkim_sign_maps and dkim_key_maps have them by author");
        }
    }
    return options;
}

void Translator::mailbox_transport(const Instance& one)
{
    const std::string where = transport_where(one);
    const Option *file = one.find("file"), *directory = one.find("directory");
    const Option* place = directory ? directory : file;
    if (one.driver == "pipe") {
        const Option* command = one.find("command");
        if (!command)
            return;
        const Outcome text = known(command->value);
        if (text.kind == Outcome::Kind::known && text.text.find_first_of("\n\\") == text.text.npos) {
            set("mailbox_command", text.text, &command->place, shown(*command));
            judge(*command, where, Kind::becomes, fmt::format("mailbox_command = {}", text.text));
        } else {
            judge(*command, where, Kind::left_out, "mailbox_command, with $USER, $HOME, $EXTENSION, $DOMAIN, $SENDER, $RECIPIENT in its environment");
        }
        return;
    }
    if (!place)
        return;
    std::string path = place->value;
    for (const std::string_view form :
         {"${local_part_data}", "$local_part_data", "${local_part}", "$local_part", "${lc:$local_part}", "$local_user", "${home}", "$home"})
        for (std::size_t at; (at = path.find(form)) != path.npos;)
            path.replace(at, form.size(), form.find("home") != form.npos ? "\x02" : "\x01");
    const bool maildir = one.is_on("maildir_format") || directory;
    if (path.starts_with("\x02/") && path.find_first_of("\x01\x02$", 1) == path.npos) {
        const std::string home = path.substr(2) + (maildir && !path.ends_with('/') ? "/" : "");
        set("home_mailbox", home, &place->place, shown(*place));
        judge(*place, where, Kind::becomes, fmt::format("home_mailbox = {}", home));
    } else if (path.starts_with('/') && path.ends_with("/\x01") && path.find_first_of("\x01\x02$") == path.size() - 1) {
        const std::string folder = path.substr(0, path.size() - 1);
        set("mail_spool_directory", maildir ? folder : folder.substr(0, folder.size() - 1), &place->place, shown(*place));
        judge(*place, where, Kind::becomes, fmt::format("mail_spool_directory = {}", maildir ? folder : folder.substr(0, folder.size() - 1)));
    } else {
        judge(*place, where, Kind::left_out,
              "mail_spool_directory/USER or home_mailbox below $home: for other places mailbox_command, or virtual_mailbox_maps");
    }
    if (const Option* group = one.find("group"))
        judge(*group, where, Kind::nothing_needed, "mailbox files are their user's, with that user's group");
    if (const Option* user = one.find("user"))
        judge(*user, where, Kind::left_out, "a user's mailbox is the user's");
}

void Translator::transports()
{
    std::set<std::string> written;
    if (!main_transport_ || main_transport_->driver != "smtp")
        set("smtp_tls_security_level", "may", nullptr);
    for (const Instance& one : tree_.transports) {
        if (!used_transports_.contains(&one))
            continue;
        const auto options = one.driver == "smtp" || one.driver == "lmtp" ? smtp_options(one) : std::vector<std::pair<std::string, std::string>>{};
        if (&one == main_transport_ && one.driver == "smtp") {
            for (const auto& [name, value] : options)
                set(name, value, &one.place, "transport " + one.name);
        } else if (one.driver == "smtp") {
            ServiceLines lines{fmt::format("{:<9} unix  -       -       n       -       -       smtp\n", service_of(one)), {}};
            for (const auto& [name, value] : options)
                lines.text += fmt::format("    -o {}={}\n", name, value.find_first_of(" \t{}") == value.npos ? value : "{" + value + "}");
            if (std::ranges::find(options, "smtp_helo_name", &std::pair<std::string, std::string>::first) == options.end())
                lines.text += "    -o smtp_helo_name=$myhostname\n";
            lines.because.push_back(fmt::format("{}: transport {}", one.place.text(), one.name));
            out_.services.push_back(std::move(lines));
        }
    }
    if (!tls_policies_.empty()) {
        std::string policies;
        for (const auto& [hop, level] : tls_policies_)
            policies += fmt::format("{} {}\n", hop, level);
        set("smtp_tls_policy_maps", add_table("tls_policy", "texthash", policies), nullptr);
    }
    const Instance* local = nullptr;
    for (const Token& token : local_)
        local = destinations_.at(token).transport ? destinations_.at(token).transport : local;
    if (local && (local->driver == "appendfile" || local->driver == "pipe")) {
        mailbox_transport(*local);
    } else if (local && local->driver == "lmtp") {
        const std::string socket(local->text("socket"));
        set("mailbox_transport", "lmtp:unix:" + socket, &local->place, "transport " + local->name);
        if (const Option* option = local->find("socket"))
            judge(*option, transport_where(*local), Kind::becomes, "mailbox_transport = lmtp:unix:" + socket);
    }
    transport_verdicts();
}

void Translator::transport_verdicts()
{
    for (const Instance& one : tree_.transports) {
        const std::string where = transport_where(one), statement = fmt::format("{}: driver = {}", one.name, one.driver);
        const bool named = std::ranges::any_of(tree_.routers, [&](const Instance& router) {
            return router.text("file_transport") == one.name || router.text("pipe_transport") == one.name ||
                   router.text("directory_transport") == one.name;
        });
        if (one.driver == "autoreply") {
            judge(one.place, where, statement, Kind::left_out,
                  "mail that answers by itself: a command such as vacation(1) in a .forward, or Sieve by LMTP");
        } else if (named) {
            judge(one.place, where, statement, Kind::becomes,
                  "files and commands of aliases and .forward files (allow_mail_to_files, allow_mail_to_commands)");
        } else if (!used_transports_.contains(&one)) {
            judge(one.place, where, statement, Kind::nothing_needed, "no router that is reached names it");
            for (const Option& option : one.options)
                judge(option, where, Kind::nothing_needed, "its transport is not used");
        } else if (one.driver == "smtp") {
            judge(one.place, where, statement, Kind::becomes,
                  &one == main_transport_ ? std::string("the smtp line of master.cf, with the smtp_ parameters of main.cf")
                                          : fmt::format("the line {} of master.cf", service_of(one)));
        } else if (one.driver == "appendfile") {
            judge(one.place, where, statement, Kind::becomes, "mailboxes: local(8), or virtual(8) where no user of this machine owns them");
        } else if (one.driver == "lmtp") {
            judge(one.place, where, statement, Kind::becomes, "the lmtp line of master.cf");
            if (const Option* socket = one.find("socket"))
                judge(*socket, where, Kind::becomes, "the next hop lmtp:unix:SOCKET");
        } else if (one.driver == "pipe") {
            const bool local = std::ranges::any_of(local_, [&](const Token& token) { return destinations_.at(token).transport == &one; });
            if (local) {
                judge(one.place, where, statement, Kind::becomes, "mailbox_command");
                continue;
            }
            const Option *command = one.find("command"), *user = one.find("user");
            const Outcome text = command ? known(command->value) : Outcome{Outcome::Kind::unknown, "no command"};
            if (text.kind == Outcome::Kind::known && user) {
                out_.services.push_back({fmt::format("{:<9} unix  -       n       n       -       -       pipe\n    flags=Rq user={} argv={}\n",
                                                     service_of(one), user->value, text.text),
                                         {fmt::format("{}: transport {}", one.place.text(), one.name)}});
                judge(one.place, where, statement, Kind::becomes, fmt::format("the pipe line {} of master.cf", service_of(one)));
                judge(*command, where, Kind::becomes, "argv");
                judge(*user, where, Kind::becomes, "user");
            } else {
                // Mail would wait for a line that is not there.
                out_.refusals.push_back(fmt::format(
                    "{}: transport {} runs a command that cannot be said: a pipe line of master.cf has ${{user}}, ${{domain}}, ${{sender}} and others",
                    one.place.text(), one.name));
                judge(one.place, where, statement, Kind::left_out, "a pipe line of master.cf by hand (user=NAME argv=COMMAND)");
            }
        } else {
            judge(one.place, where, statement, Kind::left_out, "nothing here is known to do the same");
        }
    }
}

}  // namespace posthorn::exim
