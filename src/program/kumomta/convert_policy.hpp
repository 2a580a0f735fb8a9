// kumomta/convert_policy.hpp: `posthorn migrate --kumomta`: what a KumoMTA's policy becomes here.
//   posthorn migrate --kumomta FILE [--json] [--to DIR | DIR]
// Reads    FILE (or init.lua in it), its modules beside it, the data files that it names; changes nothing there.
// Writes   DIR: main.cf, master.cf, tables, peer_rules; whole or not at all, and only what would start.
// Exit     0: all is carried over; 1: something to look at; 2: cannot be read or written; 64: wrong words.
#pragma once

#include "kumomta/policy.hpp"

#include <span>

namespace posthorn::kumomta {

/// Whether these words of `posthorn migrate` are for this room.
bool is_asked_for(std::span<char*> args);
int main(std::span<char*> args);

/// This machine.
Machine this_machine();

}  // namespace posthorn::kumomta
