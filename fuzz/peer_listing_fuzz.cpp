// What `posthorn peers import` reads. A file is taken whole or not at all, its errors name file and line; what was taken is written and read
// again the same; no quirk of the class security comes in, no peer twice, and all of it can be stored.
#include "fuzz.hpp"

#include "peers/book.hpp"
#include "peers/listing.hpp"
#include "peers/stored.hpp"

#include <set>

namespace posthorn::fuzz {

using namespace posthorn::peers;

void fuzz_one(std::string_view input)
{
    for (const bool with_head : {false, true}) {
        const std::string text = with_head ? "posthorn-peers 1\npeer 192.0.2.1 h.test -\n" + std::string(input) : std::string(input);
        const auto records = parse_listing(text, "file");
        if (!records) {
            FUZZ_CHECK(records.error().what().starts_with("file, line "));
            continue;
        }
        std::set<std::string> keys;
        for (const Record& record : *records) {
            FUZZ_CHECK(!record.peer.address.empty());
            FUZZ_CHECK(keys.insert(key_of(record.peer)).second);
            std::set<Quirk> quirks;
            for (const Mark& mark : record.marks) {
                FUZZ_CHECK(class_of(mark.quirk) != QuirkClass::security);
                FUZZ_CHECK(quirks.insert(mark.quirk).second);
            }
            FUZZ_CHECK(record_of(octets_of(record)) == record);
        }
        const std::string written = listing_of(*records);
        const auto again = parse_listing(written, "again");
        FUZZ_CHECK(again.has_value());
        FUZZ_CHECK(listing_of(*again) == written);
    }
}

}  // namespace posthorn::fuzz
