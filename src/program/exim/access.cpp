#include "base/strings.hpp"
#include "exim/access_checks.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

constexpr int deepest_call = 10;

}  // namespace

/// Modifiers that decide nothing about who gets in.
bool is_modifier(std::string_view name)
{
    static constexpr std::string_view names[] = {"message",    "log_message",       "logwrite", "control", "delay",
                                                 "add_header", "remove_header",     "set",      "endpass", "queue",
                                                 "udpsend",    "log_reject_target", "continue"};
    return std::ranges::find(names, name) != std::end(names);
}

std::string text_of(const AclStatement& statement)
{
    std::string text = statement.verb;
    for (const Condition& condition : statement.conditions)
        text += fmt::format("  {}{}{}{}", condition.negated ? "!" : "", condition.name, condition.value.empty() ? "" : " = ",
                            printable(condition.value, true));
    return text;
}

std::optional<bool> Translator::constant(const Condition& condition, int depth) const
{
    std::optional<bool> answer;
    const auto of_set = [&](ListOf what) -> std::optional<bool> {
        const PatternSet set = set_of(condition.value, what);
        if (set.is_empty())
            return false;
        return set.is_everything() ? std::optional(true) : std::nullopt;
    };
    if (is_modifier(condition.name))
        answer = true;
    else if (condition.name == "hosts")
        answer = of_set(ListOf::hosts);
    else if (condition.name == "domains" || condition.name == "sender_domains")
        answer = of_set(ListOf::domains);
    else if (condition.name == "local_parts")
        answer = of_set(ListOf::local_parts);
    else if (condition.name == "senders" || condition.name == "recipients")
        answer = of_set(ListOf::addresses);
    else if (condition.name == "acl")
        answer = constant_acl(condition.value, depth + 1);
    else if (condition.name == "authenticated" && !can_authenticate_)
        answer = false;
    else if (condition.name == "condition") {
        const Outcome value = known(condition.value);
        const std::string text = to_lower(trim(value.text));
        if (value.kind == Outcome::Kind::known)
            answer = !(text.empty() || text == "0" || text == "no" || text == "false");
    }
    return answer && condition.negated && !is_modifier(condition.name) ? std::optional(!*answer) : answer;
}

std::optional<bool> Translator::constant_acl(std::string_view name, int depth) const
{
    const Acl* acl = tree_.acl(trim(name));
    if (!acl || depth > deepest_call)
        return {};
    for (const AclStatement& one : acl->statements) {
        bool unknown = false, never = false;
        for (const Condition& condition : one.conditions) {
            const auto answer = constant(condition, depth);
            unknown |= !answer;
            never |= answer && !*answer;
        }
        if (one.verb == "warn")
            continue;
        if (never) {
            if (one.verb == "require")
                return false;
            continue;
        }
        if (unknown)
            return {};
        if (one.verb != "require")
            return one.verb == "accept";
    }
    return false;
}

void Translator::acl_into(std::string_view option, const std::string& parameter)
{
    const Option* named = tree_.find(option);
    if (!named)
        return;
    const Outcome name = known(named->value);
    const Acl* acl = name.kind == Outcome::Kind::known ? tree_.acl(trim(name.text)) : nullptr;
    const bool recipient = parameter == "smtpd_recipient_restrictions";
    if (!acl) {
        const std::string verb = to_lower(trim(name.text));
        if (verb == "accept") {
            judge(*named, "main", Kind::nothing_needed, "it lets in whoever comes so far");
        } else if (verb == "deny") {
            append(parameter, "reject", fmt::format("{}: {}", named->place.text(), shown(*named)));
            judge(*named, "main", Kind::becomes, parameter + " = reject");
        } else {
            judge(named->place, "main", shown(*named), Kind::left_out, "the ACL is not one of this file", true);
            if (recipient)
                out_.refusals.push_back(fmt::format("{}: {}: the ACL of RCPT is not one of this file", named->place.text(), shown(*named)));
        }
        return;
    }
    judge(*named, "main", Kind::becomes, parameter.empty() ? std::string("see there") : parameter);
    for (const AclStatement& one : acl->statements) {
        if (parameter.empty()) {  // after DATA
            const std::string text = text_of(one);
            bool never = false;
            for (const Condition& condition : one.conditions)
                if (const auto answer = constant(condition, 0); answer && !*answer)
                    never = true;
            if (one.verb == "accept" || one.verb == "warn" || never)
                judge(one.place, "acl " + acl->name, text, Kind::nothing_needed, never ? "it never applies" : "it lets in whoever comes so far");
            else
                judge(one.place, "acl " + acl->name, text, Kind::left_out,
                      "what is in a message is asked by header_checks, body_checks, a Milter or a content_filter", true);
            continue;
        }
        statement(*acl, one, parameter);
    }
    const AclStatement* end = acl->statements.empty() ? nullptr : &acl->statements.back();
    const bool lets_in =
        end && end->verb == "accept" && std::ranges::all_of(end->conditions, [](const Condition& condition) { return is_modifier(condition.name); });
    if (!parameter.empty() && !lets_in)  // whoever comes to the end of an ACL is denied
        append(parameter, "reject", fmt::format("{}: the end of acl {}", acl->place.text(), acl->name));
}

/// That the domain of an address has a mail host, for the domains that are sent to by the DNS: of others that go to hosts by name it is not asked, there as here.
std::string Translator::asked_of_dns(const std::string& side)
{
    const std::string word = fmt::format("reject_unknown_{}_domain", side);
    const bool rest = destinations_.at({Token::Kind::elsewhere, "*elsewhere*"}).kind == Destination::Kind::dns;
    std::string rules;
    const auto rule = [&](const Token& token, const std::string& result) {
        rules += fmt::format("/@{}{}$/ {}\n", token.kind == Token::Kind::suffix ? "[^@]*" : "", escaped_delimiter(regex_of(token.text)), result);
    };
    for (const auto& [token, destination] : destinations_) {
        if (token.kind == Token::Kind::elsewhere || token.kind == Token::Kind::regex)
            continue;
        const bool by_dns = destination.kind == Destination::Kind::dns;
        if (rest && (destination.kind == Destination::Kind::manual || destination.kind == Destination::Kind::lmtp))
            rule(token, "DUNNO");
        else if (!rest && by_dns)
            rule(token, word);
    }
    if (rest && rules.empty())
        return word;
    if (rest)
        rules += fmt::format("/^/ {}\n", word);
    return rules.empty() ? rules : fmt::format("check_{}_access {}", side, add_table(side + "s_by_dns", "pcre", rules));
}

/// host_reject_connection: these hosts are turned away before anything else is asked.
void Translator::reject_connections()
{
    const Option* hosts = tree_.find("host_reject_connection");
    if (!hosts)
        return;
    AclStatement drop;
    drop.place = hosts->place;
    drop.verb = "drop";
    drop.conditions.push_back({.place = hosts->place, .name = "hosts", .value = hosts->value});
    Acl made;
    made.name = hosts->name;
    made.place = hosts->place;
    statement(made, drop, "smtpd_client_restrictions");
    judge(*hosts, "main", Kind::becomes, "smtpd_client_restrictions: see \"acl host_reject_connection\"");
}

void Translator::access()
{
    can_authenticate_ =
        std::ranges::any_of(tree_.authenticators, [](const Instance& one) { return one.driver == "dovecot" || one.driver == "cyrus_sasl"; });
    // What Exim refuses by itself: addresses without a domain.
    // Tables are asked for an address with $myorigin behind it where it has no domain, and a domain without a dot ("localhost") is one.
    const std::string literals = tree_.find("allow_domain_literals") && tree_.text("allow_domain_literals") != "false"
                                     ? ""
                                     : "/@\\[[^@]*$/ 501 5.1.3 domain literals not allowed\n";
    const auto without_domain = [&](const std::string& side) {
        const std::string rest = qualify_.find('.') == qualify_.npos ? "" : "/@[^@.]*$/ DUNNO\n";
        return fmt::format("check_{}_access {}", side,
                           add_table("without_domain_" + side, "pcre", fmt::format("{}{}/^/ reject_non_fqdn_{}\n", literals, rest, side)));
    };
    append("smtpd_recipient_restrictions", without_domain("sender"), "addresses without a domain are refused, as by Exim");
    append("smtpd_recipient_restrictions", without_domain("recipient"), {});
    set("smtpd_relay_restrictions", "", nullptr);
    set("smtpd_reject_unlisted_recipient", "no", nullptr);
    set("smtpd_delay_reject", "yes", nullptr);
    set("unknown_address_reject_code", "550", nullptr);
    static constexpr std::pair<std::string_view, std::string_view> stages[] = {{"acl_smtp_connect", "smtpd_client_restrictions"},
                                                                               {"acl_smtp_helo", "smtpd_helo_restrictions"},
                                                                               {"acl_smtp_mail", "smtpd_sender_restrictions"},
                                                                               {"acl_smtp_rcpt", "smtpd_recipient_restrictions"},
                                                                               {"acl_smtp_predata", "smtpd_data_restrictions"},
                                                                               {"acl_smtp_etrn", "smtpd_etrn_restrictions"},
                                                                               {"acl_smtp_data", ""}};
    reject_connections();
    for (const auto& [option, parameter] : stages)
        acl_into(option, std::string(parameter));
    if (!tree_.find("acl_smtp_rcpt"))
        append("smtpd_recipient_restrictions", "reject", "without acl_smtp_rcpt Exim takes no mail by SMTP");
    if (!tree_.find("acl_smtp_etrn"))
        append("smtpd_etrn_restrictions", "reject", "without acl_smtp_etrn Exim refuses ETRN");
    if (const Setting* restrictions = out_.find("smtpd_recipient_restrictions");
        restrictions->value.find("reject_unauth_destination") == std::string::npos)
        append("smtpd_recipient_restrictions", "reject_unauth_destination", {});
    if (!out_.find("mynetworks"))
        set("mynetworks", "127.0.0.0/8, [::1]/128", nullptr);
    if (const Option* vrfy = tree_.find("acl_smtp_vrfy"))
        judge(*vrfy, "main", Kind::left_out, "VRFY is answered for anybody, or for nobody (disable_vrfy_command)");
    if (!classes_.empty())
        set("smtpd_restriction_classes", fmt::format("{}", fmt::join(classes_, ", ")), nullptr);
    std::set<std::string> used;
    for (const Option& option : tree_.main)
        if (option.name.starts_with("acl_smtp_")) {
            judge(option, "main", Kind::left_out, "nothing here is known to do the same");
            used.insert(option.value);
        }
    for (const Acl& acl : tree_.acls)
        for (const AclStatement& one : acl.statements) {
            const std::string text = text_of(one);
            judge(one.place, "acl " + acl.name, text, Kind::nothing_needed, "stands in the statements that name this ACL, or no stage of SMTP does");
        }
}

}  // namespace posthorn::exim
