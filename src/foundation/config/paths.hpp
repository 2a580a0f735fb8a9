// config/paths.hpp: which configuration directory.                       postfix(1), "-c config_dir"; sendmail(1), MAIL_CONFIG
// Order    `-c DIR`, then MAIL_CONFIG in the environment, then the directory built in.
// Trust    a set-gid or set-uid program must not take a directory that the user names, unless the built-in main.cf lists it in
//          alternate_config_directories or multi_instance_directories: `is_trusted_directory` decides on that list's value.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::config {

/// The directory built in: /etc/postfix, unless the build chose another (-DPOSTHORN_CONFIG_DIRECTORY).
std::string_view built_in_config_directory();

std::string choose_config_directory(const std::optional<std::string>& from_option);

/// Whether `directory` is the built-in one or a member of one of the lists (values of the two parameters above).
bool is_trusted_directory(std::string_view directory, std::string_view alternate_config_directories, std::string_view multi_instance_directories);

}  // namespace posthorn::config
