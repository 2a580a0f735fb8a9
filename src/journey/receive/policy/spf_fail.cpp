// reject_spf_fail: mail that the sender's domain says is not its own.                                  RFC 7208 8.4, 8.6, RFC 7372
#include "net/address.hpp"
#include "receive/policy/judge.hpp"

#include <fmt/format.h>

namespace posthorn::receive::policy {

awaitable<Judge::Step> Judge::spf_fail()
{
    const auto found = co_await court_.spf();
    if (!found)
        co_return Step::dunno;
    // The empty reverse path is judged by the name of HELO.
    const std::string sender = facts_.sender.value_or("");
    const bool of_helo = sender.empty();
    const std::string about =
        fmt::format("<{}>: {} rejected: ", of_helo ? facts_.helo.value_or("") : sender, of_helo ? "Helo command" : "Sender address");
    if (found->result == "temperror") {
        cannot_tell();
        defer_if(if_permit_, 451, "4.4.3", about + "SPF records cannot be looked up now");
        co_return Step::dunno;
    }
    if (found->result != "fail")
        co_return Step::dunno;
    std::string text = fmt::format("{}{} may not send mail of {} (SPF)", about, facts_.client_address, found->domain);
    // RFC 7208 6.2: whose words they are.
    if (!found->explanation.empty())
        text += fmt::format("; {} explains: {}", found->domain, found->explanation);
    co_return refuse(550, "5.7.23", std::move(text));
}

}  // namespace posthorn::receive::policy
