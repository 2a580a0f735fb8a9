#include "services/delivery_service.hpp"

#include "deliver/params.hpp"
#include "handoff/counting.hpp"
#include "send/params.hpp"
#include "services/counters.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/spawn_line.hpp"
#include "services/startup.hpp"
#include "verify/params.hpp"

namespace posthorn::services {

using process::May;

namespace {

deliver::TellerOptions told(process::Service& service, std::string relay)
{
    deliver::TellerOptions options;
    options.relay = std::move(relay);
    options.soft_bounce = service.config().get(soft_bounce);
    options.failed_probes_cached = service.config().get(verify::address_verify_negative_cache);
    options.delay_digits = service.config().get(send::send_delay_logging_resolution_limit);
    return options;
}

class DeliveryWork final : public process::Work {
public:
    DeliveryWork(Delivery& delivery, DeliveryLink::Deliver deliver, Beside beside)
        : delivery_(delivery), service_(delivery.service), beside_(std::move(beside)),
          link_(
              service_.executor(), std::string(qmgr_socket), service_.name(), service_.program(),
              delivery_limit(service_.start_record().process_limit(), descriptors_at_most()), 0,
              [this, deliver = std::move(deliver)](handoff::DeliveryRequest request, Fd content) {
                  ++service_.gauges().messages;
                  return deliver(std::move(request), std::move(content));
              },
              service_.log())
    {
    }

    void start() override
    {
        delivery_.resolve.start();
        if (beside_.start)
            beside_.start();
        link_.on_progress = [this](std::uint64_t attempt) -> std::optional<DeliveryLink::Waits> {
            const auto now = delivery_.teller.steps.of(attempt);
            if (!now)
                return std::nullopt;
            return DeliveryLink::Waits{now->what, std::chrono::duration_cast<std::chrono::microseconds>(now->time)};
        };
        link_.start();
    }

    awaitable<void> stop(process::Stop how) override
    {
        if (how == process::Stop::abort)
            delivery_.spawner.end_all();
        co_await link_.drain();
        co_await link_.close();
        co_await delivery_.spawner.close();
        if (beside_.close)
            co_await beside_.close();
        co_await delivery_.resolve.close();
    }

    void count(handoff::CountersReply& reply) override { handoff::count(reply, delivery_children, delivery_.spawner.started()); }

private:
    Delivery& delivery_;
    process::Service& service_;
    Beside beside_;
    DeliveryLink link_;
};

}  // namespace

Delivery::Delivery(process::Service& of, std::span<const std::string_view> parameters, std::string relay,
                   const config::Param<std::string>& filter_parameter)
    : service(of), root(::geteuid() == 0), files(TableFiles::fetch(of, parameters)),
      resolve(of.executor(), std::string(resolve_socket), {.channel = {.name = "resolve"}}), tables(of.log(), clock, files),
      databases(tables, resolve, of.config()), status_filter(std::string(filter_parameter.name), of.config().get(filter_parameter), {}, tables),
      teller(told(of, std::move(relay)), of.log(), clock, filter()), spawner(of.executor())
{
}

deliver::StatusFilter Delivery::filter()
{
    if (status_filter.empty())
        return {};
    return [this](std::string key) { return status_filter.lookup(std::move(key)); };
}

Result<deliver::Privileges> Delivery::privileges(const std::string& user, const std::string& group) const
{
    SpawnLine line;
    line.user = user;
    line.group = group;
    TRY(const process::RunAs ids, run_as(line, {service.start_record().uid(), service.start_record().gid()}, root));
    return deliver::Privileges{ids.uid, ids.gid};
}

std::string machine_name()
{
    char name[256] = "localhost";
    ::gethostname(name, sizeof name - 1);
    std::string made;
    for (const char c : std::string_view(name))
        made += c == '/' ? std::string("\\057") : c == ':' ? std::string("\\072") : std::string(1, c);
    return made;
}

Result<deliver::LockManner> lock_manner(const process::Service& service, std::string_view methods)
{
    deliver::LockManner manner;
    manner.attempts = service.config().get(deliver::deliver_lock_attempts);
    manner.pause = service.config().get(deliver::deliver_lock_delay);
    manner.stale = service.config().get(deliver::stale_lock_time);
    TRY_VOID(manner.read(methods));
    return manner;
}

int run_delivery(Delivery& delivery, DeliveryLink::Deliver deliver, Beside beside, bool changes_root)
{
    delivery.service.confine({.may = changes_root ? process::Powers{May::start_commands, May::change_root, May::read_message}
                                                  : process::Powers{May::start_commands, May::read_message}});
    DeliveryWork work(delivery, std::move(deliver), std::move(beside));
    return delivery.service.run(work);
}

}  // namespace posthorn::services
