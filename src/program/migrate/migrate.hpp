// migrate/migrate.hpp: `posthorn migrate`: what happens to a Postfix that moves in here.
//   posthorn migrate [--json] [--to DIR] [CONFIG_DIR]
//   posthorn migrate --ask [FILE] [--cap N] [--postfix ROOT] [--json] [CONFIG_DIR]      FILE: a regular file, else the built-in questions
//   posthorn migrate --queue | --queue-back [-c CONFIG_DIR] [--json] [QUEUE_DIR]     QUEUE_DIR: of the Postfix; else the configured one
// What is about Exim's queue has words of its own: exim/queue_command.hpp.
// Reads    CONFIG_DIR (else the one that postfix(1) would take) and what it names; changes nothing there.
// Exit     0: nothing differs; 1: something to look at, or not all was done; 2: cannot be read or written; 64: wrong words.
#pragma once

#include <span>

namespace posthorn::migrate {

int main(std::span<char*> args);

}  // namespace posthorn::migrate
