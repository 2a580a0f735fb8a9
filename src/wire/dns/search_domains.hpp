// dns/search_domains.hpp: the domains that stand behind short names on this machine.                                   resolv.conf(5)
// The last line "search" or "domain" of the file counts; where there is none, what is behind the first dot of the host's name.
#pragma once

#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::dns {

/// In the file's order, lower case, without final dots.
std::vector<std::string> search_domains(std::istream& resolv_conf, std::string_view hostname);

}  // namespace posthorn::dns
