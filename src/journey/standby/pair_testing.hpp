// standby/pair_testing.hpp: a queue and its copy, each on files in memory, and the line between them. For tests.
#pragma once

#include "spool/recorded_files.hpp"
#include "spool/test_messages.hpp"
#include "standby/mirror.hpp"
#include "standby/mirrored_files.hpp"
#include "standby/receiving.hpp"

#include <signal.h>
#include <sys/socket.h>

#include <list>

namespace posthorn::standby {

/// Keeps lines that several threads write.
class SharedSink final : public observe::Sink {
public:
    void write(observe::Level, std::string_view, std::string_view line) override
    {
        const std::lock_guard lock(mutex_);
        lines_ += line;
        lines_ += '\n';
    }
    /// Waits for it.
    bool has(std::string_view text) const
    {
        for (int i = 0; i < 20'000; ++i) {
            {
                const std::lock_guard lock(mutex_);
                if (lines_.find(text) != lines_.npos)
                    return true;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
        return false;
    }

private:
    mutable std::mutex mutex_;
    std::string lines_;
};

class MachinePair {
public:
    struct Options {
        std::chrono::milliseconds patience{120'000};
        std::chrono::milliseconds heartbeat{5000};
    };
    explicit MachinePair(Options options)
    {
        ::signal(SIGPIPE, SIG_IGN);                        // as every service does
        const auto lineage = lineage_of(here, "first.test", clock);
        if (!lineage)
            throw std::runtime_error(lineage.error().text());
        Mirror::Options made;
        made.version = "test";
        made.host = "first.test";
        made.patience = options.patience;
        made.heartbeat = options.heartbeat;
        made.pause = made.longest_pause = std::chrono::milliseconds{5};
        mirror.emplace(
            here, *lineage, made, [this] { return connect(); }, observe::Log(log, "postfix/qmgr"),
            Mirror::Events{.superseded = [this](const Lineage& now) { replaced_by = now; }, .changed = {}});
        files_ = mirrored_files(here, *mirror);
    }
    MachinePair(MachinePair&&) = delete;
    ~MachinePair() { stop(); }

    void start() { mirror->start(); }
    void stop()
    {
        mirror->stop();
        receivers_.clear();
    }
    /// The line breaks.
    void cut()
    {
        const std::lock_guard lock(mutex_);
        if (line_ >= 0)
            ::shutdown(line_, SHUT_RDWR);
    }
    /// As a queue does that requires its copy.
    void wait_for_both() const
    {
        while (!mirror->covered())
            std::this_thread::sleep_for(std::chrono::microseconds{200});
    }
    bool wait_for(Mirror::State state) const
    {
        for (int i = 0; i < 20'000; ++i) {
            if (mirror->status().state == state)
                return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
        return false;
    }
    spool::FileOps& files() { return *files_; }

    HandClock clock;
    spool::RecordedFiles here, there;
    std::shared_ptr<SharedSink> log = std::make_shared<SharedSink>();
    std::optional<Mirror> mirror;
    std::optional<Lineage> replaced_by;
    std::atomic<bool> reachable = true;
    /// Why each receiving ended.
    std::vector<std::string> ended;

private:
    Result<Fd> connect()
    {
        int ends[2] = {-1, -1};
        if (!reachable || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            return Error{"connect: Connection refused", "4.4.1"};
        const std::lock_guard lock(mutex_);
        line_ = ends[1];
        receivers_.emplace_back([this, end = ends[1]] {
            Line line(end, end, "the queue");
            const auto done = receive(there, clock, line, {.version = "test", .host = "second.test"});
            const std::lock_guard locked(mutex_);
            ended.push_back(done ? std::string() : done.error().text());
            if (line_ == end)
                line_ = -1;
            ::close(end);
        });
        return Fd(ends[0]);
    }

    std::mutex mutex_;
    int line_ = -1;
    std::unique_ptr<spool::FileOps> files_;
    std::list<std::jthread> receivers_;    // last: they use all of the above
};

}  // namespace posthorn::standby
