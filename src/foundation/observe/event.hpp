// observe/event.hpp: what a room says, declared once in its events.def:
//   EVENT(peer_hung_up, warning, "lost connection with {peer} while {during}", "What an administrator should know.")
// and expanded in the room:
//   namespace posthorn::send::events {
//   #define EVENT(...) POSTHORN_EVENT(__VA_ARGS__)
//   #include "send/events.def"
//   #undef EVENT
//   }
#pragma once

#include <string_view>

namespace posthorn::observe {

enum class Level;

struct Event {
    std::string_view name;
    Level level;
    std::string_view text;     // a fmt text with named arguments
    std::string_view help;
};

}  // namespace posthorn::observe

#define POSTHORN_EVENT(name, level, text, help) \
    inline constexpr ::posthorn::observe::Event name{#name, ::posthorn::observe::Level::level, text, help};
