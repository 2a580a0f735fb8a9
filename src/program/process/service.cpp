#include "process/service.hpp"

#include "config/idna.hpp"
#include "handoff/counting.hpp"
#include "observe/asked.hpp"
#include "process/counters.hpp"
#include "process/memory_file.hpp"
#include "process/params.hpp"
#include "process/refusals.hpp"

#include <boost/asio/signal_set.hpp>

#include <fcntl.h>
#include <sys/prctl.h>

#include <csignal>
#include <stdexcept>

namespace posthorn::process {

namespace {

using namespace std::chrono_literals;

/// A descriptor that the start record names. Marked close-on-exec at once.
Fd inherited(std::uint32_t number)
{
    Fd descriptor(static_cast<int>(number));
    if (::fcntl(descriptor.get(), F_SETFD, FD_CLOEXEC) != 0)
        throw std::runtime_error(fmt::format("descriptor {} of the start record is not open", descriptor.release()));
    return descriptor;
}

FoldedLine line_of(const Folded& line)
{
    FoldedLine folded{line.service(), line.command(), {}};
    for (int i = 0; i < line.names_size() && i < line.values_size(); ++i)
        folded.overrides.push_back({line.names(i), line.values(i)});
    return folded;
}

std::vector<FoldedLine> lines_of(const google::protobuf::RepeatedPtrField<Folded>& lines)
{
    std::vector<FoldedLine> result;
    std::ranges::transform(lines, std::back_inserter(result), line_of);
    return result;
}

config::Snapshot snapshot_in(const Fd& file)
{
    auto octets = read_memory_file(file);
    if (!octets)
        throw std::runtime_error(octets.error().text());
    auto snapshot = config::Snapshot::parse(*octets);
    if (!snapshot)
        throw std::runtime_error(snapshot.error().text());
    return *snapshot;
}

/// Where it cannot be mapped, lines are dropped and counted.
std::shared_ptr<observe::RingSink> log_of(const Start& start)
{
    if (start.log() == 0)
        return std::make_shared<observe::RingSink>(observe::MappedRing(), Fd());
    const Fd memory = inherited(start.log());
    Fd bell = inherited(start.log_bell());
    auto ring = observe::map_log_ring(memory);
    Fd target = start.log_target() == 0 ? Fd() : inherited(start.log_target());
    Fd records = start.record_target() == 0 ? Fd() : inherited(start.record_target());
    return std::make_shared<observe::RingSink>(ring ? *std::move(ring) : observe::MappedRing(), std::move(bell), std::move(target),
                                               start.log_by_syslog() ? observe::LogForm::syslog : observe::LogForm::file, std::move(records));
}

}  // namespace

std::unique_ptr<Service> Service::from_supervisor()
{
    const Fd record = inherited(start_descriptor);
    auto octets = read_memory_file(record);
    Start start;
    if (!octets || !start.ParseFromString(*octets))
        throw std::runtime_error("the start record cannot be read: services are started by posthorn-master");
    const Fd config = inherited(start.config());
    std::unique_ptr<Service> service(new Service(start, snapshot_in(config)));
    service->open_control(inherited(control_descriptor));
    return service;
}

Service::Service(Start start, config::Snapshot snapshot)
    : start_(std::move(start)), base_(std::move(snapshot)), config_(with_options(base_, start_.own())), folded_(lines_of(start_.folded())),
      reading_(std::in_place), sink_(log_of(start_)),
      address_form_(std::make_shared<observe::AddressForm>(sink_, config_.text("info_log_address_format"))),
      log_(address_form_, config_.text("syslog_name") + "/" + start_.program()), helper_warn_time_(config_.get(helper_warn_time)),
      memory_use_(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC))
{
    config::convert_as_idna2003(config_.get(config::enable_idna2003_compatibility));
    for (const Listening& listening : start_.listening())
        listening_.push_back({listening.name(), listening.inet(), listening.datagram(), inherited(listening.descriptor())});
    tasks_ = std::make_unique<TaskGroup>(executor());
    if (!start_.queue_directory().empty() && ::chdir(start_.queue_directory().c_str()) != 0)
        throw std::runtime_error(system_error("change to " + start_.queue_directory(), errno).text());
}

Service::~Service()
{
    if (control_)
        control_->close();
}

void Service::open_control(Fd socket)
{
    ipc::ChannelOptions options;
    options.name = "master";
    control_ = ipc::Channel::open(
        executor(), std::move(socket), options, [this](ipc::Incoming incoming) { heard(std::move(incoming)); },
        [this](Error) {
            sink_->reader_gone();
            begin_stop(Stop::drain, 10s);                              // the supervisor is gone: nobody would restart or reload us
        });
}

config::Snapshot Service::with_options(const config::Snapshot& base, const Folded& own) const
{
    return base.for_service(start_.service(), start_.program(), line_of(own).overrides, start_.origin());
}

config::Snapshot Service::config_for(std::string_view service) const
{
    for (const FoldedLine& line : folded_)
        if (line.service == service)
            return base_.for_service(line.service, line.command, line.overrides, start_.origin());
    return config_;
}

std::vector<config::Snapshot> Service::all_configs() const
{
    std::vector<config::Snapshot> all{config_};
    for (const FoldedLine& line : folded_)
        all.push_back(config_for(line.service));
    return all;
}

observe::Log Service::log_as(std::string_view station, std::string_view line) const
{
    return log_.as(config_for(line).text("syslog_name") + "/" + std::string(station));
}

Fd Service::take_listener(std::string_view name)
{
    for (auto entry = listening_.begin(); entry != listening_.end(); ++entry)
        if (entry->name == name) {
            Fd socket = std::move(entry->socket);
            listening_.erase(entry);
            return socket;
        }
    return Fd();
}

std::vector<ListeningSocket> Service::take_listeners() { return std::exchange(listening_, {}); }

awaitable<Result<Fd>> Service::open_file(std::string path)
{
    OpenFile request;
    request.set_path(std::move(path));
    auto received = co_await control_->call_raw(Control::open_file, std::move(request));
    if (!received)
        co_return std::move(received).error();
    if (received->descriptors.size() != 1)
        co_return Error{"the supervisor sent no descriptor", "4.3.0"};
    co_return std::move(received->descriptors.front());
}

awaitable<Result<InstanceCounters>> Service::instance_counters()
{
    CO_TRY(auto received, co_await control_->call_raw(Control::instance_counters, InstanceQuestion{}));
    if (received.descriptors.size() != 1)
        co_return Error{"the supervisor sent no descriptor", "4.3.0"};
    CO_TRY(const std::string octets, read_memory_file(received.descriptors.front()));
    InstanceCounters told;
    if (!told.ParseFromString(octets))
        co_return Error{"malformed counters", "4.3.0"};
    co_return told;
}

void Service::want(std::string_view name)
{
    WantService wish;
    wish.set_service(std::string(name));
    if (control_ && control_->is_open())
        (void)control_->post(Control::want_service, wish);          // who wants it asks again
}

Confined Service::confine(Confinement confinement)
{
    if (start_.trial() != 0) {
        // All that is read of the configuration has been read; what follows would touch the running instance.
        (void)!::write(static_cast<int>(start_.trial()), trial_passed.data(), trial_passed.size());
        ::_exit(0);
    }
    Place place;
    place.queue_directory = start_.queue_directory();
    place.data_directory = start_.data_directory();
    place.uid = start_.uid();
    place.gid = start_.gid();
    place.chroot = start_.chroot();
    const Confined confined = process::confine(place, confinement);
    if (start_.check_powers() != 0)
        report_refusals(inherited(start_.check_powers()), confinement.may);
    return confined;
}

int Service::run(Work& work)
{
    work_ = &work;
    asio::signal_set signals(loop_, SIGTERM);
    signals.async_wait([this](boost::system::error_code error, int) {
        if (!error)
            begin_stop(Stop::drain, 10s);
    });
    tasks_->spawn(beat());
    tasks_->spawn(measure_lag());
    asio::post(loop_, [this, &work] {
        if (stopping_)
            return;
        work.start();
        if (control_->is_open())
            (void)control_->post(Control::ready, Ready{});           // a supervisor that is gone is noticed by its own way
        read_at_start_ = reading_->names();
        reading_.reset();
        if (asked_early_)
            begin_stop(*asked_early_, 10s);
    });
    loop_.run();
    work_ = nullptr;
    return exit_status_;
}

void Service::begin_stop(Stop how, std::chrono::seconds limit)
{
    if (!work_) {
        asked_early_ = how;
        return;
    }
    const auto end = std::chrono::steady_clock::now() + (how == Stop::abort ? 0s : limit);
    const bool again = std::exchange(stopping_, true);
    if (again && end >= stop_limit_.expiry())
        return;
    stop_limit_.expires_at(end);
    stop_limit_.async_wait([](boost::system::error_code error) {
        if (error)
            return;
        // What is still held is worked off after the next start: nothing of it was acknowledged or reported done.
        ::_exit(0);
    });
    if (again)
        return work_->hurry();
    asio::co_spawn(loop_, take_stop(how), [](std::exception_ptr failure) {
        if (failure)
            std::rethrow_exception(failure);
    });
}

awaitable<void> Service::take_stop(Stop how)
{
    co_await work_->stop(how);
    co_await tell_last_counters();
    co_await tasks_->close();
    stop_limit_.cancel();
    control_->close();
    loop_.stop();
}

void Service::heard(ipc::Incoming incoming)
{
    switch (static_cast<Control>(incoming.kind)) {
    case Control::stop:
        if (const auto stop = incoming.parse<StopService>()) {
            const Stop how = stop->how() == StopService::ABORT        ? Stop::abort
                             : stop->how() == StopService::GENERATION ? Stop::generation
                                                                      : Stop::drain;
            begin_stop(how, std::chrono::seconds(stop->limit()));
        }
        return;
    case Control::file_changed:
        if (const auto change = incoming.parse<FileChanged>(); change && file_changed_)
            file_changed_(change->path(), incoming.descriptors.empty() ? Fd() : std::move(incoming.descriptors.front()));
        return;
    case Control::new_configuration: take_configuration(std::move(incoming)); return;
    case Control::counters: incoming.responder.reply(counted()); return;
    default: return;                                                  // a newer supervisor's notice; a request answers itself
    }
}

void Service::take_configuration(ipc::Incoming incoming)
{
    const auto news = incoming.parse<NewConfiguration>();
    if (!news || incoming.descriptors.size() != 1)
        return incoming.responder.fail(Error{"malformed configuration frame", "4.3.0"});
    if (!work_)
        return incoming.responder.fail(Error{"still starting", "4.3.0"});
    try {
        const auto taken = take(snapshot_in(incoming.descriptors.front()), *news);
        if (!taken)
            return incoming.responder.fail(taken.error());
        ConfigurationTaken answer;
        answer.set_by_successor(*taken == Reload::by_successor);
        incoming.responder.reply(answer);
    } catch (const std::exception& bad) {
        incoming.responder.fail(Error{bad.what(), "4.3.0"});
    }
}

Result<Reload> Service::take(const config::Snapshot& base, const NewConfiguration& news)
{
    const config::Snapshot mine = with_options(base, news.own());
    auto lines = lines_of(news.folded());
    std::vector<std::string> services;                           // of the lines before and of those afterwards: some may be new, some gone
    for (const auto* list : {&folded_, &lines})
        std::ranges::transform(*list, std::back_inserter(services), &FoldedLine::service);
    const auto configs = [&] {
        std::vector<config::Snapshot> all{config_};
        for (const std::string& service : services)
            all.push_back(config_for(service));
        return all;
    };
    const auto configs_before = configs();
    // The lines that run here may be asked for while the options are taken: config_for() answers from the new ones.
    auto before = std::tuple(base_, config_, folded_);
    base_ = base;
    config_ = mine;
    folded_ = std::move(lines);
    const config::Reading reading;
    auto taken = work_->reload(config_);
    if (!taken) {
        std::tie(base_, config_, folded_) = std::move(before);
        return taken;
    }
    address_form_->set(config_.text("info_log_address_format"));
    helper_warn_time_ = config_.get(helper_warn_time);
    config::convert_as_idna2003(config_.get(config::enable_idna2003_compatibility));
    start_.set_generation(news.generation());
    start_.set_heartbeat_seconds(news.heartbeat_seconds());
    // Loggers carry their name; the rest is what reload() did not ask for again.
    std::vector<std::string_view> kept{"syslog_name"};
    std::ranges::copy_if(read_at_start_, std::back_inserter(kept), [&](const std::string& name) { return !reading.names().contains(name); });
    const auto same = [&](const config::Snapshot& was, const config::Snapshot& is) {
        return std::ranges::all_of(kept, [&](std::string_view name) { return was.text(name) == is.text(name); });
    };
    return std::ranges::equal(configs_before, configs(), same) ? *taken : Reload::by_successor;
}

handoff::CountersReply Service::counted()
{
    handoff::CountersReply reply;
    if (work_)
        work_->count(reply);
    handoff::count(reply, processor_microseconds, static_cast<std::uint64_t>(processor_time().count()));
    handoff::count(reply, messages, gauges_.messages);
    handoff::count(reply, resident_memory, resident_memory_now(memory_use_.get()));
    handoff::count(reply, started, static_cast<std::uint64_t>(began_.time_since_epoch().count()));
    handoff::count(reply, loop_lag, static_cast<std::uint64_t>(gauges_.lag.recent(SystemClock().steady()).count()));
    handoff::count(reply, loop_late, gauges_.lag.late());
    handoff::count(reply, log_lines_dropped, sink_->dropped());
    handoff::count(reply, records_dropped, sink_->records_dropped());
    for (const auto& [helper, numbers] : observe::Asked::here().numbers(SystemClock().steady())) {
        const std::initializer_list<handoff::CounterLabel> labels{{"kind", observe::name_of(helper.first)}, {"name", helper.second}};
        handoff::count(reply, asked, numbers.took, labels);
        handoff::count(reply, asked_failed, numbers.failed, labels);
        handoff::count(reply, asked_open, numbers.open, labels);
        handoff::count(reply, asked_oldest, static_cast<std::uint64_t>(numbers.oldest.count()), labels);
        handoff::count(reply, asked_longest, static_cast<std::uint64_t>(numbers.longest.count()), labels);
    }
    return reply;
}

/// The supervisor keeps them: the sums of a line do not fall when one of its processes ends.
awaitable<void> Service::tell_last_counters()
{
    if (control_->is_open())
        (void)co_await control_->call<CountersKept>(Control::last_counters, counted());
}

awaitable<void> Service::beat()
{
    while (!co_await cancelled()) {
        Heartbeat heartbeat;
        heartbeat.set_processor_microseconds(static_cast<std::uint64_t>(processor_time().count()));
        heartbeat.set_messages(gauges_.messages);
        heartbeat.set_loop_lag_microseconds(static_cast<std::uint64_t>(gauges_.lag.take_largest().count()));
        if (control_->is_open())
            (void)control_->post(Control::heartbeat, heartbeat);
        // All processes at the same moments: the supervisor wakes for them together.
        const std::chrono::seconds every{start_.heartbeat_seconds() != 0 ? start_.heartbeat_seconds() : longest_heartbeat_seconds};
        co_await sleep_for(std::chrono::ceil<std::chrono::milliseconds>(every - std::chrono::steady_clock::now().time_since_epoch() % every));
    }
}

awaitable<void> Service::measure_lag()
{
    constexpr auto at_work = 250ms, at_rest = 2000ms;                  // a process with nothing to do is not woken to say so
    const SystemClock clock;
    asio::steady_timer timer(loop_);
    auto spent = processor_time();
    auto step = std::chrono::milliseconds{at_work};
    while (!co_await cancelled()) {
        const auto now_spent = processor_time();
        step = now_spent - spent > step / 100 ? at_work : at_rest;
        spent = now_spent;
        const SteadyTime due = clock.steady() + step;
        timer.expires_at(due);
        co_await timer.async_wait(asio::as_tuple(use_awaitable));
        const SteadyTime now = clock.steady();
        for (const observe::Asked::News& one : observe::Asked::here().news(now, helper_warn_time_)) {
            if (one.good)
                log_.info("{}", one.text);
            else
                log_.warning("{}", one.text);
        }
        if (now <= due)
            continue;
        const auto late = std::chrono::duration_cast<std::chrono::microseconds>(now - due);
        if (const auto worth = gauges_.lag.note(now, late))
            log_.warning("event loop was late by {} ms", worth->count() / 1000);
    }
}

int run_service(std::span<const Program> programs)
{
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGHUP, SIG_IGN);                                     // the supervisor's affair
    std::signal(SIGINT, SIG_IGN);                                     // start-fg in a terminal: the supervisor stops us in order
    std::unique_ptr<Service> service;
    try {
        service = Service::from_supervisor();
        for (const Program& program : programs) {
            if (program.name != service->program())
                continue;
            ::prctl(PR_SET_NAME, service->program().c_str(), 0, 0, 0);
            return program.serve(*service);
        }
        throw std::runtime_error("no such service program: " + service->program());
    } catch (const std::exception& failure) {
        if (service)
            service->log().fatal("{}", failure.what());
        else
            fmt::print(stderr, "fatal: {}\n", failure.what());
        return 1;
    }
}

}  // namespace posthorn::process
