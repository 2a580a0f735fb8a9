// The set-gid half of submission: takes a maildrop record from standard input and makes it a file. It parses lengths, nothing else.
#include "commands/command.hpp"
#include "commands/drop_program.hpp"
#include "commands/letters.hpp"

#include "submit/drop_file.hpp"
#include "submit/exit_status.hpp"
#include "submit/framing.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace posthorn::commands {

namespace {

using namespace submit;

/// Octets, from "message_size_limit"; anything odd counts as the smallest limit, not as none.
std::uint64_t size_limit(const config::Snapshot& snapshot)
{
    const std::string text = snapshot.text("message_size_limit");
    std::uint64_t value = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9' || value > (1ULL << 50))
            return 10'240'000;
        value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return value;
}

int drop(std::span<char*> args)
{
    std::optional<std::string> directory;
    bool show_name = false;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postdrop_letters)) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'r': show_name = true; break;
        case 'v': break;
        default: throw Failure("usage: postdrop [-c config_dir] [-r] [-v]", exit_usage);
        }
    }
    if (::optind < static_cast<int>(args.size()))
        throw Failure("usage: postdrop [-c config_dir] [-r] [-v]", exit_usage);
    const config::Snapshot snapshot = load_config("postdrop", directory);
    // Here too: this is the program that has the right, and anybody may run it.
    if (const std::string user = user_name(); !lists_user(snapshot.text("authorized_submit_users"), "authorized_submit_users", user))
        throw Failure(fmt::format("User {}({}) is not allowed to submit mail", user, ::getuid()), exit_no_permission);
    const std::string queue = snapshot.text("queue_directory");
    // Signals of the caller's terminal must not leave half a file; the destructor removes it when writing fails.
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM})
        std::signal(signal, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);

    auto file = DropFile::create(queue + "/maildrop");
    if (!file)
        throw Failure(file.error().text(), exit_temporary);
    std::string bad;
    Framing framing(size_limit(snapshot), [](std::string_view) { return Result<void>(); }, [](std::string_view) { return Result<void>(); });
    char buffer[65536];
    for (;;) {
        const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            throw Failure(fmt::format("error reading the message: {}", errno_text(errno)), exit_no_input);
        if (count == 0)
            break;
        if (!bad.empty())
            continue;                                              // read to the end, so that the writer gets our status, not a broken pipe
        const std::string_view octets(buffer, static_cast<std::size_t>(count));
        if (auto fed = framing.feed(octets); !fed)
            bad = fed.error().text();
        else if (auto written = file->write(octets); !written)
            throw Failure(written.error().text(), exit_temporary);
    }
    if (bad.empty())
        if (auto whole = framing.finish(); !whole)
            bad = whole.error().text();
    if (!bad.empty())
        throw Failure(bad, bad == "message file too big" ? exit_unavailable : exit_data);
    auto name = file->commit();
    if (!name)
        throw Failure(name.error().text(), exit_temporary);
    wake(queue + "/public/pickup");
    if (show_name)
        fmt::print("{}\n", *name);
    return exit_ok;
}

}  // namespace

int postdrop(std::span<char*> args) { return guarded("postdrop", drop, args); }

}  // namespace posthorn::commands
