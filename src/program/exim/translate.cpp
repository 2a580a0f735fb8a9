#include "exim/translate.hpp"

#include "base/strings.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace posthorn::exim {

namespace {

/// What nobody has spoken of: generic options that ask for nothing here, and why.                Exim's specification, 15.1, 24.4, 33.1
struct OptionFact {
    std::string_view name;
    Verdict::Kind kind;
    std::string_view text;
};
constexpr auto nothing = Verdict::Kind::nothing_needed;
constexpr auto out = Verdict::Kind::left_out;
constexpr OptionFact instance_facts[] = {
    {"debug_print", nothing, "a text for debugging; `posthorn migrate --ask` says where an address goes"},
    {"more", nothing, "the order of routers is that of classes and tables here"},
    {"same_domain_copy_routing", nothing, "recipients of one domain share a route here"},
    {"verify", nothing, "who exists is asked of the same tables that route"},
    {"expn", nothing, "EXPN is not served"},
    {"cannot_route_message", nothing, "the refusal says \"User unknown\""},
    {"allow_fail", nothing, "entries with :fail: become routes to error"},
    {"allow_defer", nothing, "entries with :defer: become routes to retry"},
    {"check_ancestor", nothing, "an alias that names itself ends there"},
    {"one_time", nothing, "aliases of the queue are expanded once"},
    {"forbid_smtp_code", nothing, "texts of users' files give no reply codes"},
    {"directory_transport", nothing, "a path that ends in \"/\" is a maildir"},
    {"file_transport", nothing, "allow_mail_to_files says where files may be named"},
    {"pipe_transport", nothing, "allow_mail_to_commands says where commands may be named"},
    {"skip_syntax_errors", nothing, "what of a .forward cannot be read is left out, with a line in the log"},
    {"syntax_errors_to", nothing, "a syntax error of a .forward is a line in the log"},
    {"syntax_errors_text", nothing, "a syntax error of a .forward is a line in the log"},
    {"host_find_failed", nothing, "the next host of the list is tried"},
    {"hosts_randomize", nothing, "MX hosts of one preference are shuffled; hosts of a list are tried in their order"},
    {"delivery_date_add", nothing, "Delivery-Date is not added to mailboxes"},
    {"envelope_to_add", nothing, "Delivered-To and X-Original-To say it"},
    {"return_path_add", nothing, "Return-Path is added to mailboxes"},
    {"return_fail_output", nothing, "what a command that failed has said stands in the report"},
    {"return_output", nothing, "what a command that failed has said stands in the report"},
    {"log_output", nothing, "what a command that failed has said stands in the log"},
    {"mode", nothing, "mailbox files are for their user alone"},
    {"mode_fail_narrower", nothing, "modes of mailbox files are not compared"},
    {"directory_mode", nothing, "maildirs are made with mode 0700"},
    {"create_directory", nothing, "maildirs are made where they are missing"},
    {"create_file", nothing, "files are made below the mailbox's folder alone"},
    {"check_string", nothing, "a line that begins with \"From \" is quoted in mailbox files"},
    {"escape_string", nothing, "a line that begins with \"From \" is quoted in mailbox files"},
    {"message_prefix", nothing, "flags of the command decide (F of pipe)"},
    {"message_suffix", nothing, "nothing is put behind a message"},
    {"maildir_format", nothing, "a path that ends in \"/\" is a maildir"},
    {"delivery_lock", nothing, "mailboxes are locked as mailbox_delivery_lock says"},
    {"multi_domain", nothing, "recipients of one next host share a session"},
    {"batch_max", nothing, "NAME_destination_recipient_limit"},
    {"retry_include_ip_address", nothing, "each server has its own record"},
    {"hosts_try_fastopen", nothing, "TCP Fast Open is the system's"},
    {"hosts_try_prdr", nothing, "PRDR is not asked for"},
    {"hosts_try_chunking", nothing, "BDAT is not used where DATA will do"},
    {"hosts_try_dane", nothing, "smtp_tls_security_level = dane, if wanted"},
    {"dnssec_request_domains", nothing, "smtp_dns_support_level = dnssec, if wanted"},
    {"hosts_noproxy_tls", nothing, "sessions in TLS are closed when idle"},
    {"message_linelength_limit", nothing, "longer lines are broken by smtp_line_length_limit (998)"},
    {"allow_filter", out,
     "filter files of Exim's are not read: a .forward that begins with \"# Exim filter\" has to be written anew (addresses, commands, files), or for Sieve deliver by LMTP"},
    {"unseen", out, "a copy besides the delivery: name both addresses in the alias, or use always_bcc, recipient_bcc_maps"},
    {"errors_to", out, "a table that sets who gets reports: owner-NAME beside an alias"},
    {"headers_add", out, "header_checks with PREPEND"},
    {"headers_remove", out, "header_checks (smtp_header_checks for one transport) with IGNORE"},
    {"headers_rewrite", out, "smtp_generic_maps, or canonical_maps"},
    {"return_path", out, "smtp_generic_maps rewrites the sender as mail leaves"},
    {"reply_transport", out, "mail that answers by itself: a command such as vacation(1), or Sieve's by LMTP"},
    {"tls_dh_min_bits", nothing, "OpenSSL's security level refuses short ones"},
    {"senders", out, "routes by sender: sender_dependent_relayhost_maps, sender_dependent_default_transport_maps"},
    {"condition", out, "nothing here decides a route by a condition: name the addresses in transport_maps or virtual_alias_maps"},
    {"require_files", out, "no route depends on a file that exists"},
    {"self", nothing, "a route that leads to this machine is an error, as \"freeze\" is; for more machines with one name proxy_interfaces"},
    {"pass_router", out, "the order of routers is that of classes and tables here"},
    {"redirect_router", out, "the order of routers is that of classes and tables here"},
    {"fallback_hosts", out, "smtp_fallback_relay"},
    {"translate_ip_address", out, "a transport_maps entry with the other host"},
    {"address_data", out, "nothing is handed from a router to a transport"},
    {"set", out, "nothing is handed from a router to a transport"},
};

}  // namespace

Translator::Translator(const Configuration& tree, const Machine& machine) : tree_(tree), machine_(machine), sets_(tree, machine, known_)
{
    known_.exists = machine.exists;
    known_.read = machine.read;
    known_.environment = [this](const std::string& name) { return kept_variable(name); };
    known_.variables["config_file"] = "";
    host_ = machine.host_name;
    if (const Outcome name = known(tree.text("primary_hostname")); name.kind == Outcome::Kind::known && !name.text.empty())
        host_ = name.text;
    known_.variables["primary_hostname"] = host_;
    qualify_ = host_;
    if (const Outcome name = known(tree.text("qualify_domain")); name.kind == Outcome::Kind::known && !name.text.empty())
        qualify_ = name.text;
    known_.variables["qualify_domain"] = qualify_;
    qualify_recipient_ = qualify_;
    if (const Outcome name = known(tree.text("qualify_recipient")); name.kind == Outcome::Kind::known && !name.text.empty())
        qualify_recipient_ = name.text;
    known_.variables["qualify_recipient"] = qualify_recipient_;
}

Translation Translator::translate()
{
    set("compatibility_level", "3.6", nullptr);
    main_options();
    listen();
    authorized();
    routing();
    transports();
    access();
    retry_rules();
    rewrite_rules();
    authenticators();
    named_lists();
    finish();
    return std::move(out_);
}

std::string Translator::shown(const Option& option)
{
    return fmt::format("{} = {}", option.name, option.hidden ? std::string("(hidden)") : printable(option.value, true));
}

void Translator::judge(const Place& place, std::string where, std::string statement, Kind kind, std::string text, bool loud)
{
    if (!judged_.insert({place, where + "|" + statement}).second)
        return;
    out_.verdicts.push_back(
        {.place = place, .where = std::move(where), .statement = std::move(statement), .kind = kind, .text = std::move(text), .loud = loud});
}

void Translator::judge(const Option& option, const std::string& where, Kind kind, std::string text)
{
    judge(option.place, where, shown(option), kind, std::move(text));
}

bool Translator::is_judged(const Place& place, std::string_view where, std::string_view statement) const
{
    return judged_.contains({place, fmt::format("{}|{}", where, statement)});
}

void Translator::set(std::string name, std::string value, const Place* place, std::string_view statement)
{
    const std::string because =
        place ? fmt::format("{}{}{}", place->text(), statement.empty() ? "" : ": ", printable(statement, true)) : std::string();
    const auto found = std::ranges::find(out_.settings, name, &Setting::name);
    if (found == out_.settings.end()) {
        out_.settings.push_back({std::move(name), std::move(value), {}});
        if (!because.empty())
            out_.settings.back().because.push_back(because);
        return;
    }
    found->value = std::move(value);
    if (!because.empty() && std::ranges::find(found->because, because) == found->because.end())
        found->because.push_back(because);
}

void Translator::append(const std::string& name, const std::string& item, std::string_view because)
{
    auto found = std::ranges::find(out_.settings, name, &Setting::name);
    if (found == out_.settings.end()) {
        out_.settings.push_back({name, {}, {}});
        found = out_.settings.end() - 1;
    }
    if (!item.empty())
        found->value += (found->value.empty() ? "" : ", ") + item;
    if (!because.empty() && std::ranges::find(found->because, because) == found->because.end())
        found->because.emplace_back(because);
}

std::string Translator::unique_name(const std::string& wanted) const
{
    std::string name = wanted;
    for (int number = 2; std::ranges::any_of(out_.tables, [&](const TableText& table) { return table.name == name; }); ++number)
        name = fmt::format("{}_{}", wanted, number);
    return name;
}

std::string Translator::add_table(std::string name, std::string type, std::string content, bool secret)
{
    for (const TableText& table : out_.tables)
        if (table.type == type && table.content == content && table.secret == secret)
            return table.spec();
    out_.tables.push_back({.name = unique_name(name), .type = std::move(type), .content = std::move(content), .secret = secret});
    return out_.tables.back().spec();
}

std::optional<std::string> Translator::kept_variable(const std::string& name) const
{
    const auto of_item = [&](const std::string& item) {
        return item == "*" || item == name || (item.starts_with('^') && name.starts_with(std::string_view(item).substr(1)));
    };
    const std::vector<std::string> kept = split_list(tree_.text("keep_environment"));
    const bool keeps = std::ranges::any_of(kept, of_item);
    const auto value = keeps && machine_.environment ? machine_.environment(name) : std::nullopt;
    if (keeps)
        asked_variables_[name] = value.has_value();
    return value;
}

void Translator::environment_verdict()
{
    const Option* kept = tree_.find("keep_environment");
    std::vector<std::string> set_here, unset_here;
    for (const auto& [name, is_set] : asked_variables_)
        (is_set ? set_here : unset_here).push_back(name);
    if (!kept || asked_variables_.empty())
        return;
    const std::string here = set_here.empty() ? std::string("none of them is set") : fmt::format("set: {}", fmt::join(set_here, ", "));
    judge(kept->place, "main", "${env{...}}", unset_here.empty() ? Kind::becomes : Kind::left_out,
          unset_here.empty() ? fmt::format("what the environment has now ({}): it is not asked again", here)
                             : fmt::format("what the environment has where this runs ({}; not set: {}): run this with the environment that Exim has",
                                           here, fmt::join(unset_here, ", ")));
}

void Translator::finish()
{
    environment_verdict();
    const auto rest = [&](const std::vector<Instance>& instances, std::string_view section) {
        for (const Instance& one : instances) {
            const std::string where = fmt::format("{} {}", section, one.name), statement = fmt::format("{}: driver = {}", one.name, one.driver);
            if (!is_judged(one.place, where, statement))
                judge(one.place, where, statement, Kind::nothing_needed, "nothing of it is used");
            for (const Option& option : one.options) {
                if (is_judged(option.place, where, shown(option)))
                    continue;
                const auto fact = std::ranges::find(instance_facts, std::string_view(option.name), &OptionFact::name);
                if (fact != std::end(instance_facts))
                    judge(option, where, fact->kind, std::string(fact->text));
                else
                    judge(option, where, Kind::left_out, "nothing here is known to do the same");
            }
        }
    };
    rest(tree_.routers, "router");
    rest(tree_.transports, "transport");
    rest(tree_.authenticators, "authenticator");
    for (const Option& option : tree_.local_scan)
        judge(option, "local_scan", Kind::left_out,
              "local_scan() is code within Exim: a Milter (smtpd_milters) or a policy server does such work here");
    std::ranges::sort(out_.verdicts, [](const Verdict& a, const Verdict& b) {
        return std::tie(a.place, a.where, a.statement) < std::tie(b.place, b.where, b.statement);
    });
}

std::vector<std::string> unjudged(const Configuration& configuration, const Translation& translation)
{
    std::vector<std::string> missing;
    const auto look = [&](const Place& place, std::string_view where, const std::string& name) {
        const bool found = std::ranges::any_of(translation.verdicts, [&](const Verdict& verdict) {
            return verdict.place == place && verdict.where == where && verdict.statement.find(name) != verdict.statement.npos;
        });
        if (!found)
            missing.push_back(fmt::format("{}: {}", place.text(), name));
    };
    for (const Option& option : configuration.main)
        look(option.place, "main", option.name);
    for (const NamedList& list : configuration.lists)
        look(list.place, "main", list.name);
    for (const Option& option : configuration.local_scan)
        look(option.place, "local_scan", option.name);
    for (const Acl& acl : configuration.acls)
        for (const AclStatement& statement : acl.statements)
            look(statement.place, "acl " + acl.name, statement.verb);
    for (const auto& [section, instances] :
         {std::pair("router", &configuration.routers), {"transport", &configuration.transports}, {"authenticator", &configuration.authenticators}})
        for (const Instance& one : *instances) {
            const std::string where = fmt::format("{} {}", section, one.name);
            look(one.place, where, one.driver);
            for (const Option& option : one.options)
                look(option.place, where, option.name);
        }
    for (const RetryRule& rule : configuration.retry)
        look(rule.place, "retry", rule.pattern);
    for (const RewriteRule& rule : configuration.rewrite)
        look(rule.place, "rewrite", rule.pattern);
    return missing;
}

Translation translate(const Configuration& configuration, const Machine& machine) { return Translator(configuration, machine).translate(); }

}  // namespace posthorn::exim
