// virtual(8): mailboxes of users that are in tables alone.
#include "cleanup/params.hpp"
#include "deliver/params.hpp"
#include "deliver/virtual_agent.hpp"
#include "route/params.hpp"
#include "send/params.hpp"
#include "services/delivery_service.hpp"
#include "services/programs.hpp"
#include "services/startup.hpp"
#include "tables/params.hpp"

namespace posthorn::services {

int serve_virtual(process::Service& service)
{
    static constexpr std::string_view parameters[] = {deliver::virtual_delivery_status_filter.name, send::default_delivery_status_filter.name,
                                                      route::virtual_mailbox_maps.name, deliver::virtual_uid_maps.name,
                                                      deliver::virtual_gid_maps.name};
    const config::Snapshot& config = service.config();
    deliver::VirtualOptions options;
    options.base = config.text("virtual_mailbox_base");
    options.delimiter.characters = config.get(tables::recipient_delimiter);
    options.delimiter.owner_request_special = config.get(tables::owner_request_special);
    options.size_limit = static_cast<std::uint64_t>(config.get(deliver::virtual_mailbox_limit).count);
    options.minimum_uid = static_cast<unsigned>(config.get(deliver::virtual_minimum_uid));
    options.lock = at_start(lock_manner(service, config.get(deliver::virtual_mailbox_lock)));
    options.strict_ownership = config.get(deliver::strict_mailbox_ownership);
    options.original_to = config.get(cleanup::enable_original_recipient);
    options.host = machine_name();
    Delivery delivery(service, parameters, "virtual", deliver::virtual_delivery_status_filter);
    const auto maps = [&](const config::Param<std::string>& which) {
        return tables::Maps(std::string(which.name), config.get(which), {.substitute = false}, delivery.tables);
    };
    deliver::VirtualAgent agent(
        std::move(options),
        {tables::Maps(std::string(route::virtual_mailbox_maps.name), config.get(route::virtual_mailbox_maps), {.substitute = false}, delivery.tables),
         maps(deliver::virtual_uid_maps), maps(deliver::virtual_gid_maps)},
        delivery.spawner, delivery.teller);
    return run_delivery(delivery,
                        [&](handoff::DeliveryRequest request, Fd content) { return agent.deliver(std::move(request), std::move(content)); });
}

}  // namespace posthorn::services
