#include "ipc/dispatcher.hpp"

namespace posthorn::ipc {

void Dispatcher::dispatch(Incoming incoming)
{
    if (const auto service = services_.find(incoming.kind); service != services_.end())
        return service->second(std::move(incoming));
    if (incoming.responder)
        incoming.responder.fail(Error{"no such request: kind " + std::to_string(incoming.kind), "4.3.0"});
    else
        ++unheard_;
}

}  // namespace posthorn::ipc
