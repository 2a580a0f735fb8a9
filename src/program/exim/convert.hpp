// exim/convert.hpp: `posthorn migrate --exim`: what an Exim configuration becomes here.
//   posthorn migrate --exim FILE [--json] [--to DIR]
// Reads    FILE, what it includes, and the files that its lists and lookups name; changes nothing there.
// Writes   DIR: main.cf, master.cf, tables; whole or not at all, and only what would start. Nothing where a statement must not be lost (`refusals`).
// Exit     0: all is carried over; 1: something to look at; 2: cannot be read or written; 64: wrong words.
#pragma once

#include "exim/translate.hpp"
#include "migrate/survey.hpp"

#include <span>
#include <string>

namespace posthorn::exim {

/// Whether these words of `posthorn migrate` are for this room.
bool is_asked_for(std::span<char*> args);
int main(std::span<char*> args);

/// This machine.
Machine this_machine();

}  // namespace posthorn::exim
