#include "receive/policy/service.hpp"

#include "base/clock.hpp"
#include "base/strings.hpp"
#include "observe/asked.hpp"
#include "receive/connect_server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <list>

namespace posthorn::receive::policy {

namespace {

constexpr std::size_t reply_limit = 64 * 1024;

struct Connection {
    explicit Connection(std::unique_ptr<net::Stream> opened) : stream(std::move(opened)), since(std::chrono::steady_clock::now()), used(since) {}
    std::unique_ptr<net::Stream> stream;
    SteadyTime since, used;
    std::uint32_t requests = 0;
    bool in_step = true;                                  // nothing came behind the answer

    /// Something is there before the question: the end, or what would be taken for its answer.
    bool spoiled() const
    {
        char octet = 0;
        return stream->try_read({&octet, 1}).state != net::Io::State::again;
    }
};

}  // namespace

struct Service::Core : std::enable_shared_from_this<Core> {
    Core(Executor on, ServiceSpec what, Names& with_names)
        : executor(std::move(on)), spec(std::move(what)), names(with_names), freed(executor), sweep_timer(executor)
    {
    }

    Executor executor;
    const ServiceSpec spec;
    Names& names;
    std::list<std::unique_ptr<Connection>> idle;          // used longest ago first
    std::size_t busy = 0;
    Signal freed;
    asio::steady_timer sweep_timer;
    bool sweeping = false, closed = false;

    bool stale(const Connection& connection, SteadyTime now) const
    {
        return now - connection.used >= spec.limits.max_idle || now - connection.since >= spec.limits.max_ttl;
    }
    /// What is closed by the clock must not wait for the next request.
    void sweep_later()
    {
        if (sweeping || closed || idle.empty())
            return;
        sweeping = true;
        SteadyTime next = SteadyTime::max();
        for (const auto& connection : idle)
            next = std::min({next, connection->used + spec.limits.max_idle, connection->since + spec.limits.max_ttl});
        sweep_timer.expires_at(next);
        sweep_timer.async_wait([weak = weak_from_this()](boost::system::error_code) {
            const auto core = weak.lock();
            if (!core)
                return;
            core->sweeping = false;
            const SteadyTime now = std::chrono::steady_clock::now();
            std::erase_if(core->idle, [&](const auto& connection) { return core->stale(*connection, now); });
            core->sweep_later();
        });
    }
    std::unique_ptr<Connection> take()
    {
        const SteadyTime now = std::chrono::steady_clock::now();
        std::erase_if(idle, [&](const auto& connection) { return stale(*connection, now); });
        while (!idle.empty()) {
            auto connection = std::move(idle.back());     // the warmest; the others may grow old
            idle.pop_back();
            if (!connection->spoiled())
                return connection;
        }
        return nullptr;
    }
    void give_back(std::unique_ptr<Connection> connection)
    {
        const SteadyTime now = std::chrono::steady_clock::now();
        connection->used = now;
        ++connection->requests;
        if (closed || !connection->in_step || now - connection->since >= spec.limits.max_ttl ||
            (spec.limits.request_limit != 0 && connection->requests >= spec.limits.request_limit))
            return;
        idle.push_back(std::move(connection));
        sweep_later();
    }
    awaitable<Result<std::unique_ptr<Connection>>> open()
    {
        CO_TRY(auto stream, co_await connect_server(executor, spec, names, spec.limits.timeout));
        co_return std::make_unique<Connection>(std::move(stream));
    }
    awaitable<Result<std::string>> exchange(Connection& connection, const std::string& request) const
    {
        net::Stream& stream = *connection.stream;
        stream.expires_after(spec.limits.timeout);
        CO_TRY_VOID(co_await stream.write(request));
        stream.expires_after(spec.limits.timeout);
        std::string reply;
        std::array<char, 2048> room{};
        const auto end_of_reply = [&] {
            const std::size_t lf = reply.find("\n\n"), crlf = reply.find("\n\r\n");
            return std::min(lf == reply.npos ? lf : lf + 2, crlf == reply.npos ? crlf : crlf + 3);
        };
        std::size_t end = std::string::npos;
        while ((end = end_of_reply()) == std::string::npos) {
            CO_TRY(const std::size_t got, co_await stream.read_some(room));
            if (got == 0)
                co_return Error{"Connection reset by peer"};
            reply.append(room.data(), got);
            if (reply.size() > reply_limit)
                co_return Error{"the reply has no end"};
        }
        connection.in_step = end == reply.size();
        co_return action_of(reply);
    }
};

Result<std::string> action_of(std::string_view reply)
{
    std::optional<std::string> action;
    for (std::string_view line : split_exact(reply, '\n')) {
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (line.empty())
            break;
        const auto equals = line.find('=');
        if (equals == std::string_view::npos)
            return Error{fmt::format("malformed reply line \"{}\"", printable(line.substr(0, 100)))};
        if (!action && trim(line.substr(0, equals)) == "action")
            action = trim(line.substr(equals + 1));
    }
    if (!action)
        return Error{"the reply has no action"};
    if (action->empty())
        return Error{"the reply has an empty action"};
    return *std::move(action);
}

Service::Service(Executor executor, ServiceSpec spec, Names& names) : core_(std::make_shared<Core>(std::move(executor), std::move(spec), names)) {}

Service::~Service()
{
    core_->closed = true;
    core_->idle.clear();
    core_->sweep_timer.cancel();
}

const ServiceSpec& Service::spec() const { return core_->spec; }
std::size_t Service::idle_connections() const { return core_->idle.size(); }

awaitable<Result<std::string>> Service::ask(std::string request, std::function<void(std::string)> warn)
{
    observe::Question question(observe::Helper::policy, spec().name);
    auto action = co_await attempts(core_, std::move(request), std::move(warn));
    question.ended(action.has_value());
    co_return action;
}

awaitable<Result<std::string>> Service::attempts(std::shared_ptr<Core> core, std::string request, std::function<void(std::string)> warn)
{
    const ServiceLimits& limits = core->spec.limits;
    const SteadyTime patience = std::chrono::steady_clock::now() + limits.timeout;
    while (core->busy >= most_connections) {
        const auto left = patience - std::chrono::steady_clock::now();
        if (left <= std::chrono::milliseconds{0} || co_await cancelled()) {
            warn(fmt::format("problem talking to server {}: {} requests are under way", core->spec.endpoint, core->busy));
            co_return Error{"too many requests"};
        }
        co_await core->freed.wait_for(std::chrono::ceil<std::chrono::milliseconds>(left));
    }
    struct Busy {
        explicit Busy(std::shared_ptr<Core> of) : core(std::move(of)) { ++core->busy; }
        Busy(Busy&&) = delete;
        ~Busy()
        {
            --core->busy;
            core->freed.notify_all();
        }
        std::shared_ptr<Core> core;
    } const busy(core);

    for (std::uint32_t attempt = 1;; ++attempt) {
        Error failure{""};
        for (;;) {
            auto connection = core->take();
            const bool kept = connection != nullptr;
            if (!kept) {
                auto opened = co_await core->open();
                if (!opened) {
                    failure = opened.error();
                    warn(fmt::format("connect to {}: {}", core->spec.endpoint, failure.text()));
                    break;
                }
                connection = *std::move(opened);
            }
            const SteadyTime began = std::chrono::steady_clock::now();
            auto action = co_await core->exchange(*connection, request);
            if (action) {
                core->give_back(std::move(connection));
                co_return action;
            }
            failure = in_words_of_errno(action.error());
            // It answered an earlier request of this connection: the server has gone since, and the other kept connections with it.
            if (!kept || std::chrono::steady_clock::now() - began >= limits.timeout)
                break;
            core->idle.clear();
        }
        warn(fmt::format("problem talking to server {}: {}", core->spec.endpoint, failure.text()));
        if (attempt >= limits.try_limit || co_await cancelled())
            co_return failure;
        co_await sleep_for(limits.retry_delay);
    }
}

}  // namespace posthorn::receive::policy
