// moving/moving.hpp: `posthorn hand-over`, `posthorn take-over`: what waits in one instance's queue goes on in that of another, which lives.
//   posthorn hand-over [-c config_dir] [--follow] [--wait SECONDS] --all | WORD... [--sender WORD]... -- COMMAND [ARGUMENT...]
//                      WORD: a queue id, an address, a domain. COMMAND: brings this to a `posthorn take-over`, by its standard input and output
//   posthorn hand-over [-c config_dir] --take-back
//   posthorn take-over [-c config_dir]
// Exit     0: all of it is there; 1: some of it is not, and was named; 64: wrong words; 69: the mail system here is down; 75: it broke off: repeat it.
#pragma once

#include <span>

namespace posthorn::moving {

int hand_over(std::span<char*> args);
int take_over(std::span<char*> args);

}  // namespace posthorn::moving
