// posthorn standby: the copy of a queue on another machine. At the queue: does it have one? At the copy: how far is it? receive keeps it, promote makes it the queue.
#include "commands/command.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "inquiry/queue_client.hpp"
#include "inquiry/transcripts.hpp"
#include "spool/opening.hpp"
#include "standby/receiving.hpp"
#include "submit/exit_status.hpp"
#include "supervisor/instance_lock.hpp"
#include "supervisor/layout.hpp"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <thread>

namespace posthorn::commands {

namespace {

using handoff::Standby;

constexpr const char* standby_usage = "usage: posthorn standby [-c config_dir] [--json]\n"
                                      "       posthorn standby receive [-c config_dir]      (a queue is at its standard input and output)\n"
                                      "       posthorn standby promote [-c config_dir] [--now]";
/// Beside the copy: the process that receives it. Not copied, since its name begins as that of the copy's mark.
constexpr std::string_view receiver_name = "copy-of.pid";

struct StandbyArguments {
    std::optional<std::string> directory;
    std::string verb;
    bool json = false, now = false;
};

StandbyArguments standby_arguments(std::span<char*> args)
{
    StandbyArguments made;
    for (std::size_t at = 1; at < args.size() && args[at]; ++at) {
        const std::string_view word = args[at];
        if (word == "-c")
            made.directory = operand_of(args, at, standby_usage);
        else if (word == "--json" && made.verb.empty())
            made.json = true;
        else if (word == "--now" && made.verb == "promote")
            made.now = true;
        else if ((word == "receive" || word == "promote") && made.verb.empty() && !made.json)
            made.verb = word;
        else
            throw Failure(standby_usage, submit::exit_usage);
    }
    return made;
}

std::string folder_of(const config::Snapshot& snapshot) { return snapshot.text("queue_directory") + "/spool"; }

template <class T>
T or_fail(Result<T> result, int status)
{
    if (!result)
        throw Failure(result.error().text(), status);
    if constexpr (!std::is_void_v<T>)
        return *std::move(result);
}

/// Whose files these are to be.
supervisor::Identity owner_of(const config::Snapshot& snapshot) { return or_fail(supervisor::identity(snapshot), submit::exit_unavailable); }

bool is_open(spool::FileOps& files)
{
    std::unique_ptr<spool::File> lock;
    return files.open(spool::lock_name, spool::Open::read_write, lock) == 0 && lock->lock() == EAGAIN;
}

std::int64_t micros_of(WallTime time) { return time.time_since_epoch().count(); }

std::string_view word_of(standby::Progress progress)
{
    switch (progress) {
    case standby::Progress::partial: return "not whole yet";
    case standby::Progress::whole: return "whole";
    case standby::Progress::catching_up: return "whole, with changes to be made at the next start";
    }
    return "";
}

/// This machine holds a copy.
int tell_copy(const standby::CopyMark& mark, bool received, bool json)
{
    const bool whole = mark.progress != standby::Progress::partial;
    if (json) {
        boost::json::object said{{"role", "copy"},         {"of", mark.of.host}, {"identity", mark.of.identity},
                                 {"epoch", mark.of.epoch}, {"whole", whole},     {"received", received}};
        if (mark.in_step != WallTime{})
            said["in_step_at"] = inquiry::utc_time(micros_of(mark.in_step));
        fmt::print("{}\n", boost::json::serialize(said));
    } else {
        fmt::print("a copy of the queue of {} (epoch {}): {}\n", mark.of.host, mark.of.epoch, word_of(mark.progress));
        if (mark.in_step != WallTime{})
            fmt::print("in step at {}\n", inquiry::utc_time(micros_of(mark.in_step)));
        fmt::print("{}\n",
                   received ? "it is being received now" : "nobody sends to it now: is that machine alive? If it is not: posthorn standby promote");
    }
    return whole ? 0 : 1;
}

std::string_view word_of(Standby::State state)
{
    switch (state) {
    case Standby::IN_STEP: return "in step";
    case Standby::COPYING: return "being brought into step";
    case Standby::AWAY: return "away";
    default: return "none";
    }
}

int tell_queue(const Standby& standing, bool json)
{
    if (json) {
        boost::json::object said{{"role", "queue"}, {"state", word_of(standing.state())}};
        if (standing.state() != Standby::NONE) {
            said["line"] = standing.line();
            said["host"] = standing.host();
            said["since"] = inquiry::utc_time(standing.since());
            said["epoch"] = standing.epoch();
            said["required"] = standing.required();
            said["octets"] = standing.octets();
            said["times_lost"] = standing.times_lost();
            if (standing.state() == Standby::AWAY)
                said["trouble"] = standing.trouble();
        }
        fmt::print("{}\n", boost::json::serialize(said));
    } else if (standing.state() == Standby::NONE) {
        fmt::print("no copy of this queue is kept (queue_standby)\n");
    } else {
        fmt::print("the copy of this queue (epoch {}){}{} is {} since {}\n", standing.epoch(), standing.host().empty() ? "" : " on ", standing.host(),
                   word_of(standing.state()), inquiry::utc_time(standing.since()));
        if (standing.state() == Standby::AWAY)
            fmt::print("{}: {}\n", standing.line(), standing.trouble());
        if (standing.state() == Standby::AWAY || standing.state() == Standby::COPYING)
            fmt::print("{}\n", standing.required() ? "no mail is taken or delivered meanwhile (queue_standby_required)"
                                                   : "mail is taken and delivered meanwhile: this machine alone has it");
        if (standing.state() == Standby::COPYING)
            fmt::print("{} of {} files are compared\n", standing.files_done(), standing.files());
        fmt::print("{} octets told, lost {} times since qmgr began\n", standing.octets(), standing.times_lost());
    }
    return standing.state() == Standby::IN_STEP ? 0 : 1;
}

int standing(const config::Snapshot& snapshot, bool json)
{
    if (::access(folder_of(snapshot).c_str(), F_OK) == 0) {
        const auto files = spool::system_files(folder_of(snapshot));
        if (const auto mark = or_fail(standby::read_copy_mark(*files), submit::exit_unavailable))
            return tell_copy(*mark, is_open(*files), json);
    }
    handoff::QueueCommand question;
    question.set_verb(handoff::QueueCommand::STANDBY);
    return tell_queue(or_fail(inquiry::QueueClient(snapshot).ask(std::move(question)), submit::exit_unavailable).standby(), json);
}

int receive(const config::Snapshot& snapshot)
{
    if (::isatty(0) == 1 || ::isatty(1) == 1)
        throw Failure(standby_usage, submit::exit_usage);
    const supervisor::Identity owner = owner_of(snapshot);
    or_fail(supervisor::Layout::from(snapshot).make(owner), submit::exit_unavailable);
    become_owner(snapshot);
    ::signal(SIGPIPE, SIG_IGN);
    const std::string folder = folder_of(snapshot), pid_file = fmt::format("{}/{}", folder, receiver_name);
    const auto files = spool::system_files(folder);
    // For who wants it to end (promote --now).
    const auto write_pid = [&] {
        const Fd file(::open(pid_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
        const std::string pid = fmt::format("{}\n", ::getpid());
        if (!file || ::write(file.get(), pid.data(), pid.size()) != static_cast<ssize_t>(pid.size()))
            throw Failure(fmt::format("{}: {}", pid_file, errno_text(errno)), submit::exit_unavailable);
    };
    standby::Line line(0, 1, "the queue");
    or_fail(standby::receive(*files, SystemClock(), line, {.version = POSTHORN_VERSION, .host = snapshot.text("myhostname"), .begun = write_pid}),
            submit::exit_temporary);
    return 0;
}

/// Who receives the copy ends; it may not know yet that its queue is gone.
void end_receiver(spool::FileOps& files, const std::string& folder)
{
    using namespace std::chrono_literals;
    std::string digits(32, '\0');
    const Fd file(::open(fmt::format("{}/{}", folder, receiver_name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    const ssize_t got = file ? ::read(file.get(), digits.data(), digits.size()) : -1;
    digits.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    const auto pid = parse_number(std::string_view(digits).substr(0, digits.find('\n')));
    if (!pid || *pid < 2 || ::kill(static_cast<pid_t>(*pid), SIGTERM) != 0)
        throw Failure("the process that receives the copy cannot be found", submit::exit_unavailable);
    for (const auto until = std::chrono::steady_clock::now() + 10s; is_open(files);) {
        if (std::chrono::steady_clock::now() > until)
            throw Failure(fmt::format("the process that receives the copy ({}) does not end", *pid), submit::exit_unavailable);
        std::this_thread::sleep_for(50ms);
    }
}

int promote(const config::Snapshot& snapshot, bool now)
{
    reserved_for_owner(snapshot);
    const std::string folder = folder_of(snapshot);
    become_owner(snapshot);
    const auto files = spool::system_files(folder);
    const auto mark = or_fail(standby::read_copy_mark(*files), submit::exit_unavailable);
    if (!mark)
        throw Failure("there is no copy of a queue here", submit::exit_unavailable);
    if (is_open(*files)) {
        if (!now)
            throw Failure(
                fmt::format(
                    "the queue of {} is connected, or was within the last half minute: stop it there first (postfix stop); or, where it cannot "
                    "be asked and does nothing any more: posthorn standby promote --now",
                    mark->of.host),
                submit::exit_temporary);
        end_receiver(*files, folder);
    }
    const auto lineage = or_fail(standby::promote(*files, snapshot.text("myhostname"), SystemClock()), submit::exit_unavailable);
    ::unlink(fmt::format("{}/{}", folder, receiver_name).c_str());
    fmt::print("the copy of the queue of {} is the queue of this machine now (epoch {}); it was last in step at {}\n", mark->of.host, lineage.epoch,
               mark->in_step == WallTime{} ? "a time that was not noted" : inquiry::utc_time(micros_of(mark->in_step)));
    return 0;
}

int run_standby(std::span<char*> args)
{
    const StandbyArguments wanted = standby_arguments(args);
    const config::Snapshot snapshot = load_config("posthorn", wanted.directory);
    reserved_for_owner(snapshot);
    if (wanted.verb == "receive")
        return receive(snapshot);
    if (wanted.verb == "promote")
        return promote(snapshot, wanted.now);
    return standing(snapshot, wanted.json);
}

}  // namespace

std::optional<std::string> copy_held(const config::Snapshot& snapshot)
{
    if (::access(folder_of(snapshot).c_str(), F_OK) != 0)
        return std::nullopt;
    const auto files = spool::system_files(folder_of(snapshot));
    const auto mark = standby::read_copy_mark(*files);
    if (!mark)
        return "another machine (" + mark.error().text() + ")";
    if (const std::optional<standby::CopyMark>& held = *mark)
        return held->of.host;
    return std::nullopt;
}

int standby(std::span<char*> args) { return guarded("posthorn standby", run_standby, args); }

}  // namespace posthorn::commands
