#include "base/strings.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

constexpr int deepest_acl = 10;

/// Modifiers that decide nothing about who gets in.
bool is_modifier(std::string_view name)
{
    static constexpr std::string_view names[] = {"message",    "log_message",       "logwrite", "control", "delay",
                                                 "add_header", "remove_header",     "set",      "endpass", "queue",
                                                 "udpsend",    "log_reject_target", "continue"};
    return std::ranges::find(names, name) != std::end(names);
}

/// A table of one question, in the form of access(5): first match wins, DUNNO where it says no.
struct Check {
    std::string restriction;                 // "check_client_access"
    std::string type, rules;                 // "cidr"; rules with "%" where the result stands
};

std::string escaped_delimiter(std::string_view pattern)
{
    std::string text;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        if (pattern[at] == '\\' && at + 1 < pattern.size()) {
            text += pattern[at];
            text += pattern[++at];
        } else if (pattern[at] == '/') {
            text += "\\/";
        } else {
            text += pattern[at];
        }
    }
    return text;
}

constexpr char result_here = '\x01';

std::optional<Check> address_check(std::string_view restriction, const PatternSet& set, Subject subject)
{
    const auto rules = as_address_rules(set, subject);
    if (!rules)
        return {};
    Check check{std::string(restriction), "pcre", {}};
    for (const AddressRule& rule : *rules)
        check.rules += fmt::format("/{}/ {}\n", escaped_delimiter(rule.pattern), rule.negated ? std::string("DUNNO") : std::string(1, result_here));
    return check;
}

/// Networks as cidr, names as pcre; both in one list only where nothing of it excludes.
std::optional<std::vector<Check>> host_checks(const PatternSet& set)
{
    if (!set.unknown.empty())
        return {};
    Check networks{"check_client_access", "cidr", {}}, names{"check_client_access", "pcre", {}};
    for (const PatternRule& rule : set.rules) {
        const std::string result = rule.negated ? std::string("DUNNO") : std::string(1, result_here);
        switch (rule.kind) {
        case PatternRule::Kind::network: networks.rules += fmt::format("{} {}\n", rule.text, result); break;
        case PatternRule::Kind::everything: networks.rules += fmt::format("0.0.0.0/0 {0}\n::/0 {0}\n", result); break;
        case PatternRule::Kind::text: names.rules += fmt::format("/^{}$/ {}\n", escaped_delimiter(regex_of(rule.text)), result); break;
        case PatternRule::Kind::suffix: names.rules += fmt::format("/{}$/ {}\n", escaped_delimiter(regex_of(rule.text)), result); break;
        case PatternRule::Kind::regex: names.rules += fmt::format("/{}/ {}\n", escaped_delimiter(rule.text), result); break;
        case PatternRule::Kind::no_host: break;                    // no client of smtpd is none
        }
    }
    if (set.otherwise)
        networks.rules += fmt::format("0.0.0.0/0 {0}\n::/0 {0}\n", result_here);
    if (!names.rules.empty() && set.has_negations())
        return {};
    std::vector<Check> checks;
    for (Check* check : {&networks, &names})
        if (!check->rules.empty())
            checks.push_back(std::move(*check));
    return checks;
}

/// A reply's text for a table: one line, no variables, no pattern's dollars.
std::string reply_text(std::string_view written, std::string_view otherwise)
{
    std::string text(trim(written));
    if (text.size() > 1 && text.front() == '"' && text.back() == '"')
        text = text.substr(1, text.size() - 2);
    if (text.empty() || text.find_first_of("$\\\n{}") != text.npos)
        text = otherwise;
    return printable(text, true);
}

std::string with_result(std::string rules, const std::string& result)
{
    std::string text;
    for (const char c : rules)
        if (c == result_here)
            text += result;
        else
            text += c;
    return text;
}

}  // namespace

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
    if (!acl || depth > deepest_acl)
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

void Translator::statement(const Acl& acl, const AclStatement& one, const std::string& parameter)
{
    const std::string where = "acl " + acl.name;
    std::string text = one.verb;
    for (const Condition& condition : one.conditions)
        text += fmt::format("  {}{}{}{}", condition.negated ? "!" : "", condition.name, condition.value.empty() ? "" : " = ",
                            printable(condition.value, true));
    const auto say = [&](Kind kind, std::string what, bool loud = false) { judge(one.place, where, text, kind, std::move(what), loud); };
    const std::string because = fmt::format("{}: {}", one.place.text(), text);
    const bool lets_in = one.verb == "accept", refuses = one.verb == "deny" || one.verb == "drop" || one.verb == "defer";

    // What cannot be told: an accept is left out, which is stricter; a deny is said loudly; without a require nothing is to be written.
    const auto give_up = [&](const std::string& why) {
        if (lets_in || one.verb == "warn" || one.verb == "discard")
            return say(Kind::left_out, fmt::format("{}{}", why, lets_in ? "; whom it let in is asked what follows" : ""));
        if (one.verb == "require") {
            out_.refusals.push_back(fmt::format("{}: {}: {}", one.place.text(), text, why));
            return say(Kind::left_out, why, true);
        }
        say(Kind::left_out, why, true);
    };

    std::string message, header;
    std::vector<Condition> conditions;
    for (const Condition& condition : one.conditions) {
        if (condition.name == "message")
            message = condition.value;
        else if (condition.name == "add_header")
            header = condition.value;
        if (condition.name == "control" && lets_in &&
            (condition.value.starts_with("freeze") || condition.value.starts_with("fakereject") || condition.value.starts_with("fakedefer")))
            return give_up(fmt::format("control = {} (HOLD in an access table)", condition.value));
        if (is_modifier(condition.name))
            continue;
        const auto answer = constant(condition, 0);
        if (answer && !*answer && one.verb != "require")
            return say(Kind::nothing_needed,
                       fmt::format("it never applies: {}{} = {} {}", condition.negated ? "!" : "", condition.name, printable(condition.value, true),
                                   condition.name == "authenticated" ? "(nobody can authenticate)" : "does not hold now"));
        if (answer && *answer)
            continue;
        conditions.push_back(condition);
    }
    if (one.verb == "warn") {
        if (header.empty())
            return say(conditions.empty() || !std::ranges::any_of(one.conditions, [](const Condition& c) { return c.name == "set"; })
                           ? Kind::nothing_needed
                           : Kind::left_out,
                       "it decides nothing: what it says goes to the log");
        if (header.find_first_of("$\\\n") != header.npos)
            return give_up("a header with what is known of the client: a Milter, or a policy server with PREPEND");
    }
    if (one.verb == "discard" && parameter == "smtpd_recipient_restrictions" &&
        std::ranges::any_of(conditions, [](const Condition& c) { return c.name == "domains" || c.name == "local_parts" || c.name == "recipients"; }))
        return give_up(
            "DISCARD in an access table takes a message from all of its recipients: a route to discard: in transport_maps takes it from one");

    const std::string plain = reply_text(message, one.verb == "defer" ? "try later" : "Administrative prohibition");
    std::string result = lets_in                 ? "OK"
                         : one.verb == "defer"   ? "451 4.7.1 " + plain
                         : one.verb == "drop"    ? "521 5.7.1 " + plain
                         : one.verb == "discard" ? "DISCARD"
                                                 : "550 5.7.1 " + plain;
    if (one.verb == "warn")
        result = "PREPEND " + printable(header, true);

    // One condition after the other: each a table whose result is the next one's class; last, what no table can ask.
    std::vector<std::vector<Check>> chain;
    std::vector<std::string> last;  // restrictions that decide by themselves
    std::string remark;
    bool by_name = false;  // refuses hosts by a name that Exim would look up the addresses of
    const auto add_checks = [&](std::optional<std::vector<Check>> checks) {
        if (!checks)
            return false;
        chain.push_back(*std::move(checks));
        return true;
    };
    const auto one_check = [](std::optional<Check> check) -> std::optional<std::vector<Check>> {
        if (!check)
            return {};
        return std::vector{*std::move(check)};
    };
    std::function<bool(const Condition&, bool, int)> take = [&](const Condition& condition, bool invert, int depth) -> bool {
        const bool negated = condition.negated != invert;
        const auto oriented = [&](const PatternSet& set) { return negated ? set.complement() : set; };
        if (condition.name == "hosts") {
            const PatternSet set = set_of(condition.value, ListOf::hosts);
            if (std::ranges::any_of(set.rules, [](const PatternRule& rule) {
                    return rule.kind == PatternRule::Kind::text || rule.kind == PatternRule::Kind::suffix;
                }))
                remark = "; a client's name counts where its address leads to the name and back";
            by_name |= refuses && std::ranges::any_of(set.rules, [](const PatternRule& rule) { return rule.kind == PatternRule::Kind::text; });
            return add_checks(host_checks(oriented(set)));
        }
        if (condition.name == "domains")
            return add_checks(
                one_check(address_check("check_recipient_access", oriented(set_of(condition.value, ListOf::domains)), Subject::domain)));
        if (condition.name == "local_parts")
            return add_checks(
                one_check(address_check("check_recipient_access", oriented(set_of(condition.value, ListOf::local_parts)), Subject::local_part)));
        if (condition.name == "recipients")
            return add_checks(
                one_check(address_check("check_recipient_access", oriented(set_of(condition.value, ListOf::addresses)), Subject::address)));
        if (condition.name == "senders")
            return add_checks(
                one_check(address_check("check_sender_access", oriented(set_of(condition.value, ListOf::addresses)), Subject::address)));
        if (condition.name == "sender_domains")
            return add_checks(one_check(address_check("check_sender_access", oriented(set_of(condition.value, ListOf::domains)), Subject::domain)));
        if (condition.name == "acl" && depth < deepest_acl) {
            // Another ACL of accepts with one condition each: none of them may hold, or the one may.
            const Acl* inner = tree_.acl(trim(condition.value));
            if (!inner)
                return false;
            std::vector<Condition> held;
            for (const AclStatement& statement : inner->statements) {
                bool never = false;
                std::vector<Condition> open;
                for (const Condition& part : statement.conditions) {
                    const auto answer = constant(part, 0);
                    never |= answer && !*answer;
                    if (!answer)
                        open.push_back(part);
                }
                if (never || statement.verb == "warn")
                    continue;
                if (statement.verb != "accept" || open.size() != 1)
                    return false;
                held.push_back(open.front());
            }
            if (!negated && held.size() != 1)
                return false;
            return std::ranges::all_of(held, [&](const Condition& part) { return take(part, negated, depth + 1); });
        }
        return false;
    };

    const auto verify = [&](const Condition& condition) -> std::optional<std::vector<std::string>> {
        const std::string what = to_lower(condition.value.substr(0, condition.value.find_first_of("/= \t")));
        const bool callout = condition.value.find("callout") != condition.value.npos;
        if (what == "sender" || what == "recipient") {
            std::vector<std::string> found{"reject_unlisted_" + what};
            if (callout)
                found.push_back("reject_unverified_" + what);
            else if (const std::string asked = asked_of_dns(what); !asked.empty())
                found.push_back(asked);
            return found;
        }
        if (what == "helo")
            return std::vector<std::string>{"reject_unknown_helo_hostname"};
        if (what == "reverse_host_lookup")
            return std::vector<std::string>{"reject_unknown_client_hostname"};
        return {};
    };
    const std::string sender_domain = "(sender's domain)";
    const auto dns_lists = [&](const Condition& condition) -> std::optional<std::vector<std::string>> {
        std::vector<std::string> words;
        Known names = known_;
        names.variables["sender_address_domain"] = sender_domain;
        const Outcome lists = evaluate(condition.value, names);
        if (lists.kind != Outcome::Kind::known)
            return {};
        for (const std::string& item : split_list(lists.text)) {
            if (item.find_first_of("!&") != item.npos || item.find("defer") != item.npos)
                return {};
            if (item.starts_with('+'))
                continue;
            const std::size_t slash = item.find('/');
            if (slash != item.npos && item.substr(slash + 1) != sender_domain)
                return {};
            words.push_back(fmt::format("{} {}", slash == item.npos ? "reject_rbl_client" : "reject_rhsbl_sender", item.substr(0, slash)));
        }
        return words;
    };

    // A require is a deny for each condition that does not hold.
    std::vector<std::string> words;
    const auto emit = [&](const std::vector<std::string>& ends, const std::string& action) {
        // From the last to the first: each table's result is what stands behind it.
        std::string next = action;
        std::vector<std::string> direct = ends;
        const auto as_result = [&]() -> std::string {
            if (direct.empty())
                return next;
            if (direct.size() == 1 && direct.front().find(' ') == direct.front().npos)
                return direct.front();
            const std::string name = fmt::format("exim_{}", ++chains_);
            classes_.push_back(name);
            set(name, fmt::format("{}", fmt::join(direct, ", ")), &one.place, text);
            return name;
        };
        for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
            const std::string behind = as_result();
            direct.clear();
            for (const Check& check : *link)
                direct.push_back(
                    fmt::format("{} {}", check.restriction,
                                add_table(fmt::format("{}_{}", acl.name, one.place.line), check.type, with_result(check.rules, behind))));
        }
        if (chain.empty() && direct.empty())
            direct.push_back(lets_in ? "permit" : one.verb == "defer" ? "defer" : "reject");
        words.insert(words.end(), direct.begin(), direct.end());
    };

    if (one.verb == "require") {
        for (const Condition& condition : conditions) {
            chain.clear();
            if (const auto answer = constant(condition, 0); answer && !*answer && condition.name != "acl") {
                words.emplace_back("reject");
                break;
            }
            if (condition.name == "verify" && !condition.negated) {
                const auto ends = verify(condition);
                if (ends)
                    words.insert(words.end(), ends->begin(), ends->end());
                else if (condition.value.starts_with("header_s") || condition.value.starts_with("not_blind") ||
                         condition.value.starts_with("header_n"))
                    return say(Kind::left_out, "checks over headers: header_checks, or a Milter", true);
                else
                    return give_up("this is not verified");
                continue;
            }
            if (condition.name == "domains" && !condition.negated) {
                // What is ours is told by the classes; the table is for what is ours and not in this list.
                const PatternSet set = set_of(condition.value, ListOf::domains);
                words.emplace_back("reject_unauth_destination");
                bool more = !set.unknown.empty() || set.has_negations();
                for (const std::vector<Token>* tokens : {&local_, &relayed_, &mailboxes_, &aliased_})
                    for (const Token& token : *tokens)
                        more |= !set.matches(token.text);
                if (!more)
                    continue;
            }
            if (!take(condition, true, 0))
                return give_up(fmt::format("{} = {} cannot be asked by a table", condition.name, printable(condition.value, true)));
            emit({}, result);
        }
        if (words.empty())
            return say(Kind::nothing_needed, "it always holds");
    } else {
        for (const Condition& condition : conditions) {
            if (condition.name == "verify") {
                const auto ends = verify(condition);
                if (!ends)
                    return give_up(condition.value.starts_with("header_syntax") || condition.value.starts_with("header_sender") ||
                                           condition.value.starts_with("header_names")
                                       ? "checks over headers: header_checks, or a Milter"
                                       : "this is not verified");
                if (lets_in && !condition.negated) {
                    last.insert(last.end(), ends->begin(), ends->end());
                    last.emplace_back("permit");
                    remark = "; who is not verified is refused at once";
                } else if (refuses && condition.negated && last.empty()) {
                    last = *ends;
                } else {
                    return give_up("what is verified decides by itself here");
                }
            } else if (condition.name == "authenticated" && lets_in && !condition.negated && condition.value == "*") {
                last.emplace_back("permit_sasl_authenticated");
            } else if (condition.name == "hosts" && lets_in && !condition.negated && conditions.size() == 1 &&
                       parameter == "smtpd_recipient_restrictions" &&
                       (!out_.find("mynetworks") || out_.find("mynetworks")->because.back().ends_with(": hosts = " + condition.value))) {
                const PatternSet set = set_of(condition.value, ListOf::hosts);
                if (!set.unknown.empty())
                    return give_up(fmt::format("hosts that are not known: {}", fmt::join(set.unknown, ", ")));
                std::string networks, names;
                for (const PatternRule& rule : set.rules) {
                    if (rule.kind == PatternRule::Kind::network) {
                        const std::size_t slash = rule.text.find('/');
                        const bool six = rule.text.find(':') != rule.text.npos;
                        networks += fmt::format(
                            "{}{}{}", networks.empty() ? "" : ", ", rule.negated ? "!" : "",
                            six ? "[" + rule.text.substr(0, slash) + "]" + (slash == rule.text.npos ? "" : rule.text.substr(slash)) : rule.text);
                    } else if (rule.kind != PatternRule::Kind::no_host) {
                        names += (names.empty() ? "" : ", ") + rule.text;
                    }
                }
                if (set.is_everything())
                    return give_up("everybody is let in for everything: an open relay");
                set_networks(networks, one.place, condition.value);
                last.emplace_back("permit_mynetworks");
                if (!names.empty())
                    remark = fmt::format("; names of hosts are no networks, and left out: {}", names);
            } else if (condition.name == "dnslists" && refuses && !condition.negated && last.empty()) {
                const auto lists = dns_lists(condition);
                if (!lists)
                    return give_up("a DNS list with conditions: reject_rbl_client LIST=127.0.0.[2..11], rbl_reply_maps");
                last = *lists;
            } else if (!take(condition, false, 0)) {
                const std::string shown_condition =
                    fmt::format("{}{} = {}", condition.negated ? "!" : "", condition.name, printable(condition.value, true));
                return give_up(condition.name == "ratelimit"   ? shown_condition + ": smtpd_client_message_rate_limit and its kin count by client"
                               : condition.name == "condition" ? shown_condition + ": an expansion that is not known"
                                                               : shown_condition + " cannot be asked by a table");
            }
        }
        if (one.verb == "warn" && chain.empty())
            return give_up("a header for all mail: smtpd_command_filter does not add one; header_checks with PREPEND does");
        // An accept that ends the list lets in whoever is left: never more than our own domains.
        const Setting* so_far = out_.find(parameter);
        if (lets_in && conditions.empty() && parameter == "smtpd_recipient_restrictions" &&
            (!so_far || so_far->value.find("reject_unauth_destination") == std::string::npos))
            words.emplace_back("reject_unauth_destination");
        emit(last, result);
    }
    for (const std::string& word : words)
        append(parameter, word, because);
    say(Kind::becomes, fmt::format("{} in {}{}", fmt::join(words, ", "), parameter, remark), by_name);
}

void Translator::set_networks(const std::string& networks, const Place& place, const std::string& list)
{
    set("mynetworks", networks, &place, "hosts = " + list);
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
    const std::size_t before = out_.find(parameter) ? out_.find(parameter)->value.size() : 0;
    for (const AclStatement& one : acl->statements) {
        if (parameter.empty()) {  // after DATA
            std::string text = one.verb;
            for (const Condition& condition : one.conditions)
                text += fmt::format("  {}{}{}{}", condition.negated ? "!" : "", condition.name, condition.value.empty() ? "" : " = ",
                                    printable(condition.value, true));
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
    (void)before;
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
            std::string text = one.verb;
            for (const Condition& condition : one.conditions)
                text += fmt::format("  {}{}{}{}", condition.negated ? "!" : "", condition.name, condition.value.empty() ? "" : " = ",
                                    printable(condition.value, true));
            judge(one.place, "acl " + acl.name, text, Kind::nothing_needed, "stands in the statements that name this ACL, or no stage of SMTP does");
        }
}

}  // namespace posthorn::exim
