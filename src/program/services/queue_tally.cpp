#include "services/queue_tally.hpp"

#include <algorithm>
#include <utility>

namespace posthorn::services {

namespace {

constexpr std::size_t text_kept = 300;

std::uint32_t minute_number(WallTime when)
{
    return static_cast<std::uint32_t>(std::max<std::int64_t>(std::chrono::floor<std::chrono::minutes>(when.time_since_epoch()).count(), 0));
}

}  // namespace

void QueueTally::arrived(Key message, WallTime arrival, Place place)
{
    const auto [entry, fresh] = messages_.try_emplace(message);
    if (!fresh)
        return moved(message, place);
    entry->second.arrival_minute = minute_number(arrival);
    entry->second.place = place;
    ++minutes_[static_cast<std::size_t>(place)][entry->second.arrival_minute];
}

void QueueTally::leave(std::map<std::uint32_t, std::uint64_t>& minutes, std::uint32_t minute)
{
    if (const auto found = minutes.find(minute); found != minutes.end() && --found->second == 0)
        minutes.erase(found);
}

void QueueTally::moved(Key message, Place place)
{
    const auto found = messages_.find(message);
    if (found == messages_.end() || found->second.place == place)
        return;
    Message& known = found->second;
    leave(minutes_[static_cast<std::size_t>(known.place)], known.arrival_minute);
    known.place = place;
    ++minutes_[static_cast<std::size_t>(place)][known.arrival_minute];
}

void QueueTally::gone(Key message)
{
    const auto found = messages_.find(message);
    if (found == messages_.end())
        return;
    tried(message);
    leave(minutes_[static_cast<std::size_t>(found->second.place)], found->second.arrival_minute);
    messages_.erase(found);
}

QueueTally::Number QueueTally::group_of(const Failure& failure)
{
    std::pair key{std::string(failure.destination), std::string(failure.reason)};
    if (numbers_.size() >= most_groups && !numbers_.contains(key)) {
        groups_[rest].destination = groups_[rest].reason = "other";
        groups_[rest].rest = true;
        return rest;
    }
    const auto [entry, fresh] = numbers_.try_emplace(std::move(key), 0);
    if (fresh) {
        if (free_.empty()) {
            entry->second = static_cast<Number>(groups_.size());
            groups_.emplace_back();
        } else {
            entry->second = free_.back();
            free_.pop_back();
        }
        Group& made = groups_[entry->second];
        made.destination = failure.destination;
        made.reason = failure.reason;
    }
    return entry->second;
}

void QueueTally::change(Number number, std::int64_t by)
{
    Group& group = groups_[number];
    order_.erase({group.recipients, number});
    group.recipients += static_cast<std::uint64_t>(by);
    if (group.recipients > 0) {
        order_.emplace(group.recipients, number);
        return;
    }
    if (number != rest) {
        numbers_.erase({group.destination, group.reason});
        free_.push_back(number);
    }
    group = {};
}

void QueueTally::failed(Key message, const Failure& failure)
{
    const auto found = messages_.find(message);
    if (found == messages_.end())
        return;
    const Number number = group_of(failure);
    change(number, 1);
    Group& group = groups_[number];
    if (failure.when >= group.last && !failure.text.empty()) {
        group.text = failure.text.substr(0, text_kept);
        group.site = failure.site;
        group.last = failure.when;
    }
    Message& known = found->second;
    if (known.group == 0 || known.group == number) {
        known.group = number;
        ++known.recipients;
    } else {
        known.more = true;
        ++further_[message][number];
    }
}

void QueueTally::tried(Key message)
{
    const auto found = messages_.find(message);
    if (found == messages_.end() || found->second.group == 0)
        return;
    Message& known = found->second;
    change(known.group, -static_cast<std::int64_t>(known.recipients));
    known.group = 0;
    known.recipients = 0;
    if (!std::exchange(known.more, false))
        return;
    const auto further = further_.find(message);
    for (const auto& [number, recipients] : further->second)
        change(number, -static_cast<std::int64_t>(recipients));
    further_.erase(further);
}

QueueTally::Ages QueueTally::ages(Place place, WallTime now) const
{
    Ages ages{};
    const std::uint32_t this_minute = minute_number(now);
    for (const auto& [minute, messages] : minutes_[static_cast<std::size_t>(place)]) {
        const std::uint32_t age = this_minute - std::min(minute, this_minute);
        std::size_t range = 0;
        for (std::uint32_t end = 5; range + 1 < ages.size() && age >= end; end *= 2)
            ++range;
        ages[range] += messages;
    }
    return ages;
}

std::vector<const QueueTally::Group*> QueueTally::largest(std::size_t most) const
{
    std::vector<const Group*> found;
    for (auto entry = order_.rbegin(); entry != order_.rend() && found.size() < most; ++entry)
        found.push_back(&groups_[entry->second]);
    return found;
}

}  // namespace posthorn::services
