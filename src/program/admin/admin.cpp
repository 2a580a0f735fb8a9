#include "admin/admin.hpp"

#include "admin/counters.hpp"
#include "admin/params.hpp"
#include "admin/server.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "handoff/counting.hpp"
#include "net/listener.hpp"
#include "peers/params.hpp"
#include "process/service.hpp"

#include <unistd.h>

#include <cerrno>
#include <list>
#include <stdexcept>

namespace posthorn::admin {

using process::May;

namespace {

const Clock& the_clock()
{
    static const SystemClock clock;
    return clock;
}

/// What is read before the process is confined.
struct Prepared {
    explicit Prepared(process::Service& service) : token_file(service.config().get(admin_token_file))
    {
        auto made = Access::make(access_words, service.config().get(admin_clients), service.config().get(admin_hosts));
        if (!made)
            throw std::runtime_error(made.error().text());
        access = *std::move(made);
        options.door.limits = {static_cast<std::size_t>(service.config().get(admin_header_size_limit).count),
                               static_cast<std::size_t>(service.config().get(admin_body_size_limit).count)};
        options.door.connections = static_cast<std::size_t>(service.config().get(admin_connection_limit));
        options.door.timeout = service.config().get(admin_timeout);
    }
    std::string token_file;
    Access access;
    ServerOptions options;
};

/// The folder that the process is in is the queue directory, also where that has become its root.
config::Snapshot from_within(const config::Snapshot& snapshot)
{
    const config::Assignment here{.name = "queue_directory", .value = "."};
    return snapshot.with({&here, 1}, "the admin service");
}

/// What the rules say of a server is part of why mail for it waits.
std::vector<std::string> rule_files(const config::Snapshot& snapshot)
{
    std::vector<std::string> files;
    for (const std::string_view word : split(snapshot.get(posthorn::peers::smtp_peer_rules), ", \t\n"))
        if (word.starts_with('/'))
            files.emplace_back(word);
    return files;
}

class AdminService final : public process::Work {
public:
    AdminService(process::Service& service, Prepared prepared)
        : service_(service), token_file_(std::move(prepared.token_file)), system_(running_system(from_within(service.config()))),
          server_(
              service.executor(), prepared.options, std::move(prepared.access), *system_, [this] { return service_.instance_counters(); },
              the_clock(), service.log()),
          tasks_(service.executor())
    {
        service.on_file_changed([this](const std::string& path, Fd file) {
            if (path == token_file_)
                take_token(std::move(file));
        });
    }

    void start() override
    {
        if (token_file_.empty())
            listen();
        else
            tasks_.spawn(fetch_token());
    }

    /// Its successor takes what connects from now on. Who is here already is answered: a reload is nothing that monitoring should see.
    awaitable<void> stop(process::Stop how) override
    {
        co_await tasks_.close();
        for (const auto& listener : listeners_)
            listener->pause();
        if (how != process::Stop::generation)
            for (const auto& listener : listeners_)
                co_await listener->close();
        co_await server_.finish();
        for (const auto& listener : listeners_)
            co_await listener->close();
    }

    void hurry() override { server_.hurry(); }

    void count(handoff::CountersReply& reply) override
    {
        handoff::count(reply, admin_requests, std::array<std::string_view, 1>{"status"}, server_.door().answers());
        handoff::count(reply, admin_connections, server_.door().connections());
    }

private:
    void listen()
    {
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            listeners_.push_back(std::make_unique<net::Listener>(
                service_.executor(), std::move(listening.socket),
                [this](std::unique_ptr<net::Stream> stream) { return server_.serve(std::move(stream)); },
                [log = service_.log()](Error error) { log.warning("{}", error.text()); }));
            listeners_.back()->start();
        }
    }

    /// The supervisor opens it: it may be root's. The first request finds it read.
    awaitable<void> fetch_token()
    {
        auto file = co_await service_.open_file(token_file_);
        if (file)
            take_token(*std::move(file));
        else
            service_.log().warning("admin_token_file {}: {}: nothing can be changed", token_file_, file.error().text());
        listen();
    }

    void take_token(Fd file)
    {
        std::string content(Access::longest_token_file + 1, '\0');
        const ssize_t got = file ? ::pread(file.get(), content.data(), content.size(), 0) : 0;
        const int failure = errno;
        content.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        if (got < 0)
            service_.log().warning("admin_token_file {}: {}", token_file_, errno_text(failure));
        if (const auto taken = server_.access().set_token(content); !taken)
            service_.log().warning("admin_token_file {}: {}", token_file_, taken.error().text());
        else if (!server_.access().has_token())
            service_.log().warning("admin_token_file {}: the file is empty or gone: nothing can be changed", token_file_);
    }

    process::Service& service_;
    const std::string token_file_;
    std::unique_ptr<System> system_;
    Server server_;
    std::list<std::unique_ptr<net::Listener>> listeners_;
    TaskGroup tasks_;
};

}  // namespace

int serve_admin(process::Service& service)
{
    Prepared prepared(service);
    // What others know is asked of them; transcripts and what is known of servers are read in the data directory.
    service.confine({.may = {May::read_state, May::compile}, .readable = rule_files(service.config())});
    AdminService work(service, std::move(prepared));
    return service.run(work);
}

}  // namespace posthorn::admin
