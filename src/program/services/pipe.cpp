// pipe(8): mail given to a command, as another user.
#include "cleanup/params.hpp"
#include "deliver/params.hpp"
#include "deliver/pipe_agent.hpp"
#include "send/params.hpp"
#include "services/delivery_service.hpp"
#include "services/params.hpp"
#include "services/programs.hpp"
#include "services/spawn_line.hpp"
#include "services/startup.hpp"
#include "tables/params.hpp"

#include <unistd.h>

namespace posthorn::services {

int serve_pipe(process::Service& service)
{
    static constexpr std::string_view parameters[] = {deliver::pipe_delivery_status_filter.name, send::default_delivery_status_filter.name};
    const auto& arguments = service.start_record().arguments();
    deliver::PipeOptions options;
    options.service = service.name();
    options.line = at_start(deliver::parse_pipe_line(std::vector<std::string>(arguments.begin(), arguments.end())));
    options.delimiter.characters = service.config().get(tables::recipient_delimiter);
    options.delimiter.owner_request_special = service.config().get(tables::owner_request_special);
    options.allow_minus = service.config().get(deliver::allow_min_user);
    options.original_to = service.config().get(cleanup::enable_original_recipient);
    options.time_limit = service.config().get(service_time_limit, service.name());
    options.environment = exported(service.config().get(export_environment), ::environ);
    Delivery delivery(service, parameters, service.name(), deliver::pipe_delivery_status_filter);
    const std::string user = options.line.user, group = options.line.group;
    const bool changes_root = !options.line.root.empty();
    deliver::PipeAgent agent(std::move(options), delivery.spawner, delivery.teller,
                             [&, known = std::optional<deliver::Privileges>()]() mutable -> Result<deliver::Privileges> {
                                 if (!known) {
                                     TRY(known, delivery.privileges(user, group));
                                 }
                                 return *known;
                             });
    return run_delivery(
        delivery, [&](handoff::DeliveryRequest request, Fd content) { return agent.deliver(std::move(request), std::move(content)); }, {},
        changes_root);
}

}  // namespace posthorn::services
