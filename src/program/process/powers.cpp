#include "process/powers.hpp"

#include <utility>

namespace posthorn::process {

std::string describe(Powers powers)
{
    static constexpr std::pair<May, std::string_view> words[] = {
        {May::connect, "connect"},
        {May::resolve, "resolve"},
        {May::read_message, "read_message"},
        {May::write_incoming, "write_incoming"},
        {May::spool, "spool"},
        {May::pick_up, "pick_up"},
        {May::state, "state"},
        {May::read_state, "read_state"},
        {May::listen, "listen"},
        {May::compile, "compile"},
        {May::start_commands, "start_commands"},
        {May::change_root, "change_root"},
        {May::read_named, "read_named"},
    };
    std::string text;
    for (const auto& [may, word] : words)
        if (powers.has(may))
            text.append(text.empty() ? "" : " ").append(word);
    return text;
}

}  // namespace posthorn::process
