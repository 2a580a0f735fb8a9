#include "config/paths.hpp"

#include <cstdlib>

#include "base/strings.hpp"

#ifndef POSTHORN_CONFIG_DIRECTORY
#define POSTHORN_CONFIG_DIRECTORY "/etc/postfix"
#endif

namespace posthorn::config {

std::string_view built_in_config_directory() { return POSTHORN_CONFIG_DIRECTORY; }

std::string choose_config_directory(const std::optional<std::string>& from_option)
{
    if (from_option)
        return *from_option;
    const char* from_environment = std::getenv("MAIL_CONFIG");
    return from_environment && *from_environment ? from_environment : std::string{built_in_config_directory()};
}

bool is_trusted_directory(std::string_view directory, std::string_view alternate_config_directories, std::string_view multi_instance_directories)
{
    if (directory == built_in_config_directory())
        return true;
    for (const auto list : {alternate_config_directories, multi_instance_directories})
        for (const auto member : split(list, ", \t\r\n"))
            if (member == directory)
                return true;
    return false;
}

}  // namespace posthorn::config
