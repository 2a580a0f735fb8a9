#include "dns/cache.hpp"

#include <algorithm>

namespace posthorn::dns {

std::shared_ptr<const Answer> Cache::find(const std::string& key)
{
    const auto known = by_key_.find(key);
    if (known == by_key_.end())
        return nullptr;
    if (known->second->until <= clock_.steady()) {
        by_use_.erase(known->second);
        by_key_.erase(known);
        return nullptr;
    }
    by_use_.splice(by_use_.begin(), by_use_, known->second);
    return known->second->answer;
}

void Cache::keep(const std::string& key, std::shared_ptr<const Answer> answer)
{
    std::chrono::seconds life{0};
    switch (answer->status) {
    case Status::temporary: return;
    case Status::bogus: life = limits_.bogus; break;
    case Status::found: life = std::clamp(answer->ttl, limits_.least, limits_.most); break;
    case Status::nodata:
    case Status::nxdomain: life = std::clamp(answer->ttl, limits_.least, limits_.most_negative); break;
    }
    if (const auto known = by_key_.find(key); known != by_key_.end()) {
        by_use_.erase(known->second);
        by_key_.erase(known);
    }
    by_use_.push_front({key, std::move(answer), clock_.steady() + life});
    by_key_[key] = by_use_.begin();
    while (by_key_.size() > limits_.entries) {
        by_key_.erase(by_use_.back().key);
        by_use_.pop_back();
    }
}

void Cache::clear()
{
    by_key_.clear();
    by_use_.clear();
}

}  // namespace posthorn::dns
