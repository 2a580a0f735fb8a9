#include "dns/cache.hpp"

#include <algorithm>
#include <iterator>

namespace posthorn::dns {

namespace {

std::size_t octets_of(const std::string& key, const Answer& answer)
{
    std::size_t octets = 2 * key.size() + sizeof(Answer) + answer.canonical_name.size() + answer.reason.size() + 256;     // nodes of list and map
    for (const Record& record : answer.records)
        octets += sizeof(Record) + record.host.size() + record.text.size();
    return octets;
}

}  // namespace

void Cache::drop(Entries::iterator entry)
{
    octets_ -= entry->octets;
    by_key_.erase(entry->key);
    by_use_.erase(entry);
}

std::shared_ptr<const Answer> Cache::find(const std::string& key)
{
    const auto known = by_key_.find(key);
    if (known == by_key_.end())
        return nullptr;
    if (known->second->until <= clock_.steady()) {
        drop(known->second);
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
    if (const auto known = by_key_.find(key); known != by_key_.end())
        drop(known->second);
    const std::size_t octets = octets_of(key, *answer);
    by_use_.push_front({key, std::move(answer), clock_.steady() + life, octets});
    by_key_[key] = by_use_.begin();
    octets_ += octets;
    while (by_key_.size() > limits_.entries || octets_ > limits_.octets)
        drop(std::prev(by_use_.end()));
}

void Cache::clear()
{
    by_key_.clear();
    by_use_.clear();
    octets_ = 0;
}

}  // namespace posthorn::dns
