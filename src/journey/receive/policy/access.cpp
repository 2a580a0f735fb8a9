// check_*_access: which keys are asked for in which order, and what the results do.                            access(5)
#include "base/strings.hpp"
#include "config/list.hpp"
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

namespace {

struct Key {
    std::string text;
    bool piece;                   // not asked of pattern tables, which judge the whole
};
using Keys = std::vector<Key>;

void add_domain(Keys& keys, std::string_view name, bool parents, bool first_is_piece)
{
    bool piece = first_is_piece;
    for (std::string_view key : tables::domain_keys(name, parents)) {
        keys.push_back({std::string(key), piece});
        piece = true;
    }
}

// 192.0.2.1, 192.0.2, 192.0, 192; likewise at the colons of IPv6.
void add_address(Keys& keys, std::string_view address)
{
    const char separator = address.find(':') == std::string_view::npos ? '.' : ':';
    keys.push_back({std::string(address), false});
    for (auto at = address.rfind(separator); at != std::string_view::npos && at != 0; at = address.rfind(separator, at - 1)) {
        std::string_view shorter = address.substr(0, at);
        if (!shorter.ends_with(separator))
            keys.push_back({std::string(shorter), true});
    }
}

void add_mailbox(Keys& keys, const std::string& address, const Settings& settings)
{
    const auto parts = tables::split_address(address);
    const auto at = tables::extension_at(parts.local, settings.delimiter);
    const std::string_view plain = at == std::string_view::npos ? parts.local : parts.local.substr(0, at);
    keys.push_back({tables::quote_address(address), false});
    if (at != std::string_view::npos)
        keys.push_back({fmt::format("{}{}{}", tables::quote_local(plain), parts.has_domain ? "@" : "", parts.domain), true});
    if (parts.has_domain && !parts.domain.empty())
        add_domain(keys, parts.domain, settings.parent_domains, true);
    keys.push_back({tables::quote_local(parts.local) + "@", true});
    if (at != std::string_view::npos)
        keys.push_back({tables::quote_local(plain) + "@", true});
}

}  // namespace

awaitable<Judge::Step> Judge::access(const Restriction& restriction, const Subject& subject, int depth)
{
    const Settings& settings = law_.settings;
    Keys keys;
    Subject about{subject.stage, {}, {}};
    switch (restriction.kind) {
    case Kind::check_client_access:
    case Kind::check_reverse_client_hostname_access: {
        const bool reverse = restriction.kind == Kind::check_reverse_client_hostname_access;
        add_domain(keys, reverse ? facts_.client_reverse_name : facts_.client_name, settings.parent_domains, false);
        if (!reverse)
            add_address(keys, facts_.client_address);
        about.name = facts_.client;
        about.title = reverse ? "Unverified Client host" : "Client host";
        break;
    }
    case Kind::check_helo_access:
        if (!facts_.helo)
            co_return Step::dunno;
        add_domain(keys, *facts_.helo, settings.parent_domains, false);
        about.name = *facts_.helo;
        about.title = "Helo command";
        break;
    case Kind::check_sender_access:
        if (!facts_.sender)
            co_return Step::dunno;
        if (facts_.sender->empty())
            keys.push_back({settings.null_sender_key, false});
        else
            add_mailbox(keys, *facts_.sender, settings);
        about.name = *facts_.sender;
        about.title = "Sender address";
        break;
    case Kind::check_etrn_access:
        add_domain(keys, facts_.etrn_domain, settings.parent_domains, false);
        about.name = facts_.etrn_domain;
        about.title = "Etrn command";
        break;
    default:
        if (!facts_.recipient)
            co_return Step::dunno;
        add_mailbox(keys, *facts_.recipient, settings);
        about.name = *facts_.recipient;
        about.title = "Recipient address";
    }

    tables::Table* table = law_.table(restriction.table);
    if (!table)
        co_return refuse(451, "4.3.5", "Server configuration error", true);
    for (const Key& key : keys) {
        if (key.text.empty() || (key.piece && table->pattern()))
            continue;
        tables::Answer answer;
        if (table->in_memory()) {
            answer = table->find(key.text);
        } else {
            co_await court_.before_wait();
            answer = co_await table->lookup(key.text);
        }
        if (!answer) {
            court_.log_warning(fmt::format("{}: table lookup problem: {}", restriction.table, answer.error().text()));
            co_return refuse(451, "4.3.5", fmt::format("<{}>: {} rejected: Server configuration error", about.name, about.title), true);
        }
        if (const auto& value = *answer; value)
            co_return co_await access_result(*value, restriction.table, about, depth);
    }
    co_return Step::dunno;
}

awaitable<Judge::Step> Judge::access_result(std::string value, std::string table, const Subject& subject, int depth)
{
    using Action = AccessResult::Action;
    const Settings& settings = law_.settings;
    const AccessResult result = parse_access_result(value);
    const auto status_or = [&](std::string_view otherwise) { return result.status.empty() ? std::string(otherwise) : result.status; };
    const auto text_or = [&](std::string_view otherwise) { return result.text.empty() ? std::string(otherwise) : result.text; };
    const auto note = [&](std::string_view what, std::string_view triggered) {
        court_.log_what(what, fmt::format("<{}>: {} {}", subject.name, subject.title,
                                          result.text.empty() || what == "filter" || what == "redirect" || what == "bcc" ? triggered : result.text));
    };
    const auto needs_address = [&](std::string_view word) {
        if (result.text.find('@') != std::string::npos)
            return true;
        court_.log_warning(fmt::format("access table {} entry \"{}\" requires an address behind {}", table, value, word));
        return false;
    };
    switch (result.action) {
    case Action::ok: co_return Step::permit;
    case Action::dunno: co_return Step::dunno;
    case Action::reject: co_return refuse_subject(settings.access_reject, status_or("5.7.1"), subject.name, subject.title, text_or("Access denied"));
    case Action::defer: co_return refuse_subject(settings.access_defer, status_or("4.7.1"), subject.name, subject.title, text_or("Access denied"));
    case Action::code: co_return refuse_subject(result.code, status_or("5.7.1"), subject.name, subject.title, text_or("Access denied"));
    case Action::defer_if_permit:
    case Action::defer_if_reject:
        defer_if(result.action == Action::defer_if_permit ? if_permit_ : if_reject_, 450, status_or("4.7.1"),
                 fmt::format("<{}>: {} rejected: {}", subject.name, subject.title, text_or("Service unavailable")));
        co_return Step::dunno;
    case Action::hangup: court_.log_what("hangup", result.text); co_return Step::hangup;
    case Action::warn:
    case Action::info: court_.log_what(result.action == Action::warn ? "warn" : "info", result.text); co_return Step::dunno;
    case Action::hold:
        note("hold", "triggers HOLD action");
        effects_.hold = true;
        co_return Step::dunno;
    case Action::discard:
        note("discard", "triggers DISCARD action");
        effects_.discard = true;
        // What is thrown away need not be checked further; Postfix skips the rest of the list likewise.
        co_return Step::permit;
    case Action::redirect:
        if (needs_address("REDIRECT")) {
            note("redirect", fmt::format("triggers REDIRECT {}", result.text));
            effects_.redirect = result.text;
        }
        co_return Step::dunno;
    case Action::bcc:
        if (needs_address("BCC")) {
            note("bcc", fmt::format("triggers BCC {}", result.text));
            effects_.bcc.push_back(result.text);
        }
        co_return Step::dunno;
    case Action::prepend:
        if (result.text.empty())
            court_.log_warning(fmt::format("access table {} entry \"{}\" requires header text", table, value));
        else
            effects_.prepend.push_back(result.text);
        co_return Step::dunno;
    case Action::filter:
        if (result.text.find(':') == std::string::npos) {
            court_.log_warning(fmt::format("access table {} entry \"{}\" requires transport:destination", table, value));
        } else {
            note("filter", fmt::format("triggers FILTER {}", result.text));
            effects_.filter = result.text;
        }
        co_return Step::dunno;
    case Action::restrictions: break;
    }

    // Restrictions as a result: classes and words, never tables (they would be opened now, for every mail).
    const ClassValue no_class = [](std::string_view) { return std::nullopt; };
    RestrictionList members;
    const auto words = config::split_grouped(result.text);
    for (std::string_view word : words) {
        if (const auto named = settings.lists.classes.find(word); named != settings.lists.classes.end()) {
            members.push_back({Kind::restriction_class, std::string(word), {}, named->second});
            continue;
        }
        if (word.find(':') != std::string_view::npos || to_lower(word).starts_with("check_")) {
            court_.log_warning(fmt::format("access table {} has entry with lookup table: {}", table, result.text));
            court_.log_warning("do not specify lookup tables inside SMTPD access maps");
            court_.log_warning("define a restriction class and specify its name instead.");
            co_return refuse(451, "4.3.5", "Server configuration error", true);
        }
        if (iequals(word, "warn_if_reject")) {
            members.push_back({Kind::warn_if_reject, std::string(word), {}, nullptr});
            continue;
        }
        auto compiled = compile(subject.stage, table, word, no_class);
        if (!compiled) {
            court_.log_warning(fmt::format("unknown smtpd restriction: \"{}\"", word));
            co_return refuse(451, "4.3.5", "Server configuration error", true);
        }
        members.insert(members.end(), compiled->begin(), compiled->end());
    }
    co_return co_await list(members, subject, depth + 1);
}

}  // namespace posthorn::receive::policy
