// deliver/command_end.hpp: how a command ended, and what that means for the mail.                    sysexits.h, RFC 3463
// Status   of exit: 0 delivered; those of sysexits.h by their meaning; "5.2.2 text" or "4.2.2 text" at the beginning of the output outvotes it.
//          Any other status, and the time limit, return the mail; a signal defers it, and so does a command that cannot be executed.
// Output   both of its streams, line ends as blanks, fit for one log line.
// Pure.
#pragma once

#include "base/error.hpp"
#include "deliver/fate.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::deliver {

/// What is kept of a command's output; the rest is read and dropped.
inline constexpr std::size_t command_output_limit = 4096;

struct CommandEnd {
    int status = 0;                          // as waitpid(2) gives it
    bool late = false;                       // the time limit was over: killed, with what it had started
    std::string output;
    std::optional<Error> not_executed;       // or not started at all
    std::optional<Error> not_fed;            // the message could not be read to its end: what the command made of the part is not known
};

/// Is the output of a command that did well worth a word?
enum class Tell { output, nothing };
/// `command`: for the text, as its words stand side by side. `success`: "delivered via NAME service".
Fate fate_of(const CommandEnd& end, std::string_view command, std::string_view success, std::string_view action, Tell tell_success = Tell::output);

}  // namespace posthorn::deliver
