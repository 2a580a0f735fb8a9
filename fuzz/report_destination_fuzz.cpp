// Where a domain wants its daily reports: rua= of a record by a stranger. Whatever it says, an address is one word of printable ASCII with a domain, the text is
// from the record, and no more than ten come out; a report about such a domain is JSON, and the mail around it has the fields that we wrote, and no others.
#include "fuzz.hpp"

#include "aggregate/destination.hpp"
#include "aggregate/report.hpp"
#include "base/strings.hpp"
#include "message/header.hpp"

#include <boost/json.hpp>

#include <algorithm>

namespace posthorn::fuzz {

using namespace aggregate;

void fuzz_one(std::string_view input)
{
    for (const bool limits : {false, true}) {
        const auto places = destinations_of(tag_of(input, "rua"), limits);
        FUZZ_CHECK(places.size() <= 10);
        for (const Destination& place : places) {
            FUZZ_CHECK(input.find(place.text) != input.npos);
            if (place.way == Destination::Way::https)
                continue;
            const std::string& address = place.address;
            FUZZ_CHECK(std::ranges::all_of(address, [](char c) { return c > ' ' && c < '\x7f'; }));
            FUZZ_CHECK(address.find('@') != address.npos && !domain_of(place).empty());
            const About about{.kind = Kind::tls, .domain = "example.com", .organization = "Ours", .address = "r@ours.test"};
            const std::string letter = letter_text(about, {.to = address, .summary = std::string(input), .attachment = "x"}, {});
            message::HeaderWalk walk(letter);
            std::size_t fields = 0;
            while (walk.next())
                ++fields;
            FUZZ_CHECK(fields == 11);
        }
    }
    const About about{.kind = Kind::tls, .domain = "example.com", .organization = std::string(input), .address = "r@ours.test"};
    TlsRow row{.policy = {}, .failure = {}, .count = 1};
    row.policy.set_type("sts");
    row.policy.add_strings(std::string(input));
    row.failure.set_type("validation-failure");
    row.failure.set_hello(std::string(input));
    boost::system::error_code wrong;
    (void)boost::json::parse(tls_report(about, {row}), wrong);
    FUZZ_CHECK(!wrong);
}

}  // namespace posthorn::fuzz
