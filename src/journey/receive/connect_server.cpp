#include "receive/connect_server.hpp"

#include "net/connect.hpp"

namespace posthorn::receive {

awaitable<Result<std::unique_ptr<net::Stream>>> connect_server(Executor executor, const policy::ServiceSpec& spec, Names& names,
                                                               std::chrono::milliseconds limit)
{
    const net::ConnectOptions options(limit);
    if (spec.is_unix)
        co_return co_await net::connect(executor, net::Endpoint::unix(spec.path), options);
    std::vector<std::string> addresses{spec.host};
    if (!net::IpAddress::parse(spec.host)) {
        CO_TRY(addresses, co_await names.host_addresses(spec.host));
    }
    Error failure{"Host not found"};
    for (const std::string& address : addresses) {
        const auto ip = net::IpAddress::parse(address);
        if (!ip)
            continue;
        auto stream = co_await net::connect(executor, net::Endpoint(*ip, spec.port), options);
        if (stream)
            co_return stream;
        failure = stream.error();
    }
    co_return failure;
}

Error in_words_of_errno(const Error& error)
{
    if (error.what() == "lost connection")
        return Error{"Connection reset by peer"};
    return error.what() == "conversation timed out" ? Error{"Connection timed out"} : error;
}

}  // namespace posthorn::receive
