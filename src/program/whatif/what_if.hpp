// whatif/what_if.hpp: `posthorn what-if`: the mail that the log has, asked of a configuration that is not in force yet.
//   posthorn what-if --config NEW_DIR [-c CONFIG_DIR] [--log FILE]... [--most N] [--json]
// Reads    both directories, what they name, and the log; changes nothing there, and asks no living server of mail.
// Exit     0: no answer differs; 1: some do; 2: cannot be read, or would not start; 64: wrong words.
#pragma once

#include <span>

namespace posthorn::whatif {

int main(std::span<char*> args);

}  // namespace posthorn::whatif
