// tools/postmap_message.hpp: a message as keys for header and body checks: postmap -h -b -m -q -.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace posthorn::tools {

struct MessageKeys {
    bool headers = false;     // -h: every field, folded lines joined by newlines
    bool body = false;        // -b: every line
    bool mime = false;        // -m: fields of parts are header, boundaries are neither
};
std::vector<std::string> message_keys(std::string_view message, MessageKeys wanted);

}  // namespace posthorn::tools
