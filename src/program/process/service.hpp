// process/service.hpp: what every service process gets, and its life.
//
//     int serve_smtp(Service& service)
//     {
//         const auto options = send::Options::from(service.config());
//         service.confine({.may = {May::connect, May::resolve, May::read_message}});
//         Agent agent{service, options};
//         return service.run(agent);
//     }
//
// Owns     the event loop (one thread), the control channel, the log, the listening descriptors until they are taken.
// Errors   before run(): exceptions; they are logged as "fatal: ..." and the process exits 1. In run(): the Work's own affair.
// Stop     by the supervisor's frame, by SIGTERM, or because the supervisor is gone: the Work drains within the limit, then the process
//          ends whatever it still holds. A later word may shorten the limit, never lengthen it.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "config/reading.hpp"
#include "config/snapshot.hpp"
#include "handoff/frames.pb.h"
#include "ipc/channel.hpp"
#include "observe/address_form.hpp"
#include "observe/log.hpp"
#include "observe/log_ring.hpp"
#include "process/confine.hpp"
#include "process/control.hpp"
#include "process/gauges.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::process {

/// Why a service ends. drain: everything ends. generation: a newer one has taken over. abort: now.
enum class Stop { drain, generation, abort };

/// What a process did with a new configuration. by_successor: nothing was taken; it asks for what this process may not do (a file, a
/// library, a connection), and the next one, which is confined anew, will be started with it. So it is, whatever reload() says, where a
/// parameter that the process asked for at its start, and reload() did not, has another value: none is forgotten (config/reading.hpp).
enum class Reload { in_place, by_successor };

/// What a service does between start and stop.
class Work {
public:
    virtual ~Work() = default;
    /// Called on the loop, once.
    virtual void start() = 0;
    /// Takes nothing new, finishes what runs, returns when nothing is left. The process ends after it, or at the limit.
    virtual awaitable<void> stop(Stop how) = 0;
    /// While it stops because a newer generation has taken over: the end is wanted now, for another reason or with another limit.
    virtual void hurry() {}
    /// New options in place (qmgr, resolve, memory). An Error refuses them, and the running ones stay.
    virtual Result<Reload> reload(const config::Snapshot&) { return Error{"this service does not take a new configuration in place"}; }
    /// Adds its counters to those of the process, and brings gauges().messages up to date.
    virtual void count(handoff::CountersReply&) {}
};

struct ListeningSocket {
    std::string name;              // "smtp" of an inet line; "public/showq", "private/posthorn.qmgr"
    bool inet = false;
    bool datagram = false;
    Fd socket;
};

/// A line of master.cf that has no process of its own and runs here, with its -o options.
struct FoldedLine {
    std::string service, command;
    std::vector<config::Assignment> overrides;
};

class Service {
public:
    /// From the inherited descriptors.
    static std::unique_ptr<Service> from_supervisor();
    ~Service();
    Service(Service&&) = delete;

    const Start& start_record() const { return start_; }
    const std::string& name() const { return start_.service(); }
    const std::string& program() const { return start_.program(); }
    /// With the -o options of its line applied.
    const config::Snapshot& config() const { return config_; }
    /// For a folded line (cleanup, bounce, verify ...): the configuration with that line's -o options; without such a line, config().
    config::Snapshot config_for(std::string_view service) const;
    /// config(), and that of every line that runs here.
    std::vector<config::Snapshot> all_configs() const;
    /// "postfix/smtpd"
    const observe::Log& log() const { return log_; }
    /// Under another station's name: log_as("cleanup") is "postfix/cleanup", by the syslog_name of that line.
    observe::Log log_as(std::string_view station) const { return log_as(station, station); }
    /// By the syslog_name of `line`, where the station's line may have another name (cleanup_service_name).
    observe::Log log_as(std::string_view station, std::string_view line) const;

    /// Where records go (record_file). Whether any are wanted the caller knows.
    observe::Recorder& recorder() { return *sink_; }

    asio::io_context& loop() { return loop_; }
    Executor executor() { return loop_.get_executor(); }
    Gauges& gauges() { return gauges_; }

    /// Takes the listening socket of this name; one that was not passed is empty.
    Fd take_listener(std::string_view name);
    /// All that are left.
    std::vector<ListeningSocket> take_listeners();

    /// The broker: a file that the configuration names, opened read-only by the supervisor, whatever its owner and mode.
    awaitable<Result<Fd>> open_file(std::string path);
    /// What all processes of the instance have counted. Answered to the admin service alone.
    awaitable<Result<InstanceCounters>> instance_counters();
    /// The supervisor starts this line of master.cf, where it is one that waits for its first mail. As often as one likes.
    void want(std::string_view name);
    /// Called on the loop when such a file changed (a new descriptor) or is gone (an empty one).
    void on_file_changed(std::function<void(const std::string& path, Fd file)> hear) { file_changed_ = std::move(hear); }
    /// Runs the loop until `task` is done: for start-up, before run().
    template <class T>
    T wait(awaitable<T> task)
    {
        std::optional<T> result;
        asio::co_spawn(
            loop_,
            [](awaitable<T> inner, std::optional<T>& out) -> awaitable<void> { out.emplace(co_await std::move(inner)); }(std::move(task), result),
            [](std::exception_ptr failure) {
                if (failure)
                    std::rethrow_exception(failure);
            });
        while (!result && loop_.run_one() > 0) {
        }
        loop_.restart();
        if (!result)
            throw std::runtime_error("the event loop ran dry while starting");
        return *std::move(result);
    }

    /// See powers.hpp. Throws where it cannot be done, and where a thread was started before. `readable` is for what the broker cannot give
    /// (libraries that open by name).
    Confined confine(Confinement confinement);

    /// Until stopped; the exit status.
    int run(Work& work);

private:
    Service(Start start, config::Snapshot snapshot);
    void open_control(Fd socket);
    void heard(ipc::Incoming incoming);
    handoff::CountersReply counted();
    awaitable<void> tell_last_counters();
    void begin_stop(Stop how, std::chrono::seconds limit);
    awaitable<void> beat();
    awaitable<void> measure_lag();
    awaitable<void> take_stop(Stop how);
    void take_configuration(ipc::Incoming incoming);
    Result<Reload> take(const config::Snapshot& base, const NewConfiguration& news);
    config::Snapshot with_options(const config::Snapshot& base, const Folded& own) const;

    Start start_;
    asio::io_context loop_{1};
    config::Snapshot base_, config_;              // of the site; with the options of our line
    std::vector<FoldedLine> folded_;
    std::vector<ListeningSocket> listening_;
    std::optional<config::Reading> reading_;      // while it starts
    std::set<std::string, std::less<>> read_at_start_;
    std::shared_ptr<observe::RingSink> sink_;
    std::shared_ptr<observe::AddressForm> address_form_;
    observe::Log log_;
    std::chrono::seconds helper_warn_time_;
    std::shared_ptr<ipc::Channel> control_;
    std::function<void(const std::string&, Fd)> file_changed_;
    Gauges gauges_;
    Fd memory_use_;                               // /proc/self/statm, opened while that was allowed
    WallTime began_ = SystemClock().wall();
    Work* work_ = nullptr;
    bool stopping_ = false;
    std::optional<Stop> asked_early_;             // stopped while starting
    std::unique_ptr<TaskGroup> tasks_;
    asio::steady_timer stop_limit_{loop_};
    int exit_status_ = 0;
};

/// One entry of the table of services: `serve` is called with the Service and returns the exit status.
struct Program {
    std::string_view name;         // Start.program
    int (*serve)(Service&);
};

/// The whole life of a service process: what `posthorn service NAME` runs. The supervisor's descriptors must be there.
int run_service(std::span<const Program> programs);

}  // namespace posthorn::process
