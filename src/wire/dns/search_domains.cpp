#include "dns/search_domains.hpp"

#include "base/strings.hpp"

namespace posthorn::dns {

std::vector<std::string> search_domains(std::istream& resolv_conf, std::string_view hostname)
{
    std::vector<std::string> domains;
    bool said = false;
    const auto add = [&](std::string_view word) {
        while (word.ends_with('.'))
            word.remove_suffix(1);
        if (!word.empty())
            domains.push_back(to_lower(word));
    };
    for (std::string line; std::getline(resolv_conf, line);) {
        const auto words = split(line, " \t\r");
        if (words.size() < 2 || (words[0] != "search" && words[0] != "domain"))
            continue;
        said = true;
        domains.clear();
        const std::size_t end = words[0] == "domain" ? 2 : words.size();
        for (std::size_t at = 1; at < end; ++at)
            add(words[at]);
    }
    if (const std::size_t dot = hostname.find('.'); !said && dot != hostname.npos)
        add(hostname.substr(dot + 1));
    return domains;
}

}  // namespace posthorn::dns
