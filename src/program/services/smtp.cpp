// The SMTP and LMTP client process: takes requests from qmgr, speaks with the next hosts, gives verdicts back.
#include "dns/resolver.hpp"
#include "process/service.hpp"
#include "send/agent.hpp"
#include "services/delivery_link.hpp"
#include "services/name_service.hpp"
#include "services/programs.hpp"

namespace posthorn::services {

using process::May;

namespace {

class DeliveryService final : public process::Work {
public:
    DeliveryService(process::Service& service, send::Options options)
        : service_(service), resolver_(service.executor(), clock_, resolver_options(service.config())), names_(resolver_),
          agent_(std::move(options), surroundings()),
          link_(service.executor(), std::string(qmgr_socket), service.name(), service.program(), service.start_record().process_limit(),
                [this](handoff::DeliveryRequest request, Fd content) {
                    ++service_.gauges().messages;
                    return agent_.deliver(std::move(request), std::move(content));
                },
                service.log())
    {
    }

    void start() override { link_.start(); }

    awaitable<void> stop(process::Stop how) override
    {
        if (how != process::Stop::abort)
            co_await link_.drain();
        co_await agent_.drain();
        co_await link_.close();
    }

    void count(handoff::CountersReply& reply) override
    {
        const send::Agent::Counts& counts = agent_.counts();
        const auto add = [&](const char* name, std::uint64_t value) {
            auto& counter = *reply.add_counters();
            counter.set_name(name);
            counter.set_value(static_cast<std::int64_t>(value));
        };
        add("smtp_deliveries", counts.deliveries);
        add("smtp_recipients", counts.recipients);
        add("smtp_sessions", counts.sessions);
        add("smtp_sessions_reused", counts.reused);
        add("smtp_failed_connects", counts.failed_connects);
        add("smtp_round_trips", counts.round_trips);
    }

private:
    send::Surroundings surroundings()
    {
        send::Surroundings made(service_.executor(), clock_, service_.log(), names_);
        made.own_addresses = own_addresses(service_.config());
        return made;
    }

    process::Service& service_;
    SystemClock clock_;
    dns::Resolver resolver_;
    send::DnsNames names_;
    send::Agent agent_;
    DeliveryLink link_;
};

}  // namespace

int serve_smtp(process::Service& service)
{
    send::Options options = send::Options::from(service.config(), service.program());
    service.confine({.may = {May::connect, May::resolve, May::read_message}, .readable = name_service_files()});
    DeliveryService work(service, std::move(options));
    return service.run(work);
}

}  // namespace posthorn::services
