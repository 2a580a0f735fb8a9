// Restrictions on the name in HELO and EHLO. Without HELO they say nothing: smtpd_helo_required is what demands one.
#include "base/strings.hpp"
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

namespace {

std::string_view without_final_dot(std::string_view name)
{
    if (name.ends_with('.'))
        name.remove_suffix(1);
    return name;
}

bool looks_like_literal(std::string_view name) { return name.starts_with('['); }

}  // namespace

Judge::Step Judge::invalid_helo()
{
    if (!facts_.helo)
        return Step::dunno;
    const std::string_view name = *facts_.helo;
    if (looks_like_literal(name))
        return smtp::is_valid_literal(name) ? Step::dunno
                                            : refuse_subject(law_.settings.invalid_hostname, "5.5.2", name, "Helo command", "invalid ip address");
    // A bare address is no name, yet Postfix lets it pass here: reject_non_fqdn_helo_hostname is stricter.
    if (smtp::is_ipv4(name) || smtp::is_ipv6(name) || smtp::is_valid_hostname(without_final_dot(name), law_.settings.utf8))
        return Step::dunno;
    return refuse_subject(law_.settings.invalid_hostname, "5.5.2", name, "Helo command", "Invalid name");
}

Judge::Step Judge::non_fqdn_helo()
{
    if (!facts_.helo)
        return Step::dunno;
    const std::string_view name = *facts_.helo;
    if (looks_like_literal(name))
        return invalid_helo();
    const std::string_view host = without_final_dot(name);
    if (!smtp::is_valid_hostname(host, law_.settings.utf8) || host.find('.') == std::string_view::npos)
        return refuse_subject(law_.settings.non_fqdn, "5.5.2", name, "Helo command", "need fully-qualified hostname");
    return Step::dunno;
}

awaitable<Judge::Step> Judge::unknown_helo()
{
    if (!facts_.helo)
        co_return Step::dunno;
    const std::string name = *facts_.helo;
    if (looks_like_literal(name))
        co_return invalid_helo();
    co_await court_.before_wait();
    const auto found = co_await law_.names.mail_host(name);
    const std::string text = fmt::format("<{}>: Helo command rejected: Host not found", name);
    if (!found) {
        cannot_tell();
        if (law_.settings.helo_tempfail == TempfailAction::defer)
            co_return refuse(450, "4.7.1", text);
        defer_if(if_permit_, 450, "4.7.1", text);
        co_return Step::dunno;
    }
    co_return *found == MailHost::absent ? refuse(law_.settings.unknown_hostname, "4.7.1", text) : Step::dunno;
}

}  // namespace posthorn::receive::policy
