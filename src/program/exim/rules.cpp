#include "base/strings.hpp"
#include "exim/key_file.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

namespace posthorn::exim {

namespace {

/// A password file that "${lookup{$host}TYPE{FILE}...}" names, wherever it stands in the text.
std::string password_file(std::string_view text)
{
    const std::size_t at = text.find("lookup{$host}");
    if (at == text.npos)
        return {};
    const std::size_t open = text.find('{', at + 13), close = text.find('}', open);
    if (open == text.npos || close == text.npos)
        return {};
    return std::string(trim(text.substr(open + 1, close - open - 1)));
}

}  // namespace

bool Translator::rewrite_rule(const Place& place, const std::string& where, const std::string& statement, const std::string& pattern,
                              const std::string& replacement, const std::string& flags, bool leaving)
{
    const auto give_up = [&](std::string why) {
        judge(place, where, statement, Kind::left_out, std::move(why));
        return false;
    };
    const auto has = [&](std::string_view letters) { return flags.find_first_of(letters) != flags.npos; };
    if (has("S"))
        return give_up("addresses are not changed before they are checked: smtpd_command_filter changes commands");
    const std::size_t at = pattern.rfind('@');
    if (pattern.starts_with('^') || at == pattern.npos)
        return give_up("canonical_maps with a pcre table");
    const std::string local = to_lower(std::string_view(pattern).substr(0, at)), domain = pattern.substr(at + 1);
    PatternSet domains = set_of(domain, ListOf::domains);
    if (!domains.unknown.empty() || domains.has_negations() || (local != "*" && local.find('*') != local.npos) ||
        std::ranges::any_of(domains.rules, [](const PatternRule& rule) { return rule.kind != PatternRule::Kind::text; }))
        return give_up("canonical_maps with a pcre table");
    const auto address_of = [&](const std::string& part, const PatternRule& rule) {
        return fmt::format("{}@{}", part == "*" ? "" : part, rule.text);
    };
    if (trim(replacement) == "*") {                                // 31.9: neither this rule nor one behind it changes them
        for (const PatternRule& rule : domains.rules)
            never_rewritten_.insert(address_of(local, rule));
        judge(place, where, statement, Kind::becomes, "no table has these addresses, whatever the rules behind it say");
        return true;
    }
    std::map<std::string, std::string> entries;                    // local part ("*": any) to address, or "@domain"
    std::string made_of;
    if (const auto lookup = as_lookup(replacement)) {
        if (lookup->type != "lsearch" || !lookup->fails || (lookup->found != "$value" && lookup->found != "${value}"))
            return give_up(fmt::format("canonical_maps with a table of the type {}", lookup->type));
        const bool by_part = lookup->key == "$local_part" || lookup->key == "${local_part}" || (lookup->key == "$1" && local == "*");
        const Outcome path = known(lookup->file);
        if (!by_part || path.kind != Outcome::Kind::known)
            return give_up("canonical_maps are asked for addresses");
        const auto text = machine_.read(path.text);
        if (!text)
            return give_up(text.error().text() + ": no address is rewritten");
        for (const KeyEntry& entry : read_key_file(*text))
            if (local == "*" || local == entry.key)
                entries.emplace(entry.key, qualified(entry.value, qualify_));
        made_of = path.text;
    } else {
        Known here = known_;
        here.variables["1"] = here.variables["local_part"] = "\x01";
        const Outcome value = evaluate(replacement, here);
        if (value.kind != Outcome::Kind::known)
            return give_up(fmt::format("an expansion that is not known: {}", value.text));
        if (value.text.starts_with("\x01@") && value.text.find('\x01', 1) == value.text.npos)
            entries.emplace(local, local == "*" ? value.text.substr(1) : local + value.text.substr(1));
        else if (value.text.find('\x01') == value.text.npos)
            entries.emplace(local, value.text);
        else
            return give_up("canonical_maps with a pcre table");
    }
    if (entries.empty()) {
        judge(place, where, statement, Kind::nothing_needed,
              made_of.empty() ? std::string("nothing is rewritten") : fmt::format("nothing is in {} now", made_of));
        return true;
    }
    const bool every = !has("EFTbcfhrst"), from_envelope = every || has("EF"), to_envelope = every || has("ET"), from_header = every || has("hfrs"),
               to_header = every || has("htcb");
    std::string parameter = leaving ? "smtp_generic_maps" : "canonical_maps", classes;
    if (!leaving && !to_envelope && !to_header) {
        parameter = "sender_canonical_maps";
        classes = from_envelope && from_header ? "envelope_sender, header_sender" : from_envelope ? "envelope_sender" : "header_sender";
        set("sender_canonical_classes", classes, &place, statement);
    } else if (!leaving && !from_envelope && !from_header) {
        parameter = "recipient_canonical_maps";
        classes = to_envelope && to_header ? "envelope_recipient, header_recipient" : to_envelope ? "envelope_recipient" : "header_recipient";
        set("recipient_canonical_classes", classes, &place, statement);
    }
    if (!leaving && (from_header || to_header))
        set("local_header_rewrite_clients", "static:all", &place, statement);
    std::map<std::string, std::string>& table = rewriting_[parameter];
    for (const PatternRule& rule : domains.rules)
        for (const auto& [key, value] : entries)
            if (!never_rewritten_.contains(address_of(key, rule)) && !never_rewritten_.contains("@" + rule.text))
                table.emplace(address_of(key, rule), value);
    judge(place, where, statement, Kind::becomes,
          fmt::format("{}{}{}", parameter, made_of.empty() ? "" : fmt::format(", made of {}: changes go there from now on", made_of),
                      leaving ? "; it rewrites recipients in headers too" : ""));
    return true;
}

void Translator::rewrite_rules()
{
    for (const RewriteRule& rule : tree_.rewrite)
        rewrite_rule(rule.place, "rewrite", fmt::format("{} {} {}", rule.pattern, printable(rule.replacement, true), rule.flags), rule.pattern,
                     rule.replacement, rule.flags, false);
    for (const Instance& one : tree_.transports) {
        if (!used_transports_.contains(&one))
            continue;
        const Option *rewrite = one.find("headers_rewrite"), *sender = one.find("return_path");
        if (!rewrite)
            continue;
        const std::string where = "transport " + one.name;
        bool all = true;
        for (const std::string& item : split_list(rewrite->value)) {
            const auto words = split(item);
            if (words.size() < 2)
                continue;
            all &= rewrite_rule(rewrite->place, where, fmt::format("headers_rewrite: {}", printable(item, true)), std::string(words[0]),
                                std::string(words[1]), words.size() > 2 ? std::string(words[2]) : std::string(), true);
        }
        judge(*rewrite, where, all ? Kind::becomes : Kind::left_out, all ? "smtp_generic_maps" : "see its rules");
        if (sender)
            judge(*sender, where, all ? Kind::becomes : Kind::left_out, "smtp_generic_maps, which rewrites the sender as it does headers");
    }
    for (const auto& [parameter, table] : rewriting_) {
        std::string text = "# Made of Exim's rewriting rules and the files they name; changes go here from now on.\n";
        for (const auto& [key, value] : table)
            text += fmt::format("{} {}\n", key, value);
        set(parameter, add_table(parameter.substr(0, parameter.size() - 5), "texthash", text), nullptr);
    }
}

/// Entries of a password file for the hosts that mail is sent to. True: there are some.
bool Translator::client_passwords(const std::string& text)
{
    bool some = false;
    for (const KeyEntry& entry : read_key_file(text)) {
        if (entry.value.find(':') == entry.value.npos)
            continue;
        const ListItem item = classify(entry.key, ListOf::hosts);
        for (const SmartHost& hop : smart_hosts_) {
            const std::string name = to_lower(hop.host);
            if (item.kind != ListItem::Kind::everything && (item.kind != ListItem::Kind::suffix || !name.ends_with(item.text)) && name != entry.key)
                continue;
            passwords_.emplace(hop.next_hop(), entry.value);
            passwords_.emplace(name, entry.value);
            some = true;
        }
        if (item.kind == ListItem::Kind::text) {
            passwords_.emplace(entry.key, entry.value);
            some = true;
        }
    }
    return some;
}

/// "^user^password", ": user : password", or a name and a secret, as they stand in the configuration. False: what is sent is not known.
bool Translator::client_literals(const Instance& one)
{
    const std::string_view send = one.text("client_send"), name = one.text("client_name"), secret = one.text("client_secret");
    std::vector<std::string> words;
    if (send.find('$') == send.npos)
        for (const std::string& item : split_list(send))
            for (const std::string_view word : split_exact(item, '^'))
                if (!trim(word).empty())
                    words.emplace_back(trim(word));
    if (!secret.empty() && !name.empty() && secret.find('$') == secret.npos && name.find('$') == name.npos)
        words = {std::string(name), std::string(secret)};
    if (words.size() != 2)
        return false;
    for (const SmartHost& hop : smart_hosts_)
        passwords_.emplace(hop.next_hop(), words[0] + ":" + words[1]);
    return true;
}

void Translator::client(const Instance& one)
{
    const std::string where = "authenticator " + one.name, statement = fmt::format("{}: driver = {}", one.name, one.driver);
    const Option* said = one.find("client_send") ? one.find("client_send") : one.find("client_secret");
    if (!said)
        return;
    const std::string file = password_file(said->value);
    const auto text = file.empty() ? Result<std::string>(Error{"no file"}) : machine_.read(file);
    if (file.empty() && !client_literals(one)) {
        judge(one.place, where, statement, Kind::left_out, "smtp_sasl_password_maps have \"HOST user:password\"; what is sent here is not known");
        return;
    }
    passwords_in_tls_ |= said->value.find("tls_out_cipher") != said->value.npos;
    const bool some = file.empty() ? !smart_hosts_.empty() : text && client_passwords(*text);
    const std::string none = text           ? fmt::format("nothing is in {} now", file)
                             : file.empty() ? std::string("no host is sent to by name")
                                            : fmt::format("there is no {} now", file);
    judge(one.place, where, statement, some ? Kind::becomes : Kind::nothing_needed,
          some ? std::string("smtp_sasl_auth_enable = yes, smtp_sasl_password_maps") : none);
    const std::string table = file.empty() ? std::string("smtp_sasl_password_maps")
                                           : fmt::format("smtp_sasl_password_maps, made of {}: changes go there from now on", file);
    for (const Option& option : one.options)
        if (!option.name.starts_with("server_"))
            judge(option, where, some ? Kind::becomes : Kind::nothing_needed, some ? table : std::string("its authenticator sends nothing"));
}

void Translator::server(const Instance& one)
{
    const std::string where = "authenticator " + one.name, statement = fmt::format("{}: driver = {}", one.name, one.driver);
    const Option *socket = one.find("server_socket"), *realm = one.find("server_realm"), *advertise = one.find("server_advertise_condition");
    if (one.driver == "dovecot" && socket) {
        set("smtpd_sasl_type", "dovecot", &one.place, where);
        set("smtpd_sasl_path", socket->value, &socket->place, shown(*socket));
        judge(*socket, where, Kind::becomes, "smtpd_sasl_path = " + socket->value);
    } else if (one.driver == "cyrus_sasl") {
        set("smtpd_sasl_type", "cyrus", &one.place, where);
        if (realm) {
            set("smtpd_sasl_local_domain", realm->value, &realm->place, shown(*realm));
            judge(*realm, where, Kind::becomes, "smtpd_sasl_local_domain = " + realm->value);
        }
    } else {
        judge(
            one.place, where, statement, Kind::left_out,
            "who clients are is asked of Dovecot (smtpd_sasl_type = dovecot) or Cyrus SASL: give the passwords to one of them (a passdb of Dovecot's)");
        for (const Option& option : one.options)
            judge(option, where, Kind::left_out, "goes with its authenticator");
        return;
    }
    set("smtpd_sasl_auth_enable", "yes", &one.place, where);
    judge(one.place, where, statement, Kind::becomes,
          fmt::format("smtpd_sasl_auth_enable = yes, smtpd_sasl_type = {}", one.driver == "dovecot" ? "dovecot" : "cyrus"));
    if (advertise &&
        (advertise->value.find("tls_in_cipher") != advertise->value.npos || advertise->value.find("tls_cipher") != advertise->value.npos)) {
        set("smtpd_tls_auth_only", "yes", &advertise->place, shown(*advertise));
        judge(*advertise, where, Kind::becomes, "smtpd_tls_auth_only = yes");
    }
    for (const char* option_name : {"public_name", "server_set_id", "server_prompts", "server_mail_auth_condition"})
        if (const Option* option = one.find(option_name))
            judge(*option, where, Kind::nothing_needed, "the mechanisms are those that SASL offers");
}

void Translator::write_passwords()
{
    std::string text = "# Made of Exim's client authenticators; changes go here from now on.\n";
    for (const auto& [host, password] : passwords_)
        text += fmt::format("{} {}\n", host, password);
    set("smtp_sasl_auth_enable", "yes", nullptr);
    set("smtp_sasl_password_maps", add_table("sasl_passwords", "texthash", text, true), nullptr);
    set("smtp_sasl_security_options", passwords_in_tls_ ? "noanonymous, noplaintext" : "noanonymous", nullptr);
    set("smtp_sasl_tls_security_options", "noanonymous", nullptr);
    // Where a server has to be verified, Exim goes on in clear text with one that is not, and tells it no password: here it gets no mail either.
    const Option* verified = main_transport_ ? main_transport_->find("tls_verify_hosts") : nullptr;
    const Setting* level = out_.find("smtp_tls_security_level");
    if (!verified || trim(verified->value) != "*" || !level || level->value != "may")
        return;
    set("smtp_tls_security_level", "verify", &verified->place, shown(*verified));
    std::vector<std::pair<std::string, std::string>> trusted;
    trust_system(trusted);
    for (const auto& [name, value] : trusted)
        if (!out_.find(name) && !out_.find("smtp_tls_CApath"))
            set(name, value, &verified->place, shown(*verified));
}

void Translator::authenticators()
{
    for (const Instance& one : tree_.authenticators) {
        client(one);
        if (one.driver == "dovecot" || one.driver == "cyrus_sasl" ||
            std::ranges::any_of(one.options, [](const Option& option) { return option.name.starts_with("server_"); }))
            server(one);
    }
    if (!passwords_.empty())
        write_passwords();
}

}  // namespace posthorn::exim
