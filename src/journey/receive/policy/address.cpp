// Restrictions on sender and recipient addresses: their form, their domain in DNS, whether a table of ours lists them.
#include "base/strings.hpp"
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

namespace {

std::string_view domain_of(std::string_view address)
{
    const auto at = address.rfind('@');
    return at == std::string_view::npos ? std::string_view{} : address.substr(at + 1);
}

std::string_view table_of(handoff::AddressClass which)
{
    switch (which) {
    case handoff::AddressClass::local: return "local recipient table";
    case handoff::AddressClass::virtual_alias: return "virtual alias table";
    case handoff::AddressClass::virtual_mailbox: return "virtual mailbox table";
    default: return "relay recipient table";
    }
}

int code_of(const Settings& settings, handoff::AddressClass which)
{
    switch (which) {
    case handoff::AddressClass::local: return settings.unknown_local;
    case handoff::AddressClass::virtual_alias: return settings.unknown_virtual_alias;
    case handoff::AddressClass::virtual_mailbox: return settings.unknown_virtual_mailbox;
    case handoff::AddressClass::relay: return settings.unknown_relay;
    case handoff::AddressClass::other: break;
    }
    return 550;
}

}  // namespace

Judge::Step Judge::non_fqdn_address(const std::optional<std::string>& address, std::string_view title)
{
    if (!address || address->empty() || iequals(*address, "postmaster"))
        return Step::dunno;
    const std::string_view domain = domain_of(*address);
    const bool literal = domain.starts_with('[');
    if (literal ? smtp::is_valid_literal(domain) : smtp::is_valid_hostname(domain, law_.settings.utf8) && domain.find('.') != std::string_view::npos)
        return Step::dunno;
    return refuse_subject(law_.settings.non_fqdn, "5.5.2", *address, title, "need fully-qualified address");
}

awaitable<Judge::Step> Judge::unknown_domain(std::optional<std::string> address, std::string_view title, bool is_sender)
{
    if (!address || address->empty())
        co_return Step::dunno;
    // A domain that we deliver for ourselves needs no records.
    const auto ours = co_await standing(*address);
    if (!ours)
        co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", *address), true);
    using handoff::AddressClass;
    if (ours->address_class == AddressClass::local || ours->address_class == AddressClass::virtual_alias ||
        ours->address_class == AddressClass::virtual_mailbox)
        co_return Step::dunno;
    const std::string domain = to_lower(domain_of(ours->way_of(*address)));
    if (domain.empty() || domain.starts_with('['))
        co_return Step::dunno;

    co_await court_.before_wait();
    const auto found = co_await law_.names.mail_host(domain);
    const std::string_view status = is_sender ? "4.1.8" : "4.1.2";
    const std::string text = fmt::format("<{}>: {} rejected: Domain not found", *address, title);
    if (!found) {
        cannot_tell();
        if (law_.settings.address_tempfail == TempfailAction::defer)
            co_return refuse(450, status, text);
        defer_if(if_permit_, 450, status, text);
        co_return Step::dunno;
    }
    switch (*found) {
    case MailHost::found: co_return Step::dunno;
    case MailHost::absent: co_return refuse(law_.settings.unknown_address, status, text);
    case MailHost::null_mx: break;
    }
    co_return refuse(is_sender ? 550 : 556, is_sender ? "5.7.27" : "5.1.10",
                     fmt::format("<{}>: {} rejected: Domain {} does not accept mail (nullMX)", *address, title, domain));
}

awaitable<Judge::Step> Judge::unlisted(std::optional<std::string> address, std::string_view title, bool is_sender)
{
    (is_sender ? sender_checked_ : recipient_checked_) = true;
    if (!address || address->empty())
        co_return Step::dunno;
    const auto found = co_await standing(*address);
    if (!found)
        co_return refuse(451, "4.3.0", fmt::format("<{}>: Temporary lookup failure", *address), true);
    // RFC 5321 4.5.1: who runs the mail of a domain of ours can be reached. Reports are from MAILER-DAEMON.
    const std::string_view local = std::string_view(*address).substr(0, address->rfind('@'));
    const bool system = found->address_class == handoff::AddressClass::local && (iequals(local, "postmaster") || iequals(local, "mailer-daemon"));
    if (found->known || system)
        co_return Step::dunno;
    if (!found->unknown_text.empty())
        co_return refuse_subject(550, found->unknown_status.empty() ? (is_sender ? "5.1.0" : "5.1.1") : found->unknown_status, *address, title,
                                 found->unknown_text);
    const std::string why = law_.settings.show_table_name ? fmt::format("User unknown in {}", table_of(found->address_class)) : "User unknown";
    // Nobody has a mailbox in a domain of aliases: as a sender such an address is a bad one.
    const std::string_view as_sender = found->address_class == handoff::AddressClass::virtual_alias ? "5.1.7" : "5.1.0";
    co_return refuse_subject(code_of(law_.settings, found->address_class), is_sender ? as_sender : "5.1.1", *address, title, why);
}

}  // namespace posthorn::receive::policy
