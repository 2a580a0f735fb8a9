// commands/command.hpp: a command by its name, and what all commands share.
#pragma once

#include "config/snapshot.hpp"

#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace posthorn::commands {

/// `args` with the command's name in front, as main() has them; the exit status.
using Main = int (*)(std::span<char*> args);
struct Command {
    std::string_view name;
    Main main;
};
/// The commands of this room: sendmail, mailq, postfix, postqueue ...
std::span<const Command> commands();

int sendmail(std::span<char*> args);
int postfix(std::span<char*> args);
int posthorn_init(std::span<char*> args);
int postdrop(std::span<char*> args);
int postqueue(std::span<char*> args);
int postsuper(std::span<char*> args);
int postcat(std::span<char*> args);
int postlog(std::span<char*> args);
int postkick(std::span<char*> args);
int postlock(std::span<char*> args);
int postmulti(std::span<char*> args);
int qshape(std::span<char*> args);
int queue(std::span<char*> args);
int counters(std::span<char*> args);
int helpers(std::span<char*> args);
int reports(std::span<char*> args);
int setting(std::span<char*> args);
int transcript(std::span<char*> args);
int peers(std::span<char*> args);
int why(std::span<char*> args);
int suspend(std::span<char*> args);
int bounce(std::span<char*> args);
int resume(std::span<char*> args);
int orders(std::span<char*> args);
int accounts(std::span<char*> args);
int trials(std::span<char*> args);
int standby(std::span<char*> args);
int share(std::span<char*> args);

/// First of all: a caller may have closed them, and what is opened next would be taken for one of them. A message on standard error would
/// be written into a queue file.
void open_standard_descriptors();

/// Ends a command: "NAME: fatal: text" on standard error, and the status.
struct Failure : std::runtime_error {
    Failure(const std::string& text, int exit_status) : std::runtime_error(text), status(exit_status) {}
    int status;
};
/// The word behind args[at], which `at` then stands at. A Failure where there is none: which word needs it, and the usage.
std::string operand_of(std::span<char*> args, std::size_t& at, std::string_view usage);
/// Runs `body` and says its Failure.
int guarded(std::string_view name, int (*body)(std::span<char*> args), std::span<char*> args);

/// main.cf for a command. The directory of -c or MAIL_CONFIG; a set-gid command takes one only if it is trusted, and says so.
/// Mostly without the parameter lists of the rooms: commands ask for names they know.
config::Snapshot load_config(std::string_view command, const std::optional<std::string>& directory, config::ParamLists own = {});

/// For who changes what is in the queue: root, or whose the instance's queue directory is. Else a Failure.
void reserved_for_owner(const config::Snapshot& snapshot);
/// For who reads another machine's words: root becomes mail_owner. Else a Failure.
void become_owner(const config::Snapshot& snapshot);

/// Whose queue the copy is that the queue directory holds (posthorn standby); none: it holds a queue of its own, or nothing.
std::optional<std::string> copy_held(const config::Snapshot& snapshot);

/// Who gives a command: "root"; "alice by sudo".
std::string operator_name();

/// The folder of the running executable, with a slash: where the other executables are.
std::string executable_folder();

}  // namespace posthorn::commands
