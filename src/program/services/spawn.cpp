// A command per connection, as inetd has it: standard input, output and error are the connection.                             spawn(8)
// At most so many at once as the process-limit column says; what comes meanwhile waits in the socket's queue. A command that outlives its time
// limit is killed, and what it started with it.
#include "handoff/counting.hpp"
#include "process/service.hpp"
#include "services/counters.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/spawn_line.hpp"
#include "services/startup.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>

namespace posthorn::services {

using process::May;

namespace {

/// To a sibling, or to the copy of the queue.
bool leads_to_another_machine(const config::Snapshot& config, std::string_view name)
{
    return config.get(queue_standby) == name ||
           std::ranges::any_of(config.get(memory_siblings), [&](const config::ListMember& member) { return member.text == name; });
}

bool is_written(const config::Snapshot& config, std::string_view parameter)
{
    return std::ranges::any_of(config.written(), [&](const auto& one) { return one.first == parameter; });
}

/// What is read before the process is confined.
struct PreparedSpawn {
    explicit PreparedSpawn(process::Service& service)
    {
        const auto& arguments = service.start_record().arguments();
        const SpawnLine line = at_start(parse_spawn_line(std::vector<std::string>(arguments.begin(), arguments.end())));
        const process::RunAs user = at_start(run_as(line, {service.start_record().uid(), service.start_record().gid()}, ::geteuid() == 0));
        command.program = at_start(program_path(line.words.front()));
        command.words = line.words;
        command.environment = exported(service.config().get(export_environment), ::environ);
        if (::geteuid() == 0)
            command.user = user;
        time_limit = service.config().get(service_time_limit, service.name());
        // Such a way lasts as long as both live, unless somebody wrote how long.
        if (leads_to_another_machine(service.config(), service.name()) && !is_written(service.config(), service.name() + "_time_limit"))
            lasts = true;
    }
    process::Command command;
    std::chrono::seconds time_limit{};
    bool lasts = false;
};

class SpawnService final : public process::Work {
public:
    SpawnService(process::Service& service, PreparedSpawn prepared)
        : service_(service), prepared_(std::move(prepared)), limit_(service.start_record().process_limit()), accepting_(service.executor()),
          commands_(service.executor()), ended_(service.executor())
    {
    }

    void start() override
    {
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            sockets_.emplace_back(service_.executor(), listening.socket.release());
            accepting_.spawn(accept_from(&sockets_.back()));
        }
    }

    awaitable<void> stop(process::Stop) override
    {
        co_await accepting_.close();
        if (prepared_.lasts)                                   // it would not end by itself: the next generation begins another
            for (const auto& child : children_)
                end(*child);
        co_await commands_.drained();                          // those that are left at the limit end with this process
    }

    void count(handoff::CountersReply& reply) override { handoff::count(reply, spawn_commands, started_); }

private:
    using Descriptor = asio::posix::stream_descriptor;

    awaitable<void> accept_from(Descriptor* socket)
    {
        while (!co_await cancelled()) {
            if (limit_ != 0 && commands_.size() >= limit_) {
                co_await ended_.wait_for(std::chrono::seconds{1});
                continue;
            }
            const auto [error] = co_await socket->async_wait(asio::posix::descriptor_base::wait_read, asio::as_tuple(use_awaitable));
            if (error)
                continue;
            // A command expects a connection that waits: not O_NONBLOCK.
            Fd connection(::accept4(socket->native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!connection) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                    service_.log().warning("accept: {}", errno_text(errno));
                    co_await sleep_for(std::chrono::milliseconds{100});
                }
                continue;
            }
            process::Command command = prepared_.command;
            command.input = command.output = command.error = connection.get();
            auto running = process::start_command(command);
            if (!running) {
                service_.log().warning("{}: {}", command.program, running.error().text());
                co_await sleep_for(std::chrono::seconds{1});
                continue;
            }
            ++started_;
            ++service_.gauges().messages;
            children_.push_back(std::make_shared<Child>(*std::move(running)));
            commands_.spawn(follow(children_.back()));
        }
    }

    struct Child {
        explicit Child(process::RunningCommand started) : running(std::move(started)) {}
        process::RunningCommand running;
        bool ended = false, late = false;
    };

    static void end(Child& child)
    {
        child.late = true;
        process::end_command(child.running);
    }

    awaitable<void> follow(std::shared_ptr<Child> child)
    {
        Descriptor ending(service_.executor(), child->running.process.release());
        asio::steady_timer limit(service_.executor());
        if (prepared_.lasts)
            limit.expires_at(asio::steady_timer::time_point::max());
        else
            limit.expires_after(prepared_.time_limit);
        limit.async_wait([this, child](boost::system::error_code error) {
            if (error || child->ended)
                return;
            service_.log().warning("{}: process id {}: command time limit exceeded", prepared_.command.program, child->running.pid);
            end(*child);
        });
        int status = 0;
        while (::waitpid(child->running.pid, &status, WNOHANG) == 0)
            (void)co_await ending.async_wait(asio::posix::descriptor_base::wait_read, asio::as_tuple(use_awaitable));
        child->ended = true;
        children_.remove(child);
        if (const auto trouble = process::execution_error(prepared_.command, child->running))
            service_.log().error("{}", trouble->text());
        else if (const std::string outcome = process::outcome_of(status); !child->late && !outcome.empty())
            service_.log().warning("command {} {}", prepared_.command.program, outcome);
        ended_.notify_all();
    }

    process::Service& service_;
    const PreparedSpawn prepared_;
    const std::uint32_t limit_;
    std::list<Descriptor> sockets_;
    std::list<std::shared_ptr<Child>> children_;
    TaskGroup accepting_, commands_;
    Signal ended_;
    std::uint64_t started_ = 0;
};

}  // namespace

int serve_spawn(process::Service& service)
{
    PreparedSpawn prepared(service);
    service.confine({.user = process::User::unchanged, .root = process::Root::column, .may = {May::start_commands}});
    SpawnService work(service, std::move(prepared));
    return service.run(work);
}

}  // namespace posthorn::services
