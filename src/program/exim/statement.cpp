#include "base/strings.hpp"
#include "exim/access_checks.hpp"
#include "exim/ratelimit.hpp"
#include "exim/statement_chain.hpp"
#include "exim/translator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::exim {

namespace {

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

/// "[2001:db8::]/32" of mynetworks.
std::string as_member(const std::string& network)
{
    const std::size_t slash = network.find('/');
    if (network.find(':') == network.npos)
        return network;
    return fmt::format("[{}]{}", network.substr(0, slash), slash == network.npos ? "" : network.substr(slash));
}

std::string shown_condition(const Condition& condition)
{
    return fmt::format("{}{} = {}", condition.negated ? "!" : "", condition.name, printable(condition.value, true));
}

}  // namespace

/// One statement of an ACL as restrictions: each condition a table whose result is the class of the next; last, what decides by itself.
class Translator::Statement {
public:
    Statement(Translator& translator, const Acl& acl, const AclStatement& one, const std::string& parameter)
        : t_(translator), acl_(acl), one_(one), parameter_(parameter), text_(text_of(one)), lets_in_(one.verb == "accept"),
          refuses_(one.verb == "deny" || one.verb == "drop" || one.verb == "defer"), chain_(translator, lets_in_, refuses_)
    {
    }

    void make()
    {
        note_cutthrough();
        if (!read() || helo_is_required() || limits_accounts() || !can_be_said())
            return;
        if (!(one_.verb == "require" ? require() : in_turn()))
            return;
        for (const std::string& word : words_)
            t_.append(parameter_, word, fmt::format("{}: {}", one_.place.text(), text_));
        say(Kind::becomes, fmt::format("{} in {}{}", fmt::join(words_, ", "), parameter_, remark_), chain_.by_name());
    }

private:
    using Words = std::vector<std::string>;

    bool say(Kind kind, std::string what, bool loud = false)
    {
        if (!cutthrough_.empty() && kind == Kind::nothing_needed) {
            kind = Kind::becomes;
            what = cutthrough_;
        } else if (!cutthrough_.empty()) {
            what += "; " + cutthrough_;
        }
        t_.judge(one_.place, "acl " + acl_.name, text_, kind, std::move(what), loud);
        return false;
    }

    /// Refusals of inner hosts that their client hears, whatever else the statement decides. It changes nothing about who gets in, so the conditions
    /// that it had in Exim need not hold.
    void note_cutthrough()
    {
        for (const Condition& one : one_.conditions)
            if (one.name == "control" && one.value.starts_with("cutthrough_delivery") && parameter_ == recipients) {
                if (t_.relayed_.empty()) {
                    cutthrough_ = "cutthrough_delivery: no domain is relayed to a host of its own";
                    return;
                }
                t_.set("smtpd_delivery_answer_domains", "$relay_domains", &one_.place, text_);
                cutthrough_ = "smtpd_delivery_answer_domains = $relay_domains for cutthrough_delivery, of every client";
                if (one.value.find("defer=pass") != one.value.npos)
                    cutthrough_ += "; what is put off is queued here";
            }
    }

    /// What cannot be said: an accept is left out, which is stricter; a deny is said loudly; without a require, and without what stands behind an
    /// endpass, nothing is to be written.
    bool give_up(const std::string& why)
    {
        if (one_.verb == "require" || (lets_in_ && endpass_)) {
            t_.out_.refusals.push_back(fmt::format("{}: {}: {}", one_.place.text(), text_, why));
            return say(Kind::left_out, why, true);
        }
        if (refuses_)
            return say(Kind::left_out, why, true);
        return say(Kind::left_out, fmt::format("{}{}", why, lets_in_ ? "; whom it let in is asked what follows" : ""));
    }

    /// The conditions that are left to be asked. False: it never applies, or it cannot be said.
    bool read()
    {
        for (const Condition& written : one_.conditions) {
            const Condition condition = as_list_condition(written, t_.known_);
            if (condition.name == "message")
                message_ = condition.value;
            else if (condition.name == "add_header")
                header_ = condition.value;
            else if (condition.name == "endpass")
                endpass_ = true;
            if (condition.name == "control" && lets_in_ && (condition.value.starts_with("freeze") || condition.value.starts_with("fake")))
                return give_up(fmt::format("control = {} (HOLD in an access table)", condition.value));
            if (is_modifier(condition.name))
                continue;
            if (condition.name == "authenticated" && condition.negated && condition.value == "*" && authenticated_are_in())
                continue;  // who comes here is not
            const auto answer = t_.constant(condition, 0);
            if (endpass_ && lets_in_ && condition.name == "authenticated" && !condition.negated && condition.value == "*")
                return only_authenticated();
            if (endpass_ && lets_in_ && condition.name != "verify" && answer != std::optional(true))
                return give_up("a condition behind endpass that is no verify: a require of its own before it says the same");
            if (answer && !*answer && one_.verb != "require")
                return say(Kind::nothing_needed, fmt::format("it never applies: {} {}", shown_condition(condition),
                                                             condition.name == "authenticated" ? "(nobody can authenticate)" : "does not hold now"));
            if (!answer || !*answer)
                conditions_.push_back(condition);
        }
        return true;
    }

    /// A deny or defer of who authenticated, beyond so much within an hour or a day: account_limit_maps, which counts by login.
    bool limits_accounts()
    {
        const auto is_of_logins = [](const Condition& condition) {
            return condition.name == "authenticated" && !condition.negated && condition.value == "*";
        };
        const auto rate = std::ranges::find(conditions_, std::string_view("ratelimit"), &Condition::name);
        if (!refuses_ || rate == conditions_.end() || rate->negated ||
            std::ranges::any_of(conditions_, [&](const Condition& one) { return &one != &*rate && !is_of_logins(one); }))
            return false;
        const auto words = ratelimit_of_logins(rate->value);
        if (!words)
            return false;
        const std::string parameter = "account_limit_maps";
        if (t_.out_.find(parameter)) {
            give_up(fmt::format("one limit by login is carried over: its entry wants {} as well", *words));
            return true;
        }
        t_.append(parameter, fmt::format("inline:{{ {{login: = {} over={}}} }}", *words, one_.verb == "defer" ? "defer" : "reject"),
                  fmt::format("{}: {}", one_.place.text(), text_));
        say(Kind::becomes,
            fmt::format("{} in {}{}", *words, parameter, conditions_.size() == 1 ? "; those who have not authenticated are not counted" : ""));
        return true;
    }

    /// Behind endpass: whoever comes so far and has not authenticated is refused. False: all is said.
    bool only_authenticated()
    {
        const auto of_port = [](const Condition& condition) { return condition.value.find("_port}") != condition.value.npos; };
        if (conditions_.empty()) {
            if (t_.can_authenticate_)
                words_.emplace_back("permit_sasl_authenticated");
            words_.emplace_back("reject");
            for (const std::string& word : words_)
                t_.append(parameter_, word, fmt::format("{}: {}", one_.place.text(), text_));
            return say(Kind::becomes, fmt::format("{} in {}", fmt::join(words_, ", "), parameter_));
        }
        if (conditions_.size() == 1 && of_port(conditions_.front()))
            return say(
                Kind::left_out,
                "of one port alone: -o smtpd_client_restrictions=permit_sasl_authenticated,reject on its line in master.cf (without it, who has not "
                "authenticated is asked there what is asked on port 25)",
                true);
        return give_up(fmt::format("{} cannot be asked by a table before who authenticates", shown_condition(conditions_.front())));
    }

    /// Whether this list lets in whoever has authenticated before it comes here.
    bool authenticated_are_in() const
    {
        const Setting* so_far = t_.out_.find(parameter_);
        return so_far &&
               std::ranges::any_of(split(so_far->value, ","), [](std::string_view word) { return trim(word) == "permit_sasl_authenticated"; });
    }

    /// A statement that wants a HELO is a setting, whoever it was asked of. True: nothing else is left of the statement.
    bool helo_is_required()
    {
        const bool require = one_.verb == "require";
        if (!require && !refuses_)
            return false;
        const auto wants = [&](const Condition& condition) { return asks_for_helo(condition, t_.known_) == std::optional(require); };
        if (!std::ranges::any_of(conditions_, wants))
            return false;
        t_.set("smtpd_helo_required", "yes", &one_.place, text_);
        if (require)
            std::erase_if(conditions_, wants);
        if (require && !conditions_.empty())
            return false;
        say(Kind::becomes, "smtpd_helo_required = yes, for every client");
        return true;
    }

    bool can_be_said()
    {
        if (one_.verb == "warn") {
            const bool sets = std::ranges::any_of(one_.conditions, [](const Condition& c) { return c.name == "set"; });
            if (header_.empty())
                return say(conditions_.empty() || !sets ? Kind::nothing_needed : Kind::left_out, "it decides nothing: what it says goes to the log");
            if (header_.find_first_of("$\\\n") != header_.npos)
                return give_up("a header with what is known of the client: a Milter, or a policy server with PREPEND");
        }
        if (one_.verb == "discard" && parameter_ == recipients && std::ranges::any_of(conditions_, [](const Condition& c) {
                return c.name == "domains" || c.name == "local_parts" || c.name == "recipients";
            }))
            return give_up(
                "DISCARD in an access table takes a message from all of its recipients: a route to discard: in transport_maps takes it from one");
        return true;
    }

    /// What an access table says where all conditions hold.
    std::string result() const
    {
        const std::string plain = reply_text(message_, one_.verb == "defer" ? "try later" : "Administrative prohibition");
        if (lets_in_)
            return "OK";
        if (one_.verb == "defer")
            return "451 4.7.1 " + plain;
        if (one_.verb == "drop")
            return "521 5.7.1 " + plain;
        if (one_.verb == "discard")
            return "DISCARD";
        if (one_.verb == "warn")
            return "PREPEND " + printable(header_, true);
        return "550 5.7.1 " + plain;
    }

    /// A require is a deny for each condition that does not hold.
    bool require()
    {
        for (const Condition& condition : conditions_) {
            chain_.clear();
            if (t_.constant(condition, 0) == std::optional(false) && condition.name != "acl") {
                words_.emplace_back("reject");
                break;
            }
            if (condition.name == "verify" && !condition.negated) {
                const auto ends = verify(condition);
                if (!ends)
                    return is_of_headers(condition) ? say(Kind::left_out, of_headers, true) : give_up("this is not verified");
                words_.insert(words_.end(), ends->begin(), ends->end());
                continue;
            }
            if (condition.name == "domains" && !condition.negated && only_ours(condition))
                continue;
            if (!ask(condition, true))
                return give_up(shown_condition(condition) + " cannot be asked by a table");
            emit({});
        }
        return words_.empty() ? say(Kind::nothing_needed, "it always holds") : true;
    }

    /// What is ours is told by the classes. True: the list has all of it, and no table is needed for what is ours and not in this list.
    bool only_ours(const Condition& condition)
    {
        const PatternSet set = t_.set_of(condition.value, ListOf::domains);
        words_.emplace_back("reject_unauth_destination");
        bool more = !set.unknown.empty() || set.has_negations();
        for (const std::vector<Token>* tokens : {&t_.local_, &t_.relayed_, &t_.mailboxes_, &t_.aliased_})
            for (const Token& token : *tokens)
                more |= !set.matches(token.text);
        return !more;
    }

    /// By a table.
    bool ask(const Condition& condition, bool inverted = false)
    {
        if (!chain_.take(condition, inverted))
            return false;
        if (chain_.names_hosts())
            remark_ = "; a client's name counts where its address leads to the name and back";
        return true;
    }

    bool in_turn()
    {
        Words verified;  // restrictions that refuse whoever is not
        std::string opens;  // the one that lets in
        for (const Condition& condition : conditions_) {
            if (condition.name == "verify") {
                const auto ends = verify(condition);
                if (!ends)
                    return give_up(is_of_headers(condition) ? of_headers : "this is not verified");
                if (condition.negated == lets_in_ || !(lets_in_ || refuses_) || (refuses_ && !verified.empty()))
                    return give_up("what is verified decides by itself here");
                verified.insert(verified.end(), ends->begin(), ends->end());
                if (lets_in_)
                    remark_ = "; who is not verified is refused at once";
            } else if (condition.name == "authenticated" && lets_in_ && !condition.negated && condition.value == "*") {
                opens = "permit_sasl_authenticated";
            } else if (is_networks(condition)) {
                if (!networks(condition))
                    return false;
                opens = "permit_mynetworks";
            } else if (condition.name == "dnslists" && refuses_ && !condition.negated && verified.empty()) {
                auto lists = dns_lists(condition);
                if (!lists)
                    return give_up("a DNS list with conditions: reject_rbl_client LIST=127.0.0.[2..11], rbl_reply_maps");
                verified = *std::move(lists);
            } else if (!ask(condition)) {
                if (lets_in_ && endpass_)
                    return verify_all(shown_condition(condition));
                return give_up(shown_condition(condition) + (condition.name == "ratelimit"
                                                                 ? ": smtpd_client_message_rate_limit and its kin count by client"
                                                             : condition.name == "condition" ? ": an expansion that is not known"
                                                                                             : " cannot be asked by a table"));
            }
        }
        if (one_.verb == "warn" && chain_.empty())
            return give_up("a header for all mail: header_checks with PREPEND");
        // Whoever the one does not let in would be let in behind the other.
        if (!opens.empty() && !verified.empty() && !(endpass_ && chain_.empty()))
            return give_up("who is let in by itself is not verified");
        if (!opens.empty() && !verified.empty()) {
            remark_ = "; whoever comes so far is verified, authenticated or not";
            verified.push_back(opens);
            words_ = std::move(verified);
            return true;
        }
        open_only_ours();
        if (lets_in_ && !verified.empty())
            opens = "permit";
        if (!opens.empty())
            verified.push_back(opens);
        emit(verified);
        return true;
    }

    /// An accept with a verify behind its endpass, and a condition that cannot be said: everybody is verified here, and nobody let in.
    bool verify_all(const std::string& why)
    {
        chain_.clear();
        words_.clear();
        for (const Condition& condition : conditions_) {
            if (condition.name != "verify")
                continue;
            const auto ends = verify(condition);
            if (!ends || condition.negated)
                return give_up(why + " cannot be asked by a table");
            words_.insert(words_.end(), ends->begin(), ends->end());
        }
        remark_ = fmt::format("; {} cannot be asked: everybody is verified here, and nobody let in", why);
        return !words_.empty() || give_up(why + " cannot be asked by a table");
    }

    /// An accept that ends the list lets in whoever is left: never more than our own domains.
    void open_only_ours()
    {
        const Setting* so_far = t_.out_.find(parameter_);
        if (lets_in_ && conditions_.empty() && parameter_ == recipients &&
            (!so_far || so_far->value.find("reject_unauth_destination") == std::string::npos)) {
            words_.emplace_back("reject_unauth_destination");
            remark_ = "; it let in mail for any domain: here for those that are ours, and others are refused";
        }
    }

    bool is_networks(const Condition& condition) const
    {
        const Setting* have = t_.out_.find("mynetworks");
        return condition.name == "hosts" && lets_in_ && !condition.negated && conditions_.size() == 1 && parameter_ == recipients &&
               (!have || have->because.back().ends_with(": hosts = " + condition.value));
    }

    bool networks(const Condition& condition)
    {
        const PatternSet set = t_.set_of(condition.value, ListOf::hosts);
        if (!set.unknown.empty())
            return give_up(fmt::format("hosts that are not known: {}", fmt::join(set.unknown, ", ")));
        if (set.is_everything())
            return give_up("everybody is let in for everything: an open relay");
        std::string networks, names;
        for (const PatternRule& rule : set.rules) {
            if (rule.kind == PatternRule::Kind::network)
                networks += fmt::format("{}{}{}", networks.empty() ? "" : ", ", rule.negated ? "!" : "", as_member(rule.text));
            else if (rule.kind != PatternRule::Kind::no_host)
                names += (names.empty() ? "" : ", ") + rule.text;
        }
        t_.set("mynetworks", networks, &one_.place, "hosts = " + condition.value);
        if (!names.empty())
            remark_ = fmt::format("; names of hosts are no networks, and left out: {}", names);
        return true;
    }

    // --- what decides by itself

    static constexpr const char* of_headers = "checks over headers: header_checks, or a Milter";
    static bool is_of_headers(const Condition& condition)
    {
        return condition.value.starts_with("header_") || condition.value.starts_with("not_blind");
    }

    std::optional<Words> verify(const Condition& condition) const
    {
        const Outcome value = t_.known(condition.value);
        if (value.kind != Outcome::Kind::known)
            return {};
        const std::string what = to_lower(value.text.substr(0, value.text.find_first_of("/= \t")));
        const bool callout = value.text.find("callout") != std::string::npos;
        if (what == "sender" || what == "recipient") {
            Words found{"reject_unlisted_" + what};
            if (callout)
                found.push_back("reject_unverified_" + what);
            else if (const std::string asked = t_.asked_of_dns(what); !asked.empty())
                found.push_back(asked);
            return found;
        }
        if (what == "helo")
            return Words{"reject_unknown_helo_hostname"};
        if (what == "reverse_host_lookup")
            return Words{"reject_unknown_client_hostname"};
        return {};
    }

    std::optional<Words> dns_lists(const Condition& condition) const
    {
        static constexpr std::string_view sender_domain = "(sender's domain)";
        Words words;
        Known names = t_.known_;
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
    }

    // --- written

    /// From the last condition to the first: each table's result is what stands behind it.
    void emit(const Words& ends)
    {
        Words direct = ends;
        for (auto link = chain_.links().rbegin(); link != chain_.links().rend(); ++link) {
            const std::string behind = as_result(direct);
            direct.clear();
            for (const Check& check : *link)
                direct.push_back(
                    fmt::format("{} {}", check.restriction,
                                t_.add_table(fmt::format("{}_{}", acl_.name, one_.place.line), check.type, with_result(check.rules, behind))));
        }
        if (direct.empty())
            direct.push_back(lets_in_ ? "permit" : one_.verb == "defer" ? "defer" : "reject");
        words_.insert(words_.end(), direct.begin(), direct.end());
    }

    /// Restrictions as the result of a table: one word, or a class that holds them.
    std::string as_result(const Words& direct)
    {
        if (direct.empty())
            return result();
        if (direct.size() == 1 && direct.front().find(' ') == direct.front().npos)
            return direct.front();
        const std::string name = fmt::format("exim_{}", t_.classes_.size() + 1);
        t_.classes_.push_back(name);
        t_.set(name, fmt::format("{}", fmt::join(direct, ", ")), &one_.place, text_);
        return name;
    }

    static constexpr std::string_view recipients = "smtpd_recipient_restrictions";

    Translator& t_;
    const Acl& acl_;
    const AclStatement& one_;
    const std::string& parameter_;
    const std::string text_;
    const bool lets_in_, refuses_;
    std::string message_, header_, remark_, cutthrough_;
    bool endpass_ = false;
    std::vector<Condition> conditions_;
    Chain chain_;
    Words words_;
};

void Translator::statement(const Acl& acl, const AclStatement& one, const std::string& parameter) { Statement(*this, acl, one, parameter).make(); }

}  // namespace posthorn::exim
