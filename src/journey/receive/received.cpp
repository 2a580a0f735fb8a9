#include "receive/received.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <ctime>

namespace posthorn::receive {

std::string mail_date(WallTime when)
{
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
    std::tm local{};
    ::localtime_r(&seconds, &local);
    constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array months{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const long minutes = local.tm_gmtoff / 60;
    return fmt::format("{}, {:2} {} {} {:02}:{:02}:{:02} {}{:02}{:02} ({})", days[static_cast<std::size_t>(local.tm_wday)], local.tm_mday,
                       months[static_cast<std::size_t>(local.tm_mon)], local.tm_year + 1900, local.tm_hour, local.tm_min, local.tm_sec,
                       minutes < 0 ? '-' : '+', std::labs(minutes) / 60, std::labs(minutes) % 60, local.tm_zone ? local.tm_zone : "UTC");
}

namespace {

/// Fit for a quoted word within a comment, and not longer than a line has room for.
std::string fit_for_comment(std::string_view name)
{
    std::string text(name.substr(0, 256));
    for (char& c : text)
        if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126 || std::string_view("()\\\"").find(c) != std::string_view::npos)
            c = '?';
    return text;
}

std::string about_certificate(const ReceivedFacts& facts)
{
    if (facts.certificate.present())
        return fmt::format("Client CN \"{}\", Issuer \"{}\" ({})", fit_for_comment(facts.certificate.subject),
                           fit_for_comment(facts.certificate.issuer), facts.certificate.trusted ? "verified OK" : "not verified");
    return facts.certificate_asked ? "Client did not present a certificate" : "No client certificate requested";
}

}  // namespace

std::string received_field(const ReceivedFacts& facts)
{
    std::string text = "Received: ";
    text.reserve(400);
    const auto out = std::back_inserter(text);
    if (!facts.hide_client) {
        const bool v6 = facts.client_address.find(':') != std::string::npos;
        fmt::format_to(out, "from {} ({} [{}{}])\r\n", printable(facts.helo.empty() ? facts.client_name : facts.helo, true), facts.client_name,
                       v6 ? "IPv6:" : "", facts.client_address);
        if (!facts.tls.empty())
            fmt::format_to(out, "\t(using {})\r\n\t({})\r\n", facts.tls, about_certificate(facts));
        if (!facts.login.empty())
            fmt::format_to(out, "\t(Authenticated sender: {})\r\n", fit_for_comment(facts.login));
        text += '\t';
    }
    fmt::format_to(out, "by {} ({}) with {}", facts.myhostname, facts.mail_name, facts.protocol);
    const bool folded_id = facts.fold_before_id && facts.only_recipient.empty();
    if (!facts.queue_id.empty())
        fmt::format_to(out, "{}id {}", folded_id ? "\r\n\t" : " ", facts.queue_id);
    if (!facts.only_recipient.empty())
        fmt::format_to(out, "\r\n\tfor <{}>", facts.only_recipient);
    fmt::format_to(out, ";{}{}\r\n", facts.only_recipient.empty() && !folded_id ? "\r\n\t" : " ", mail_date(facts.when));
    return text;
}

}  // namespace posthorn::receive
