// deliver/accounts.hpp: the users of this machine, as the system's name service has them.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "deliver/spawner.hpp"

#include <optional>
#include <string>

namespace posthorn::deliver {

struct Account {
    std::string name, home, shell;
    Privileges ids{};
};

class Accounts {
public:
    virtual ~Accounts() = default;
    /// None: no such user. An Error: the name service cannot say, try later.
    virtual awaitable<Result<std::optional<Account>>> by_name(std::string name) = 0;
    virtual awaitable<Result<std::optional<Account>>> by_uid(uid_t uid) = 0;
};

}  // namespace posthorn::deliver
