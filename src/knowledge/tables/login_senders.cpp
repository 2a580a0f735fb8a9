#include "tables/login_senders.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::tables {

LoginSenders::LoginSenders(std::string_view list, std::string null_sender, Delimiter delimiter, Tables& tables)
    : maps_("local_login_sender_maps", list, Flags{}, tables), null_sender_(std::move(null_sender)), delimiter_(std::move(delimiter))
{
}

bool LoginSenders::fits(std::string_view pattern, std::string_view sender) const
{
    if (pattern == "*")
        return true;
    if (sender.empty())
        return pattern == null_sender_;
    if (pattern.starts_with('@'))
        return sender.size() > pattern.size() && iends_with(sender, pattern) && sender.find_last_of('@') == sender.size() - pattern.size();
    return iequals(pattern, sender);
}

awaitable<Result<bool>> LoginSenders::allows(std::string login, std::string sender) const
{
    const std::size_t at = std::min(sender.rfind('@'), sender.size());
    if (const std::size_t extension = extension_at(std::string_view(sender).substr(0, at), delimiter_); extension != std::string::npos)
        sender.erase(extension, at - extension);
    CO_TRY(const auto list, co_await maps_.lookup(std::move(login)));
    if (!list)
        co_return false;
    co_return std::ranges::any_of(split(*list, ", \t\r\n"), [&](std::string_view pattern) { return fits(pattern, sender); });
}

}  // namespace posthorn::tables
