// route/pools.hpp: pooled_transports, one name for several transports: source addresses that share a sender's mail.
// Shape    { NAME, MEMBER=WEIGHT, MEMBER ... }: a member's share is its weight over the sum; without a number it is 1.
// Choice   by weighted rendezvous: pure, so that the same mail goes to the same destination by the same member at each try (a greylisting
//          host counts the time of an address), and a member that comes or goes moves its own share alone. One that has more trouble than another now is passed over.
// Errors   "pooled_transports: ...": names that are no words of master.cf, weights that are no numbers from 1 to 1000, a pool in a pool.
#pragma once

#include "base/error.hpp"
#include "config/list.hpp"
#include "handoff/words.pb.h"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::route {

class Pools {
public:
    struct Member {
        std::string transport;
        std::uint32_t weight = 1;
    };
    static Result<Pools> parse(const config::List& text);

    bool empty() const { return pools_.empty(); }
    /// Its members; none: this is no pool.
    const std::vector<Member>* members(std::string_view name) const;
    const std::map<std::string, std::vector<Member>, std::less<>>& all() const { return pools_; }

    /// What speaks against a transport for a site now, the site as Route.site: 0 is nothing, and the least counts.
    using Trouble = std::function<int(std::string_view transport, std::string_view site)>;
    /// Gives the route the member that `mail` (a queue id, an address) goes by, and says in Route.pool which pool it was. Another route stays as
    /// it is. A route that has a member already is chosen for anew. False: it stays.
    bool choose(handoff::Route& route, std::string_view mail, const Trouble& trouble) const;

private:
    std::map<std::string, std::vector<Member>, std::less<>> pools_;
};

}  // namespace posthorn::route
