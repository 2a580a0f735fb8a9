#include "receive/server_names.hpp"

#include "base/strings.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

namespace {

tables::Flags of_chains()
{
    tables::Flags flags;
    flags.file_values = true;
    return flags;
}

}  // namespace

ServerNames::ServerNames(std::string_view tables, tables::Tables& open, observe::Log log)
    : maps_("tls_server_sni_maps", tables, of_chains(), open), log_(std::move(log))
{
}

awaitable<Result<std::optional<std::string>>> ServerNames::chain(std::string name, std::string peer) const
{
    if (!smtp::is_valid_hostname(name)) {
        log_.warning("TLS SNI from {} is invalid: {}", peer, printable(name));
        co_return std::nullopt;
    }
    for (std::string key = name;;) {
        CO_TRY(const auto value, co_await maps_.lookup(key));
        if (value) {
            auto pem = base64_decode(*value);
            if (!pem) {
                log_.warning("tls_server_sni_maps: malformed BASE64 value for {}: is the table made by postmap -F?", key);
                co_return Error{fmt::format("tls_server_sni_maps: the value for {} is no base64", key), "4.3.5"};
            }
            co_return std::move(pem);
        }
        const auto dot = key.find('.', 1);
        if (dot == std::string::npos)
            break;
        key.erase(0, dot);
    }
    log_.info("TLS SNI {} from {} not matched, using default chain", name, peer);
    co_return std::nullopt;
}

}  // namespace posthorn::receive
