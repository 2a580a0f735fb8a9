#include "sim/tls_server.hpp"

#include "tls/make_certificate.hpp"
#include "tls/tls.hpp"

#include <stdexcept>

namespace posthorn::sim {

namespace {

awaitable<Result<std::unique_ptr<net::Stream>>> handshake(std::shared_ptr<tls::Context> context, std::unique_ptr<net::Stream> stream,
                                                          std::string greeting)
{
    CO_TRY(auto secured, co_await tls::accept(std::move(context), std::move(stream), {}, std::move(greeting)));
    co_return std::move(secured.stream);
}

}  // namespace

TlsAccept tls_server(std::string host)
{
    const std::string pem = tls::make_certificate(tls::CertificateWish(std::move(host))).chain();
    tls::Options options;
    options.chain_files = {"made"};
    auto context = tls::Context::server(options, [pem](const std::string&) -> Result<std::string> { return pem; });
    if (!context)
        throw std::runtime_error(context.error().text());
    return [made = *context](std::unique_ptr<net::Stream> stream, std::string greeting) {
        return handshake(made, std::move(stream), std::move(greeting));
    };
}

}  // namespace posthorn::sim
