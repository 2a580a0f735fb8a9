// postlock(1): locks a mailbox as local delivery does, and runs a command meanwhile.
#include "commands/command.hpp"
#include "commands/letters.hpp"
#include "commands/run_program.hpp"
#include "deliver/mailbox_lock.hpp"
#include "deliver/params.hpp"

#include "base/strings.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <unistd.h>

namespace posthorn::commands {

namespace {

constexpr const char* postlock_usage = "usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...";

int run_postlock(std::span<char*> args)
{
    std::optional<std::string> directory, style;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postlock_letters)) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'l': style = ::optarg; break;
        case 'v': break;
        default: throw Failure(postlock_usage, submit::exit_temporary);
        }
    }
    const auto words = args.subspan(static_cast<std::size_t>(::optind));
    if (words.size() < 2)
        throw Failure(postlock_usage, submit::exit_temporary);
    const config::Snapshot snapshot = [&] {
        try {
            return load_config("postlock", directory);
        } catch (const Failure& failure) {
            throw Failure(failure.what(), submit::exit_temporary);
        }
    }();
    deliver::LockManner manner;
    try {
        manner.attempts = snapshot.get(deliver::deliver_lock_attempts);
        manner.pause = snapshot.get(deliver::deliver_lock_delay);
        manner.stale = snapshot.get(deliver::stale_lock_time);
        if (!style)
            style = snapshot.get(deliver::mailbox_delivery_lock);
    } catch (const config::BadValue& wrong) {
        throw Failure(wrong.what(), submit::exit_temporary);
    }
    if (const auto known = manner.read(*style); !known)
        throw Failure(known.error().text(), submit::exit_temporary);
    const auto lock = deliver::MailboxLock::take(words[0], manner);
    if (!lock)
        throw Failure(lock.error().text(), submit::exit_temporary);
    std::vector<std::string> command(words.begin() + 1, words.end());
    const std::string program = command.front();
    const RunResult result = run_program(program, std::move(command));
    if (result.not_started != 0)
        throw Failure(fmt::format("execvp {}: {}", printable(program), errno_text(result.not_started)), 1);
    return result.status;
}

}  // namespace

int postlock(std::span<char*> args) { return guarded("postlock", run_postlock, args); }

}  // namespace posthorn::commands
