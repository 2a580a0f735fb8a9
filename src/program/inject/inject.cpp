#include "inject/inject.hpp"

#include "base/error.hpp"
#include "handoff/counting.hpp"
#include "inject/desk.hpp"
#include "inject/params.hpp"
#include "process/service.hpp"
#include "services/counters.hpp"
#include "services/smtp_front.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

namespace posthorn::inject {

namespace {

constexpr std::size_t header_octets = 16 * 1024;

const Clock& the_clock()
{
    static const SystemClock clock;
    return clock;
}

struct PreparedDoor {
    explicit PreparedDoor(process::Service& service) : token_file(service.config().get(inject_token_file))
    {
        auto made = http::Access::make(access_words, service.config().get(inject_clients), service.config().get(inject_hosts));
        if (!made)
            throw std::runtime_error(made.error().text());
        access = *std::move(made);
        options.limits = {header_octets, static_cast<std::size_t>(service.config().get(inject_body_size_limit).count)};
        options.connections = static_cast<std::size_t>(service.config().get(inject_connection_limit));
        options.timeout = service.config().get(inject_timeout);
    }
    std::string token_file;
    http::Access access;
    http::ServerOptions options;
};

class Injection final : public services::Front {
public:
    Injection(process::Service& service, receive::Server& sessions, PreparedDoor prepared)
        : service_(service), token_file_(std::move(prepared.token_file)), desk_(service.executor(), sessions, !token_file_.empty(), service.log()),
          server_(service.executor(), prepared.options, std::move(prepared.access), desk_, the_clock())
    {
        desk_.know(server_.access());
        const std::uint64_t largest = sessions.options().message_size_limit, body = prepared.options.limits.body;
        if (body < largest / 3 * 4)
            service.log().warning("inject_body_size_limit {} is less than a message of message_size_limit {} takes in base64", body, largest);
        service.on_file_changed([this](const std::string& path, Fd file) {
            if (path == token_file_)
                take_token(std::move(file));
        });
    }

    /// The supervisor opens it: it may be root's. The first request finds it read.
    awaitable<void> prepare() override
    {
        if (token_file_.empty())
            co_return;
        auto file = co_await service_.open_file(token_file_);
        if (file)
            take_token(*std::move(file));
        else
            service_.log().warning("inject_token_file {}: {}: nobody has the token", token_file_, file.error().text());
    }

    awaitable<void> serve(std::unique_ptr<net::Stream> stream) override { return server_.serve(std::move(stream)); }
    awaitable<void> finish() override
    {
        co_await server_.finish();
        co_await desk_.drained();
    }
    void hurry() override
    {
        desk_.close();
        server_.dismiss();
    }
    void count(handoff::CountersReply& reply) override
    {
        using namespace services;
        handoff::count(reply, inject_requests, std::array<std::string_view, 1>{"status"}, server_.answers());
        handoff::count(reply, inject_recipients, std::array<std::string_view, 1>{"result"}, desk_.recipients());
        handoff::count(reply, inject_connections, server_.connections());
    }

private:
    void take_token(Fd file)
    {
        std::string content(http::Access::longest_token_file + 1, '\0');
        const ssize_t got = file ? ::pread(file.get(), content.data(), content.size(), 0) : 0;
        const int failure = errno;
        content.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        if (got < 0)
            service_.log().warning("inject_token_file {}: {}", token_file_, errno_text(failure));
        if (const auto taken = server_.access().set_token(content); !taken)
            service_.log().warning("inject_token_file {}: {}", token_file_, taken.error().text());
        else if (!server_.access().has_token())
            service_.log().warning("inject_token_file {}: the file is empty or gone: nobody has the token", token_file_);
    }

    process::Service& service_;
    const std::string token_file_;
    Desk desk_;
    http::Server server_;
};

}  // namespace

int serve_inject(process::Service& service)
{
    // Who may inject may say when mail is to go.
    static const std::array<config::Assignment, 1> settings{{{.name = "smtpd_future_release_clients", .value = "static:all"}}};
    auto prepared = std::make_shared<PreparedDoor>(service);
    return services::serve_behind(service,
                                  {.protocol = "HTTP", .settings = settings, .make = [prepared](process::Service& in, receive::Server& sessions) {
                                       return std::make_unique<Injection>(in, sessions, std::move(*prepared));
                                   }});
}

}  // namespace posthorn::inject
