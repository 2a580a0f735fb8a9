#include "dns/system_servers.hpp"

#include "base/strings.hpp"
#include "net/address.hpp"

namespace posthorn::dns {

SystemServers::SystemServers(const Clock& clock, std::string path) : file_(clock, std::move(path))
{
    refresh();
    if (list_.empty() && file_.seen())
        list_.emplace_back("127.0.0.1");
}

bool SystemServers::refresh()
{
    auto file = file_.changed();
    if (!file)
        return false;
    std::vector<std::string> found;
    for (std::string line; std::getline(*file, line);) {
        const auto words = split(line, " \t\r");
        if (words.size() > 1 && words[0] == "nameserver" && net::IpAddress::parse(words[1].substr(0, words[1].find_first_of("%@"))))
            found.emplace_back(words[1]);
    }
    if (found.empty() || found == list_)
        return false;
    list_ = std::move(found);
    return true;
}

}  // namespace posthorn::dns
