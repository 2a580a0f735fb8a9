// tester/check.hpp: posthorn check HOST[:PORT] [--from A] [--to A] [--helo NAME] [--starttls] [--timeout N] [--transcripts] [--report] [--json]
// Exit status  0 all rules kept, 1 a rule is broken, 64 usage, 69 no SMTP server there.
#pragma once

#include <span>

namespace posthorn::tester {

/// `args` with the command's name in front.
int check(std::span<char*> args);

}  // namespace posthorn::tester
