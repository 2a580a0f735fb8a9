// receive/screen/allowed.hpp: the temporary list: clients that passed the tests, and until when each test counts.
// Shape    by address as text. A test that counts no more is made anew; a client whose tests are all over is known as an old one for the
//          retention time, and then forgotten.
// Memory   at most `limit` clients: beyond it, those that are first to be forgotten anyway go.
#pragma once

#include "receive/screen/passed.hpp"

#include <functional>
#include <unordered_map>

namespace posthorn::receive::screen {

class Allowed {
public:
    Allowed(std::size_t limit, std::chrono::seconds retention) : limit_(limit), retention_(retention) {}
    Allowed(Allowed&&) = delete;

    /// Hears of each client that is forgotten.
    std::function<void(const std::string& address)> on_forget;

    std::optional<Passed> find(const std::string& address, WallTime now) const
    {
        const auto found = clients_.find(address);
        return found == clients_.end() || forgotten(found->second, now) ? std::nullopt : std::optional(found->second);
    }
    void put(const std::string& address, Passed passed, WallTime now)
    {
        if (clients_.size() >= limit_ && !clients_.contains(address))
            make_room(now);
        clients_.insert_or_assign(address, passed);
    }
    struct Cleaned {
        std::size_t retained = 0, dropped = 0;
    };
    Cleaned cleanup(WallTime now);
    void limit(std::size_t limit, std::chrono::seconds retention)
    {
        limit_ = limit;
        retention_ = retention;
    }
    std::size_t size() const { return clients_.size(); }

private:
    bool forgotten(const Passed& passed, WallTime now) const { return passed.last() + retention_ <= now; }
    std::size_t forget(const std::function<bool(const Passed&)>& whom);
    void make_room(WallTime now);

    std::size_t limit_;
    std::chrono::seconds retention_;
    std::unordered_map<std::string, Passed> clients_;
};

}  // namespace posthorn::receive::screen
