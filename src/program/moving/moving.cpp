#include "moving/moving.hpp"

#include "base/strings.hpp"
#include "commands/command.hpp"
#include "inquiry/queue_client.hpp"
#include "moving/giving.hpp"
#include "moving/other_end.hpp"
#include "moving/selection.hpp"
#include "moving/taking.hpp"
#include "spool/incoming.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <thread>

namespace posthorn::moving {

using commands::Failure;
using inquiry::QueueClient;

namespace {

constexpr const char* hand_over_usage =
    "usage: posthorn hand-over [-c config_dir] [--follow] [--wait SECONDS] --all | WORD... [--sender WORD]... -- COMMAND [ARGUMENT...]\n"
    "       posthorn hand-over [-c config_dir] --take-back\n"
    "       WORD: a queue id, an address, a domain; COMMAND: its standard input and output are a posthorn take-over, as ssh HOST posthorn take-over";
constexpr const char* take_over_usage = "usage: posthorn take-over [-c config_dir]      (posthorn hand-over is at its standard input and output)";

std::atomic<bool> stop_wanted = false;

int status_of(const Error& error)
{
    return error.text().find("mail system is down") != std::string::npos ? submit::exit_unavailable : submit::exit_temporary;
}

class LivingQueue final : public LeavingQueue {
public:
    explicit LivingQueue(const config::Snapshot& snapshot) : client_(snapshot) {}
    Result<handoff::HandOverReply> ask(handoff::HandOver question) override { return client_.hand_over(std::move(question)); }
    Result<std::string> content(const std::string& queue_id, std::uint64_t offset) override
    {
        handoff::QueueCommand command;
        command.set_verb(handoff::QueueCommand::CAT);
        command.add_queue_ids(queue_id);
        command.set_offset(offset);
        TRY(auto reply, client_.ask(std::move(command)));
        return std::move(*reply.mutable_octets());
    }

private:
    QueueClient client_;
};

class IncomingContent final : public ContentFile {
public:
    explicit IncomingContent(spool::IncomingFile file) : file_(std::move(file)) {}
    Result<void> append(std::string_view octets) override { return file_.append(octets); }
    Result<void> sync() override { return file_.sync(); }
    void keep() override { file_.keep(); }

private:
    spool::IncomingFile file_;
};

class ReceivingQueue final : public ComingQueue {
public:
    explicit ReceivingQueue(const config::Snapshot& snapshot)
        : client_(snapshot), files_(spool::system_files(snapshot.text("queue_directory") + "/spool"))
    {
    }
    Result<handoff::TakeOverReply> ask(handoff::TakeOver question) override { return client_.take_over(std::move(question)); }
    Result<std::unique_ptr<ContentFile>> file(const std::string& queue_id) override
    {
        TRY(auto made, spool::IncomingFile::create(*files_, queue_id));
        return std::unique_ptr<ContentFile>(std::make_unique<IncomingContent>(std::move(made)));
    }

private:
    QueueClient client_;
    std::unique_ptr<spool::FileOps> files_;
};

/// Two at once would offer the same messages. Held until the process ends.
Fd only_one(const config::Snapshot& snapshot)
{
    const std::string path = snapshot.text("queue_directory") + "/pid/posthorn.hand-over";
    Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file)
        throw Failure(fmt::format("open {}: {}", path, errno_text(errno)), submit::exit_unavailable);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
        throw Failure("another posthorn hand-over is at work on this queue", submit::exit_temporary);
    return file;
}

struct Wanted {
    std::optional<std::string> directory;
    Selection selection;
    bool follow = false, take_back = false;
    Giving::Limits limits;
    std::vector<std::string> command;
};

Wanted wanted_of(std::span<char*> args)
{
    Wanted made;
    const auto is = [](const Result<void>& added) {
        if (!added)
            throw Failure(added.error().text() + "\n" + hand_over_usage, submit::exit_usage);
    };
    for (std::size_t at = 1; at < args.size() && args[at]; ++at) {
        const std::string_view word = args[at];
        if (word == "-c")
            made.directory = commands::operand_of(args, at, hand_over_usage);
        else if (word == "--all")
            made.selection.all = true;
        else if (word == "--follow")
            made.follow = true;
        else if (word == "--take-back")
            made.take_back = true;
        else if (word == "--sender")
            is(made.selection.add_sender(commands::operand_of(args, at, hand_over_usage)));
        else if (word == "--wait") {
            const auto seconds = parse_number(commands::operand_of(args, at, hand_over_usage));
            if (!seconds || *seconds > 7 * 86'400)
                throw Failure(hand_over_usage, submit::exit_usage);
            made.limits.patience = std::chrono::seconds{*seconds};
        } else if (word == "--") {
            for (++at; at < args.size() && args[at]; ++at)
                made.command.emplace_back(args[at]);
            break;
        } else
            is(made.selection.add(word));
    }
    const bool moves =
        !made.selection.empty() && !made.command.empty() &&
        (!made.selection.all || (made.selection.queue_ids.empty() && made.selection.recipients.empty() && made.selection.senders.empty()));
    if (made.take_back ? !made.selection.empty() || made.follow || !made.command.empty() : !moves)
        throw Failure(hand_over_usage, submit::exit_usage);
    return made;
}

Result<std::vector<std::string>> meant(QueueClient& client, const Selection& selection)
{
    std::vector<std::string> ids;
    TRY_VOID(client.list([&](const handoff::QueueEntry& entry) {
        if (selection.means(entry))
            ids.push_back(entry.envelope().queue_id());
    }));
    return ids;
}

void say(const Given& given, const std::string& target, bool broke_off)
{
    for (const std::string& refused : given.refused)
        fmt::print(stderr, "posthorn hand-over: warning: stays here: {}\n", printable(refused, true));
    for (const std::string& id : given.still_delivered)
        fmt::print(stderr, "posthorn hand-over: warning: stays here: {}: it is being delivered all the time\n", id);
    if (given.settled > 0)
        fmt::print("{} messages were at {} since a hand-over that broke off\n", given.settled, target);
    if (given.moved > 0 || !broke_off)
        fmt::print("{} messages are at {} now\n", given.moved, target.empty() ? "the other queue" : target);
    std::fflush(stdout);
}

/// One connection to the other end, until all that is meant has left. False: it goes on by itself (--follow), or some stay.
Result<bool> hand_over_once(const config::Snapshot& snapshot, const Wanted& wanted)
{
    TRY(const OtherEnd other, OtherEnd::start(wanted.command));
    Stream stream(other.socket(), other.socket(), wanted.command.front());
    LivingQueue queue(snapshot);
    QueueClient client(snapshot);
    Giving giving(queue, stream, POSTHORN_VERSION, snapshot.text("myhostname"), wanted.limits);
    const auto stopped = [] { return stop_wanted.load(); };
    auto done = giving.begin();
    while (done && !stopped()) {
        const auto begun = std::chrono::steady_clock::now();
        auto ids = meant(client, wanted.selection);
        done = ids ? giving.move(*std::move(ids), stopped) : ids.error();
        if (!wanted.follow)
            break;
        // A long list is not asked for all the time.
        const auto pause = std::max<std::chrono::steady_clock::duration>(std::chrono::seconds{1}, 10 * (std::chrono::steady_clock::now() - begun));
        for (const auto until = std::chrono::steady_clock::now() + pause; done && !stopped() && std::chrono::steady_clock::now() < until;)
            std::this_thread::sleep_for(std::chrono::milliseconds{100});
    }
    if (done)
        done = giving.end();
    say(giving.given(), giving.target_name(), !done);
    if (!done)
        return done.error();
    return giving.given().refused.empty() && giving.given().still_delivered.empty();
}

int take_back(const config::Snapshot& snapshot)
{
    handoff::HandOver back;
    back.set_step(handoff::HandOver::BACK);
    back.add_queue_ids("ALL");
    QueueClient client(snapshot);
    const auto kept = client.hand_over(std::move(back));
    if (!kept)
        throw Failure(kept.error().text(), status_of(kept.error()));
    fmt::print("{} messages stay here, and go on from here; those that are in the other queue after all arrive twice\n", kept->count());
    return 0;
}

int run_hand_over(std::span<char*> args)
{
    const Wanted wanted = wanted_of(args);
    const config::Snapshot snapshot = commands::load_config("posthorn", wanted.directory);
    commands::reserved_for_owner(snapshot);
    const Fd alone = only_one(snapshot);
    if (wanted.take_back)
        return take_back(snapshot);
    ::signal(SIGPIPE, SIG_IGN);
    for (const int number : {SIGTERM, SIGINT})
        ::signal(number, [](int) { stop_wanted = true; });
    std::chrono::seconds pause{5};
    for (;;) {
        const auto done = hand_over_once(snapshot, wanted);
        if (done)
            return *done ? 0 : 1;
        if (!wanted.follow || stop_wanted)
            throw Failure(fmt::format("broke off: {}", done.error().text()), status_of(done.error()));
        fmt::print(stderr, "posthorn hand-over: warning: broke off, again in {} s: {}\n", pause.count(), done.error().text());
        for (const auto until = std::chrono::steady_clock::now() + pause; !stop_wanted && std::chrono::steady_clock::now() < until;)
            std::this_thread::sleep_for(std::chrono::milliseconds{100});
        if (stop_wanted)
            return submit::exit_temporary;
        pause = std::min(2 * pause, std::chrono::seconds{60});
    }
}

int run_take_over(std::span<char*> args)
{
    std::optional<std::string> directory;
    for (std::size_t at = 1; at < args.size() && args[at]; ++at) {
        if (std::string_view(args[at]) != "-c")
            throw Failure(take_over_usage, submit::exit_usage);
        directory = commands::operand_of(args, at, take_over_usage);
    }
    if (::isatty(0) == 1 || ::isatty(1) == 1)
        throw Failure(take_over_usage, submit::exit_usage);
    const config::Snapshot snapshot = commands::load_config("posthorn", directory);
    commands::reserved_for_owner(snapshot);
    commands::become_owner(snapshot);                               // what is read from here on is another machine's
    ::signal(SIGPIPE, SIG_IGN);
    ReceivingQueue queue(snapshot);
    Stream stream(0, 1, "posthorn hand-over");
    Taking taking(queue, stream, POSTHORN_VERSION, snapshot.text("myhostname"));
    if (const auto done = taking.run(); !done)
        throw Failure(done.error().text(), status_of(done.error()));
    return 0;
}

}  // namespace

int hand_over(std::span<char*> args) { return commands::guarded("posthorn hand-over", run_hand_over, args); }
int take_over(std::span<char*> args) { return commands::guarded("posthorn take-over", run_take_over, args); }

}  // namespace posthorn::moving
