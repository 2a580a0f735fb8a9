// standby/mirror.hpp: the queue's end of its copy: every change of its files in one order, a line over which they leave, and who waits until the copy has them.
// Order    a change is made and numbered at once, under one mutex: what the copy does in the order of the numbers is what was done here.
// Waits    a sync waits for the copy while that is in step: then nobody is answered before both machines have what was asked. Both syncs run at the same time.
// Away     the copy cannot be reached, or is silent for longer than `patience`: syncs go on alone, and covered() says no until it has what they were for: who wants
//          both asks that before it answers. It comes back by being compared block by block; what it has it keeps.
// Threads  any; two of its own while the copy is there. Events are called on those.
// Owns     its threads and the connection; `files` must outlive it.
#pragma once

#include "base/fd.hpp"
#include "observe/log.hpp"
#include "spool/file_ops.hpp"
#include "standby/holdings.hpp"
#include "standby/line.hpp"
#include "standby/lineage.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

namespace posthorn::standby {

class Mirror {
public:
    struct Options {
        std::string version, host;  // what this end says of itself
        bool required = false;  // for what the log says of a copy that is away
        std::chrono::milliseconds patience{5000};
        std::chrono::milliseconds heartbeat{5000};  // when nothing else is said
        std::chrono::milliseconds pause{100}, longest_pause{30'000};  // before it is tried again
        std::size_t backlog = 64U << 20;  // octets that wait for the line: more, and who writes waits
    };
    struct Events {
        /// The copy has become the queue: this one must not go on.
        std::function<void(const Lineage&)> superseded;
        /// The state, or what covered() says; seldom.
        std::function<void()> changed;
    };
    /// A connected stream socket, blocking.
    using Connect = std::function<Result<Fd>()>;

    enum class State { away, copying, in_step };
    struct Status {
        State state = State::away;
        WallTime since{};  // of the state
        std::string host;  // of the copy, when it was last heard
        std::string trouble;  // why it is away
        std::uint64_t octets = 0;  // that left
        std::uint64_t times_lost = 0;  // it was in step, and then away
        std::uint64_t files = 0, files_done = 0;  // while copying
    };

    Mirror(spool::FileOps& files, Lineage lineage, Options options, Connect connect, observe::Log log, Events events);
    ~Mirror();

    void start();
    /// Returns when the copy has answered, one way or the other, or after that time.
    void wait_for_answer(std::chrono::milliseconds most);
    /// Ends the connection and the threads.
    void stop();

    Status status() const;
    bool in_step() const;
    /// The copy has all that any sync before was for.
    bool covered() const;

    // For MirroredFiles.

    /// Makes the change, and tells of it. `operation` is asked only where somebody hears it; the change's errno.
    int change(const std::function<int()>& make, const std::function<void(Operation&)>& describe);
    /// The same for a name that has another file behind it from here on.
    int change_name(std::string_view name, const std::function<int()>& make, const std::function<void(Operation&)>& describe);
    /// A file that another process wrote: what is in it belongs to the queue.
    int take_in(std::string_view name);
    /// Number of a sync that covers all changes so far.
    std::uint64_t begin_sync(bool barrier);
    /// Until the copy has it, or is away.
    void wait(std::uint64_t number);

private:
    void talk();
    Result<void> session();
    Result<Holdings> greet(Line& line);
    Result<void> copy_all(Line& line, Holdings held);
    Result<void> copy_file(Line& line, const std::string& name, const HeldFile* there);
    Result<void> send_all(Line& line);
    Result<void> keep_alive(Line& line);
    Result<void> send_while(Line& line, std::size_t least);
    /// What waits for the line, at most a frame of it. False: nothing.
    Result<bool> send_some(Line& line);
    void hear(Line& line);
    void enter(State state, std::string trouble);

    void push(Operation operation);  // under the mutex, as all of these
    std::uint64_t room_of(const Operation& operation) const;
    void wait_for_room(std::unique_lock<std::mutex>& lock);
    void break_off(std::string why);

    spool::FileOps& files_;
    const Lineage lineage_;
    const Options options_;
    const Connect connect_;
    const observe::Log log_;
    const Events events_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;  // of anything below
    State state_ = State::away;
    WallTime since_{};
    bool attached_ = false, answered_ = false, stopping_ = false, superseded_ = false;
    std::uint64_t number_ = 0, durable_ = 0, copied_at_ = 0;
    std::uint64_t uncovered_ = 0;  // the last sync that went on alone; 0: the copy has it
    std::deque<Operation> waiting_;  // for the line
    std::size_t waiting_octets_ = 0;
    std::set<std::string, std::less<>> renamed_;  // while copying: names that have another file behind them
    int socket_ = -1;  // of the session
    std::string broken_, host_, trouble_, said_trouble_;
    std::chrono::steady_clock::time_point heard_{};
    std::uint64_t octets_ = 0, times_lost_ = 0, files_to_copy_ = 0, files_copied_ = 0;

    std::chrono::steady_clock::time_point said_{};  // of the talker alone
    std::jthread talker_;  // last: it uses all of the above
};

}  // namespace posthorn::standby
