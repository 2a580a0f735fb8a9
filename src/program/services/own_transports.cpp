#include "services/own_transports.hpp"

#include "base/strings.hpp"

namespace posthorn::services {

namespace {

/// "5.1.6 User has moved" -> its status and text; text alone gets the given status. The first digit must fit the transport.
OwnVerdict with_status(const std::string& nexthop, char digit, handoff::Outcome outcome)
{
    OwnVerdict verdict{outcome, std::string(1, digit) + ".0.0", nexthop};
    const std::size_t space = nexthop.find(' ');
    const auto parts = split_exact(std::string_view(nexthop).substr(0, space), '.');
    if (space != nexthop.npos && parts.size() == 3 && parts[0].size() == 1 && is_digit(parts[0][0]) && parse_number(parts[1]) &&
        parse_number(parts[2])) {
        verdict.status = nexthop.substr(0, space);
        verdict.status[0] = digit;
        verdict.text = nexthop.substr(space + 1);
    }
    return verdict;
}

}  // namespace

std::optional<OwnVerdict> own_transport(const handoff::Route& route, handoff::Purpose purpose)
{
    const std::string& name = route.transport();
    if (name == "error")
        return with_status(route.nexthop(), '5', handoff::OUTCOME_BOUNCED);
    if (name == "retry")
        return with_status(route.nexthop(), '4', handoff::OUTCOME_DEFERRED);
    if (name == "discard")
        return OwnVerdict{handoff::OUTCOME_DELIVERED, "2.0.0",
                          !route.nexthop().empty()                     ? route.nexthop()
                          : purpose == handoff::PURPOSE_VERIFY_ADDRESS ? "delivers to discard"
                                                                       : "discarded"};
    return std::nullopt;
}

}  // namespace posthorn::services
