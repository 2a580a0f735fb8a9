// dns/cache.hpp: answers kept for their time to live, within bounds of number and octets (whoever sends us mail chooses what we ask, and a zone
// may have 64 KiB for each name); the least recently used go when it is full.
// Kept     found, nodata, nxdomain; bogus for a short while (each look costs a validation). Never temporary failures: the next
//          attempt must have its own chance.
#pragma once

#include "base/clock.hpp"
#include "dns/record.hpp"

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

namespace posthorn::dns {

struct CacheLimits {
    std::size_t entries = 20'000;
    std::size_t octets = 32 << 20;                                    // about: what records hold, and what holds them
    std::chrono::seconds least{1}, most{3600}, most_negative{300}, bogus{30};
};

class Cache {
public:
    Cache(const Clock& clock, CacheLimits limits) : clock_(clock), limits_(limits) {}
    /// With what is left of its time to live; nullptr where there is none.
    std::shared_ptr<const Answer> find(const std::string& key);
    void keep(const std::string& key, std::shared_ptr<const Answer> answer);
    void clear();
    std::size_t size() const { return by_key_.size(); }
    std::size_t octets() const { return octets_; }

private:
    struct Entry {
        std::string key;
        std::shared_ptr<const Answer> answer;
        SteadyTime until;
        std::size_t octets;
    };
    using Entries = std::list<Entry>;
    void drop(Entries::iterator entry);
    const Clock& clock_;
    CacheLimits limits_;
    Entries by_use_;                                                  // most recent first
    std::unordered_map<std::string, Entries::iterator> by_key_;
    std::size_t octets_ = 0;
};

}  // namespace posthorn::dns
