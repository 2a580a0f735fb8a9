#include "schedule/deferred.hpp"

#include <algorithm>

namespace posthorn::schedule {

void Deferred::reserve(std::size_t messages)
{
    times_.reserve(messages);
    heap_.reserve(messages);
}

void Deferred::put(MessageKey message, WallTime next_try)
{
    times_[message] = next_try;
    heap_.push_back({next_try, message});
    std::push_heap(heap_.begin(), heap_.end(), std::greater{});
    // Re-timed messages leave untrue entries behind; never let them outweigh the true ones.
    if (heap_.size() > 64 + 2 * times_.size())
        sort_anew();
}

bool Deferred::forget(MessageKey message) { return times_.erase(message) > 0; }

void Deferred::settle_top()
{
    while (!heap_.empty()) {
        const auto found = times_.find(heap_.front().message);
        if (found != times_.end() && found->second == heap_.front().when)
            return;
        std::pop_heap(heap_.begin(), heap_.end(), std::greater{});
        heap_.pop_back();
    }
}

std::optional<MessageKey> Deferred::take_due(WallTime now)
{
    settle_top();
    if (heap_.empty() || heap_.front().when > now)
        return std::nullopt;
    const MessageKey message = heap_.front().message;
    std::pop_heap(heap_.begin(), heap_.end(), std::greater{});
    heap_.pop_back();
    times_.erase(message);
    return message;
}

std::optional<WallTime> Deferred::earliest()
{
    settle_top();
    if (heap_.empty())
        return std::nullopt;
    return heap_.front().when;
}

std::optional<WallTime> Deferred::next_try(MessageKey message) const
{
    const auto found = times_.find(message);
    if (found == times_.end())
        return std::nullopt;
    return found->second;
}

void Deferred::flush(WallTime now)
{
    for (auto& [message, when] : times_)
        when = std::min(when, now);
    sort_anew();
}

void Deferred::earlier(WallTime::duration step)
{
    for (auto& [message, when] : times_)
        when -= std::min(step, when.time_since_epoch());       // what is due at once stays so
    sort_anew();
}

void Deferred::sort_anew()
{
    heap_.clear();
    for (const auto& [message, when] : times_)
        heap_.push_back({when, message});
    std::make_heap(heap_.begin(), heap_.end(), std::greater{});
}

}  // namespace posthorn::schedule
