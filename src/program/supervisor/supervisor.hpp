// supervisor/supervisor.hpp: the running instance: children, sockets, reload, stop.
// Threads  one loop; only the log has a thread of its own.
// Trust    frames of children are hostile until parsed; whatever a child does, the answer is at most its own end.
#pragma once

#include "async/async.hpp"
#include "handoff/frames.pb.h"
#include "ipc/client.hpp"
#include "observe/log_collector.hpp"
#include "process/control.pb.h"
#include "supervisor/child.hpp"
#include "supervisor/ended_counters.hpp"
#include "supervisor/instance_lock.hpp"
#include "supervisor/loaded.hpp"
#include "supervisor/log_target.hpp"
#include "supervisor/master.hpp"
#include "supervisor/restart.hpp"
#include "supervisor/service_manager.hpp"
#include "supervisor/sockets.hpp"

#include <fcntl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <list>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>

namespace posthorn::supervisor {

class Supervisor {
public:
    Supervisor(const MasterOptions& options, Loaded loaded, Identity owner, LogTarget log, LogTarget records, InstanceLock lock);
    ~Supervisor();

    /// Binds every socket, and writes the number of this process. Error: which line, and why.
    Result<void> bind();
    /// Who is told how long a stop takes.
    void is_managed_by(ServiceManager manager) { manager_ = std::move(manager); }
    /// Starts every process and serves until stopped; the exit status.
    int run();
    const observe::Log& log() const { return log_; }

private:
    struct Seat;                   // one process's place in a line: who is restarted when

    void start_line(const ProcessLine& line);
    /// Not one that waits for its first mail.
    bool serves(const ProcessLine& line) const;
    void want(const std::string& service);
    void start_child(const std::string& key, unsigned index);
    Result<Spawned> spawn(const ProcessLine& line, unsigned index, const observe::LogCollector::Ring& log);
    void connect_child(pid_t pid, Fd control);
    void heard(pid_t pid, ipc::Incoming incoming);
    void open_for(Child& child, ipc::Incoming incoming);
    void reap();
    void ended(Child child, int status);
    void stop_child(Child& child, process::StopService::How how, std::chrono::seconds limit);
    void kill_late_ones(SteadyTime now);

    awaitable<void> hear_signals();
    awaitable<void> tick();
    void watch_files();
    void refresh_log();
    void write_records();

    // questions.cpp
    Result<void> bind_questions(const Loaded& loaded, std::vector<std::string>& places);
    void hear_questions();
    void asked(const std::weak_ptr<ipc::Channel>& asker, ipc::Incoming incoming);
    struct CountersAsked;
    awaitable<void> tell_counters(ipc::Responder responder, bool to_service);
    awaitable<void> ask_counters(std::shared_ptr<CountersAsked> asked, std::size_t at, std::shared_ptr<ipc::Channel> channel);
    /// Of a process that ends.
    void keep_counters(Child& child, const handoff::CountersReply& last);
    void tell_configuration(ipc::Responder responder) const;
    awaitable<void> answer_reload(ipc::Responder responder);

    awaitable<void> reload_unasked();
    /// Why it was refused; none: in force.
    awaitable<std::vector<std::string>> reload();
    bool new_generation_serves() const;
    Result<void> bind_lines(const Loaded& loaded, std::map<std::string, std::vector<std::string>>& places);
    awaitable<Result<process::ConfigurationTaken>> reconfigure(Child* child, Loaded& loaded);
    awaitable<void> replace_inner();
    void retire_older_than_two();

    awaitable<void> stop_all(process::StopService::How how, std::chrono::seconds limit);
    bool any_running(std::span<const Role> roles) const;
    const ProcessLine* find_line(const std::string& key) const;
    Role role_of(const Child& child) const;

    MasterOptions options_;
    Loaded loaded_;
    Identity owner_;
    LogTarget log_target_, record_target_;
    InstanceLock lock_;
    observe::LogCollector collector_;                             // of all processes' lines
    std::shared_ptr<observe::RingSink> sink_;                     // ours
    observe::Log log_;
    SystemClock clock_;

    asio::thread_pool trials_{1};
    asio::io_context loop_{1};
    asio::signal_set signals_;
    TaskGroup tasks_;
    Signal child_ended_;
    Sockets sockets_;
    std::unique_ptr<ipc::Server> questions_;
    std::map<std::string, std::vector<std::string>> places_;      // per line key
    std::map<pid_t, Child> children_;
    std::set<std::string> wanted_;                                // lines on demand that were asked for, by key
    std::map<std::string, Role> roles_;                           // of lines that ran once
    std::map<std::pair<std::string, unsigned>, std::unique_ptr<Seat>> seats_;
    EndedCounters ended_;
    Fd memory_use_{::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)};
    WallTime began_ = clock_.wall(), in_force_since_ = began_;
    Fd config_file_;                                              // the snapshot, for the next child
    unsigned generation_ = 1;
    ServiceManager manager_;
    bool stopping_ = false, reloading_ = false, reload_again_ = false;
};

}  // namespace posthorn::supervisor
