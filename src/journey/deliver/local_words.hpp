// deliver/local_words.hpp: the texts of local delivery: paths and commands made of what is known of a user, and the environment of commands.
//     forward_path = $home/.forward${recipient_delimiter}${extension}, $home/.forward                       local(8), postconf(5)
// Trust    characters of a value that the filter does not have become '_'; a value is not expanded again.
// Pure.
#pragma once

#include "base/error.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::deliver {

/// user, home, shell, recipient, extension, domain, local, recipient_delimiter, original_recipient, sender ...; one that is empty is not there.
using LocalNames = std::map<std::string, std::string, std::less<>>;

/// None: a name that `text` needs outside of a condition is empty, so that "$home/.forward+$extension" is no path without an extension.
Result<std::optional<std::string>> expand_names(std::string_view text, const LocalNames& names, std::string_view allowed);

/// argv of a command: by `shell` where one is set or the text has characters of a shell's, else as its words.
std::vector<std::string> command_words(std::string_view command, std::string_view shell);

/// NAME=value of what commands are told of their mail; values as `allowed` has them.
std::vector<std::string> command_environment(const LocalNames& names, std::string_view allowed);

}  // namespace posthorn::deliver
