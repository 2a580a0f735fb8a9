#include "handoff/verp.hpp"

#include <fmt/format.h>

namespace posthorn::handoff {

bool are_verp_delimiters(std::string_view text, std::string_view allowed) { return text.size() == 2 && text.find_first_not_of(allowed) == text.npos; }

std::string verp_sender(std::string_view delimiters, std::string_view sender, const Recipient& recipient)
{
    if (sender.empty() || delimiters.size() != 2)
        return std::string(sender);
    std::string_view named = recipient.original().empty() ? std::string_view(recipient.address()) : std::string_view(recipient.original());
    if (named.ends_with('.'))                                    // no local part ends so
        named.remove_suffix(1);
    const auto at = named.rfind('@'), sender_at = std::min(sender.rfind('@'), sender.size());
    std::string made = fmt::format("{}{}{}", sender.substr(0, sender_at), delimiters[0], named.substr(0, at));
    if (at != named.npos)
        made += fmt::format("{}{}", delimiters[1], named.substr(at + 1));
    return made.append(sender.substr(sender_at));
}

}  // namespace posthorn::handoff
