#include "services/workers.hpp"

#include <algorithm>
#include <functional>

namespace posthorn::services {

namespace {
/// From this window on a site is hot enough to keep more than one process busy.
constexpr std::uint32_t hot_window = 64;
}  // namespace

void WorkerRegistry::joined(const std::string& transport, std::shared_ptr<ipc::Channel> channel, std::uint32_t process)
{
    processes_[channel.get()] = process;
    by_transport_[transport].push_back(std::move(channel));
}

void WorkerRegistry::left(const ipc::Channel* channel)
{
    processes_.erase(channel);
    for (auto& [transport, channels] : by_transport_)
        std::erase_if(channels, [&](const auto& one) { return one.get() == channel; });
}

std::uint32_t WorkerRegistry::process_of(const ipc::Channel& channel) const
{
    const auto found = processes_.find(&channel);
    return found == processes_.end() ? 0 : found->second;
}

std::shared_ptr<ipc::Channel> WorkerRegistry::worker_for(std::string_view transport, std::string_view site, std::uint32_t window)
{
    const auto found = by_transport_.find(transport);
    if (found == by_transport_.end()) {
        missing(transport);
        return nullptr;
    }
    std::vector<std::shared_ptr<ipc::Channel>>& channels = found->second;
    std::erase_if(channels, [](const auto& channel) { return !channel->is_open(); });
    if (channels.empty()) {
        missing(transport);
        return nullptr;
    }
    std::size_t at = std::hash<std::string_view>{}(site);
    if (window >= hot_window)
        at += turn_++;
    return channels[at % channels.size()];
}

void WorkerRegistry::missing(std::string_view transport) const
{
    if (on_missing)
        on_missing(transport);
}

std::size_t WorkerRegistry::count(std::string_view transport) const
{
    const auto found = by_transport_.find(transport);
    return found == by_transport_.end() ? 0 : found->second.size();
}

}  // namespace posthorn::services
