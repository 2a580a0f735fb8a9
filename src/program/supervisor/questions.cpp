// What commands ask the supervisor, over a socket that only root and who runs it can use.
#include "handoff/counting.hpp"
#include "handoff/frames.pb.h"
#include "process/counters.hpp"
#include "process/gauges.hpp"
#include "process/memory_file.hpp"
#include "supervisor/supervisor.hpp"

#include <unistd.h>

#include <cerrno>
#include <optional>

namespace posthorn::supervisor {

using process::Control;

Result<void> Supervisor::bind_questions(const Loaded& loaded, std::vector<std::string>& places)
{
    SocketLine socket;
    socket.name = process::master_socket;
    TRY(places, sockets_.bind(socket, loaded.snapshot, owner_));
    return {};
}

void Supervisor::hear_questions()
{
    Fd listening(::dup(sockets_.at(std::string(process::master_socket)).socket.get()));
    if (!listening)
        throw std::runtime_error(system_error("duplicate a socket", errno).text());
    ipc::ChannelOptions options;
    options.name = "a command";
    options.frame_limit = process::question_frame_limit;
    options.request_limit = 4;
    questions_ = std::make_unique<ipc::Server>(loop_.get_executor(), std::move(listening), options, [this](std::weak_ptr<ipc::Channel> asker) {
        return [this, asker = std::move(asker)](ipc::Incoming incoming) { asked(asker, std::move(incoming)); };
    });
    questions_->start();
}

void Supervisor::asked(const std::weak_ptr<ipc::Channel>& asker, ipc::Incoming incoming)
{
    const auto channel = asker.lock();
    const unsigned uid = channel ? channel->credentials().uid : ~0U;
    if (uid != 0 && uid != ::geteuid())                            // also services: what they may ask has a channel of its own
        return incoming.responder.fail(Error{"permission denied", "5.7.1"});
    if (static_cast<Control>(incoming.kind) == Control::reload)
        tasks_.spawn(answer_reload(std::move(incoming.responder)));
    else if (static_cast<Control>(incoming.kind) == Control::instance_counters)
        tasks_.spawn(tell_counters(std::move(incoming.responder), false));
    else if (static_cast<Control>(incoming.kind) == Control::configuration)
        tell_configuration(std::move(incoming.responder));
}                                                                  // else answered with an error as the responder goes

void Supervisor::tell_configuration(ipc::Responder responder) const
{
    process::ConfigurationInForce told;
    told.set_snapshot(loaded_.snapshot.serialise());
    for (const config::ServiceLine& line : loaded_.master_cf.services) {
        auto& entry = *told.add_lines();
        entry.set_key(line.key());
        entry.set_text(line.text());
    }
    told.set_generation(generation_);
    told.set_since(in_force_since_.time_since_epoch().count());
    responder.reply(told);
}

/// Answers when what comes next meets the new configuration: `postfix reload; sendmail -bv user` is tried with the new settings.
awaitable<void> Supervisor::answer_reload(ipc::Responder responder)
{
    while (reloading_ && !co_await cancelled())
        co_await sleep_for(std::chrono::milliseconds{10});
    if (stopping_ || co_await cancelled())
        co_return;
    process::ReloadReply reply;
    std::vector<std::string> reasons = co_await reload();
    for (std::string& reason : reasons)
        reply.add_reasons(std::move(reason));
    if (reply.reasons().empty()) {
        const SteadyTime end = clock_.steady() + std::chrono::seconds{30};          // one that does not come up is told of in the log
        while (!stopping_ && !new_generation_serves() && clock_.steady() < end && !co_await cancelled())
            co_await sleep_for(std::chrono::milliseconds{10});
        // The old ones have been told to hand over. Frames are heard in order: who answers has done so.
        std::vector<std::shared_ptr<ipc::Channel>> old;
        for (const auto& [pid, child] : children_)
            if (child.generation < generation_ && child.stopping && child.channel->is_open())
                old.push_back(child.channel);
        for (const auto& channel : old)
            (void)co_await channel->call<handoff::CountersReply>(Control::counters, handoff::CountersRequest{});
    }
    responder.reply(reply);
}

namespace {

std::string program_of(const Child& child) { return child.command.substr(child.command.rfind('/') + 1); }

void copy_counters(process::ProcessCounters& into, const handoff::CountersReply& counted)
{
    for (const auto& counter : counted.counters()) {
        auto& copy = *into.add_counters();
        copy.set_name(counter.name());
        copy.set_value(counter.value());
    }
}

}  // namespace

struct Supervisor::CountersAsked {
    CountersAsked(const Executor& executor, std::size_t processes) : replies(processes), open(processes), answered(executor) {}
    std::vector<std::optional<handoff::CountersReply>> replies;
    std::size_t open;
    Signal answered;
};

awaitable<void> Supervisor::ask_counters(std::shared_ptr<CountersAsked> asked, std::size_t at, std::shared_ptr<ipc::Channel> channel)
{
    if (auto reply = co_await channel->call<handoff::CountersReply>(Control::counters, handoff::CountersRequest{}))
        asked->replies[at] = *std::move(reply);
    if (--asked->open == 0)
        asked->answered.notify_all();
}

awaitable<void> Supervisor::tell_counters(ipc::Responder responder, bool to_service)
{
    process::InstanceCounters told;
    const auto describe = [&](std::string service, std::string program, pid_t pid, unsigned generation) -> process::ProcessCounters& {
        process::ProcessCounters& one = *told.add_processes();
        one.set_service(std::move(service));
        one.set_program(std::move(program));
        one.set_process(pid);
        one.set_generation(generation);
        return one;
    };
    handoff::CountersReply own;
    handoff::count(own, process::processor_microseconds, static_cast<std::uint64_t>(process::processor_time().count()));
    handoff::count(own, process::resident_memory, process::resident_memory_now(memory_use_.get()));
    handoff::count(own, process::started, static_cast<std::uint64_t>(began_.time_since_epoch().count()));
    handoff::count(own, process::log_lines_dropped, sink_->dropped());
    copy_counters(describe("", "master", ::getpid(), generation_), own);

    // Processes come and go while others are asked: the list first. One that hangs holds up nobody.
    constexpr std::chrono::seconds patience{3};
    std::vector<std::pair<pid_t, std::shared_ptr<ipc::Channel>>> processes;
    for (const auto& [pid, child] : children_)
        if (!child.told_last)
            processes.emplace_back(pid, child.channel);
    const auto asked = std::make_shared<CountersAsked>(loop_.get_executor(), processes.size());
    for (std::size_t at = 0; at < processes.size(); ++at)
        tasks_.spawn(ask_counters(asked, at, processes[at].second));
    for (const SteadyTime end = clock_.steady() + patience; asked->open > 0 && clock_.steady() < end && !co_await cancelled();)
        (void)co_await asked->answered.wait_for(std::chrono::ceil<std::chrono::milliseconds>(end - clock_.steady()));
    for (std::size_t at = 0; at < processes.size(); ++at) {
        const auto found = children_.find(processes[at].first);
        if (found == children_.end() || found->second.channel != processes[at].second || found->second.told_last)
            continue;                                              // it ended meanwhile: what it has counted is among what ended, and counts once
        const Child& child = found->second;
        process::ProcessCounters& told_of = describe(child.line, program_of(child), child.pid, child.generation);
        if (const auto& reply = asked->replies[at])                // else it hangs: told without counters
            copy_counters(told_of, *reply);
    }
    ended_.tell(told);
    if (!to_service)
        co_return responder.reply(told);
    // The control channel of a service has small frames, and a machine may have many processes.
    auto file = process::make_memory_file("counters", told.SerializeAsString());
    if (!file)
        co_return responder.fail(file.error());
    std::vector<Fd> descriptors;
    descriptors.push_back(*std::move(file));
    responder.reply(process::InstanceCounters{}, std::move(descriptors));
}

void Supervisor::keep_counters(Child& child, const handoff::CountersReply& last)
{
    if (!std::exchange(child.told_last, true))
        ended_.add(child.line, program_of(child), last);
}

}  // namespace posthorn::supervisor
