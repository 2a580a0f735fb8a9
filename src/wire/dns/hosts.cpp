#include "dns/hosts.hpp"

#include "base/strings.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

namespace posthorn::dns {

Hosts::Hosts(const Clock& clock, std::string path) : clock_(clock), path_(std::move(path)) { refresh(); }

void Hosts::refresh()
{
    const SteadyTime now = clock_.steady();
    if (changed_ && now - looked_ < std::chrono::seconds(1))
        return;
    looked_ = now;
    struct stat info{};
    if (::stat(path_.c_str(), &info) != 0)
        return;
    const Stamp changed{info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size, static_cast<std::int64_t>(info.st_ino)};
    std::ifstream file(path_);
    if (changed == changed_ || !file)
        return;
    changed_ = changed;
    by_name_.clear();
    by_address_.clear();
    for (std::string line; std::getline(file, line);) {
        const auto words = split(std::string_view(line).substr(0, line.find('#')));
        const auto address = words.size() > 1 ? net::IpAddress::parse(words[0]) : std::nullopt;
        if (!address)
            continue;
        by_address_.try_emplace(*address, words[1]);
        for (std::size_t i = 1; i < words.size(); ++i)
            by_name_.emplace(to_lower(words[i]), *address);
    }
}

std::vector<net::IpAddress> Hosts::addresses(std::string_view name)
{
    refresh();
    if (name.ends_with('.'))
        name.remove_suffix(1);
    std::vector<net::IpAddress> found;
    const auto [begin, end] = by_name_.equal_range(to_lower(name));
    for (auto entry = begin; entry != end; ++entry)
        if (std::find(found.begin(), found.end(), entry->second) == found.end())
            found.push_back(entry->second);
    return found;
}

std::string Hosts::name(const net::IpAddress& address)
{
    refresh();
    const auto entry = by_address_.find(address);
    return entry == by_address_.end() ? std::string{} : entry->second;
}

}  // namespace posthorn::dns
