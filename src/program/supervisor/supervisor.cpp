#include "supervisor/supervisor.hpp"

#include "process/memory_file.hpp"
#include "supervisor/params.hpp"
#include "supervisor/start_record.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace posthorn::supervisor {

using process::Control;
using process::StopService;

struct Supervisor::Seat {
    Seat(asio::io_context& loop, std::chrono::seconds longest) : timer(loop), restart(longest) {}
    asio::steady_timer timer;
    Restart restart;
};

namespace {

constexpr std::size_t opened_files_limit = 4096;                  // per process; a configuration names far fewer

}  // namespace

Supervisor::Supervisor(const MasterOptions& options, Loaded loaded, Identity owner, LogTarget log, LogTarget records, InstanceLock lock)
    : options_(options), loaded_(std::move(loaded)), owner_(owner), log_target_(std::move(log)), record_target_(std::move(records)),
      lock_(std::move(lock)), collector_(log_target_.duplicate(), log_target_.form()), sink_(collector_.own()),
      log_(sink_, loaded_.snapshot.text("syslog_name") + "/master"), signals_(loop_, SIGCHLD, SIGTERM, SIGINT), tasks_(loop_.get_executor()),
      child_ended_(loop_.get_executor())
{
    for (const int signal : {SIGHUP, SIGQUIT, SIGUSR1})
        signals_.add(signal);
    std::signal(SIGPIPE, SIG_IGN);
    write_records();
}

Supervisor::~Supervisor() = default;

Result<void> Supervisor::bind()
{
    TRY_VOID(bind_lines(loaded_, places_));
    return lock_.write_pid();                                       // before anybody hears that it serves: then the number is looked for
}

Result<void> Supervisor::bind_lines(const Loaded& loaded, std::map<std::string, std::vector<std::string>>& places)
{
    for (const ProcessLine& line : loaded.table.lines) {
        const config::Snapshot own = loaded.snapshot.for_service(line.service, line.program, line.overrides, loaded.master_cf.path);
        for (const SocketLine& socket : line.sockets) {
            auto bound = sockets_.bind(socket, own, owner_);
            if (!bound)
                return Error{fmt::format("{}: line {}: service {}: {}", loaded.master_cf.path, socket.line, line.key, bound.error().text())};
            places[line.key].insert(places[line.key].end(), bound->begin(), bound->end());
        }
    }
    return bind_questions(loaded, places["master"]);
}

int Supervisor::run()
{
    auto file = process::make_memory_file("configuration", loaded_.snapshot.serialise());
    if (!file) {
        log_.fatal("{}", file.error().text());
        return 1;
    }
    config_file_ = *std::move(file);
    log_.info("daemon started -- version {}, configuration {}", loaded_.snapshot.text("mail_version"), options_.config_directory);
    for (const std::string& warning : loaded_.warnings)
        log_.warning("{}", warning);
    tasks_.spawn(hear_signals());
    tasks_.spawn(tick());
    hear_questions();
    for (const ProcessLine& line : loaded_.table.lines)
        if (serves(line))
            start_line(line);
    loop_.run();
    return 0;
}

// --- starting -------------------------------------------------------------------------------------------------------

void Supervisor::start_line(const ProcessLine& line)
{
    roles_[line.key] = line.role;
    for (unsigned index = 0; index < line.processes; ++index)
        start_child(line.key, index);
}

bool Supervisor::serves(const ProcessLine& line) const { return !line.on_demand || wanted_.contains(line.key); }

/// There is mail for it. From here on it is a line as any other.
void Supervisor::want(const std::string& service)
{
    for (const ProcessLine& line : loaded_.table.lines)
        if (line.on_demand && line.service == service && !stopping_ && wanted_.insert(line.key).second)
            start_line(line);
}

const ProcessLine* Supervisor::find_line(const std::string& key) const
{
    const auto found = std::ranges::find(loaded_.table.lines, key, &ProcessLine::key);
    return found == loaded_.table.lines.end() ? nullptr : &*found;
}

Role Supervisor::role_of(const Child& child) const
{
    const auto found = roles_.find(child.line);
    return found == roles_.end() ? Role::smtpd : found->second;
}

Result<Spawned> Supervisor::spawn(const ProcessLine& line, unsigned index, const observe::LogCollector::Ring& log)
{
    StartRecord start = start_record(loaded_, owner_, line);
    start.record.set_generation(generation_);
    start.record.set_index(index);
    start.record.set_verbose(static_cast<std::uint32_t>(line.verbose + options_.verbose));
    start.config(config_file_.get());
    const Fd bell = collector_.bell();
    start.log(log.memory.get(), bell.get());
    if (log_target_.descriptor() >= 0)
        start.log_alone(log_target_.descriptor(), log_target_.form());
    if (record_target_.descriptor() >= 0)
        start.records_alone(record_target_.descriptor());
    if (const auto places = places_.find(line.key); places != places_.end())
        for (const std::string& place : places->second) {
            const BoundSocket& socket = sockets_.at(place);
            const bool inet = socket.type == config::Transport::inet;
            start.listening(socket.socket.get(), inet ? line.service : socket.place, inet, socket.type == config::Transport::unix_dgram);
        }
    return spawn_service(options_.services_program, std::move(start));
}

void Supervisor::start_child(const std::string& key, unsigned index)
{
    const ProcessLine* line = find_line(key);
    if (!line || index >= line->processes || stopping_)
        return;                                                    // the line went with a reload
    auto& seat = seats_[{key, index}];
    if (!seat)
        seat = std::make_unique<Seat>(loop_, loaded_.snapshot.get(service_throttle_time));
    seat->restart.set_longest(loaded_.snapshot.get(service_throttle_time));
    seat->timer.cancel();
    const auto try_again = [this, key, index, &seat] {
        const auto wait = std::max(seat->restart.ended(clock_.steady(), false), std::chrono::seconds(1));
        seat->timer.expires_after(wait);
        seat->timer.async_wait([this, key, index](boost::system::error_code error) {
            if (!error)
                start_child(key, index);
        });
    };
    seat->restart.started(clock_.steady());
    const auto log = collector_.ring();
    auto spawned = log ? spawn(*line, index, *log) : Result<Spawned>(log.error());
    if (!spawned) {
        if (log)
            collector_.forget(log->number);
        log_.warning("cannot start process {}: {}", line->program, spawned.error().text());
        return try_again();
    }
    Child child;
    child.pid = spawned->pid;
    child.line = key;
    child.command = loaded_.snapshot.text("daemon_directory") + "/" + line->program;
    child.index = index;
    child.generation = generation_;
    child.sign_of_life = clock_.steady();
    child.log_ring = log->number;
    children_.emplace(child.pid, std::move(child));
    connect_child(spawned->pid, std::move(spawned->control));
}

void Supervisor::connect_child(pid_t pid, Fd control)
{
    ipc::ChannelOptions options;
    options.name = children_.at(pid).command;
    options.frame_limit = process::control_frame_limit;
    options.queue_limit = 1 << 20;
    options.request_limit = 64;
    options.call_limit = std::chrono::seconds(10);
    children_.at(pid).channel = ipc::Channel::open(
        loop_.get_executor(), std::move(control), options, [this, pid](ipc::Incoming incoming) { heard(pid, std::move(incoming)); },
        [this, pid](Error) {
            // It has ended, which is seen by its exit status, or it broke the rules of the channel: then it has to end.
            if (const auto found = children_.find(pid); found != children_.end() && !found->second.kill_at)
                found->second.kill_at = clock_.steady() + std::chrono::seconds(12);
        });
}

// --- what children say ----------------------------------------------------------------------------------------------

void Supervisor::heard(pid_t pid, ipc::Incoming incoming)
{
    const auto found = children_.find(pid);
    if (found == children_.end())
        return;
    Child& child = found->second;
    switch (static_cast<Control>(incoming.kind)) {
    case Control::ready:
        if (std::exchange(child.ready, true))
            return;
        child.sign_of_life = clock_.steady();
        // The new generation serves: the old ones of this line take nothing new.
        for (auto& [other_pid, other] : children_)
            if (other.line == child.line && other.generation < child.generation && !other.stopping)
                stop_child(other, StopService::GENERATION, std::chrono::hours(1));
        retire_older_than_two();
        return;
    case Control::heartbeat:
        child.sign_of_life = clock_.steady();
        if (const auto heartbeat = incoming.parse<process::Heartbeat>()) {
            child.messages = heartbeat->messages();
            child.processor_microseconds = heartbeat->processor_microseconds();
        }
        return;
    case Control::open_file: open_for(child, std::move(incoming)); return;
    case Control::want_service:
        if (const auto wish = incoming.parse<process::WantService>();
            wish && (role_of(child) == Role::qmgr || (role_of(child) == Role::smtpd && wish->service() == "sasl")))
            want(wish->service());
        return;
    case Control::instance_counters:
        if (role_of(child) == Role::admin)
            tasks_.spawn(tell_counters(std::move(incoming.responder), true));
        return;                                                    // else answered with an error as the responder goes
    case Control::last_counters:
        if (const auto last = incoming.parse<handoff::CountersReply>()) {
            keep_counters(child, *last);
            incoming.responder.reply(process::CountersKept{});
        }
        return;
    default: return;                                               // a request gets its error when the responder goes
    }
}

void Supervisor::open_for(Child& child, ipc::Incoming incoming)
{
    const auto request = incoming.parse<process::OpenFile>();
    if (!request)
        return incoming.responder.fail(request.error());
    const std::string& path = request->path();
    if (!loaded_.files.granted(path))
        return incoming.responder.fail(Error{"the configuration does not name this file", "4.3.0"});
    if (child.opened.size() >= opened_files_limit)
        return incoming.responder.fail(Error{"too many files", "4.3.0"});
    auto opened = open_for_service(path);
    // Also a file that is not there is watched: it is passed when it comes.
    child.opened[path] = opened ? opened->identity : FileIdentity{};
    if (!opened)
        return incoming.responder.fail(opened.error());
    std::vector<Fd> descriptors;
    descriptors.push_back(std::move(opened->file));
    incoming.responder.reply(process::FileOpened{}, std::move(descriptors));
}

void Supervisor::watch_files()
{
    std::map<std::string, FileIdentity> now;                       // several processes watch the same files
    for (auto& [pid, child] : children_)
        for (auto& [path, identity] : child.opened) {
            const auto [entry, fresh] = now.try_emplace(path);
            if (fresh)
                entry->second = identity_of(path);
            if (entry->second == identity || !child.channel->is_open())
                continue;
            process::FileChanged change;
            change.set_path(path);
            std::vector<Fd> descriptors;
            if (auto opened = open_for_service(path)) {
                identity = opened->identity;
                descriptors.push_back(std::move(opened->file));
            } else {
                identity = entry->second;
                change.set_gone(true);
            }
            if (loaded_.files.granted(path))
                (void)child.channel->post(Control::file_changed, change, std::move(descriptors));
        }
}

void Supervisor::refresh_log()
{
    if (log_target_.refresh())
        collector_.replace(log_target_.duplicate(), log_target_.form());
    if (record_target_.refresh())
        write_records();
}

void Supervisor::write_records()
{
    collector_.replace_records(record_target_.duplicate(), fmt::format("{}/master[{}]", loaded_.snapshot.text("syslog_name"), ::getpid()));
}

// --- the end of children --------------------------------------------------------------------------------------------

void Supervisor::reap()
{
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
        const auto found = children_.find(pid);
        if (found == children_.end())
            continue;
        Child child = std::move(found->second);
        children_.erase(found);
        ended(std::move(child), status);
    }
    child_ended_.notify_all();
}

void Supervisor::ended(Child child, int status)
{
    child.channel->close();
    collector_.forget(child.log_ring);
    const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (WIFEXITED(status) && !clean)
        log_.warning("process {} pid {} exit status {}", child.command, child.pid, WEXITSTATUS(status));
    else if (WIFSIGNALED(status) && !(child.stopping && child.killed))
        log_.warning("process {} pid {} killed by signal {}", child.command, child.pid, WTERMSIG(status));
    if (const std::string why = WIFEXITED(status) && !child.ready ? why_not_started(WEXITSTATUS(status)) : ""; !why.empty())
        log_.warning("{}: {}", child.command, why);
    if (stopping_ || child.stopping || child.generation != generation_)
        return;
    const auto seat = seats_.find({child.line, child.index});
    if (seat == seats_.end())
        return;
    if (!child.ready)
        log_.warning("{}: bad command startup -- throttling", child.command);
    if (child.replaced)
        return start_child(child.line, child.index);
    const auto wait = seat->second->restart.ended(clock_.steady(), child.ready);
    seat->second->timer.expires_after(wait);
    seat->second->timer.async_wait([this, key = child.line, index = child.index](boost::system::error_code error) {
        if (!error)
            start_child(key, index);
    });
}

void Supervisor::stop_child(Child& child, StopService::How how, std::chrono::seconds limit)
{
    child.stopping = true;
    StopService stop;
    stop.set_how(how);
    stop.set_limit(static_cast<std::uint32_t>(limit.count()));
    if (!child.channel->is_open() || !child.channel->post(Control::stop, stop))
        ::kill(child.pid, SIGTERM);
    // It ends by itself at the limit; one that hangs is helped.
    const SteadyTime late = clock_.steady() + limit + std::chrono::seconds(5);
    child.kill_at = child.kill_at ? std::min(*child.kill_at, late) : late;
}

void Supervisor::kill_late_ones(SteadyTime now)
{
    const auto silence = loaded_.snapshot.get(service_watchdog_time);
    for (auto& [pid, child] : children_) {
        if (child.kill_at && now >= *child.kill_at) {
            log_.warning("process {} pid {} did not end in time -- killed", child.command, pid);
            child.killed = true;
            child.kill_at = now + std::chrono::seconds(5);
            ::kill(pid, SIGKILL);
        } else if (!child.killed && !child.kill_at && now - child.sign_of_life > silence) {
            log_.warning("process {} pid {} gives no sign of life -- killed by the watchdog", child.command, pid);
            child.killed = true;
            ::kill(pid, SIGKILL);
        }
    }
}

// --- the loop -------------------------------------------------------------------------------------------------------

awaitable<void> Supervisor::tick()
{
    SteadyTime last = clock_.steady();
    while (!co_await cancelled()) {
        const bool pressing = stopping_ || std::ranges::any_of(children_, [](const auto& one) { return one.second.kill_at.has_value(); });
        co_await sleep_for(std::chrono::seconds(pressing ? 1 : 2));
        const SteadyTime now = clock_.steady();
        // After a stop of the whole machine nobody has had time to give a sign.
        if (now - last > std::chrono::seconds(10))
            for (auto& [pid, child] : children_)
                child.sign_of_life = now;
        last = now;
        kill_late_ones(now);
        refresh_log();
        watch_files();
    }
}

awaitable<void> Supervisor::hear_signals()
{
    // stop_all() may have closed the group before this one waits again: nothing would wake it then.
    while (!co_await cancelled()) {
        const auto [error, signal] = co_await signals_.async_wait(asio::as_tuple(use_awaitable));
        if (error)
            co_return;
        switch (signal) {
        case SIGCHLD: reap(); break;
        case SIGHUP:
            if (!stopping_)
                tasks_.spawn(reload_unasked());
            break;
        default:
            if (std::exchange(stopping_, true) && signal != SIGQUIT)
                break;
            log_.info("terminating on signal {}", signal);
            // Not of the group: it closes the group when all is done.
            asio::co_spawn(loop_,
                           stop_all(signal == SIGQUIT ? StopService::ABORT : StopService::DRAIN, signal == SIGQUIT ? std::chrono::seconds(0)
                                                                                                 : signal == SIGUSR1
                                                                                                     ? std::chrono::hours(1)
                                                                                                     : loaded_.snapshot.get(service_stop_time)),
                           [](std::exception_ptr failure) {
                               if (failure)
                                   std::rethrow_exception(failure);
                           });
        }
    }
}

bool Supervisor::any_running(std::span<const Role> roles) const
{
    return std::ranges::any_of(children_, [&](const auto& entry) { return std::ranges::find(roles, role_of(entry.second)) != roles.end(); });
}

awaitable<void> Supervisor::stop_all(StopService::How how, std::chrono::seconds limit)
{
    for (auto& [place, seat] : seats_)
        seat->timer.cancel();
    // Who takes mail in first; then who delivers it, for a queue that goes on without a transport puts mail off; then who routes, the queue
    // that all report to, and what all ask.
    using Roles = std::vector<Role>;
    std::vector<Roles> steps{{Role::smtpd, Role::spawn, Role::admin},
                             {Role::transport, Role::sasl},
                             {Role::reporter},
                             {Role::resolve},
                             {Role::qmgr},
                             {Role::memory, Role::hook}};
    if (how == StopService::ABORT)
        steps = {{Role::smtpd, Role::transport, Role::spawn, Role::admin, Role::sasl, Role::resolve, Role::qmgr, Role::memory, Role::hook,
                  Role::reporter}};
    for (const Roles& roles : steps) {
        // However long service_stop_time is, a service manager that has a time of its own (TimeoutStopSec=) waits for it.
        if (any_running(roles))
            if (auto told = manager_.stopping(limit + std::chrono::seconds(15)); !told)
                log_.warning("{}", told.error().text());
        for (auto& [pid, child] : children_)
            if (std::ranges::find(roles, role_of(child)) != roles.end())
                stop_child(child, how, limit);
        while (any_running(roles))
            co_await child_ended_.wait_for(std::chrono::milliseconds(500));
    }
    co_await questions_->close();
    sockets_.keep_only({});
    signals_.cancel();
    co_await tasks_.close();
    loop_.stop();
}

}  // namespace posthorn::supervisor
