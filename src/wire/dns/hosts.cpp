#include "dns/hosts.hpp"

#include "base/strings.hpp"

#include <algorithm>

namespace posthorn::dns {

Hosts::Hosts(const Clock& clock, std::string path) : file_(clock, std::move(path)) { refresh(); }

void Hosts::refresh()
{
    auto file = file_.changed();
    if (!file)
        return;
    by_name_.clear();
    by_address_.clear();
    for (std::string line; std::getline(*file, line);) {
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
