// receive/connect_server.hpp: a connection to a server that the configuration names: policy servers, the filter before the queue.
// Errors   of the last address tried, as net::connect has it.
#pragma once

#include "net/stream.hpp"
#include "receive/outside.hpp"
#include "receive/policy/service_spec.hpp"

namespace posthorn::receive {

awaitable<Result<std::unique_ptr<net::Stream>>> connect_server(Executor executor, const policy::ServiceSpec& spec, Names& names,
                                                               std::chrono::milliseconds limit);

/// Tools know what went wrong by the words of the C library.
Error in_words_of_errno(const Error& error);

}  // namespace posthorn::receive
