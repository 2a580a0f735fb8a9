// exim/queue_command.hpp: the words of `posthorn migrate` that are about Exim's queue.
//   --exim-queue [-c CONFIG_DIR] [--json] SPOOL_DIR        its queue becomes ours
//   --exim-queue-back [-c CONFIG_DIR] [--json] SPOOL_DIR   ours becomes its
// Exit codes as those of migrate/migrate.hpp: 0 all was taken, 1 something has to be looked at, 2 it could not be done, 64 wrong usage.
#pragma once

#include <span>

namespace posthorn::exim {

/// Whether one of those words is among them.
bool is_queue_asked_for(std::span<char*> args);
int queue_main(std::span<char*> args);

}  // namespace posthorn::exim
