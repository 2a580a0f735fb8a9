// What all processes know together, with one writer: the keys of TLS session tickets.
#include "handoff/frames.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "process/service.hpp"
#include "services/programs.hpp"
#include "tls/params.hpp"
#include "tls/sessions.hpp"

namespace posthorn::services {

using handoff::Frame;
using process::May;

namespace {

class MemoryService final : public process::Work {
public:
    explicit MemoryService(process::Service& service)
        : service_(service), period_(service.config().get(tls::smtpd_tls_session_cache_timeout)), tasks_(service.executor()), dispatcher_(tasks_)
    {
        dispatcher_.on_now<handoff::TicketKeysRequest, handoff::TicketKeysReply>(Frame::ticket_keys, [this](const handoff::TicketKeysRequest&) {
            handoff::TicketKeysReply reply;
            reply.set_octets(keys_.octets());
            return Result<handoff::TicketKeysReply>(reply);
        });
    }

    void start() override
    {
        for (process::ListeningSocket& listening : service_.take_listeners()) {
            if (listening.inet || listening.datagram)
                continue;
            servers_.push_back(std::make_unique<ipc::Server>(service_.executor(), std::move(listening.socket), ipc::ChannelOptions{.name = listening.name},
                                                             [this](std::weak_ptr<ipc::Channel>) { return dispatcher_.handler(); }));
            servers_.back()->start();
        }
        tasks_.spawn(rotate());
    }

    awaitable<void> stop(process::Stop) override
    {
        for (const auto& server : servers_)
            co_await server->close();
        co_await tasks_.close();
    }

    Result<void> reload(const config::Snapshot& snapshot) override
    {
        period_ = snapshot.get(tls::smtpd_tls_session_cache_timeout);
        return {};
    }

private:
    /// A ticket opens for at least its lifetime: the keys before the current ones are kept for one more period.
    awaitable<void> rotate()
    {
        while (!co_await cancelled()) {
            co_await sleep_for(std::max<std::chrono::seconds>(period_, std::chrono::minutes{10}));
            keys_ = keys_.rotated();
        }
    }

    process::Service& service_;
    std::chrono::seconds period_;
    tls::TicketKeys keys_ = tls::TicketKeys::random();
    TaskGroup tasks_;
    ipc::Dispatcher dispatcher_;
    std::vector<std::unique_ptr<ipc::Server>> servers_;
};

}  // namespace

int serve_memory(process::Service& service)
{
    service.confine({.may = {May::state}});
    MemoryService work(service);
    return service.run(work);
}

}  // namespace posthorn::services
