#include "dns/system_servers.hpp"

#include "base/strings.hpp"
#include "net/address.hpp"

#include <sys/stat.h>

#include <fstream>

namespace posthorn::dns {

SystemServers::SystemServers(const Clock& clock, std::string path) : clock_(clock), path_(std::move(path))
{
    refresh();
    if (list_.empty() && changed_)
        list_.emplace_back("127.0.0.1");
}

bool SystemServers::refresh()
{
    const SteadyTime now = clock_.steady();
    if (changed_ && now - looked_ < std::chrono::seconds(1))
        return false;
    looked_ = now;
    struct stat info{};
    if (::stat(path_.c_str(), &info) != 0)
        return false;
    const Stamp changed{info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_size, static_cast<std::int64_t>(info.st_ino)};
    std::ifstream file(path_);
    if (changed == changed_ || !file)
        return false;
    changed_ = changed;
    std::vector<std::string> found;
    for (std::string line; std::getline(file, line);) {
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
