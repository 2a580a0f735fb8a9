#include "services/account_limits.hpp"

#include "accounts/params.hpp"

namespace posthorn::services {

AccountLimits::AccountLimits(std::string_view list, tables::Tables& tables) : maps_(std::string(accounts::account_limit_maps.name), list, {}, tables)
{
}

awaitable<Result<std::string>> AccountLimits::of_login(std::string name) const
{
    std::vector<std::string> keys{name};
    if (const auto at = name.rfind('@'); at != name.npos)
        keys.push_back(name.substr(at));
    keys.emplace_back("login:");
    return first_of(std::move(keys));
}

awaitable<Result<std::string>> AccountLimits::of_user(std::string name) const { return first_of({std::move(name), "local:"}); }

awaitable<Result<std::string>> AccountLimits::first_of(std::vector<std::string> keys) const
{
    for (std::string& key : keys) {
        CO_TRY(auto words, co_await maps_.lookup(std::move(key)));
        if (words)
            co_return *std::move(words);
    }
    co_return std::string();
}

}  // namespace posthorn::services
