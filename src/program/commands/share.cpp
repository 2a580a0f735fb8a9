// posthorn share: its standard input and output become a connection of the living memory with that of another machine. What is said on it
// is memory's matter: here octets are carried, both ways, until one side ends.
#include "commands/command.hpp"
#include "handoff/frames.hpp"
#include "handoff/frames.pb.h"
#include "inquiry/ask.hpp"
#include "inquiry/sibling_listing.hpp"
#include "ipc/client.hpp"
#include "submit/exit_status.hpp"
#include "supervisor/layout.hpp"

#include <fmt/format.h>

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace posthorn::commands {

namespace {

constexpr const char* share_usage =
    "usage: posthorn share [-c config_dir]            (another instance's memory is at its standard input and output)\n"
    "       posthorn share [-c config_dir] --status [--json]";

/// False: nothing more comes from there, or nobody reads there.
bool carry(int from, int to)
{
    std::array<char, 65536> room{};
    const ssize_t got = ::read(from, room.data(), room.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (got <= 0)
        return false;
    for (ssize_t at = 0; at < got;) {
        const ssize_t written = ::write(to, room.data() + at, static_cast<std::size_t>(got - at));
        if (written < 0 && errno == EAGAIN) {
            ::pollfd room_to_write{to, POLLOUT, 0};
            (void)::poll(&room_to_write, 1, -1);
            continue;
        }
        if (written < 0 && errno != EINTR)
            return false;
        at += written > 0 ? written : 0;
    }
    return true;
}

/// Each side reads whatever the other writes, so that neither waits for ever.
void carry_both_ways(int in, int out, int memory)
{
    ::pollfd both[] = {{in, POLLIN, 0}, {memory, POLLIN, 0}};
    for (;;) {
        if (::poll(both, 2, -1) < 0 && errno != EINTR)
            return;
        if ((both[0].revents != 0 && !carry(in, memory)) || (both[1].revents != 0 && !carry(memory, out)))
            return;
    }
}

/// Our end of a connection whose other end memory has now.
Fd connected_with_memory(const config::Snapshot& snapshot)
{
    const std::string socket = fmt::format("{}/{}", snapshot.text("queue_directory"), handoff::memory_socket);
    auto way = ipc::connect_unix(socket);
    if (!way)
        throw Failure(fmt::format("the mail system is down: {}: {}", socket, way.error().text()), submit::exit_unavailable);
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw Failure(system_error("socketpair", errno).text(), submit::exit_unavailable);
    Fd ours(ends[0]);
    std::vector<Fd> theirs;
    theirs.emplace_back(ends[1]);
    ipc::ChannelOptions options;
    options.name = "memory";
    const auto taken =
        inquiry::ask<handoff::SiblingTaken>(*std::move(way), options, handoff::Frame::sibling_comes, handoff::SiblingComes{}, std::move(theirs));
    if (!taken)
        throw Failure(taken.error().text(), submit::exit_unavailable);
    return ours;
}

int show_siblings(const config::Snapshot& snapshot, bool json)
{
    const auto all = inquiry::ask_siblings(snapshot);
    if (!all)
        throw Failure(all.error().text(), all.error().status() == "4.3.0" ? submit::exit_unavailable : submit::exit_no_permission);
    std::string text;
    for (const handoff::Sibling& sibling : all->siblings())
        text += json ? inquiry::sibling_json(sibling) + "\n" : inquiry::sibling_text(sibling);
    if (text.empty() && !json)
        text = "No siblings: memory_siblings names none, and none came by posthorn share.\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
    return 0;
}

int run_share(std::span<char*> args)
{
    std::optional<std::string> directory;
    bool status = false, json = false;
    for (std::size_t at = 1; at < args.size() && args[at]; ++at) {
        const std::string_view word = args[at];
        if (word == "-c")
            directory = operand_of(args, at, share_usage);
        else if (word == "--status")
            status = true;
        else if (word == "--json")
            json = true;
        else
            throw Failure(share_usage, submit::exit_usage);
    }
    if (json && !status)
        throw Failure(share_usage, submit::exit_usage);
    if (!status && (::isatty(0) == 1 || ::isatty(1) == 1))
        throw Failure(share_usage, submit::exit_usage);
    const config::Snapshot snapshot = load_config("posthorn", directory);
    reserved_for_owner(snapshot);
    if (status)
        return show_siblings(snapshot, json);
    become_owner(snapshot);
    ::signal(SIGPIPE, SIG_IGN);
    const Fd memory = connected_with_memory(snapshot);
    carry_both_ways(0, 1, memory.get());
    return 0;
}

}  // namespace

void become_owner(const config::Snapshot& snapshot)
{
    if (::geteuid() != 0)
        return;
    const auto owner = supervisor::identity(snapshot);
    if (!owner)
        throw Failure(owner.error().text(), submit::exit_unavailable);
    if (::setgroups(1, &owner->gid) != 0 || ::setresgid(owner->gid, owner->gid, owner->gid) != 0 ||
        ::setresuid(owner->uid, owner->uid, owner->uid) != 0)
        throw Failure(fmt::format("become mail_owner: {}", errno_text(errno)), submit::exit_unavailable);
}

int share(std::span<char*> args) { return guarded("posthorn share", run_share, args); }

}  // namespace posthorn::commands
