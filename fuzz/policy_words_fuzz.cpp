// What policy servers answer, what access tables hold, and how servers and DNS lists are written. An action is one line; a result keeps its text;
// the numbers of a list's pattern are those that a second reading of it finds; what is refused says why.
#include "fuzz.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "receive/policy/access_result.hpp"
#include "receive/policy/dns_list.hpp"
#include "receive/policy/service.hpp"

namespace posthorn::fuzz {

using namespace posthorn::receive::policy;

namespace {

/// The numbers that each part of "127.0.0.[2;4..8]" allows; the pattern is known to be right.
std::array<std::array<bool, 256>, 4> numbers_of(std::string_view pattern)
{
    std::array<std::array<bool, 256>, 4> allowed{};
    std::size_t part = 0, number = 0, low = 0;
    bool listed = false, range = false;
    const auto allow = [&] {
        for (std::size_t n = range ? low : number; n <= number; ++n)
            allowed[part][n] = true;
        number = 0;
        range = false;
    };
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        const char c = pattern[at];
        if (c >= '0' && c <= '9')
            number = number * 10 + static_cast<std::size_t>(c - '0');
        else if (c == '[')
            listed = true;
        else if (c == ';')
            allow();
        else if (c == '.' && listed) {
            low = std::exchange(number, 0);
            range = true;
            ++at;
        } else if (c == ']') {
            allow();
            listed = false;
            number = 256;                       // the dot behind it ends a part that has its numbers
        } else {
            if (number < 256)
                allow();
            number = 0;
            ++part;
        }
    }
    if (number < 256)
        allow();
    return allowed;
}

void check_list(const DnsList& list, std::string_view input)
{
    FUZZ_CHECK(!list.domain().empty());
    FUZZ_CHECK(list.domain().find('=') == std::string::npos);
    FUZZ_CHECK(list.query_for(net::IpAddress::loopback()) == "1.0.0.127." + list.domain());
    const std::string_view name = input.substr(input.size() / 2);
    if (const auto query = list.query_for(name)) {
        FUZZ_CHECK(query->ends_with("." + list.domain()) && name.ends_with(query->substr(0, query->size() - list.domain().size() - 1)));
        const auto address = net::IpAddress::parse(query->substr(0, query->size() - list.domain().size() - 1));
        FUZZ_CHECK(query->front() != '[' && (!address || address->is_v6()));
    }
    const auto equals = input.find('=');
    if (equals == std::string_view::npos) {
        FUZZ_CHECK(list.counts(net::IpAddress::loopback()) && list.counts(net::IpAddress::loopback(true)));
        return;
    }
    FUZZ_CHECK(!list.counts(net::IpAddress::loopback(true)));                   // patterns are of IPv4
    const auto allowed = numbers_of(input.substr(equals + 1));
    std::array<std::uint8_t, 4> listed{};
    for (std::size_t part = 0; part < listed.size(); ++part) {
        const auto first = std::ranges::find(allowed[part], true);
        FUZZ_CHECK(first != allowed[part].end());
        listed[part] = static_cast<std::uint8_t>(first - allowed[part].begin());
    }
    for (std::size_t part = 0; part < listed.size(); ++part)
        for (std::size_t number = 0; number < 256; ++number) {
            auto address = listed;
            address[part] = static_cast<std::uint8_t>(number);
            FUZZ_CHECK(list.counts(net::IpAddress::v4(address)) == allowed[part][number]);
        }
}

}  // namespace

void fuzz_one(std::string_view input)
{
    const auto action = action_of(input);
    if (action) {
        FUZZ_CHECK(!action->empty());
        FUZZ_CHECK(action->find('\n') == std::string::npos);
        FUZZ_CHECK(input.find(*action) != std::string_view::npos);
    } else {
        FUZZ_CHECK(!action.error().what().empty());
    }

    const AccessResult result = parse_access_result(input);
    FUZZ_CHECK(result.action != AccessResult::Action::code || (result.code >= 400 && result.code < 600));
    FUZZ_CHECK(result.text.empty() || input.find(result.text) != std::string_view::npos);
    for (const std::string_view title : {"Sender address", "Recipient address", "Client host"})
        FUZZ_CHECK(result.status.empty() || status_about(result.status, title).front() == result.status.front());

    if (const auto spec = parse_service(input)) {
        FUZZ_CHECK(spec->is_unix ? !spec->path.empty() : !spec->host.empty() && spec->port != 0);
        FUZZ_CHECK(spec->limits.try_limit >= 1);
        FUZZ_CHECK(spec->limits.timeout >= std::chrono::seconds{1});
        FUZZ_CHECK(!spec->limits.default_action.empty());
    } else {
        FUZZ_CHECK(!spec.error().what().empty());
    }

    if (const auto list = DnsList::parse(input))
        check_list(*list, input);
    else
        FUZZ_CHECK(!list.error().what().empty());
}

}  // namespace posthorn::fuzz
