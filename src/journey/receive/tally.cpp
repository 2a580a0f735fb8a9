#include "receive/tally.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <iterator>

namespace posthorn::receive {

namespace {

void add(std::string& text, std::string_view name, std::uint32_t ok, std::uint32_t total)
{
    if (!text.empty())
        text += ' ';
    if (ok == total)
        fmt::format_to(std::back_inserter(text), "{}={}", name, ok);
    else
        fmt::format_to(std::back_inserter(text), "{}={}/{}", name, ok, total);
}

}  // namespace

std::string Tally::text() const
{
    using smtp::VerbId;
    // Postfix's order.
    constexpr std::array order{VerbId::helo, VerbId::ehlo, VerbId::xclient, VerbId::xforward, VerbId::starttls, VerbId::auth,
                               VerbId::mail, VerbId::rcpt, VerbId::data,    VerbId::bdat,     VerbId::rset,     VerbId::noop,
                               VerbId::vrfy, VerbId::etrn, VerbId::quit,    VerbId::help};
    std::string text;
    std::uint32_t ok = 0, total = 0;
    for (const Count& count : counts_) {
        ok += count.ok;
        total += count.total;
    }
    for (const VerbId id : order) {
        const Count& count = counts_[static_cast<std::size_t>(id)];
        if (count.total != 0)
            add(text, to_lower(smtp::name(id)), count.ok, count.total);
    }
    if (counts_[unknown].total != 0)
        add(text, "unknown", counts_[unknown].ok, counts_[unknown].total);
    add(text, "commands", ok, total);
    return text;
}

}  // namespace posthorn::receive
