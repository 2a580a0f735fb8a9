// check_*_access: which keys are asked for in which order, and what the results do.                            access(5)
#include "base/strings.hpp"
#include "config/list.hpp"
#include "receive/policy/judge.hpp"
#include "smtp/command.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive::policy {

namespace {

void add_mailbox(AccessKeys& keys, const std::string& address, const Settings& settings)
{
    const auto parts = tables::split_address(address);
    const auto at = tables::extension_at(parts.local, settings.delimiter);
    const std::string_view plain = at == std::string_view::npos ? parts.local : parts.local.substr(0, at);
    keys.push_back({tables::quote_address(address), false});
    if (at != std::string_view::npos)
        keys.push_back({fmt::format("{}{}{}", tables::quote_local(plain), parts.has_domain ? "@" : "", parts.domain), true});
    if (parts.has_domain && !parts.domain.empty())
        add_domain_keys(keys, parts.domain, settings.parent_domains, true);
    keys.push_back({tables::quote_local(parts.local) + "@", true});
    if (at != std::string_view::npos)
        keys.push_back({tables::quote_local(plain) + "@", true});
}

/// Where it goes: "user%elsewhere@ours" is looked up as "user@elsewhere", where it is routed so; "user" as that of myorigin.
awaitable<std::string> resolved(handoff::AddressClasses& classes, std::string address)
{
    const auto at = address.rfind('@');
    if (at != std::string::npos && address.find_first_of("@!%") == at)
        co_return address;
    const auto standing = co_await classes.standing(address);
    co_return standing ? standing->way_of(address) : address;
}

}  // namespace

void add_domain_keys(AccessKeys& keys, std::string_view name, bool parents, bool first_is_piece)
{
    bool piece = first_is_piece;
    for (std::string_view key : tables::domain_keys(name, parents)) {
        keys.push_back({std::string(key), piece});
        piece = true;
    }
}

void add_address_keys(AccessKeys& keys, std::string_view address)
{
    const char separator = address.find(':') == std::string_view::npos ? '.' : ':';
    keys.push_back({std::string(address), false});
    for (auto at = address.rfind(separator); at != std::string_view::npos && at != 0; at = address.rfind(separator, at - 1)) {
        std::string_view shorter = address.substr(0, at);
        if (!shorter.ends_with(separator))
            keys.push_back({std::string(shorter), true});
    }
}

awaitable<Judge::Step> Judge::access(const Restriction& restriction, const Subject& subject, int depth)
{
    const Settings& settings = law_.settings;
    AccessKeys keys;
    Subject about{subject.stage, {}, {}};
    switch (restriction.kind) {
    case Kind::check_client_access:
    case Kind::check_reverse_client_hostname_access: {
        const bool reverse = restriction.kind == Kind::check_reverse_client_hostname_access;
        add_domain_keys(keys, reverse ? facts_.client_reverse_name : facts_.client_name, settings.parent_domains, false);
        if (!reverse)
            add_address_keys(keys, facts_.client_address);
        about.name = reverse ? facts_.client_reverse_name : facts_.client;
        about.title = reverse ? "Unverified Client host" : "Client host";
        break;
    }
    case Kind::check_helo_access:
        if (!facts_.helo)
            co_return Step::dunno;
        add_domain_keys(keys, *facts_.helo, settings.parent_domains, false);
        about.name = *facts_.helo;
        about.title = "Helo command";
        break;
    case Kind::check_sender_access:
        if (!facts_.sender)
            co_return Step::dunno;
        if (facts_.sender->empty())
            keys.push_back({settings.null_sender_key, false});
        else
            add_mailbox(keys, co_await resolved(law_.classes, *facts_.sender), settings);
        about.name = *facts_.sender;
        about.title = "Sender address";
        break;
    case Kind::check_etrn_access:
        add_domain_keys(keys, facts_.etrn_domain, settings.parent_domains, false);
        about.name = facts_.etrn_domain;
        about.title = "Etrn command";
        break;
    default:
        if (!facts_.recipient)
            co_return Step::dunno;
        add_mailbox(keys, co_await resolved(law_.classes, *facts_.recipient), settings);
        about.name = *facts_.recipient;
        about.title = "Recipient address";
    }

    const auto found = co_await first_of(keys, restriction.argument, about, depth);
    const Step step = found.value_or(Step::dunno);
    // OK for a domain is not OK for what its host may send elsewhere.
    if (step == Step::permit && restriction.kind == Kind::check_recipient_access && facts_.recipient && !settings.untrusted_routing) {
        const auto recipient = co_await standing(*facts_.recipient);
        if (!recipient || recipient->routed)
            co_return Step::dunno;
    }
    // Whoever owns an address block says what its hosts are called.
    co_return restriction.kind == Kind::check_reverse_client_hostname_access ? never_permit(step, restriction, facts_.client_reverse_name) : step;
}

awaitable<std::optional<Judge::Step>> Judge::first_of(const AccessKeys& keys, const std::string& spec, const Subject& about, int depth)
{
    tables::Table* const table = law_.table(spec);
    if (!table)
        co_return refuse(451, "4.3.5", "Server configuration error", true);
    for (const AccessKey& key : keys) {
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
            court_.log_warning(fmt::format("{} is unavailable. {}", spec, answer.error().text()));
            court_.log_warning(fmt::format("{} lookup error for \"{}\"", spec, key.text));
            co_return refuse(451, "4.3.5", fmt::format("<{}>: {} rejected: Server configuration error", about.name, about.title), true);
        }
        if (const auto& value = *answer; value)
            co_return co_await access_result(*value, spec, key.text, about, depth);
    }
    co_return std::nullopt;
}

namespace {

/// As a line of the header: what a server of tables or policies says may hold anything, and content has no CR or LF but as line ends.
std::string one_line(std::string text)
{
    std::ranges::replace_if(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
    return text;
}

std::string_view queue_action(AccessResult::Action action)
{
    using Action = AccessResult::Action;
    switch (action) {
    case Action::hold: return "HOLD";
    case Action::discard: return "DISCARD";
    case Action::redirect: return "REDIRECT";
    case Action::filter: return "FILTER";
    case Action::bcc: return "BCC";
    default: return {};
    }
}

}  // namespace

Judge::Step Judge::never_permit(Step step, const Restriction& restriction, std::string_view about)
{
    if (step != Step::permit)
        return step;
    court_.log_warning(fmt::format("restriction {} returns OK for {}", restriction.word, about));
    court_.log_warning("this is not allowed for security reasons");
    court_.log_warning("use DUNNO instead of OK if you want to make an exception");
    return refuse(451, "4.3.5", "Server configuration error", true);
}

awaitable<Judge::Step> Judge::access_result(std::string value, std::string table, std::string entry, const Subject& subject, int depth)
{
    using Action = AccessResult::Action;
    const Settings& settings = law_.settings;
    const AccessResult result = parse_access_result(value);
    const auto status_or = [&](std::string_view otherwise) { return status_about(result.status.empty() ? otherwise : result.status, subject.title); };
    const auto lacks = [&](std::string_view what) { court_.log_warning(fmt::format("access table {} entry \"{}\" {}", table, entry, what)); };
    const auto text_or = [&](std::string_view otherwise) { return result.text.empty() ? std::string(otherwise) : result.text; };
    const auto note = [&](std::string_view what, std::string_view triggered) {
        court_.log_what(what, fmt::format("<{}>: {} {}", subject.name, subject.title,
                                          result.text.empty() || what == "filter" || what == "redirect" || what == "bcc" ? triggered : result.text));
    };
    const auto needs_address = [&] {
        if (result.text.find('@') != std::string::npos)
            return true;
        lacks("requires user@domain target");
        return false;
    };
    // What is asked of a queue cannot be had where a filter before it takes the mail.
    if (settings.filter_before_queue)
        if (const std::string_view name = queue_action(result.action); !name.empty()) {
            court_.log_warning(fmt::format("access table {}: with smtpd_proxy_filter specified, action {} is unavailable", table, name));
            co_return Step::dunno;
        }
    switch (result.action) {
    case Action::ok: co_return co_await permitted(trim(value), subject, fmt::format("from {}", table));
    case Action::dunno: co_return Step::dunno;
    case Action::reject: co_return refuse_subject(settings.access_reject, status_or("5.7.1"), subject.name, subject.title, text_or("Access denied"));
    case Action::defer: co_return refuse_subject(settings.access_defer, status_or("4.7.1"), subject.name, subject.title, text_or("Access denied"));
    case Action::code: co_return refuse_subject(result.code, status_or("5.7.1"), subject.name, subject.title, text_or("Access denied"));
    case Action::defer_if_permit:
    case Action::defer_if_reject:
        defer_if(result.action == Action::defer_if_permit ? if_permit_ : if_reject_, settings.access_defer, status_or("4.7.1"),
                 fmt::format("<{}>: {} rejected: {}", subject.name, subject.title, text_or("Service unavailable")));
        co_return Step::dunno;
    case Action::hangup: court_.log_what("hangup", result.text); co_return Step::hangup;
    case Action::warn:
    case Action::info: court_.log_what(result.action == Action::warn ? "warn" : "info", result.text); co_return Step::dunno;
    case Action::hold:
        if (!std::exchange(effects_.hold, true))          // said once, however many recipients it holds for
            note("hold", "triggers HOLD action");
        co_return Step::dunno;
    case Action::discard:
        note("discard", "triggers DISCARD action");
        effects_.discard = true;
        // What is thrown away need not be checked further.
        co_return co_await permitted("DISCARD", subject, fmt::format("from {}", table));
    case Action::redirect:
        if (needs_address()) {
            note("redirect", fmt::format("triggers REDIRECT {}", result.text));
            effects_.redirect = result.text;
        }
        co_return Step::dunno;
    case Action::bcc:
        if (needs_address()) {
            note("bcc", fmt::format("triggers BCC {}", result.text));
            effects_.bcc.push_back(result.text);
        }
        co_return Step::dunno;
    case Action::prepend:
        if (!smtp::looks_like_header(result.text))
            lacks("requires header: text");
        else if (court_.content_has_begun())
            court_.log_warning(fmt::format("access table {}: action PREPEND must be used before END-OF-MESSAGE", table));
        else
            effects_.prepend.push_back(one_line(result.text));
        co_return Step::dunno;
    case Action::filter:
        if (result.text.empty()) {
            lacks("has FILTER entry without value");
        } else if (result.text.find(':') == std::string::npos) {
            lacks("requires transport:destination");
        } else {
            note("filter", fmt::format("triggers FILTER {}", result.text));
            effects_.filter = result.text;
        }
        co_return Step::dunno;
    case Action::restrictions: break;
    }
    co_return co_await named_restrictions(result.text, table, subject, depth);
}

// Restrictions as a result: classes and words, never tables (they would be opened now, for every mail).
awaitable<Judge::Step> Judge::named_restrictions(const std::string& text, const std::string& table, const Subject& subject, int depth)
{
    const ClassValue no_class = [](std::string_view) { return std::nullopt; };
    RestrictionList members;
    // What is wrong with the list counts when its turn comes: what stands before may decide.
    std::vector<std::string> wrong;
    const bool table_inside = text.find(':') != std::string::npos;       // wherever it stands, the whole is refused
    const auto words = config::split_grouped(text);
    for (std::size_t at = 0; at < words.size() && wrong.empty(); ++at) {
        const std::string_view word = words[at];
        if (const auto named = law_.settings.lists.classes.find(word); !table_inside && named != law_.settings.lists.classes.end()) {
            members.push_back({Kind::restriction_class, std::string(word), {}, named->second, {}, {}, {}});
            continue;
        }
        if (table_inside || to_lower(word).starts_with("check_")) {
            wrong = {fmt::format("access table {} has entry with lookup table: {}", table, text),
                     "do not specify lookup tables inside SMTPD access maps", "define a restriction class and specify its name instead."};
            continue;
        }
        if (iequals(word, "warn_if_reject")) {
            members.push_back({Kind::warn_if_reject, std::string(word), {}, nullptr, {}, {}, {}});
            continue;
        }
        auto compiled = compile(subject.stage, table, word, no_class);
        if (!compiled && at + 1 < words.size()) {                   // a word with what it asks for behind it
            compiled = compile(subject.stage, table, fmt::format("{} {}", word, words[at + 1]), no_class);
            if (compiled)
                ++at;
        }
        if (!compiled) {
            wrong = {fmt::format("unknown smtpd restriction: \"{}\"", word)};
            continue;
        }
        members.insert(members.end(), compiled->begin(), compiled->end());
    }
    const bool warned_before = warn_;
    Step step = co_await list(members, subject, depth + 1);
    if (step == Step::dunno && !wrong.empty()) {
        for (const std::string& line : wrong)
            court_.log_warning(line);
        step = refuse(451, "4.3.5", "Server configuration error", true);      // warn_if_reject may stand right before
    }
    warn_ = warned_before;
    co_return step;
}

}  // namespace posthorn::receive::policy
