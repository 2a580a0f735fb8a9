// What a load balancer says: a longer input never takes back what a shorter one decided, and nothing beyond the header is looked at.
#include "fuzz.hpp"

#include "net/proxy_header.hpp"

namespace posthorn::fuzz {

void fuzz_one(std::string_view input)
{
    using net::ProxyParsed;
    const auto whole = net::parse_proxy_header(input);
    if (whole.state == ProxyParsed::State::done) {
        FUZZ_CHECK(whole.header.octets <= input.size() && whole.header.octets <= net::proxy_header_limit);
        const auto alone = net::parse_proxy_header(input.substr(0, whole.header.octets));
        FUZZ_CHECK(alone.state == ProxyParsed::State::done && alone.header.octets == whole.header.octets);
        FUZZ_CHECK(alone.header.client == whole.header.client && alone.header.server_port == whole.header.server_port);
    }
    if (whole.state == ProxyParsed::State::more)
        FUZZ_CHECK(input.size() < net::proxy_header_limit);
    for (std::size_t size = 0; size < input.size() && size < 128; ++size) {
        const auto part = net::parse_proxy_header(input.substr(0, size));
        if (part.state != ProxyParsed::State::more)
            FUZZ_CHECK(part.state == whole.state);
    }
}

}  // namespace posthorn::fuzz
