// XCLIENT and XFORWARD: what they say of a client is of the names that there are, fits a log line and a header field, and read again says the same;
// a wrong argument is answered with a reply of one line.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "net/address.hpp"
#include "receive/claims.hpp"
#include "smtp/path.hpp"
#include "smtp/xtext.hpp"

namespace posthorn::fuzz {

using namespace posthorn::receive;

void fuzz_one(std::string_view input)
{
    for (const ClaimKind kind : {ClaimKind::xclient, ClaimKind::xforward}) {
        const auto claims = parse_claims(kind, input);
        if (!claims) {
            FUZZ_CHECK(claims.error().starts_with("501 5.5.4 "));
            FUZZ_CHECK(std::ranges::all_of(claims.error(), [](char c) { return c >= ' ' && c <= '~'; }));
            continue;
        }
        FUZZ_CHECK(!claims->empty());
        std::string again;
        for (const Claim& claim : *claims) {
            const auto names = split(kind == ClaimKind::xclient ? xclient_words : xforward_words, " ");
            FUZZ_CHECK(std::ranges::find(names, claim.name) != names.end());
            FUZZ_CHECK(!claim.value || !claim.later);
            again += (again.empty() ? "" : " ") + claim.name + "=";
            if (!claim.value) {
                again += claim.later ? "[TEMPUNAVAIL]" : "[UNAVAILABLE]";
                continue;
            }
            FUZZ_CHECK(claim.value->size() <= 255 && claim.value->find_first_of(std::string_view("\0\r\n", 3)) == claim.value->npos);
            if (claim.name == "ADDR" || claim.name == "DESTADDR")
                FUZZ_CHECK(net::IpAddress::parse(*claim.value).has_value());
            if (claim.name == "NAME" || claim.name == "REVERSE_NAME")
                FUZZ_CHECK(smtp::is_valid_hostname(*claim.value));
            again += smtp::xtext_encode(*claim.value);
        }
        FUZZ_CHECK(parse_claims(kind, again) == claims);
    }
}

}  // namespace posthorn::fuzz
