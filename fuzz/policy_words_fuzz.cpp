// What policy servers answer, what access tables hold, and how servers and DNS lists are written. An action is one line; a result keeps its text;
// no pattern of a list that was taken lets all addresses through by accident; what is refused says why.
#include "fuzz.hpp"

#include "receive/policy/access_result.hpp"
#include "receive/policy/dns_list.hpp"
#include "receive/policy/service.hpp"

namespace posthorn::fuzz {

using namespace posthorn::receive::policy;

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

    if (const auto list = DnsList::parse(input)) {
        FUZZ_CHECK(!list->domain().empty());
        FUZZ_CHECK(list->domain().find('=') == std::string::npos);
        if (input.find('=') != std::string_view::npos)
            FUZZ_CHECK(!list->counts(net::IpAddress::loopback(true)));          // patterns are of IPv4
        FUZZ_CHECK(list->query_for(net::IpAddress::loopback()) == "1.0.0.127." + list->domain());
    }
}

}  // namespace posthorn::fuzz
